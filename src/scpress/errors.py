"""Which exceptions mean "the user can fix this", and with which exit code a verb ends."""


class InputError(Exception):
    """Bad input or configuration: one line that says what is wrong, the value seen and what to do.

    The command line prints it without a traceback and exits with code 2.
    """

    exit_code = 2


class FitFailedError(Exception):
    """A training that never beat the gene-mean baseline and must not be used (exit code 3)."""

    exit_code = 3


class InterruptedTrainingError(Exception):
    """A signal asked the process to end, and its training was saved."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        # What a shell reports of a process that a signal ended.
        self.exit_code = 128 + signal_number
