"""On a real Slurm: a whole run, what each job asks for, and what becomes of it when things fail."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import yaml
from builders import QUICK_RUN
from cluster import CPU_NODES, GPU_NODE, Cluster, ask, wait_for

from scpress.steps.doctor import load_module

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
LATENT = "results/models/vae/all/0/latent.h5ad"
# Small, except that the network trains long enough to be hit.
CONFIG = {
    "samples": "samples.tsv",
    "seeds": [0],
    "models": {
        "vae": {
            "hidden": [64],
            "max_steps": 4_000,
            "patience": 100_000,
            "plateau": 100_000,
            "checkpoint_minutes": 0.02,
        },
        "pca": {"preset": "pca", "n_latent": 5},
    },
    "primary_model": "vae",
    "max_mem_mb": 20_000,
    "max_runtime": 60,
    **QUICK_RUN,
    # The long training once is enough.
    "thin": {"folds": 0},
}


class Driver:
    """Snakemake on the login node, in a folder of its own."""

    def __init__(self, folder: Path, *words: str, environment: dict[str, str] | None = None):
        self.folder = folder
        self.log = folder / "driver.log"
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow/Snakefile"]
        command += ["--workflow-profile", ROOT / "profiles/slurm"]
        # The plugin asks every 40 seconds, which is kind to a real controller.
        command += ["--slurm-init-seconds-before-status-checks", "14", "--latency-wait", "10"]
        with self.log.open("a") as file:
            self.process = subprocess.Popen(
                [*command, *words],
                cwd=folder,
                env=os.environ | (environment or {}),
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def jobs(self, cluster: Cluster, rule: str = "") -> list:
        """Its jobs, as Slurm remembers them; of one rule only, if that is given."""
        mine = [job for job in cluster.jobs() if job["WorkDir"] == str(self.folder)]
        return [job for job in mine if rule in ("", job.rule)]

    def finish(self, *, code: int = 0, seconds: float = 1200) -> str:
        """Wait for its end; what it printed."""
        self.process.wait(timeout=seconds)
        text = self.log.read_text()
        assert self.process.returncode == code, text[-6000:]
        return text


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    state = os.environ.get("SCPRESS_SLURM", "no: it is `make test-slurm` that starts a Slurm")
    if state != "yes":
        pytest.skip(state.removeprefix("no: "))
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    cluster.start()
    return cluster


_FAILING = {name: f"results/samples/{name}/qc.h5ad" for name in ("whole", "vanished", "full")}
_FAILING_WORDS = [
    *_FAILING.values(),
    *("--retries", "0", "--default-resources", "slurm_partition=late"),
]


@pytest.fixture(scope="session")
def failing(cluster, tmp_path_factory, pbmc):
    """Three samples, of which one loses its input and one its disk; it goes on beside the others.

    All are in the queue of a closed partition before anything happens to the files.
    """
    folder = tmp_path_factory.mktemp("failing")
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name in _FAILING:
        pbmc[:200].copy().write_h5ad(folder / f"{name}.h5ad")
    rows = "".join(f"{name}\t{name}.h5ad\n" for name in _FAILING)
    (folder / "samples.tsv").write_text(f"sample\tpath\n{rows}")
    ask("scontrol", "update", "PartitionName=late", "State=DOWN")
    driver = Driver(folder, *_FAILING_WORDS)
    wait_for(lambda: len(driver.jobs(cluster)) == 3, seconds=300, what="three jobs in the queue")
    (folder / "vanished.h5ad").rename(folder / "elsewhere.h5ad")
    disk = folder / "results/samples/full"
    disk.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "small", disk], check=True)
    ask("scontrol", "update", "PartitionName=late", "State=UP")
    return driver


@pytest.fixture(scope="session")
def finished(cluster, failing, tmp_path_factory, pbmc):
    """A whole run on two samples: models train on the GPU node, all else runs on CPU nodes."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    for number in (0, 1):
        pbmc[number::2].copy().write_h5ad(folder / f"s{number}.h5ad")
    (folder / "samples.tsv").write_text("sample\tpath\ns0\ts0.h5ad\ns1\ts1.h5ad\n")
    words = ["--snakefile", ROOT / "workflow/Snakefile", "--profile", ROOT / "profiles/slurm"]
    with (folder / "doctor.txt").open("w") as file:
        command = [sys.executable, "-m", "scpress", "doctor", *words]
        subprocess.run(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, check=True)
    gpu = ["--set-resources", "train:slurm_partition=gpu", "train:gres=gpu:1"]
    driver = Driver(folder, *gpu)
    driver.finish()
    return driver


@pytest.fixture(scope="session")
def mended(failing):
    """(what it printed, files it left, the same command with all put right, which goes on)."""
    text = failing.finish(code=1)
    targets = [failing.folder / target for target in _FAILING.values()]
    left = [path for target in targets[1:] for path in target.parent.rglob("*")]
    subprocess.run(["umount", targets[2].parent], check=True)
    (failing.folder / "elsewhere.h5ad").rename(failing.folder / "vanished.h5ad")
    return text, left, Driver(failing.folder, *_FAILING_WORDS)


