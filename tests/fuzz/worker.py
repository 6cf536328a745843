"""Reads the files whose names come on its input, by the package and by the strict reader."""

import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import strict  # noqa: E402
from scipy import sparse  # noqa: E402

from scpress.config.options import IngestOptions  # noqa: E402
from scpress.errors import InputError  # noqa: E402
from scpress.io.formats import open_raw  # noqa: E402
from scpress.steps.ingest import describe_sample, iter_counts  # noqa: E402


def judge(path, reader):
    options = IngestOptions()
    try:
        raw = open_raw(path, options)
        rest, kept = describe_sample(raw, sample="s", metadata={}, options=options)
        counts = sparse.vstack(list(iter_counts(raw, kept, sample="s"))).toarray()
    except InputError as error:
        return ("traceback", "two lines") if "\n" in str(error) else ("refused", str(error))
    except Exception as error:
        return "traceback", repr(error)
    try:
        names, genes, expected = strict.READERS[reader](path)
    except Exception as error:
        return "wrong", f"read, though it is damaged: {error!r}"
    if counts.shape != expected.shape or not np.array_equal(counts, expected):
        return "wrong", "other counts"
    if list(rest.obs.index) != [f"s_{name}" for name in names] or list(raw.var.index) not in genes:
        return "wrong", "other names"
    return "right", ""


print("ready", flush=True)
for line in sys.stdin:
    where, kind = json.loads(line)
    print(json.dumps(judge(Path(where), kind)), flush=True)
