"""The marker table that is shipped, and what is said of others."""

import pytest

from scpress.errors import InputError
from scpress.io.panel import IMMUNE_PANEL, read_panel


def test_shipped_panel_is_whole():
    panel = read_panel()
    assert panel["cell_type"].nunique() >= 20
    assert panel["gene_id"].str.fullmatch(r"ENSG\d{11}|").all()
    # One gene, one id, one symbol.
    with_id = panel[panel["gene_id"] != ""]
    assert with_id.groupby("gene_id")["gene_symbol"].nunique().eq(1).all()
    assert with_id.groupby("gene_symbol")["gene_id"].nunique().eq(1).all()
    readme = (IMMUNE_PANEL.parent / "README.md").read_text()
    sources = panel["source"].str.extract(r"^(\w[\w ]+ \d{4}) (doi:10\.\S+)$")
    assert sources.notna().all(axis=None)
    for name, doi in sources.drop_duplicates().to_numpy():
        assert f"{name}, {doi}" in readme


def test_shipped_panel_excludes_neighbours_by_negative_markers():
    panel = read_panel()
    against = panel[panel["direction"] == "negative"].groupby("cell_type")["gene_symbol"].agg(set)
    assert {"CD3D", "CD3E"} <= against["NK cell"]
    assert {"CD8A", "CD8B"} <= against["CD4 T"]


def test_read_panel_names_the_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_panel(tmp_path / "absent.tsv")
    path = tmp_path / "table.tsv"
    path.write_text("cell_type\tgenes\nB\tMS4A1\n")
    with pytest.raises(InputError, match=r"table\.tsv.*no column 'gene_symbol'; found cell_type"):
        read_panel(path)
    path.write_text("")
    with pytest.raises(InputError, match=r"table\.tsv"):
        read_panel(path)
