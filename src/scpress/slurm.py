"""What Slurm says about its jobs, and how a training goes back into the queue at its time limit."""

import os
import subprocess

_WAIT_SECONDS = 10


def ask(*words: str) -> str | None:
    """Output of one of Slurm's commands; None where it cannot be had."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_WAIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def requeue_at_time_limit() -> str | None:
    """Put this Slurm job back into the queue if its time limit is what ends it.

    A long training takes many slots of a partition with a short limit. Were each a failed attempt,
    they would use up the retries that memory needs, and ask for twice the memory every time. The
    same job starts again instead, and whoever waits for it goes on waiting. Only a job that the
    workflow submitted does so (SCPRESS_REQUEUE): another's script may do more than train.

    Returns
    -------
    str or None
        The number of the job; None when it ends for another reason (scancel, preemption, a lost
        node), about which Slurm has made up its mind, or outside of Slurm.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job or "SCPRESS_REQUEUE" not in os.environ:
        return None
    # Slurm gives the reason at once, while the job still has its last seconds.
    reason = ask("scontrol", "--oneliner", "show", "job", job)
    if reason is None or "Reason=TimeLimit" not in reason.split():
        return None
    return job if ask("scontrol", "requeue", job) is not None else None
