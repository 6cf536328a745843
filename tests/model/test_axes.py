"""Presets, DCA's names, and axes that do not go together."""

import pytest

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import resolve_config


def test_dca_names_are_accepted():
    config = resolve_config(TrainOptions(preset="dca", likelihood="nb-conddisp"), n_genes=50)
    assert (config.likelihood, config.dispersion) == ("nb", "gene-cell")
    config = resolve_config(TrainOptions(preset="scvi", likelihood="zinb-conddisp"), n_genes=50)
    assert (config.likelihood, config.dispersion) == ("zinb", "gene-cell")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_latent": 51}, "n_latent must be at most"),
        ({"preset": "dca", "prior": "kl"}, "prior kl needs encoder variational"),
        ({"preset": "pca", "likelihood": "zinb"}, "preset pca fixes likelihood"),
        ({"preset": "pca", "engine": "scvi-tools"}, "preset pca takes neither"),
    ],
)
def test_axes_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        resolve_config(TrainOptions(**options), n_genes=50)
