import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpress.errors import InputError
from scpress.receptors.contigs import ARMS, COLUMNS, RESIDUES, read_contigs

ROW = {
    "barcode": "AC-1",
    "is_cell": "True",
    "high_confidence": "True",
    "chain": "TRB",
    "v_gene": "TRBV19",
    "j_gene": "TRBJ2-7",
    "productive": "True",
    "cdr3": "CASSF",
    "umis": "4",
}
TEN_X = list(ROW)
AIRR_NAMES = {
    "barcode": "cell_id",
    "chain": "locus",
    "v_gene": "v_call",
    "j_gene": "j_call",
    "cdr3": "junction_aa",
    "umis": "duplicate_count",
}
AIRR = [AIRR_NAMES.get(name, name) for name in TEN_X]


def table(header, rows, delimiter=","):
    file = io.StringIO()
    writer = csv.DictWriter(file, header, delimiter=delimiter, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_airr(row):
    return {AIRR_NAMES.get(key, key): value for key, value in row.items()}


def read(folder, text, name="contigs.csv"):
    path = folder / name
    path.write_text(text)
    return read_contigs(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contigs")


chains = st.sampled_from(sorted(ARMS)).flatmap(
    lambda chain: st.fixed_dictionaries(
        {
            "barcode": st.text("ACGT", min_size=1, max_size=6).map(lambda one: f"{one}-1"),
            "chain": st.just(chain),
            "cdr3": st.text(RESIDUES, min_size=1, max_size=30).filter(
                lambda one: one not in ("NA", "NAN")
            ),
            "v_gene": st.integers(1, 30).map(lambda n: f"{chain}V{n}"),
            "j_gene": st.integers(1, 9).map(lambda n: f"{chain}J{n}"),
            "umis": st.integers(0, 10**6),
        }
    )
)


@settings(max_examples=40)
@given(st.lists(chains, max_size=8))
def test_both_formats_give_the_chains_that_were_written(folder, rows):
    wanted = {}
    for row in rows:
        key = tuple(row[name] for name in COLUMNS[:5])
        wanted[key] = wanted.get(key, 0) + row["umis"]
    full = [{**ROW, **row} for row in rows]
    for text in (table(TEN_X, full), table(AIRR, map(as_airr, full), "\t")):
        found = read(folder, text)
        assert {tuple(row[:5]): row[5] for row in found.chains.to_numpy()} == wanted
        assert len(found.chains) == len(wanted)
        assert found.n_rows == len(rows)
        assert sum(found.dropped.values()) == len(rows) - len(wanted)


@settings(max_examples=50)
@given(st.one_of(st.text(), st.lists(st.lists(st.text(max_size=8), min_size=9, max_size=9))))
def test_any_text_is_read_or_refused_in_one_line(folder, given_text):
    if isinstance(given_text, str):
        text = given_text
    else:
        text = table(TEN_X, [dict(zip(TEN_X, row, strict=True)) for row in given_text])
    path = folder / "any.csv"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    message, chains = "'any.csv'", []
    try:
        chains = list(read_contigs(path).chains["chain"])
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert "any.csv" in message
    assert set(chains) <= set(ARMS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_cell": "False"}, "not of a cell"),
        ({"high_confidence": "FALSE"}, "of low confidence"),
        ({"productive": "F"}, "not productive"),
        ({"productive": "None"}, "not productive"),
        ({"cdr3": "None"}, "without a CDR3"),
        ({"chain": "Multi"}, "of several chains at once"),
        ({"cdr3": "CAXSF"}, "residues not known"),
        ({"cdr3": "CA*SF"}, "residues not known"),
    ],
)
def test_what_is_not_used_is_counted_with_its_reason(tmp_path, change, reason):
    found = read(tmp_path, table(TEN_X, [ROW, {**ROW, "barcode": "GG-1", **change}]))
    assert found.chains["barcode"].tolist() == ["AC-1"]
    assert found.dropped == {reason: 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"productive": "perhaps"}, "row 2 of .*productive must be true or false; found 'perhaps'"),
        ({"is_cell": "-1"}, "row 2 of .*is_cell must be true or false; found '-1'"),
        ({"chain": "TRX"}, "row 2 of .*chain must be a chain .*found 'TRX'"),
        ({"v_gene": "V19"}, "row 2 of .*v_gene must be the name of a gene, .*found 'V19'"),
        ({"cdr3": "CAS5F"}, "row 2 of .*cdr3 must be a sequence of amino acids; found 'CAS5F'"),
        ({"umis": "-3"}, "row 2 of .*umis must be a whole number; found '-3'"),
        ({"barcode": " "}, "row 2 of .*barcode must be the name of a cell"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_file_row_and_value(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, table(TEN_X, [ROW, {**ROW, **change}]))


def test_alleles_go_and_other_genes_are_kept(tmp_path):
    row = {**ROW, "v_gene": "TRBV12-3*01,TRBV12-4*02, TRBV12-3*03", "j_gene": "NA"}
    (found,) = read(tmp_path, table(AIRR, [as_airr(row)], "\t")).chains.to_dict("records")
    assert found["v_gene"] == "TRBV12-3"
    assert found["other_v_genes"] == "TRBV12-4"
    assert found["j_gene"] == found["other_j_genes"] == ""


def test_without_a_locus_the_gene_says_the_chain(tmp_path):
    header = [one for one in AIRR if one not in ("locus", "is_cell")]
    rows = [as_airr({**ROW, "v_gene": "Homsap IGKV1-33*01 F"})]
    (found,) = read(tmp_path, table(header, rows, "\t")).chains.to_dict("records")
    assert (found["chain"], found["v_gene"]) == ("IGK", "IGKV1-33")


def test_without_molecules_every_chain_has_one(tmp_path):
    header = [one for one in TEN_X if one != "umis"]
    assert read(tmp_path, table(header, [ROW])).chains["molecules"].tolist() == [1]


def test_a_gzipped_table_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "contigs.csv.gz"
    path.write_bytes(gzip.compress(("\ufeff" + table(TEN_X, [ROW])).encode()))
    assert read_contigs(path).chains["cdr3"].tolist() == ["CASSF"]


def test_a_damaged_gzip_and_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "contigs.csv.gz"
    path.write_bytes(gzip.compress(table(TEN_X, [ROW] * 50).encode())[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        read_contigs(path)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read_contigs(path)


def test_tables_of_other_shapes_are_refused(tmp_path):
    text = table(TEN_X, [ROW])
    with pytest.raises(InputError, match="no column 'cdr3', which 10x contig annotations have"):
        read(tmp_path, text.replace("cdr3", "cdr_3"))
    with pytest.raises(InputError, match="column 'chain' is twice"):
        read(tmp_path, text.replace("umis", "chain"))
    with pytest.raises(InputError, match=r"row 1 of .* has 8 values and its header names 9"):
        read(tmp_path, text.rpartition(",")[0] + "\n")
    with pytest.raises(InputError, match="no such file"):
        read_contigs(tmp_path / "nothing.csv")
