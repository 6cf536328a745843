"""What a training may be told, and what its help says of it."""

import pytest

from scpress.cli import main
from scpress.config.train import PRESETS, TrainOptions
from scpress.errors import InputError
from scpress.model import axes


def test_every_preset_of_the_options_is_one_of_the_model():
    assert set(PRESETS) == set(axes.PRESETS)


def test_help_says_what_goes_by_autograd(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    flags = {part.split()[0]: part for part in said.split(" --") if part.strip()}
    for name in (
        "input-noise",
        "latent-l1",
        "contractive",
        "pi-ridge",
        "no-tied-weights",
        "no-residual",
    ):
        assert "by autograd" in flags[name], name
    for name in ("gene-mask", "molecule-thinning", "dropout-rate"):
        assert "autograd" not in flags[name], name
    assert "written out by hand for hidden layers with norm batch" in flags["kernels"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prior_weight", -1.0, "prior_weight must be at least 0"),
        ("prior_shape", "cube", "prior_shape must be one of normal, mixture, ball"),
        ("gene_mask", 1.0, "gene_mask must be at most 0.99"),
        ("molecule_thinning", -0.1, "molecule_thinning must be at least 0"),
        ("input_noise", -1.0, "input_noise must be at least 0"),
        ("latent_l1", -1.0, "latent_l1 must be at least 0"),
        ("contractive", -1.0, "contractive must be at least 0"),
        ("pi_ridge", -1.0, "pi_ridge must be at least 0"),
        ("residual", 1, "residual must be of type"),
    ],
)
def test_what_no_training_can_have_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        TrainOptions(**{name: value})
