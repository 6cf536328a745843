"""How many true neighbours an approximate search finds, and how long it takes.

    python benchmarks/neighbors.py [--points 100000] [--dimensions 10] [--neighbors 15]

draws points around centres of several sizes, and compares the groups of `scpress.cells.neighbors`
with pynndescent, both judged by an exact search for 500 of the points. Seconds are of the process.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scale import name_machine
from sklearn.neighbors import NearestNeighbors

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=10)
    parser.add_argument("--neighbors", type=int, default=15)
    given = parser.parse_args()
    points = draw(given.points, given.dimensions)
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
