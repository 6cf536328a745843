"""`generate` on the files of a run: the step's draw with the seed that is given."""

from verbs.commands import DATA, Case, must, of_run, run

from scpress.config.generate import GenerateOptions
from scpress.io.h5ad import read_h5ad
from scpress.model.fitted import load_model
from scpress.steps.generate import generate


def test_a_model_without_counts_is_one_line_and_leaves_nothing(require_refused):
    words = of_run("generate", *DATA, "--model-file", "@model.safetensors")
    require_refused(Case("pca", words, ("likelihood 'gaussian' draws no counts",)))


def test_verb_writes_what_the_step_draws_with_the_seed(run_folder, tmp_path):
    flags = ("--preset", "dca", "--hidden", "8", "--n-latent", "2", "--batch-key", "null")
    flags += ("--max-steps", "20", "--validate-every", "20", "--allow-failed-fit")
    words = of_run("train", *DATA, *flags)(run_folder, tmp_path)
    model = tmp_path / "m.safetensors"
    must([*words, "--history", tmp_path / "h.tsv"], model)
    words = of_run("generate", *DATA, "--n-cells", "40", "--seed", "3")(run_folder, tmp_path)
    assert run([*words, "--model-file", model, "--output", tmp_path / "g.h5ad"]) == 0
    counts, sizes = (read_h5ad(run_folder / name) for name in ("counts.h5ad", "normalized.h5ad"))
    expected = generate(counts, sizes, load_model(model), GenerateOptions(n_cells=40), seed=3)
    written = read_h5ad(tmp_path / "g.h5ad")
    assert (written.X != expected.X).nnz == 0
    assert list(written.obs["drawn_from"]) == list(expected.obs["drawn_from"])
    assert written.uns["simulation"]["seed"] == 3
