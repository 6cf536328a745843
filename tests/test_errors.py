"""Which exit code each error that the user can act on gives a verb."""

import signal
import subprocess

import pytest

from scpress.errors import FitFailedError, InputError, InterruptedTrainingError, one_line


def test_bad_input_and_a_failed_fit_are_told_apart():
    codes = {0, 1, InputError.exit_code, FitFailedError.exit_code}
    # 0 is success, and 1 is what Python ends a traceback with.
    assert len(codes) == 4


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_an_interrupted_training_ends_as_a_shell_says_of_a_signal(one):
    # The inner shell is ended by the signal, the outer one reports it.
    script = f"sh -c 'kill -{int(one)} $$'; exit $?"
    reported = subprocess.run(["sh", "-c", script], check=False).returncode
    error = InterruptedTrainingError(one, "saved at step 7")
    assert error.exit_code == reported
    assert str(error) == "saved at step 7"


def test_no_error_of_ours_is_another():
    kinds = (InputError, FitFailedError, InterruptedTrainingError)
    for kind in kinds:
        assert not issubclass(kind, tuple(set(kinds) - {kind}))
        # None may be taken for damage of a file or an error of the system.
        assert not issubclass(kind, (OSError, ValueError))


def test_what_does_not_print_is_an_escape_and_all_else_stays():
    assert one_line("'Gene 1' µ\n\0b\x7f") == "'Gene 1' µ\\n\\x00b\\x7f"
