"""Marker tables on disk, and those that come with scpress."""

from pathlib import Path

import pandas as pd

from scpress.cells.panels import SHIPPED_PANELS, check_panel
from scpress.errors import InputError
from scpress.io.files import require_file

# resources/markers of the repository; a link in the checkout, a copy in an installed package.
MARKERS = Path(__file__).parents[1] / "resources" / "markers"


def read_panel(path: Path | str | None = None) -> pd.DataFrame:
    """Read a marker table (TSV) or the shipped panel of that name; the immune one for None.

    Raises
    ------
    InputError
        No such file, not a table, or a table that `check_panel` refuses.
    """
    path = path or next(iter(SHIPPED_PANELS))
    path = MARKERS / f"{path}.tsv" if path in SHIPPED_PANELS else Path(path)
    require_file(path)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, comment="#", keep_default_na=False)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"'{path}' cannot be read as a marker table ({reason}). "
            "A table separated by tabs is needed."
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first field for a name
        raise InputError(
            f"'{path}': its rows have more fields than its header names columns. Remove what is "
            "after the last column, or name it."
        )
    try:
        return check_panel(table)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from error
