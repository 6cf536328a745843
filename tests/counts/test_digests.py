"""By which digests arrays and lists of genes are known again."""

from scpress.counts.digests import genes_digest


def test_digest_depends_on_order_and_names():
    assert genes_digest(["A", "B"]) == genes_digest(iter(["A", "B"]))
    assert len({genes_digest(x) for x in (["A", "B"], ["B", "A"], ["AB"], ["A"], [])}) == 5
