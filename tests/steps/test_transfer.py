"""New cells through a model: named by its own, one type that it lacks is none of them."""

import numpy as np
import pytest
from builders import brief_options, normalized_of

from scpress.config.transfer import TransferOptions
from scpress.errors import InputError
from scpress.model.fitted import load_model
from scpress.model.modelled import modelled_counts
from scpress.steps import transfer as step
from scpress.steps.train import train
from scpress.steps.transfer import join_new, name_by, thin_to, transfer
from scpress.tables.transfer import TransferRecord

RATE = 0.1
OPTIONS = TransferOptions(batch="b9", max_steps=20, unlike_rate=RATE)


@pytest.fixture(scope="module")
def parts(_shared_simulated):
    """Known cells of two types, a model of them, and new cells of three types, less deep."""
    counts = _shared_simulated.adata.copy()
    label = counts.obs["label"].astype(str).to_numpy()
    is_new = np.arange(counts.n_obs) % 3 == 0
    known = counts[~is_new & (label != "type3")].copy()
    new = counts[is_new].copy()
    new.X.data = np.random.default_rng(0).binomial(new.X.data, 0.7).astype(np.int32)
    new.X.eliminate_zeros()
    normalized = normalized_of(known)
    options = brief_options(hidden=(16,), n_latent=3, max_steps=300, allow_failed_fit=True)
    model, _ = train(known, normalized, options, seed=0, device="cpu")
    return known, normalized, new, model


@pytest.fixture(scope="module")
def found(parts):
    known, normalized, new, model = parts
    labels = known.obs["label"].astype(str).to_numpy()
    return transfer(known, normalized, labels, new, model, OPTIONS, name="vae")


def test_known_types_are_named_and_another_is_none(parts, found):
    truth = parts[2].obs["label"].astype(str).to_numpy()
    cells = found[0].obs
    named, is_known = cells["cell_type"].astype(str).to_numpy(), truth != "type3"
    is_unlike = cells["reference_p"].to_numpy() <= RATE
    assert (named[is_known & ~is_unlike] == truth[is_known & ~is_unlike]).mean() > 0.95
    assert is_unlike[is_known].mean() < 0.25
    assert is_unlike[~is_known].mean() > 0.8
    assert (named[is_unlike] == "unassigned").all()
    assert found[0].obsm["X_vae"].shape == (len(truth), 3)


def test_the_record_is_read_back_and_tells_what_was_done(parts, found):
    record = TransferRecord.from_plain(found[0].uns["scpress"]["transfer"], "x")
    known, _, new, _ = parts
    assert (record.model, record.batch) == ("vae", "b9")
    assert (record.n_cells, record.n_reference) == (new.n_obs, known.n_obs)
    reference = record.reference
    assert reference.types == ("type1", "type2")
    assert sum(reference.type_sizes) == known.n_obs
    assert reference.n_unlike == (found[0].obs["reference_p"] <= RATE).sum()
    assert 0 < reference.n_steps <= 20
    assert reference.accuracy_both > 0.95
    probes = dict(zip(record.probes.what, record.probes.latent, strict=True))
    assert set(probes) == {"label", "batch", "depth"}
    assert probes["label"] > 0.9
    assert record.probes.chance == (0.5, 0.5, 0)


def test_the_model_knows_the_new_batch_and_its_cells_are_what_they_were(parts, found, tmp_path):
    known, normalized, new, model = parts
    found[1].save(tmp_path / "wide.safetensors")
    wide = load_model(tmp_path / "wide.safetensors")
    before = modelled_counts(known, normalized, model).cells_of(model)
    again = known.copy()
    again.obs["batch"] = "reference"
    after = modelled_counts(again, normalized, wide).cells_of(wide)
    for one, other in zip(model.encode(before), wide.encode(after), strict=True):
        assert np.array_equal(one, other)
    named = new.copy()
    named.obs["batch"] = found[0].obs["batch"].to_numpy()
    z, _ = wide.encode(modelled_counts(named, None, wide).cells_of(wide))
    np.testing.assert_allclose(z, found[0].obsm["X_vae"], atol=1e-5)


