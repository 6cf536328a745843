"""What is asked of Slurm, with commands that answer as Slurm's do."""

import pytest

from scpress import slurm

SHOW = "JobId=7 JobName=train JobState=COMPLETING Reason={} Dependency=(null) Requeue=1\n"


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A `scontrol` whose answer is set; what it was asked is in `asked`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SCPRESS_REQUEUE", "1")

    def answer(reason, *, requeue_fails=False):
        (tmp_path / "show").write_text(SHOW.format(reason))
        path = tmp_path / "scontrol"
        path.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
            f'case "$1" in requeue) exit {int(requeue_fails)};; esac\ncat {tmp_path}/show\n'
        )
        path.chmod(0o755)

    answer.asked = lambda: (tmp_path / "asked").read_text().splitlines()
    answer.asked_file = tmp_path / "asked"
    return answer


def test_the_answer_is_what_the_command_prints():
    assert slurm.ask("echo", "a", "b") == "a b\n"


def test_no_command_a_failed_one_and_a_slow_one_have_no_answer(monkeypatch):
    assert slurm.ask("no-such-command-of-slurm") is None
    assert slurm.ask("sh", "-c", "echo half; exit 1") is None
    monkeypatch.setattr(slurm, "_WAIT_SECONDS", 0.1)
    assert slurm.ask("sleep", "5") is None
    assert slurm.partitions() == {}


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


def test_a_job_at_its_time_limit_goes_back_into_the_queue(scontrol):
    scontrol("TimeLimit")
    assert slurm.requeue_at_time_limit() == "7"
    assert scontrol.asked() == ["--oneliner show job 7", "requeue 7"]


@pytest.mark.parametrize("reason", ["None", "TimeLimitExceeded", "NodeDown", "Preempted"])
def test_a_job_that_ends_for_another_reason_is_left_to_slurm(scontrol, reason):
    scontrol(reason)
    assert slurm.requeue_at_time_limit() is None
    assert scontrol.asked() == ["--oneliner show job 7"]


def test_a_job_that_slurm_does_not_take_back_is_not_said_to_be_queued(scontrol):
    scontrol("TimeLimit", requeue_fails=True)
    assert slurm.requeue_at_time_limit() is None
    assert scontrol.asked()[-1] == "requeue 7"


@pytest.mark.parametrize("missing", ["SLURM_JOB_ID", "SCPRESS_REQUEUE"])
def test_outside_of_a_job_of_the_workflow_nothing_is_asked(scontrol, monkeypatch, missing):
    scontrol("TimeLimit")
    monkeypatch.delenv(missing)
    assert slurm.requeue_at_time_limit() is None
    assert not scontrol.asked_file.exists()
