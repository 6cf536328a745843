import pytest
import torch

from scpress.receptors.network import ReceptorAutoencoder
from scpress.receptors.sequences import END, START, UNTOLD


@pytest.fixture(scope="module", params=["gru", "lstm"])
def network(request):
    torch.manual_seed(0)
    return ReceptorAutoencoder(cell=request.param, n_v=3, n_j=2, n_latent=4, hidden=8).eval()


RESIDUES = torch.tensor([[1, 2, 3, 4, 0, 0], [5, 6, 0, 0, 0, 0], [7, 8, 9, 10, 11, 12]])
LENGTHS = torch.tensor([4, 2, 6])
GENES = torch.tensor([1, 0, 2]), torch.tensor([1, 1, 0])


def test_a_code_does_not_depend_on_what_is_beside_the_sequence(network):
    together = network.encode(RESIDUES, LENGTHS, *GENES)
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone = network.encode(RESIDUES[one, :length], LENGTHS[one], *(g[one] for g in GENES))
        torch.testing.assert_close(together[one], alone)


def test_genes_are_part_of_the_code(network):
    other = network.encode(RESIDUES, LENGTHS, torch.tensor([2, 0, 2]), GENES[1])
    changed = (other != network.encode(RESIDUES, LENGTHS, *GENES)).any(dim=1)
    assert changed.tolist() == [True, False, False]


def test_forced_scores_are_those_of_a_walk_over_one_sequence(network):
    """The packed batch against one residue after the other."""
    z = network.encode(RESIDUES, LENGTHS, *GENES)
    scores, tokens = network.forced(z, RESIDUES, LENGTHS)
    assert len(tokens) == int((LENGTHS + 1).sum())
    found = sorted(zip(tokens.tolist(), scores.tolist(), strict=True))
    wanted = []
    for row, length in enumerate(LENGTHS.tolist()):
        state, before = network._first_state(z[row : row + 1]), START
        for after in [*RESIDUES[row, :length].tolist(), END]:
            read = torch.cat([network.residue(torch.tensor([before])), z[row : row + 1]], dim=1)
            out, state = network.decoder(read[:, None, :], state)
            wanted.append((after, network.to_residue(out[:, 0])[0].tolist()))
            before = after
    wanted.sort()
    assert [one for one, _ in found] == [one for one, _ in wanted]
    torch.testing.assert_close(
        torch.tensor([one for _, one in found]), torch.tensor([one for _, one in wanted])
    )


def test_what_is_not_told_does_not_reach_the_decoder(network):
    z = torch.zeros(3, 4)
    nothing = torch.zeros_like(RESIDUES, dtype=torch.bool)
    hidden, _ = network.forced(z, RESIDUES, LENGTHS, nothing)
    other, _ = network.forced(z, RESIDUES.clamp(max=1), LENGTHS, nothing)
    torch.testing.assert_close(hidden, other)
    assert UNTOLD not in RESIDUES


def test_what_is_written_is_the_likeliest_given_what_was_written_before(network):
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    written = network.generate(z, 7)
    lengths = (written > 0).sum(dim=1)
    for row in range(5):
        length = int(lengths[row])
        one = slice(row, row + 1)
        scores, _ = network.forced(z[one], written[one], torch.tensor([length]))
        assert scores[:length].argmax(dim=1).tolist() == written[row, :length].tolist()
        if length < 7:
            assert int(scores[length].argmax()) in (END, 0)
