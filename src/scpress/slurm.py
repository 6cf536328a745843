"""What Slurm says of partitions and jobs; how a training is queued again at its time limit."""

import os
import re
import subprocess
from dataclasses import dataclass

_WAIT_SECONDS = 10


@dataclass(frozen=True)
class Partition:
    """What a partition allows: minutes of a job, MB of its largest node; None is no limit."""

    minutes: int | None
    memory_mb: int


def ask(*words: str) -> str | None:
    """Output of one of Slurm's commands; None where it cannot be had."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_WAIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def partitions() -> dict[str, Partition]:
    """Partitions of the cluster, the default one first; none where Slurm does not answer."""
    found: dict[str, Partition] = {}
    text = ask("sinfo", "--noheader", "--format=%P|%l|%m") or ""
    for row in sorted(text.splitlines(), key=lambda row: "*" not in row.split("|")[0]):
        name, limit, memory = row.split("|")
        name, megabytes = name.rstrip("*"), int(re.sub(r"\D", "", memory) or 0)
        if name in found:
            megabytes = max(megabytes, found[name].memory_mb)
        found[name] = Partition(limit_minutes(limit), megabytes)
    return found


def limit_minutes(limit: str) -> int | None:
    """Whole minutes of Slurm's [[days-]hours:]minutes:seconds; None for `infinite`."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", limit)
    if match is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes


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
