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


def test_names_comments_and_columns_are_read_as_they_stand(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("# mine\ncell_type\tgene_symbol\tnote\nNA\tMS4A1\t1.0\nB\tnan\t\n")
    table = read_panel(path)
    assert table["cell_type"].tolist() == ["NA", "B"]
    assert table["gene_symbol"].tolist() == ["MS4A1", "nan"]


def test_a_field_beyond_the_header_does_not_move_the_columns(tmp_path):
    path = tmp_path / "table.tsv"
    for beyond in ("", "x"):
        path.write_text(f"cell_type\tgene_symbol\nB\tMS4A1\t{beyond}\nT\tCD3E\t{beyond}\n")
        with pytest.raises(InputError, match=r"table\.tsv': its rows have more fields than its"):
            read_panel(path)


def test_a_table_that_is_not_one_is_one_line(tmp_path):
    path = tmp_path / "table.tsv"
    for content in (b"cell_type\tgene_symbol\nB\tCD19\nT\tCD3E\tx\ty\n", b"\xff\xfe\x00\x01"):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"table\.tsv' cannot be read as a marker table"
        ) as one:
            read_panel(path)
        assert len(str(one.value).splitlines()) == 1
    with pytest.raises(InputError, match="cannot be read as a marker table"):
        read_panel(tmp_path)


def test_the_shipped_table_is_the_one_that_is_read_by_default():
    assert read_panel().equals(read_panel(str(IMMUNE_PANEL)))