# the whole run -----------------------------------------------------------------------------------


def test_the_whole_pipeline_runs(finished):
    assert {"X_vae", "X_pca", "X_umap"} <= set(
        ad.read_h5ad(finished.folder / "results/scpress.h5ad").obsm
    )
    assert (finished.folder / "results/report.html").exists()


def test_two_samples_are_two_jobs(cluster, finished):
    jobs = finished.jobs(cluster)
    assert sum(job.rule == "sample_ingest_qc" for job in jobs) == 2
    assert not {"ingest", "qc"} & {job.rule for job in jobs}
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}


def test_models_train_on_the_gpu_node_and_nothing_else_does(cluster, finished):
    for job in finished.jobs(cluster):
        if job.rule == "train":
            assert (job["NodeList"], job["TresPerNode"]) == (GPU_NODE, "gres:gpu:1")
        else:
            assert job["NodeList"] in CPU_NODES
            assert "TresPerNode" not in job.fields


def test_slurm_was_asked_for_what_is_predicted(cluster, finished):
    prediction = load_module(ROOT / "workflow/prediction.py")
    results = finished.folder / "results"
    samples = [prediction.measure(finished.folder / f"s{number}.h5ad") for number in (0, 1)]
    # The counts of the samples were temporary; nothing was filtered out of them.
    sizes = {
        "merge": prediction.total(samples),
        "cluster": prediction.measure(finished.folder / LATENT),
    }
    counts = prediction.measure(results / "counts.h5ad")
    seen = set()
    for job in finished.jobs(cluster):
        rules = ("ingest", "qc") if job.rule == "sample_ingest_qc" else (job.rule,)
        size = samples[0] if len(rules) > 1 else sizes.get(job.rule, counts)
        wanted = max(prediction.memory_mb(rule, size) for rule in rules)
        # Halves of one data set differ by a few cells.
        assert job.memory_mb == pytest.approx(wanted, abs=1), job.rule
        minutes = sum(prediction.runtime_minutes(rule, size) for rule in rules)
        assert job.minutes == min(minutes, CONFIG["max_runtime"]), job.rule
        assert job["CPUs/Task"] == "1", job.rule
        seen |= set(rules)
    # Not asked for: scores (`thin: folds: 0`), and what is left to them.
    scores = {"thin", "score", "baselines", "choose", "likelihood", "learning_curve"}
    scores |= {"genes", "search", "trial", "rank", "ensemble"}
    donors = {"cohort", "biomarkers", "classify", "survival", "donor_subtypes"}
    donors |= {"drug_response", "perturbation"}
    on_request = {"anomaly", "denoise", "false_signals", "receptors", "recommend"}
    on_request |= {"programs"}
    on_request |= {"reference", "transfer"}
    assert seen == set(prediction.COSTS) - scores - donors - on_request


def test_the_doctor_had_said_so_before(cluster, finished):
    text = (finished.folder / "doctor.txt").read_text()
    assert "no accounting, status by squeue" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    plan = {words[0]: words for words in rows}
    submitted = Counter(job.rule.partition("_")[0] for job in finished.jobs(cluster))
    assert {name: int(words[1]) for name, words in plan.items()} == submitted
    for job in finished.jobs(cluster):
        words = plan[job.rule.partition("_")[0]]
        # Of the whole sample sheet, before the cells and genes of low quality were dropped.
        assert job.memory_mb <= int(words[2]) <= 1.05 * job.memory_mb, job.rule
        assert job.minutes <= int(words[4]), job.rule


# one latent each, from the finished normalized.h5ad ---------------------------------------------

DISTURBANCES = ("scancel", "requeue", "preemption", "time limit", "memory", "lost node", "driver")


# What the others are compared with: the same, left alone beside them.
UNDISTURBED = "undisturbed"


@pytest.fixture(scope="session")
def disturbed(cluster, finished, mended, tmp_path_factory):
    """Each disturbance in a folder of its own, side by side, once its training has a checkpoint."""
    drivers = {}
    for name in (*DISTURBANCES, UNDISTURBED):
        folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
        for path in ("config", "samples.tsv", "s0.h5ad", "s1.h5ad", "results"):
            copy = shutil.copytree if (finished.folder / path).is_dir() else shutil.copy2
            copy(finished.folder / path, folder / path)
        shutil.rmtree(folder / "results/models")
        drivers[name] = Driver(folder, *_words(name), environment=_environment(name, folder))
    waiting, end = set(DISTURBANCES), time.monotonic() + 600
    while waiting:
        assert time.monotonic() < end, f"no checkpoint of {waiting}"
        for name in sorted(waiting):
            if list(drivers[name].folder.glob("results/checkpoints/*/current.safetensors")):
                (job,) = drivers[name].jobs(cluster, "train")
                _disturb(name, drivers, cluster, job)
                waiting.remove(name)
        time.sleep(0.3)
    _give_time(drivers["time limit"], cluster)
    return drivers


