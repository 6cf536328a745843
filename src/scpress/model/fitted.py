"""A trained model in one safetensors file: network, genes and the record of its training."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from scipy import sparse
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.counts.digests import genes_digest
from scpress.counts.genes import without_version
from scpress.counts.measured import Measured
from scpress.errors import InputError, require_format
from scpress.model.axes import LATER_AXES, ModelConfig
from scpress.model.batches import Cells, SparseBatch, sparse_batch
from scpress.model.covariates import continuous_values
from scpress.model.header import (
    DIGEST_SINCE,
    canonical,
    config_of,
    damaged,
    file_digest,
    record_of,
    require_header,
    require_tensors,
)
from scpress.model.likelihoods import LIKELIHOODS, LOG_MU_MAX
from scpress.model.network import CountAutoencoder
from scpress.tables.training import TrainingRecord

log = logging.getLogger("scpress")

# Every version that was released is read for ever; tests/files has a model of each.
OLDEST_FORMAT, FORMAT_VERSION = 1, 2
# safetensors writes its metadata in random order: one key keeps the file reproducible.
_HEADER_KEY = "scpress"


@dataclass
class TrainedModel:
    """A network and what is needed to use it on cells it has or has not seen.

    Attributes
    ----------
    genes, symbols
        [n_genes] Names of the modelled genes in the network's order, and their symbols.
    median_library_size
        Molecules at which the size factor is 1.
    validation_cells
        [validation cells] Positions in the training data that were held out.
    record
        Options, seed, versions, device, verdict: what is told, never what is computed with.
    """

    network: CountAutoencoder
    genes: list[str]
    symbols: list[str]
    median_library_size: float
    batch_sizes: tuple[int, ...] = ()
    validation_cells: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    record: TrainingRecord = field(default_factory=TrainingRecord)

    @property
    def config(self) -> ModelConfig:
        """The axes of the network."""
        return self.network.config

    @property
    def n_latent(self) -> int:
        """Dimensions of the latent."""
        return self.config.n_latent

    @property
    def n_fitted_cells(self) -> int:
        """Cells of the training data, held-out ones included; 0 where it is not recorded."""
        return self.record.n_cells

    # cells ----------------------------------------------------------------------------------

    def cells(
        self,
        block: sparse.csr_matrix,
        size_factor: np.ndarray,
        batch: np.ndarray | None = None,
        continuous: np.ndarray | None = None,
        measured: Measured | None = None,
    ) -> Cells:
        """Tensors of a block [cells, n_genes] of raw counts, on the network's device."""
        total = np.asarray(block.sum(axis=1), dtype=np.float32).ravel()
        counts = sparse_batch(block, self.network.input_mean.device)
        return self.cells_from(counts, total, size_factor, batch, continuous, measured)

    def cells_from(
        self,
        counts: SparseBatch,
        total: np.ndarray,
        size_factor: np.ndarray,
        batch: np.ndarray | None,
        continuous: np.ndarray | None,
        measured: Measured | None = None,
    ) -> Cells:
        """Tensors of a batch whose totals [cells] over the modelled genes are known."""
        device = self.network.input_mean.device
        values = None
        if continuous is not None and continuous.shape[1]:
            values = torch.as_tensor(continuous, dtype=torch.float32, device=device)
            values = self.standardized(values)
        return Cells(
            counts,
            torch.as_tensor(np.asarray(size_factor, dtype=np.float32), device=device),
            torch.as_tensor(total, device=device),
            None
            if batch is None or not self.config.n_batches
            else torch.as_tensor(np.asarray(batch, dtype=np.int64), device=device),
            values,
            None if measured is None else torch.as_tensor(measured.genes, device=device),
            None if measured is None else torch.as_tensor(measured.of_cell, device=device),
        )

    def standardized(self, continuous: Tensor) -> Tensor:
        """[cells, covariates] Continuous covariates as the network takes them."""
        return (continuous - self.network.continuous_mean) / self.network.continuous_scale

    def batch_codes(
        self, obs: pd.DataFrame, *, reference_batch: str | None = None
    ) -> np.ndarray | None:
        """[cells] Index of each cell's batch; an unknown batch is decoded as the reference.

        Raises
        ------
        InputError
            The batch column is missing, or the reference is not a training batch.
        """
        reference = self.reference_code(reference_batch)
        if not self.config.n_batches:
            return None
        known = {name: code for code, name in enumerate(self.config.batches)}
        key = self.config.batch_key
        if key not in obs:
            raise InputError(
                f"the model has batches of obs[{key!r}], which the cells lack; "
                f"found columns {', '.join(map(str, obs.columns[:8])) or 'none'}."
            )
        names = obs[key].astype(str)
        unknown = names[~names.isin(known)]
        if len(unknown):
            log.info(
                "%d cells are of batches the model has not seen (%s) and are taken for %r",
                len(unknown),
                ", ".join(unknown.unique()[:5]),
                self.config.batches[reference],
            )
        return np.array([known.get(name, reference) for name in names], dtype=np.int64)

    def reference_code(self, reference_batch: str | None) -> int:
        """Index of the named training batch, or of the largest one."""
        if reference_batch is None:
            return int(np.argmax(self.batch_sizes)) if self.batch_sizes else 0
        if reference_batch not in self.config.batches:
            raise InputError(
                f"reference_batch must be one of the training batches "
                f"({', '.join(self.config.batches) or 'none'}); found {reference_batch!r}."
            )
        return self.config.batches.index(reference_batch)

    def continuous_values(self, obs: pd.DataFrame) -> np.ndarray | None:
        """[cells, covariates] The model's continuous covariates of some cells."""
        return continuous_values(obs, self.config.continuous_covariates)

    def size_factors(self, library_size: np.ndarray) -> np.ndarray:
        """[cells] Library size over all genes, over the model's median.

        A new cell without molecules is read at the smallest library there is.
        """
        return np.maximum(library_size, 1) / self.median_library_size

    def sizes_by_rates(self, total: np.ndarray, measured: Measured | None) -> np.ndarray:
        """[cells] Size factors of new cells by the genes that were measured in each.

        Molecules of the modelled genes over those of a training cell of size factor 1; what the
        library size is over, genes that all samples measured, is of the training alone.
        """
        rate = self.network.rate.double().cpu().numpy()
        expected = rate.sum() if measured is None else (measured.genes @ rate)[measured.of_cell]
        return np.asarray(np.maximum(total, 1) / expected)

    def matching_columns(
        self, names: Sequence[str], symbols: Sequence[str], *, max_missing_fraction: float
    ) -> np.ndarray:
        """[n_genes] Column of each of the model's genes in another gene list, -1 if missing.

        Genes are matched by name, then by Ensembl id without version, then by unique symbol.

        Raises
        ------
        InputError
            More genes are missing than allowed: another gene list.
        """
        if list(names) == self.genes:
            return np.arange(len(self.genes))
        by_name = {name: i for i, name in enumerate(names)}
        by_id = {without_version(name): i for i, name in enumerate(names)}
        repeated = pd.Index(symbols).duplicated(keep=False)
        by_symbol = {s: i for i, s in enumerate(symbols) if s and not repeated[i]}
        columns = np.array(
            [
                by_name.get(gene, by_id.get(without_version(gene), by_symbol.get(symbol, -1)))
                for gene, symbol in zip(self.genes, self.symbols, strict=True)
            ],
            dtype=np.int64,
        )
        missing = [gene for gene, column in zip(self.genes, columns, strict=True) if column < 0]
        if len(missing) > max_missing_fraction * len(self.genes):
            shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise InputError(
                f"the model knows {len(self.genes)} genes and {len(missing)} of them are missing "
                f"from the cells ({shown}). Was it trained on another gene list? "
                "Raise max_missing_fraction to count missing genes as zeros."
            )
        return columns

    # numbers out ----------------------------------------------------------------------------

    def encode(self, cells: Cells) -> tuple[np.ndarray, np.ndarray | None]:
        """([cells, n_latent] posterior mean or code, [cells, n_latent] deviation or None)."""
        with torch.no_grad():
            z_mean, z_sd = self.network.eval().encode(cells)
        return _numpy(z_mean), None if z_sd is None else _numpy(z_sd)

    def log_likelihood(self, cells: Cells, z: np.ndarray) -> np.ndarray:
        """[cells] Log-likelihood of the counts given a latent, nats."""
        with torch.no_grad():
            return _numpy(self.network.eval().log_likelihood(self._latent(z), cells))

    def mean_counts(self, cells: Cells, z: np.ndarray) -> np.ndarray:
        """[cells, n_genes] Expected counts mu given a latent, at each cell's library size.

        For a gaussian or laplace model, expm1 of the mean or median log-value (not below 0) times
        the size factor; for presence, the mean of the Poisson counts that are as often present.
        """
        with torch.no_grad():
            eta = self.network.eval().decode(self._latent(z), cells).log_mu
            if not LIKELIHOODS[self.config.likelihood].on_counts:
                fraction = torch.expm1(eta.clamp(max=LOG_MU_MAX)).clamp(min=0)
                return _numpy(fraction * cells.size_factor[:, None])
            return _numpy(torch.exp(eta))

    def log_theta(self, cells: Cells, z: np.ndarray) -> np.ndarray:
        """[cells, n_genes] or [1, n_genes] Log inverse dispersion; not for Poisson."""
        with torch.no_grad():
            return _numpy(self.network.eval().decode(self._latent(z), cells).log_theta)

    def extra_zero_fraction(self, cells: Cells, z: np.ndarray) -> np.ndarray:
        """[cells, n_genes] pi, the probability of an extra zero; zero-inflated models only."""
        with torch.no_grad():
            logits = self.network.eval().decode(self._latent(z), cells).pi_logits
            assert logits is not None
            return _numpy(torch.sigmoid(logits))

    def _latent(self, z: np.ndarray) -> Tensor:
        return torch.as_tensor(z, dtype=torch.float32, device=self.network.input_mean.device)

    def decoder_state(self) -> dict[str, np.ndarray]:
        """Everything decoding needs, as arrays: the size of the decoder is theirs."""
        return {
            name: _numpy(value)
            for name, value in self.network.state_dict().items()
            if self.network.is_decoding(name)
        }

    # file -----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write weights and header; the same model is the same bytes."""
        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors["validation_cells"] = torch.from_numpy(self.validation_cells.astype(np.int64))
        header = {
            "format_version": FORMAT_VERSION,
            "config": self.config.as_plain(),
            "genes": self.genes,
            "symbols": self.symbols,
            "genes_digest": genes_digest(self.genes),
            "median_library_size": self.median_library_size,
            "batch_sizes": list(self.batch_sizes),
            "record": self.record.as_plain(),
        }
        cpu = {name: value.detach().cpu() for name, value in tensors.items()}
        header["digest"] = file_digest(header, cpu)
        text = canonical(header, allow_nan=False)
        # Bytes, as a full disk is then Python's error and not one of safetensors' own.
        Path(path).write_bytes(save(cpu, metadata={_HEADER_KEY: text}))


