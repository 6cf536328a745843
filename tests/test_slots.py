"""The table of AnnData keys, and what is said when one is missing or belongs to other cells."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import slots
from scpress.errors import InputError


@pytest.fixture
def adata():
    made = ad.AnnData(
        sparse.csr_matrix(np.ones((3, 2), dtype=np.int32)),
        obs=pd.DataFrame({"leiden": ["0", "1", "0"]}, index=["a", "b", "c"]),
        var=pd.DataFrame({"theta_vae": [1.0, 2.0]}, index=["A", "B"]),
        obsm={"X_vae": np.zeros((3, 2))},
    )
    made.uns["scpress"] = {}
    return made


def test_no_key_stands_twice_on_an_axis():
    keys = [(slot.axis, slot.name) for slot in slots.SLOTS]
    assert len(set(keys)) == len(keys)
    assert slots.RECORD in slots.SLOTS


def test_every_slot_names_an_axis_of_anndata_and_its_shape(adata):
    first = {"obs": "[cells", "obsm": "[cells", "obsp": "[cells", "var": "[genes", "layers": "["}
    for slot in slots.SLOTS:
        assert hasattr(adata, slot.axis), slot.name
        assert slot.shape.startswith(first.get(slot.axis, "")), slot.name
        assert slot.text.endswith("."), slot.name


def test_a_key_of_a_model_has_its_name_in_it():
    assert slots.LATENT_SD.of("vae") == "X_vae_sd"
    assert slots.LEIDEN.of("vae") == "leiden"


def test_what_is_there_is_not_missed(adata):
    slots.require(adata, slots.LEIDEN, slots.RECORD)
    slots.require(adata, slots.THETA, slots.LATENT, model="vae")


@pytest.mark.parametrize(
    ("slot", "model", "match"),
    [
        (slots.CELL_TYPE, "", r"obs\['cell_type'\] is missing .*; obs holds leiden\. Was the step"),
        (slots.THETA, "pca", r"var\['theta_pca'\] is missing .*; var holds theta_vae\."),
        (slots.LATENT, "pca", r"obsm\['X_pca'\] is missing .*; obsm holds X_vae\."),
        (slots.COUNTS, "", r"layers\['counts'\] is missing \(raw counts, CSR\); .* holds nothing"),
    ],
)
def test_what_is_missing_is_named_beside_what_there_is(adata, slot, model, match):
    with pytest.raises(InputError, match=match):
        # One that is there goes before it.
        slots.require(adata, slots.LEIDEN, slot, model=model)


N = 4


def _held(slot, values, model="m"):
    """An AnnData of 4 cells and genes with these values in a slot."""
    names = [f"n{i}" for i in range(N)]
    made = ad.AnnData(obs=pd.DataFrame(index=names), var=pd.DataFrame(index=names))
    axis = getattr(made, slot.axis)
    axis[slot.of(model)] = values
    return made


TEXT = ["a", "b", "", "a"]
SQUARE = np.ones((N, N), dtype=np.float32)


@pytest.mark.parametrize(
    ("slot", "values"),
    [
        # What scanpy, pandas and anndata make of the same values on their way.
        (slots.LEIDEN, pd.Categorical(TEXT)),
        (slots.LEIDEN, np.array(TEXT, dtype=object)),
        (slots.GENE_ID, pd.Categorical(TEXT)),
        (slots.LIBRARY_SIZE, np.arange(N, dtype=np.int32)),
        (slots.LIBRARY_SIZE, np.arange(N, dtype=np.uint64)),
        (slots.LIBRARY_SIZE, np.arange(N, dtype=np.float32)),
        (slots.LIBRARY_SIZE, pd.array([0, 1, 2, 3], dtype="Int64")),
        (slots.SIZE_FACTOR, np.arange(1, N + 1)),
        (slots.SIZE_FACTOR, np.full(N, 0.5, dtype=np.float32)),
        (slots.PASS_QC, np.array([True, False] * 2)),
        (slots.PASS_QC, pd.array([True, False] * 2, dtype="boolean")),
        (slots.PCT_MT, np.array([0, 100, 50.5, 1], dtype=np.float64)),
        (slots.LATENT, np.full((N, 2), -1e30)),
        (slots.CONNECTIVITIES, SQUARE),
        (slots.CONNECTIVITIES, sparse.csr_matrix(SQUARE)),
        (slots.CONNECTIVITIES, sparse.csc_matrix((N, N), dtype=np.float64)),
        # What may have no value.
        (slots.LABEL, pd.Categorical(["a", None, "b", None])),
        (slots.DOUBLET_SCORE, np.array([np.nan, 0, 0.5, 1])),
        (slots.THETA, np.full(N, np.nan)),
    ],
)
def test_what_a_slot_may_hold(slot, values):
    slots.require(_held(slot, values), slot, model="m")
    slots.require_present(_held(slot, values), models=["m"])


@pytest.mark.parametrize(
    ("slot", "values", "says"),
    [
        (slots.LEIDEN, pd.Categorical(["a", None, "b", "a"]), "lacks text in some"),
        (slots.LEIDEN, np.array(["a", None, "b", "a"], dtype=object), "lacks text in some"),
        (slots.LEIDEN, np.arange(N), "must be text; found 0"),
        (slots.LEIDEN, pd.Categorical([1.5, 2.5, 1.5, 2.5]), r"must be text; found 1\.5"),
        (slots.LIBRARY_SIZE, np.array([1, 2, -3, 4]), "holds -3, which is less"),
        (slots.LIBRARY_SIZE, np.array([1, 2, 3.5, 4]), "holds 3.5 and must hold whole numbers"),
        (slots.LIBRARY_SIZE, pd.array([0, None, 2, 3], dtype="Int64"), "lacks whole numbers"),
        (slots.LIBRARY_SIZE, pd.Categorical(TEXT), "type category and must hold whole numbers"),
        (slots.SIZE_FACTOR, np.array([1, 0, 1, 1.0]), "holds 0, which is less"),
        (slots.SIZE_FACTOR, np.array([1, np.nan, 1, 1]), "lacks numbers in some"),
        (slots.SIZE_FACTOR, np.array([1, np.inf, 1, 1]), "holds inf, which is more"),
        (slots.PASS_QC, np.array([1.0, 0, 1, 0]), "type float64 and must hold true or false"),
        (slots.PASS_QC, np.array([1, 0, 1, 0]), "type int64 and must hold true or false"),
        (slots.PASS_QC, pd.Categorical(["True", "False"] * 2), "must hold true or false"),
        (slots.PASS_QC, pd.array([True, None] * 2, dtype="boolean"), "lacks true or false"),
        (slots.PCT_MT, np.array([0, 100.5, 1, 1]), r"holds 100\.5, which is more"),
        (slots.CELL_TYPE_CONFIDENCE, np.array([0, 1.5, 1, 1]), "more than it can be"),
        (slots.THETA, np.array([np.nan, -1, 1, 1]), "holds -1, which is less"),
        (slots.DOUBLET_SCORE, np.array([np.nan, np.inf, 1, 1]), "holds inf, which is more"),
        (slots.LATENT, np.array([[np.nan, 0]] * N), "lacks numbers in some"),
        (slots.LATENT, np.array([[-np.inf, 0]] * N), "holds -inf, which is less"),
        (slots.LATENT, np.zeros((N, 2, 2)), r"is of shape \(4, 2, 2\)"),
        (slots.LATENT, pd.DataFrame(np.zeros((N, 2)), [f"n{i}" for i in range(N)]), "no array"),
        (slots.UMAP, np.zeros((N, 3)), r"is of shape \(4, 3\)"),
        (slots.CONNECTIVITIES, -SQUARE, "holds -1, which is less"),
        (slots.CONNECTIVITIES, sparse.csr_matrix(SQUARE * np.nan), "lacks numbers"),
    ],
)
def test_what_a_slot_cannot_hold_is_named_with_what_was_seen(slot, values, says):
    held = _held(slot, values)
    for check in (
        lambda: slots.require(held, slot, model="m", where="'f'"),
        lambda: slots.require_present(held, models=["m"], where="'f'"),
    ):
        with pytest.raises(InputError, match=rf"^'f': .*\(.*\) .*{says}.*\. Run the step"):
            check()


def test_slots_of_models_that_are_not_named_are_the_users():
    held = _held(slots.LATENT, np.full((N, 2), np.nan))
    slots.require_present(held, models=["other"])
    slots.require_present(held)


def test_two_cells_of_one_name_cannot_be_told_apart(adata):
    slots.require_unique(adata)
    for names, axis in ((["a", "b", "a"], "obs"), (["A", "A"], "var")):
        twin = adata.copy()
        getattr(twin, axis).index = names
        with pytest.raises(InputError, match=rf"^'f': {axis}_names has '[aA]' twice"):
            slots.require_unique(twin, "'f'")


def test_the_same_cells_in_another_order_are_others(adata):
    slots.require_same_cells(adata.obs_names, adata.copy().obs_names, "clusters")
    for rows in ([1, 0, 2], [0, 1]):
        with pytest.raises(InputError, match=f"counts has 3 cells and clusters {len(rows)}, not"):
            slots.require_same_cells(adata.obs_names, adata[rows].obs_names, "clusters")
    renamed = adata.copy()
    renamed.obs_names = ["a", "b", "x"]
    with pytest.raises(InputError, match=r"\(cell 3 is '\w+' and 'x'\)\. Give files of one run"):
        slots.require_same_cells(adata.obs_names, renamed.obs_names, "clusters")
    with pytest.raises(InputError, match="counts has 3 genes and qc 2, not the same"):
        slots.require_same_genes(adata.obs_names, adata.obs_names[:2], "qc")


@pytest.mark.parametrize(
    ("axis", "key", "ours"),
    [
        ("obs", "leiden", True),
        ("var", "leiden", False),
        ("obs", "leiden_1", False),
        ("obs", "nll_vae", True),
        ("obs", "nll_", False),
        ("obs", "nll", False),
        ("obs", "is_validation_vae", True),
        ("var", "theta_vae", True),
        ("obs", "theta_vae", False),
        ("obsm", "X_umap", True),
        # Any model could be called so; the user's own embeddings stay what they are.
        ("obsm", "X_pca", False),
        ("obsm", "X_pca_sd", False),
        ("uns", "scpress", True),
    ],
)
def test_keys_of_the_users_that_would_collide(axis, key, ours):
    assert slots.is_ours(axis, key) is ours