def test_training_a_batch_makes_its_cells_likelier_and_is_the_same_again(parts, found):
    known, normalized, new, model = parts
    said = {"batch": "b9", "max_missing_fraction": 0.0, "seed": 0}
    nothing = join_new(known, normalized, new, model, max_steps=0, **said)
    again = join_new(known, normalized, new, model, max_steps=20, **said)
    assert nothing.n_steps == 0
    loss = []
    for joined in (nothing, again):
        cells = joined.new.read.cells_of(joined.model)
        loss.append(-joined.model.log_likelihood(cells, joined.model.encode(cells)[0]).mean())
    assert loss[1] < loss[0]
    assert np.array_equal(again.new.latent(), found[0].obsm["X_vae"])


def test_genes_that_one_side_lacks_are_left_out_on_both(parts):
    known, normalized, new, model = parts
    few = new[:, ~new.var_names.isin(model.genes[:15])].copy()
    said = {"batch": "b9", "max_steps": 0, "seed": 0}
    with pytest.raises(InputError, match=r"15 of them are missing"):
        join_new(known, normalized, few, model, max_missing_fraction=0.05, **said)
    joined = join_new(known, normalized, few, model, max_missing_fraction=0.1, **said)
    assert joined.n_missing == 15
    for side in (joined.known, joined.new):
        assert side.read.X[:, :15].nnz == 0
        assert side.read.X[:, 15:].nnz > 0


def test_labelled_cells_are_thinned_to_the_others_depth(parts):
    known, normalized, new, model = parts
    said = {"batch": "b9", "max_missing_fraction": 0.0, "max_steps": 0, "seed": 0}
    joined = join_new(known, normalized, new, model, **said)
    thin = thin_to(joined.known.read, joined.new.read, seed=0)
    before, after, wanted = (
        np.asarray(one.X.sum(axis=1)).ravel() for one in (joined.known.read, thin, joined.new.read)
    )
    assert (after <= before).all()
    assert abs(np.median(after) / np.median(wanted) - 1) < 0.1
    ratio = thin.size_factor / joined.known.read.size_factor
    assert np.corrcoef(ratio, after / before)[0, 1] > 0.95


def test_types_of_few_cells_are_told_and_two_are_needed(parts):
    known, normalized, new, model = parts
    said = {"batch": "b9", "max_missing_fraction": 0.0, "max_steps": 0, "seed": 0}
    joined = join_new(known, normalized, new, model, **said)
    labels = known.obs["label"].astype(str).to_numpy().copy()
    labels[:4], labels[4:9] = "rare", ""
    names, few = name_by(joined.known, labels, joined.new, rate=RATE, seed=0)
    assert few == ("rare",)
    assert names.by_type[:, 0].sum() == known.n_obs - 9
    alone = np.where(np.arange(len(labels)) < 4, "one", "unassigned")
    with pytest.raises(InputError, match=r"need two types of at least 10 .*one \(4\)"):
        name_by(joined.known, alone, joined.new, rate=RATE, seed=0)


def test_few_new_cells_are_refused(parts):
    known, normalized, new, model = parts
    with pytest.raises(InputError, match="the new cells are 9; "):
        transfer(known, normalized, np.array(["a"]), new[:9].copy(), model, OPTIONS)


def test_a_model_without_hidden_layers_is_used_as_it_is(parts):
    known, normalized, new, _ = parts
    options = brief_options(preset="pca", n_latent=5, max_steps=20)
    model, _ = train(known, normalized, options, seed=0, device="cpu")
    said = {"batch": "b9", "max_missing_fraction": 0.0, "max_steps": 20, "seed": 0}
    joined = join_new(known, normalized, new, model, **said)
    assert joined.model is model
    assert joined.n_steps == 0


def test_blocks_of_cells_are_one(parts, monkeypatch):
    known, normalized, new, model = parts
    said = {"batch": "b9", "max_missing_fraction": 0.0, "max_steps": 0, "seed": 0}
    side = join_new(known, normalized, new, model, **said).known
    whole = side.latent()
    monkeypatch.setattr(step, "_BLOCK_CELLS", 50)
    np.testing.assert_allclose(side.latent(), whole, atol=1e-5)
