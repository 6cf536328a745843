"""How many true neighbours an approximate search finds, and how long it takes.

    python benchmarks/neighbors.py [--points 100000] [--dimensions 10] [--neighbors 15] [--graph]

draws points around centres of several sizes, and compares the groups of `scpress.cells.neighbors`
with pynndescent, both judged by an exact search for 500 of the points. Seconds are of the process.
`--graph` compares the graph of `scpress.cells.graph` and its Leiden communities at eight
resolutions with scanpy's own of the same points; the first graphs pay for what is compiled.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scale import name_machine
from sklearn.neighbors import NearestNeighbors

from scpress.config.options import ClusterOptions

_N_JUDGED, _N_CENTERS = 500, 12


def draw(n_points: int, n_dimensions: int) -> np.ndarray:
    """[points, dimensions] Clouds of different sizes and widths."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(_N_CENTERS))
    of = rng.choice(_N_CENTERS, n_points, p=share)
    centers = rng.normal(scale=3, size=(_N_CENTERS, n_dimensions))
    width = rng.uniform(0.5, 1.5, _N_CENTERS)
    noise = rng.normal(size=(n_points, n_dimensions)) * width[of][:, None]
    return (centers[of] + noise).astype(np.float32)


def by_groups(points: np.ndarray, n_neighbors: int) -> np.ndarray:
    from scpress.cells.neighbors import nearest

    return nearest(points, n_neighbors)[0]


def by_descent(points: np.ndarray, n_neighbors: int) -> np.ndarray:
    from pynndescent import NNDescent

    found = NNDescent(points, n_neighbors=n_neighbors + 1, random_state=0, n_jobs=1)
    return found.neighbor_graph[0][:, 1:]


def compare_graphs(points: np.ndarray, n_neighbors: int) -> None:
    """Print seconds of a first graph, a second and communities of both, ours beside scanpy's."""
    import anndata as ad
    import scanpy as sc
    from sklearn.metrics import adjusted_rand_score

    from scpress.cells.graph import Communities, build_graph

    resolutions = ClusterOptions().resolutions
    words = {"flavor": "igraph", "n_iterations": 2, "directed": False, "random_state": 0}
    cells = ad.AnnData(obsm={"X_points": points})
    few, more = (ad.AnnData(obsm={"X_points": points[:n]}) for n in (3000, 5000))

    def of_scanpy(cells: ad.AnnData) -> None:
        sc.pp.neighbors(cells, n_neighbors, use_rep="X_points", random_state=0)

    def of_ours(cells: ad.AnnData) -> ad.AnnData:
        points = cells.obsm["X_points"]
        return build_graph(points, n_neighbors=n_neighbors, seed=0, key="X_points")

    def communities_of_scanpy() -> list[np.ndarray]:
        found = []
        for one in resolutions:
            sc.tl.leiden(cells, one, **words)
            found.append(cells.obs["leiden"].to_numpy())
        return found

    def communities_of_ours() -> list[np.ndarray]:
        communities = Communities(graph)
        return [communities.find(one, seed=0) for one in resolutions]

    _say("scpress, first graph, 3,000 points", lambda: of_ours(few))
    _say("scpress, first graph by groups", lambda: of_ours(more))
    _say("scanpy, first graph, 3,000 points", lambda: of_scanpy(few))
    graph = _say("scpress, graph", lambda: of_ours(cells))
    _say("scanpy, graph", lambda: of_scanpy(cells))
    ours = _say(f"scpress, {len(resolutions)} resolutions", communities_of_ours)
    theirs = _say(f"scanpy, {len(resolutions)} resolutions", communities_of_scanpy)
    agree = [adjusted_rand_score(*pair) for pair in zip(ours, theirs, strict=True)]
    print(f"adjusted Rand index of the two: {min(agree):.3f} to {max(agree):.3f}")


def _say(name: str, work: Callable[[], Any]) -> Any:
    start = time.process_time()
    made = work()
    print(f"{name:<38}{time.process_time() - start:>8.1f} s", flush=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=10)
    parser.add_argument("--neighbors", type=int, default=15)
    parser.add_argument("--graph", action="store_true", help="graphs and communities instead")
    given = parser.parse_args()
    points = draw(given.points, given.dimensions)
    if given.graph:
        print(f"{name_machine()}; {points.shape[0]} x {points.shape[1]}")
        compare_graphs(points, given.neighbors)
        return
    judged = np.random.default_rng(1).choice(len(points), _N_JUDGED, replace=False)
    search = NearestNeighbors(n_neighbors=given.neighbors + 1, algorithm="brute").fit(points)
    expected = search.kneighbors(points[judged])[1][:, 1:]
    print(f"{name_machine()}; {points.shape[0]} x {points.shape[1]}, {given.neighbors} neighbours")
    ways: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "groups": by_groups,
        "pynndescent": by_descent,
    }
    for name, find in ways.items():
        find(points[:3000], given.neighbors)  # compiles
        start = time.process_time()
        found = find(points, given.neighbors)
        seconds = time.process_time() - start
        pairs = zip(found[judged], expected, strict=True)
        recall = np.mean([np.isin(*pair).mean() for pair in pairs])
        print(f"{name:<12}{seconds:>8.1f} s  {recall:.4f} of the true neighbours", flush=True)


if __name__ == "__main__":
    main()
