"""Which exceptions mean "the user can fix this", and with which exit code a verb ends."""


class InputError(Exception):
    """Bad input or configuration: one line that says what is wrong, the value seen and what to do.

    The command line prints it without a traceback and exits with code 2.
    """

    exit_code = 2


def require_format(found: object, *, oldest: int, newest: int, what: str) -> None:
    """Check that a file's format version is one that is read here.

    Raises
    ------
    InputError
        It is older or newer, or no version at all.
    """
    is_number = isinstance(found, int) and not isinstance(found, bool)
    if is_number and oldest <= found <= newest:  # type: ignore[operator]
        return
    reads = f"version {newest}" if oldest == newest else f"versions {oldest} to {newest}"
    if is_number and found > newest:  # type: ignore[operator]
        advice = "It is of a newer scpress: install that."
    elif is_number:
        advice = "It is of an older scpress, which reads it; make it anew with this one."
    else:
        advice = "Is the file damaged?"
    raise InputError(f"{what} has format version {found!r}; this scpress reads {reads}. {advice}")


class FitFailedError(Exception):
    """A training that never beat the gene-mean baseline and must not be used (exit code 3)."""

    exit_code = 3


class InterruptedTrainingError(Exception):
    """A signal asked the process to end, and its training was saved."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        # What a shell reports of a process that a signal ended.
        self.exit_code = 128 + signal_number


def one_line(text: str) -> str:
    """Write what does not print, line ends and NUL among it, as escapes: names come from files."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
