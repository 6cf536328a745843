"""Programs that were planted come out first; how sure a dimension is, other seeds say."""

import dataclasses

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from builders import brief_options, normalized_of

from scpress import slots
from scpress.config.options import SimulateOptions
from scpress.config.programs import ProgramsOptions
from scpress.errors import InputError
from scpress.model.traversals import loadings
from scpress.steps.embed import embed
from scpress.steps.programs import programs
from scpress.steps.simulate import simulate
from scpress.steps.train import train
from scpress.tables.programs import CLUSTERS, DIMENSION, ProgramGene, ProgramsRecord

OPTIONS = ProgramsOptions(n_genes=6, n_points=3, n_cells=20)
LDVAE = brief_options(
    preset="ldvae",
    hidden=(16,),
    n_latent=3,
    learning_rate=0.01,
    max_steps=150,
    allow_failed_fit=True,
)
N_GENES = 60


@pytest.fixture(scope="module")
def counts():
    drawn = SimulateOptions(
        n_cells=300, n_genes=N_GENES, n_types=3, marker_fraction=0.1, type_fold_change=20
    )
    return simulate(drawn, seed=1)


@pytest.fixture(scope="module")
def clusters(counts):
    leiden = counts.obs["label"].astype(str).str.removeprefix("type")
    return ad.AnnData(obs=pd.DataFrame({"leiden": leiden.astype("category")}))


@pytest.fixture(scope="module")
def trained(counts):
    """Models and latents of two seeds."""
    normalized = normalized_of(counts, n_genes=N_GENES)
    models = [train(counts, normalized, LDVAE, seed=s, device="cpu")[0] for s in (5, 7)]
    return models, [embed(counts, normalized, one, name="m") for one in models]


@pytest.fixture(scope="module")
def found(trained, clusters):
    models, latents = trained
    return programs(latents, models, clusters, OPTIONS, name="m")


def planted_in(counts, number):
    """Genes planted in a type, by name."""
    changed = counts.uns["simulation"]["type_fold_change"][number - 1] > 1
    return set(counts.var_names[changed])


def genes_of(table, program, change):
    rows = table[(table["program"] == program) & (table["change"] == change)]
    return rows.sort_values("rank")["gene"].tolist()


def test_between_clusters_the_planted_genes_rise_and_fall(counts, found):
    _, table = found
    for start, end in ((1, 2), (2, 3)):
        program = f"{start} to {end}"
        assert set(genes_of(table, program, "rises")) == planted_in(counts, end)
        assert set(genes_of(table, program, "falls")) == planted_in(counts, start)


def test_a_way_starts_at_the_cells_of_its_first_cluster(counts, found):
    _, table = found
    shares = 1e4 * counts.X.toarray() / np.asarray(counts.X.sum(axis=1))
    of_cluster = shares[counts.obs["label"] == "type1"].mean(axis=0)
    rows = table[(table["program"] == "1 to 2") & (table["change"] == "falls")]
    own = of_cluster[counts.var_names.get_indexer(rows["gene"])]
    # In the mean of all cells there are a third of these molecules.
    assert (rows["expected_start"] / own).between(0.6, 1.6).all()


def test_the_best_matching_dimension_has_the_planted_genes(counts, found):
    _, table = found
    for number in (1, 2, 3):
        sides = [
            set(genes_of(table, f"z{d}", change)) for d in range(3) for change in ("rises", "falls")
        ]
        assert planted_in(counts, number) in sides


def test_what_is_told_of_a_dimension(found, trained):
    (first, other), (latent, _) = trained
    out, table = found
    z = latent.obsm["X_m"]
    record = ProgramsRecord.from_plain(out.uns["scpress"]["programs"], "x")
    assert record.kind == (DIMENSION,) * 3 + (CLUSTERS,) * 3
    assert record.program == ("z0", "z1", "z2", "1 to 2", "1 to 3", "2 to 3")
    assert (record.seeds, record.is_linear, record.n_pairs) == ((5, 7), True, 3)
    np.testing.assert_allclose(record.start[:3], np.percentile(z, 5, axis=0), rtol=1e-5)
    np.testing.assert_allclose(record.end[:3], np.percentile(z, 95, axis=0), rtol=1e-5)
    # The decoder is linear, and what is left of its loadings is one number in each dimension.
    weights = loadings(first) * (np.array(record.end[:3]) - record.start[:3]) / np.log(2)
    left = out.varm["traversals_m"] - weights
    np.testing.assert_allclose(left, np.broadcast_to(left[0], left.shape), atol=1e-3)
    np.testing.assert_array_equal(out.varm["loadings_m"], loadings(first))
    # Dimensions of another seed are others, but these three types leave no other span.
    assert min(record.spanned[:3]) > 0.9
    assert np.isnan(record.spanned[3:]).all()
    assert min(record.agreement) > 0.8
    assert not np.array_equal(loadings(first), loadings(other))
    ranks = table.groupby(["program", "change"])["rank"]
    assert (ranks.min() == 1).all()
    assert (ranks.max() == ranks.size()).all()


