"""The cells that are the least like the reference, and the genes that make them so."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.counts.genes import gene_labels
from scpress.report.inputs import ReportInputs
from scpress.report.words import count
from scpress.tables.anomaly import AnomalyRecord

# Genes that are named of a cell.
_N_GENES = 6


def anomaly_section(inputs: ReportInputs, *, max_cells: int) -> dict[str, Any] | None:
    """The strangest cells, where they are on the map, and their outlier genes; None unasked."""
    anomaly = inputs.anomaly
    if anomaly is None:
        return None
    record = _record(anomaly)
    shown = inputs.shown_rows(max_cells)
    labels = np.array(gene_labels(anomaly.var))
    beside = {
        name: inputs.cells.obs[slot.name].astype(str).to_numpy()
        for name, slot in (("cluster", slots.LEIDEN), ("type", slots.CELL_TYPE))
        if slot.name in inputs.cells.obs
    }
    rows = []
    for row in inputs.strangest_rows().tolist():
        own = anomaly.obs.iloc[row]
        outliers = anomaly.X[[row]].tocsr()
        order = np.argsort(-np.abs(outliers.data), kind="stable")[:_N_GENES]
        fdr = float(own[slots.ANOMALY_FDR.name])
        rows.append(
            {
                "cell": str(anomaly.obs_names[row]),
                "place": int(np.searchsorted(shown, row)),
                **{name: values[row] for name, values in beside.items()},
                "score": f"{own[slots.ANOMALY_SCORE.name]:.1f}",
                "fdr": f"{fdr:.2g}" if np.isfinite(fdr) else "-",
                "is_called": bool(own[slots.IS_ANOMALY.name]),
                "n_genes": int(own[slots.N_OUTLIER_GENES.name]),
                "genes": [
                    {
                        "name": str(labels[outliers.indices[one]]),
                        "is_more": bool(outliers.data[one] > 0),
                    }
                    for one in order
                ],
            }
        )
    return {
        "text": _describe(record),
        "model": record.model,
        "max_fdr": record.max_fdr,
        "has_cluster": "cluster" in beside,
        "has_type": "type" in beside,
        "rows": rows,
    }


def _record(anomaly: AnnData) -> AnomalyRecord:
    return AnomalyRecord.from_plain(
        anomaly.uns[slots.RECORD.name]["anomaly"], "the record of the anomalies"
    )


def _describe(record: AnomalyRecord) -> str:
    if record.n_tested == record.n_reference:
        return (
            f"No reference was named: {count(record.n_tested, 'cell')} are ranked among "
            "themselves, and none can be called."
        )
    return (
        f"Called unlike {count(record.n_reference, 'normal cell')}: {record.n_called:,} of "
        f"{count(record.n_tested, 'cell')}; no more than {record.max_fdr:.0%} of the called ones "
        "are expected to be false."
    )


def anomaly_colours(inputs: ReportInputs, rows: np.ndarray) -> pd.DataFrame:
    """[rows] What the map can be coloured by: what each cell is taken for, and its score."""
    assert inputs.anomaly is not None
    obs = inputs.anomaly.obs.iloc[rows]
    is_called = obs[slots.IS_ANOMALY.name].to_numpy(dtype=bool)
    is_reference = obs[slots.ANOMALY_REFERENCE.name].to_numpy(dtype=bool)
    names = np.select([is_called, is_reference], ["called", "reference"], "not called")
    return pd.DataFrame(
        {
            "anomaly": names,
            slots.ANOMALY_SCORE.name: obs[slots.ANOMALY_SCORE.name].to_numpy(dtype=float),
        },
        index=obs.index,
    )
