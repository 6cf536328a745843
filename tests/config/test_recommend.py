"""What is recommended by default."""

from scpress.config.recommend import RecommendOptions


def test_twenty_genes_of_each_cell_in_the_largest_batch():
    assert RecommendOptions() == RecommendOptions(n_genes=20, reference_batch=None, n_neighbors=15)
