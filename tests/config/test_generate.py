"""What is drawn by default is like the given cells."""

from scpress.config.generate import GenerateOptions


def test_cells_are_drawn_from_the_posterior_of_all_given_ones():
    options = GenerateOptions()
    assert options.source == "posterior"
    assert (options.key, options.groups, options.batch) == (None, (), None)
    assert options.library_size is None
