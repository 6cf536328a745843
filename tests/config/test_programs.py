"""What is shipped asks for no programs, and for a range without the outermost cells."""

from scpress.config.programs import ProgramsOptions


def test_the_shipped_workflow_looks_for_none():
    options = ProgramsOptions()
    assert options.n_genes == 0
    assert (options.low, options.high) == (5, 95)