def test_rows_are_places_from_end_to_end(found, clusters, trained):
    out, table = found
    slots.require(out, slots.PROGRAM, slots.PROGRAM_PLACE)
    assert out.obs["gene_program_place"].tolist() == [5, 50, 95] * 3 + [0, 50, 100] * 3
    assert not out.X[::3].any()
    np.testing.assert_array_equal(out.varm["traversals_m"].T, out.X[2:9:3])
    by_name = pd.DataFrame(out.X[2::3], index=out.uns["scpress"]["programs"]["program"])
    by_name.columns = out.var_names
    for row in table.to_dict("records"):
        change = by_name.loc[row["program"], row["gene"]]
        assert change == pytest.approx(row["log2_fold_change"], rel=1e-5)
        assert np.log2(row["expected_end"] / row["expected_start"]) * change > 0
    models, latents = trained
    again = programs(latents, models, clusters, OPTIONS, name="m")
    np.testing.assert_array_equal(again[0].X, out.X)
    other = programs(latents, models, clusters, OPTIONS, name="m", seed=1)
    assert not np.array_equal(other[0].X, out.X)


def test_one_seed_few_pairs_and_genes_that_are_rare_or_still(trained, clusters):
    (model, _), (latent, _) = trained
    few = dataclasses.replace(OPTIONS, max_pairs=1, min_expected=600.0, min_log2_fold_change=3.0)
    out, table = programs([latent], [model], clusters, few, name="m")
    record = ProgramsRecord.from_plain(out.uns["scpress"]["programs"], "x")
    assert (len(record.program), record.n_pairs) == (4, 3)
    assert np.isnan(record.agreement).all()
    # The nearest pair is the one that is kept.
    z, leiden = latent.obsm["X_m"], clusters.obs["leiden"].astype(str).to_numpy()
    centers = {one: z[leiden == one].mean(axis=0) for one in "123"}
    distances = {
        f"{a} to {b}": np.linalg.norm(centers[a] - centers[b]) for a, b in ("12", "13", "23")
    }
    assert record.program[3] == min(distances, key=distances.get)
    assert record.end[3] == pytest.approx(min(distances.values()), rel=1e-4)
    assert (table["log2_fold_change"].abs() >= 3).all()
    assert (table[["expected_start", "expected_end"]].max(axis=1) >= 600).all()
    assert list(table) == list(ProgramGene.__annotations__)


def test_without_a_listed_gene_the_table_has_its_columns(trained, clusters):
    (model, _), (latent, _) = trained
    none = dataclasses.replace(OPTIONS, min_expected=1e9, max_pairs=0)
    out, table = programs([latent] * 2, [model] * 2, clusters, none, name="m")
    assert (len(table), list(table)) == (0, list(ProgramGene.__annotations__))
    record = ProgramsRecord.from_plain(out.uns["scpress"]["programs"], "x")
    assert record.largest == (0.0, 0.0, 0.0)
    assert np.isnan(record.agreement).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n_genes": 0}, "n_genes is 0, which lists none"),
        ({"low": 95.0, "high": 5.0}, "from percentile low 95 to high 5"),
    ],
)
def test_options_that_ask_for_nothing_are_refused(trained, clusters, change, says):
    models, latents = trained
    with pytest.raises(InputError, match=says):
        programs(latents, models, clusters, dataclasses.replace(OPTIONS, **change), name="m")


def test_files_of_two_runs_are_refused(trained, clusters):
    (first, second), (one, other) = trained
    with pytest.raises(InputError, match="2 latents and 1 models"):
        programs([one, other], [first], clusters, OPTIONS, name="m")
    with pytest.raises(InputError, match="latent of seed 7 does not go with the model of seed 5"):
        programs([other, one], [first, second], clusters, OPTIONS, name="m")
    with pytest.raises(InputError, match=r"300 cells and the latent 299|has 300 cells"):
        programs([one[1:].copy()], [first], clusters, OPTIONS, name="m")
    narrow = one.copy()
    narrow.obsm["X_m"] = narrow.obsm["X_m"][:, :2]
    with pytest.raises(InputError, match="a latent of 2 dimensions is given with a model of 3"):
        programs([narrow], [first], clusters, OPTIONS, name="m")
