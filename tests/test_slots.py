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
