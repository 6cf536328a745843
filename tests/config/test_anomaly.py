"""What is shipped asks for no search, and for a rate that most studies state."""

from scpress.config.anomaly import AnomalyOptions


def test_the_shipped_search_is_none_and_each_fold_is_comparable():
    options = AnomalyOptions()
    assert options.folds == 0
    assert options.reference_key is None
    assert options.reference_values == ()
    assert 0 < options.max_fdr <= 0.1
