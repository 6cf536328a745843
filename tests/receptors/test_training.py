import logging

import numpy as np
import pytest
import torch
from receptors.conftest import chain_frame

from scpress.config.receptors import ReceptorsOptions
from scpress.receptors import training
from scpress.receptors.sequences import encode, unique_chains
from scpress.receptors.training import hold_out, train

QUICK = {"n_latent": 16, "hidden": 24, "max_epochs": 3, "batch_size": 16}


@pytest.fixture(scope="module")
def sequences(many_chains):
    return encode(unique_chains(many_chains))


@pytest.mark.parametrize("method", ["gru", "lstm"])
def test_the_same_training_gives_the_same_bits(sequences, method):
    options = ReceptorsOptions(method=method, **QUICK)
    torch.manual_seed(99)
    first = train(sequences, options)
    torch.manual_seed(7)
    second = train(sequences, options)
    assert first.losses == second.losses
    assert first.codes.tobytes() == second.codes.tobytes()
    other = train(sequences, ReceptorsOptions(method=method, seed=1, **QUICK))
    assert other.codes.tobytes() != first.codes.tobytes()


def test_a_few_sequences_are_learnt_to_be_read_back(monkeypatch):
    # Of so few, those held out say nothing: the last pass is kept.
    losses = iter(range(1000, 0, -1))
    monkeypatch.setattr(training, "_held_out_loss", lambda *_: float(next(losses)))
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACDEF"), size=4 + n % 3)) for n in range(16)]
    rows = [("c", "TRB", one, f"TRBV{n % 2}", "", 1) for n, one in enumerate(texts)]
    sequences = encode(unique_chains(chain_frame(*rows)))
    options = ReceptorsOptions(
        hidden=32, n_latent=24, max_epochs=60, batch_size=8, mutation_rate=0.0, learning_rate=0.02
    )
    trained = train(sequences, options)
    seen = ~trained.is_held_out
    right = (trained.written == sequences.residues) & (sequences.residues > 0)
    assert right[seen].sum() / sequences.lengths[seen].sum() > 0.8
    assert trained.v_right[seen].mean() == 1
    assert np.isnan(trained.j_right).all()


def test_training_stops_where_held_out_sequences_are_not_told_better(sequences, monkeypatch):
    losses = iter([5.0, 4.0, 4.5, 4.2, 3.0])
    states = []

    def loss(network, *_):
        states.append({name: one.clone() for name, one in network.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(training, "_held_out_loss", loss)
    trained = train(sequences, ReceptorsOptions(**{**QUICK, "max_epochs": 50}, patience=2))
    assert trained.losses == (5.0, 4.0, 4.5, 4.2)
    for name, one in trained.network.state_dict().items():
        assert torch.equal(one, states[1][name]), name


def test_every_tenth_pass_is_a_line(sequences, caplog):
    with caplog.at_level(logging.INFO, logger="scpress"):
        train(sequences, ReceptorsOptions(**{**QUICK, "max_epochs": 10}, patience=50))
    (line,) = [one.message for one in caplog.records]
    assert line.startswith("receptors: pass 10 of at most 10: held-out loss ")


def test_copies_of_a_sequence_are_on_one_side():
    rows = [("c", "TRB", "CA" * (n % 5 + 1), f"TRBV{n}", "TRBJ1", 1) for n in range(40)]
    sequences = encode(unique_chains(chain_frame(*rows)))
    held_out = hold_out(sequences, 0.4, 0)
    assert 0 < held_out.sum() < len(sequences)
    for length in np.unique(sequences.lengths):
        assert len(set(held_out[sequences.lengths == length])) == 1


def test_no_gene_that_is_not_known_is_asked_for(sequences):
    rows = [("c", "TRB", "CAF", "", "", 1)]
    network = train(sequences, ReceptorsOptions(**QUICK)).network
    unknown = training._tensors(encode(chain_frame(*rows)))
    z = network.encode(*unknown)
    scores, tokens = network.forced(z, unknown[0], unknown[1])
    alone = torch.nn.functional.cross_entropy(scores, tokens, reduction="sum")
    torch.testing.assert_close(training._loss(network, unknown), alone)


def test_a_training_with_mutations_reads_other_sequences(sequences):
    plain = train(sequences, ReceptorsOptions(mutation_rate=0.0, **QUICK))
    mutated = train(sequences, ReceptorsOptions(mutation_rate=0.9, **QUICK))
    assert plain.losses != mutated.losses
