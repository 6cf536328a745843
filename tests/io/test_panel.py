"""The marker tables that are shipped, and what is said of others."""

import pytest

from scpress.cells.panels import SHIPPED_PANELS
from scpress.errors import InputError
from scpress.io.panel import MARKERS, read_panel


@pytest.mark.parametrize("name", SHIPPED_PANELS)
def test_shipped_panel_is_whole(name):
    panel = read_panel(name)
    assert panel["cell_type"].nunique() >= 15
    assert panel["gene_id"].str.fullmatch(r"ENSG\d{11}|").all()
    # One gene, one id, one symbol.
    with_id = panel[panel["gene_id"] != ""]
    assert with_id.groupby("gene_id")["gene_symbol"].nunique().eq(1).all()
    assert with_id.groupby("gene_symbol")["gene_id"].nunique().eq(1).all()
    readme = (MARKERS / "README.md").read_text()
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
    assert read_panel().equals(read_panel("immune"))
    assert read_panel().equals(read_panel(MARKERS / "immune.tsv"))


def test_a_name_is_a_shipped_table_and_a_path_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lung").write_text("cell_type\tgene_symbol\nB\tMS4A1\n")
    assert "Ionocyte" in set(read_panel("lung")["cell_type"])
    assert read_panel("./lung")["cell_type"].tolist() == ["B"]


def test_both_kinds_of_t_cells_have_naive_ones_and_cd8_is_told_by_its_own_genes():
    panel = read_panel()
    positive = panel[panel["direction"] == "positive"].groupby("cell_type")["gene_symbol"].agg(set)
    parent = dict(zip(panel["cell_type"], panel["parent"], strict=True))
    assert positive["CD8 T"] == {"CD8A", "CD8B"}
    assert [parent[name] for name in ("Naive CD8 T", "Effector CD8 T")] == ["CD8 T"] * 2
    assert {"CCR7", "LEF1", "TCF7"} <= positive["Naive CD8 T"] & positive["Naive CD4 T"]
