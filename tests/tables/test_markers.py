"""A row of markers has the columns that the table of markers is made with."""

from dataclasses import fields

from scpress.cells.markers import MARKER_COLUMNS
from scpress.tables.markers import Marker


def test_a_row_has_the_columns_of_the_table():
    assert tuple(item.name for item in fields(Marker)) == MARKER_COLUMNS
