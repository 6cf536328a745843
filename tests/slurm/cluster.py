"""Which Slurm cluster the tests run on: one controller and eight small nodes, all on this machine.

Everything lives in one folder and in the namespaces that `run.py` makes: an own network of
loopback alone (so nothing can be fetched, and nobody else can reach the daemons), an own mount of
/etc/slurm, and an own process table, which takes every daemon and job along when it ends.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

CONTROLLER_PORT = 6817
NODE_PORT = 6820
# What a node claims to have. The machine has less; the tests start few jobs at a time.
NODE_CPUS, NODE_MEMORY_MB = 4, 20_000
CPU_NODES, GPU_NODE = tuple(f"n{number}" for number in range(1, 8)), "g1"

# No accounting, as on a good many small clusters; no cgroups, as there is no systemd here.
_CONFIG = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AccountingStorageType=accounting_storage/none
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# Memory is sampled every second, and a job over its request is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# A node that does not answer for this long is lost.
SlurmdTimeout=20
ReturnToService=2
KillWait=20
MinJobAge=3600
{nodes}
PartitionName=cpu Nodes={cpu_nodes} Default=YES PriorityTier=10 MaxTime=60 State=UP
PartitionName=gpu Nodes={gpu_node} PriorityTier=10 MaxTime=60 State=UP
PartitionName=scavenge Nodes={cpu_nodes} PriorityTier=1 MaxTime=60 State=UP
# Closed until a test opens it.
PartitionName=late Nodes={cpu_nodes} PriorityTier=10 MaxTime=60 State=DOWN
"""


@dataclass(frozen=True)
class Job:
    """A job as Slurm reports it."""

    fields: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    @property
    def number(self) -> int:
        return int(self.fields["JobId"])

    @property
    def rule(self) -> str:
        """Name of the rule, or of the group, as the executor writes it into the comment."""
        return self.fields["Comment"].split("_wildcards_")[0].removeprefix("rule_")

    @property
    def memory_mb(self) -> int:
        text = self.fields["MinMemoryNode"]
        return round(float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]])

    @property
    def minutes(self) -> int:
        hours, minutes, seconds = (int(part) for part in self.fields["TimeLimit"].split(":"))
        return hours * 60 + minutes + seconds // 60


class Cluster:
    """The daemons, from start to stop."""

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self) -> None:
        """Write the configuration, start the daemons and wait until a job can run."""
        (self.folder / "state").mkdir(parents=True)
        host = os.uname().nodename
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={NODE_PORT + number} "
            f"CPUs={NODE_CPUS} RealMemory={NODE_MEMORY_MB} State=UNKNOWN"
            + (" Gres=gpu:1" if name == GPU_NODE else "")
            for number, name in enumerate((*CPU_NODES, GPU_NODE))
        ]
        config = _CONFIG.format(
            folder=self.folder,
            controller_port=CONTROLLER_PORT,
            nodes="\n".join(nodes),
            cpu_nodes=",".join(CPU_NODES),
            gpu_node=GPU_NODE,
        )
        etc = Path("/etc/slurm")  # where Slurm's commands look; run.py mounted it for us alone
        (etc / "slurm.conf").write_text(config)
        # No GPU is needed for a job to be given one: the device file only has to exist.
        (etc / "gres.conf").write_text(f"NodeName={GPU_NODE} Name=gpu File=/dev/zero\n")
        (etc / "cgroup.conf").write_text("CgroupAutomount=no\n")
        subprocess.run(["slurmctld"], check=True)
        for name in (*CPU_NODES, GPU_NODE):
            self.start_node(name)
        wait_for(self._is_ready, seconds=60, what="the nodes to be idle")

    def start_node(self, name: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        subprocess.run(["slurmd", "-N", name], check=True)

    def _is_ready(self) -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%N %T"], capture_output=True, text=True
        )
        idle = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" idle")}
        return idle == {*CPU_NODES, GPU_NODE}

    def lose_node(self, name: str) -> None:
        """Kill the daemon of a node and all it runs, as a power cut does; Slurm has to notice."""
        daemon = int((self.folder / f"{name}.pid").read_text())
        # The steps' daemons have left their parent; they name the node's spool folder nowhere, but
        # their jobs are those Slurm has on the node.
        doomed = [daemon]
        for job in self.jobs():
            if job["JobState"] == "RUNNING" and job["NodeList"] == name:
                doomed += _processes_of(job.number)
        for number in doomed:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def jobs(self) -> list[Job]:
        """Every job Slurm remembers, in the order of submission."""
        text = ask("scontrol", "--oneliner", "show", "job")
        rows = [line for line in text.splitlines() if line.startswith("JobId=")]
        found = [Job(dict(w.split("=", 1) for w in row.split() if "=" in w)) for row in rows]
        return sorted(found, key=lambda job: job.number)


def _processes_of(job: int) -> list[int]:
    """Processes of a job: its step daemons, and everything started with its number."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if f"slurmstepd: [{job}.".encode() in command or (
            f"\0SLURM_JOB_ID={job}\0".encode() in b"\0" + environment
        ):
            found.append(int(folder.name))
    return found


def ask(*words: str) -> str:
    """Output of one of Slurm's commands."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def wait_for(condition, *, seconds: float, what: str):
    """First true value of the condition.

    Raises
    ------
    TimeoutError
        There was none in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.3)
    raise TimeoutError(f"waited {seconds} seconds for {what}")
