"""What Slurm says, read; and only a training's own time limit puts its job back into the queue."""

import json
import subprocess
import sys

import pytest

from scpress import slurm


def test_a_slurm_that_does_not_answer_is_none(monkeypatch):
    def never(*_, **__):
        raise subprocess.TimeoutExpired("scontrol", 10)

    monkeypatch.setattr(subprocess, "run", never)
    assert slurm.ask("scontrol", "ping") is None
    assert slurm.partitions() == {}


def test_a_command_that_fails_or_is_not_there_is_none():
    assert slurm.ask(sys.executable, "-c", "print(7)") == "7\n"
    assert slurm.ask(sys.executable, "-c", "print(7); raise SystemExit(1)") is None
    assert slurm.ask("no-such-command-of-slurm") is None


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("10:00", 10),
        ("0:30", 0),
        ("4:00:00", 240),
        ("1:30:59", 90),
        ("1-00:00:00", 1440),
        ("7-12:05:00", 7 * 1440 + 725),
        ("infinite", None),
        ("n/a", None),
    ],
)
def test_a_limit_in_whole_minutes(limit, minutes):
    assert slurm.limit_minutes(limit) == minutes


def test_the_default_partition_is_first_and_has_its_largest_node(monkeypatch):
    rows = "gpu|1-00:00:00|128000\ncpu*|4:00:00|64000+\ncpu*|4:00:00|96000\ncpu*|4:00:00|32000\n"
    monkeypatch.setattr(slurm, "ask", lambda *words: rows if words[0] == "sinfo" else None)
    found = slurm.partitions()
    assert list(found) == ["cpu", "gpu"]
    assert found["cpu"] == slurm.Partition(minutes=240, memory_mb=96_000)
    assert found["gpu"] == slurm.Partition(minutes=1440, memory_mb=128_000)


# back into the queue ------------------------------------------------------------------------------


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A scontrol that gives a reason for the job's end, and notes what it was asked."""

    def install(reason):
        script = tmp_path / "scontrol"
        script.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(tmp_path / 'asked')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
            f"print('JobId=7 JobState=COMPLETING Reason={reason} Dependency=(null)')\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setenv("SLURM_JOB_ID", "7")

    def asked():
        path = tmp_path / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return install, asked


@pytest.mark.parametrize(
    ("reason", "is_ours", "requeued"),
    [("TimeLimit", True, "7"), ("None", True, None), ("TimeLimit", False, None)],
    ids=["time limit", "scancel", "another's job"],
)
def test_only_the_time_limit_puts_a_job_back(scontrol, monkeypatch, reason, is_ours, requeued):
    install, asked = scontrol
    install(reason)
    if is_ours:
        monkeypatch.setenv("SCPRESS_REQUEUE", "1")
    else:
        monkeypatch.delenv("SCPRESS_REQUEUE", raising=False)
    assert slurm.requeue_at_time_limit() == requeued
    assert (["requeue", "7"] in asked()) == (requeued is not None)
