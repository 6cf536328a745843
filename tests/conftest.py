"""Fixtures every test may use: small real and simulated counts, read-only."""

import os
import signal
import warnings

import hypothesis
import pytest

# Before anything imports numba or torch: the command line sets the same, and numba refuses to
# change the number once its threads have started.
for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that: the tests
# of what an interrupt does would wait for one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that does other work, too, is slow now and then; that is no failure. The examples are
# the same in every run; `pytest --hypothesis-profile=random` tries new ones.
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.register_profile("scpress", deadline=None, derandomize=True)
hypothesis.settings.load_profile("scpress")


@pytest.fixture(scope="session")
def _shared_pbmc():
    from read_only import Shared

    from scpress.counts.demo import pbmc68k_counts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own file is in an old format
        return Shared.of(pbmc68k_counts())


@pytest.fixture(scope="session")
def _shared_simulated():
    from read_only import Shared

    from scpress.config.options import SimulateOptions
    from scpress.steps.simulate import simulate

    options = SimulateOptions(n_cells=600, n_genes=300, n_types=3, n_batches=2)
    return Shared.of(simulate(options, seed=0))


@pytest.fixture(scope="session")
def pbmc(_shared_pbmc):
    """700 real PBMC x 765 genes, raw counts, types in obs['bulk_labels']; take a copy to change."""
    return _shared_pbmc.adata


@pytest.fixture(scope="session")
def simulated(_shared_simulated):
    """600 simulated cells x 300 genes of 3 types in 2 batches; take a copy to change."""
    return _shared_simulated.adata


@pytest.fixture(autouse=True)
def _shared_counts_stay(request):
    """Fail at the end of the test that changed what is shared, not at a later one."""
    names = {"_shared_pbmc", "_shared_simulated"} & set(request.fixturenames)
    shared = [request.getfixturevalue(name) for name in names]
    yield
    for one in shared:
        one.require_unchanged()


def pytest_configure(config):
    """Know the marks that `anndata.tests.helpers` has as it is imported; no test here has one."""
    for name in ("gpu", "array_api"):
        config.addinivalue_line("markers", f"{name}: anndata's own")


def pytest_collection_modifyitems(items):
    """Put files with slow tests first: one that begins last leaves the other process idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
