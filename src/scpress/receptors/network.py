"""A recurrent autoencoder: one chain of any length becomes a vector, and the vector the chain."""

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from scpress.receptors.sequences import END, N_TOKENS, PADDING, START, UNTOLD

# Numbers that stand for a residue, or a gene, before the recurrent layers.
_RESIDUE_WIDTH, _GENE_WIDTH = 24, 16


class ReceptorAutoencoder(nn.Module):
    """Both directions of a GRU or LSTM to a code, and one from it (Sutskever et al. 2014).

    Genes are read beside every residue, and told from the code by a linear layer each. The decoder
    reads the code at every residue; in training also the residue before, unless that is dropped
    (Bowman et al. 2016).
    """

    def __init__(self, *, cell: str, n_v: int, n_j: int, n_latent: int, hidden: int):
        super().__init__()
        layer = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.residue = nn.Embedding(N_TOKENS, _RESIDUE_WIDTH, padding_idx=PADDING)
        self.v_gene = nn.Embedding(n_v, _GENE_WIDTH)
        self.j_gene = nn.Embedding(n_j, _GENE_WIDTH)
        read = _RESIDUE_WIDTH + 2 * _GENE_WIDTH
        self.encoder = layer(read, hidden, batch_first=True, bidirectional=True)
        self.to_code = nn.Linear(2 * hidden, n_latent)
        self.to_state = nn.Linear(n_latent, hidden)
        self.decoder = layer(_RESIDUE_WIDTH + n_latent, hidden, batch_first=True)
        self.to_residue = nn.Linear(hidden, N_TOKENS)
        self.to_v = nn.Linear(n_latent, n_v)
        self.to_j = nn.Linear(n_latent, n_j)

    def encode(
        self, residues: torch.Tensor, lengths: torch.Tensor, v: torch.Tensor, j: torch.Tensor
    ) -> torch.Tensor:
        """[sequences, n_latent] Codes; what is after the end of a sequence is not read."""
        genes = torch.cat([self.v_gene(v), self.j_gene(j)], dim=1)
        genes = genes[:, None, :].expand(-1, residues.shape[1], -1)
        _, state = self.encoder(_packed(torch.cat([self.residue(residues), genes], 2), lengths))
        state = state[0] if isinstance(state, tuple) else state
        return self.to_code(torch.cat([state[0], state[1]], dim=1))

    def forced(
        self,
        z: torch.Tensor,
        residues: torch.Tensor,
        lengths: torch.Tensor,
        told: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score every residue given the code and the true ones before it.

        Parameters
        ----------
        told
            [sequences, longest] Whether the decoder sees a residue; all of them when not given.

        Returns
        -------
        torch.Tensor, torch.Tensor
            [residues of all sequences and their ends, tokens] Log-odds; the true tokens.
        """
        seen = residues if told is None else torch.where(told, residues, UNTOLD)
        before = nn.functional.pad(seen, (1, 0), value=START)
        after = nn.functional.pad(residues, (0, 1), value=PADDING)
        after[torch.arange(len(after)), lengths] = END
        read = torch.cat(
            [self.residue(before), z[:, None, :].expand(-1, before.shape[1], -1)], dim=2
        )
        out, _ = self.decoder(_packed(read, lengths + 1), self._first_state(z))
        return self.to_residue(out.data), _packed(after, lengths + 1).data

    @torch.no_grad()
    def generate(self, z: torch.Tensor, longest: int) -> torch.Tensor:
        """[sequences, longest] The likeliest residue, one after the other, from the code alone."""
        state, token = self._first_state(z), torch.full((len(z),), START)
        written = torch.full((len(z), longest), PADDING)
        going = torch.ones(len(z), dtype=torch.bool)
        for place in range(longest):
            read = torch.cat([self.residue(token), z], dim=1)[:, None, :]
            out, state = self.decoder(read, state)
            token = self.to_residue(out[:, 0]).argmax(dim=1)
            going &= (token != END) & (token != PADDING)
            if not going.any():
                break
            written[:, place] = torch.where(going, token, PADDING)
        return written

    def _first_state(self, z: torch.Tensor):
        state = torch.tanh(self.to_state(z))[None]
        return (state, torch.zeros_like(state)) if isinstance(self.decoder, nn.LSTM) else state


def _packed(values: torch.Tensor, lengths: torch.Tensor) -> PackedSequence:
    return pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
