"""The shipped search is one that halves."""

from scpress.config.search import SearchOptions


def test_each_rung_of_the_shipped_search_trains_longer_with_fewer_settings():
    options = SearchOptions()
    assert list(options.steps) == sorted(set(options.steps))
    assert options.trials / options.eta ** (len(options.steps) - 1) >= 2