def load_model(path: Path, *, device: str = "cpu") -> TrainedModel:
    """Read a model file.

    Raises
    ------
    InputError
        Not a model file, a damaged one, or one of a format that is older or newer than those read.
    """
    if not Path(path).exists():
        raise InputError(f"no such model file: '{path}'. Check the path, or train it first.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        json.dumps(header, ensure_ascii=False).encode()  # half a character is in no text
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"'{path}' is not a readable model file ({error}). Train again."
        ) from error
    if header is None:
        raise InputError(f"'{path}' is a safetensors file, but not one of scpress.")
    if not isinstance(header, dict):
        raise damaged(path, f"its header is {header!r:.60} and not a table of named values")
    version = header.get("format_version")
    require_format(version, oldest=OLDEST_FORMAT, newest=FORMAT_VERSION, what=f"'{path}'")
    require_header(header, path)
    if genes_digest(header["genes"]) != header["genes_digest"]:
        raise damaged(path, "its gene list does not match its digest")
    config = config_of(header, path)
    require_tensors(tensors, config, path)
    if header["format_version"] >= DIGEST_SINCE:
        if header.get("digest") != file_digest(header, tensors):
            raise damaged(path, "its weights and header do not match their digest")
    else:
        log.info(
            "'%s' is of format version %d, which has no digest: damage to its weights would go "
            "unnoticed",
            path,
            version,
        )
    network = CountAutoencoder(config)
    network.load_state_dict(_network_part(tensors))
    return TrainedModel(
        network.to(device).eval(),
        header["genes"],
        header["symbols"],
        header["median_library_size"],
        tuple(header["batch_sizes"]),
        tensors["validation_cells"].numpy(),
        record_of(header, path),
    )


def trained_options(path: Path) -> tuple[TrainOptions, int]:
    """Options and seed that a model file was trained with.

    Raises
    ------
    InputError
        As `load_model`, or the file does not say them.
    """
    record = load_model(path).record
    if record.seed is None or not record.options:
        raise InputError(
            f"'{path}' does not say how it was trained; train it with `scpress train`."
        )
    return TrainOptions(**record.options), record.seed


def file_of_model(name: str, names: Sequence[str], paths: Sequence[Path]) -> Path:
    """The file of the named model among several.

    Raises
    ------
    InputError
        There is none, or names and files do not go together.
    """
    if len(names) != len(paths):
        raise InputError(
            f"there are {len(paths)} files of models and {len(names)} names; give one name for "
            "each file, in the same order."
        )
    if name not in names:
        raise InputError(
            f"model {name!r} is not among those given ({', '.join(names)}). Give files of one run."
        )
    return paths[list(names).index(name)]


def _network_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = "network."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def record_options(options: Any) -> dict[str, Any]:
    """Options as JSON-able values; an axis that the first release had not, where it is said."""
    values = json.loads(json.dumps(asdict(options)))
    return {k: v for k, v in values.items() if k not in LATER_AXES or v is not None}
