import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions
from scpress.config.simulation import SimulateOptions
from scpress.errors import InputError
from scpress.io.h5ad import write_h5ad
from scpress.steps.cohort import cohort
from scpress.steps.simulate import simulate
from scpress.tables.cohort import cohort_record


@pytest.fixture(scope="module")
def cells():
    options = SimulateOptions(n_cells=160, n_genes=30, n_types=3, n_donors=4, donor_genes=5)
    made = simulate(options, seed=0)
    made.obs["cell_type"] = made.obs["label"].astype(str)
    return made


def summed(cells, **options):
    words = {"min_cells": 1, "min_type_cells": 1, **options}
    return cohort(cells, options=CohortOptions(**words))


def test_what_is_summed_up_is_what_a_loop_finds(cells):
    latent = ad.AnnData(obs=pd.DataFrame(index=cells.obs_names))
    latent.obsm["X_m"] = np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
    made = cohort(cells, None, latent, CohortOptions(min_cells=1, min_type_cells=1), model="m")
    dense = cells.X.toarray()
    for donor in made.obs_names:
        of_donor = (cells.obs["donor"] == donor).to_numpy()
        np.testing.assert_array_equal(made[donor].X.toarray()[0], dense[of_donor].sum(axis=0))
        assert made.obs.loc[donor, "n_cells"] == of_donor.sum() == 40
        assert made.obs.loc[donor, "molecules"] == dense[of_donor].sum()
        for name in ("type1", "type2", "type3"):
            inside = of_donor & (cells.obs["cell_type"] == name).to_numpy()
            assert made.obsm["type_cells"].loc[donor, name] == inside.sum()
            found = made[donor].layers[f"counts_{name}"].toarray()[0]
            np.testing.assert_array_equal(found, dense[inside].sum(axis=0))
            mean = latent.obsm["X_m"][inside].mean(axis=0)
            np.testing.assert_allclose(made[donor].obsm[f"X_m_{name}"][0], mean, rtol=1e-5)
        mean = latent.obsm["X_m"][of_donor].mean(axis=0)
        np.testing.assert_allclose(made[donor].obsm["X_m"][0], mean, rtol=1e-4)
    assert cohort_record(made).model == "m"
    assert set(made.obs["condition"]) == {"case", "control"}


def test_a_type_below_the_floor_is_left_out_by_name_and_its_cells_still_count(cells):
    n = summed(cells).obsm["type_cells"]
    floor = int(n.to_numpy().min()) + 1
    row, column = np.argwhere(n.to_numpy() == floor - 1)[0]
    donor, name = n.index[row], n.columns[column]
    made = summed(cells, min_type_cells=floor)
    assert f"{donor}: {name} ({floor - 1} cells)" in cohort_record(made).left_out
    assert made[donor].layers[f"counts_{name}"].nnz == 0
    assert made.obsm["type_cells"].loc[donor, name] == floor - 1
    assert made.obs["n_cells"].tolist() == [40] * 4


def test_a_donor_below_the_floor_is_left_out_by_name(cells):
    few = cells[(cells.obs["donor"] != "donor2") | (np.arange(160) < 60)].copy()
    n = int((few.obs["donor"] == "donor2").sum())
    made = summed(few, min_cells=n + 1)
    assert "donor2" not in made.obs_names
    assert cohort_record(made).left_out[0] == f"donor2 ({n} cells)"
    assert made.obs_names.tolist() == ["donor1", "donor3", "donor4"]
    np.testing.assert_array_equal(made["donor3"].X.toarray(), summed(cells)["donor3"].X.toarray())


def test_donors_can_be_divided_by_what_varies_in_them(cells):
    made = cells.copy()
    made.obs["time"] = np.where(np.arange(160) % 2, "before", "after")
    whole, split = summed(made), summed(made, split_by="time")
    record = cohort_record(whole)
    assert "time" in record.varying
    assert "has 'after' and 'before'" in record.varying_example[record.varying.index("time")]
    assert split.obs_names[:2].tolist() == ["donor1|after", "donor1|before"]
    assert split.obs["time"].tolist() == ["after", "before"] * 4
    assert (split.X[::2] + split.X[1::2] != whole.X).nnz == 0


@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_scanpy_opens_the_file_and_finds_components(cells, tmp_path):
    import scanpy as sc

    write_h5ad(summed(cells), tmp_path / "cohort.h5ad")
    donors = sc.read_h5ad(tmp_path / "cohort.h5ad")
    sc.pp.normalize_total(donors)
    sc.pp.log1p(donors)
    sc.pp.pca(donors, n_comps=2)
    assert donors.obsm["X_pca"].shape == (4, 2)
    assert np.isfinite(donors.obsm["X_pca"]).all()
    assert donors.uns["scpress"]["cohort"]["types"].tolist() == ["type1", "type2", "type3"]


def test_bulk_samples_are_donors_of_one_cell():
    counts = np.arange(12).reshape(3, 4)
    obs = pd.DataFrame({"donor": ["x", "z", "y"], "n_cells": [7, 8, 9]}, index=list("abc"))
    made = summed(ad.AnnData(sparse.csr_matrix(counts), obs=obs), type_key=None)
    assert made.obs_names.tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(made.X.toarray(), counts[[0, 2, 1]])
    assert made.obs["n_cells"].tolist() == [1, 1, 1]
    # The name is ours.
    assert made.obs["n_cells_input"].tolist() == [7, 9, 8]


@pytest.mark.parametrize(
    ("change", "options", "line"),
    [
        ({"donor": "d1"}, {}, "1 donor of at least 1 cells of 1 in obs"),
        ({}, {"min_cells": 100}, "0 donors of at least 100 cells of 4"),
        ({}, {"donor_key": "patient"}, "obs has no column 'patient' of donors; it has label"),
        ({}, {"type_key": "kind"}, "obs has no column 'kind' of types"),
        ({"donor": [""] + ["d1", "d2", "d3"] * 53}, {}, "is empty in 1 cells, 'cell1' the first"),
        ({"cell_type": ["a/b", "a|b"] * 80}, {}, "two types have the key 'counts_a|b'"),
    ],
)
def test_what_is_no_cohort_is_one_line(cells, change, options, line):
    made = cells.copy()
    made.obs = made.obs.assign(**change)
    with pytest.raises(InputError, match=line.replace("|", r"\|")):
        summed(made, **options)


def test_values_that_are_no_counts_are_refused(cells):
    made = cells.copy()
    made.X = made.X.astype(float) * 0.5
    with pytest.raises(InputError, match=r"whole numbers of 0 and more; found \d+\.5"):
        summed(made)