def _give_time(driver: Driver, cluster: Cluster) -> None:
    """Let the job that its time limit ended have enough, once it is in the queue again.

    It may come to the same limit a second time, and after its training, where there is nothing to
    go on from.
    """

    def is_queued_again() -> bool:
        return any(int(job["Restarts"]) for job in driver.jobs(cluster, "train"))

    wait_for(is_queued_again, seconds=300, what="the job at its time limit to be queued again")
    (job,) = driver.jobs(cluster, "train")
    ask("scontrol", "update", f"JobId={job.number}", f"TimeLimit={CONFIG['max_runtime']}")


def _words(name: str) -> list[str]:
    partition = "scavenge" if name == "preemption" else "cpu"
    # The preempted one has n1 for itself, as its rival wants the whole node; the lost one has two,
    # as there must be another to go to.
    others = {"preemption": CPU_NODES[1:], "lost node": CPU_NODES[:5]}
    place = "--exclude=" + ",".join(others.get(name, ("n1", "n6", "n7")))
    # Times alone: the copied folder has no records of how its files were made.
    words = [LATENT, "--rerun-triggers", "mtime", "--default-resources"]
    return [*words, f"slurm_partition={partition}", f"slurm_extra='{place}'"]


def _environment(name: str, folder: Path) -> dict[str, str]:
    if name != "memory":
        return {}
    path = os.pathsep.join([str(ROOT / "tests/slurm/hog"), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "SCPRESS_TEST_HOG": str(folder / "grow")}


def _disturb(name: str, drivers: dict[str, Driver], cluster: Cluster, job) -> None:
    number = str(job.number)
    if name == "scancel":
        ask("scancel", number)
    elif name == "requeue":
        ask("scontrol", "requeue", number)
    elif name == "preemption":
        claim = ["--partition=cpu", f"--nodelist={job['NodeList']}", "--exclusive"]
        ask("sbatch", *claim, "--output=/dev/null", "--wrap=sleep 5")
    elif name == "time limit":
        ask("scontrol", "update", f"JobId={number}", "TimeLimit=1")
        # So that a fast machine is not done before; at the limit Slurm lets it go on, and ends it.
        ask("scancel", "--signal=STOP", number)
    elif name == "memory":
        (drivers[name].folder / "grow").touch()
    elif name == "lost node":
        cluster.lose_node(job["NodeList"])
    else:
        # So that it is not done before the next driver has come up and cancels it.
        ask("scancel", "--signal=STOP", number)
        drivers[name].process.kill()
        drivers[name].process.wait()
        drivers[name] = Driver(drivers[name].folder, *_words(name))


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbed_training_ends_with_the_bits_of_the_undisturbed(disturbed, name):
    driver = disturbed[name]
    driver.finish()
    disturbed[UNDISTURBED].finish()
    # Emptied before every attempt: this is what the last one said.
    log = (driver.folder / "results/logs/train/vae/all/0.log").read_text()
    assert "going on from step" in log
    wanted, found = (ad.read_h5ad(one.folder / LATENT) for one in (disturbed[UNDISTURBED], driver))
    np.testing.assert_array_equal(found.obsm["X_vae"], wanted.obsm["X_vae"])
    assert not list(driver.folder.glob("results/checkpoints/*"))


@pytest.mark.parametrize("name", ["requeue", "preemption", "time limit", "lost node"])
def test_slurm_ran_the_same_job_again_and_no_retry_was_used(cluster, disturbed, name):
    disturbed[name].finish()
    (job,) = disturbed[name].jobs(cluster, "train")
    assert job["JobState"] == "COMPLETED"
    assert int(job["Restarts"]) >= 1
    if name == "lost node":
        assert job["NodeList"] in CPU_NODES[5:]


@pytest.mark.parametrize("name", ["scancel", "memory"])
def test_a_failed_job_is_submitted_again_with_twice_the_memory(cluster, disturbed, name):
    disturbed[name].finish()
    first, second = disturbed[name].jobs(cluster, "train")
    assert (
        first["JobState"]
        == {"scancel": "CANCELLED", "memory": first["JobState"]}[name]
        != "COMPLETED"
    )
    assert second.memory_mb == 2 * first.memory_mb
    assert second["JobState"] == "COMPLETED"


def test_after_a_killed_driver_the_same_command_repeats_nothing_finished(cluster, disturbed):
    text = disturbed["driver"].finish()
    assert {job.rule for job in disturbed["driver"].jobs(cluster)} == {"train", "embed"}
    left_over, second = disturbed["driver"].jobs(cluster, "train")
    assert left_over["JobState"] == "CANCELLED"
    assert second["JobState"] == "COMPLETED"
    assert f"cancelled job {left_over.number}" in text


# failures that no second attempt helps -----------------------------------------------------------


def test_a_vanished_input_and_a_full_disk_fail_alone(cluster, failing, mended):
    text, left, again = mended
    assert "No space left on device" in text
    assert "vanished.h5ad" in text
    targets = [failing.folder / target for target in _FAILING.values()]
    assert not left

    # Put right, the same command finishes the two and leaves the first alone.
    again.finish()
    assert len(again.jobs(cluster)) == 5
    assert all(ad.read_h5ad(target).n_obs == 200 for target in targets)
