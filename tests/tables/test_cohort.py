import anndata as ad
import numpy as np
import pytest

from scpress.errors import InputError
from scpress.tables.cohort import cohort_record, latent_of, layer_of


def test_a_type_with_a_slash_is_no_group_of_the_file():
    assert layer_of("CD4/CD8") == "counts_CD4|CD8"
    assert latent_of("vae", "CD4/CD8") == "X_vae_CD4|CD8"
    assert latent_of("vae") == "X_vae"


def test_what_is_no_cohort_is_refused():
    with pytest.raises(InputError, match=r"lacks 'cohort'.*run `scpress cohort` again"):
        cohort_record(ad.AnnData(np.zeros((1, 1))))
