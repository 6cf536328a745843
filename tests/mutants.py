"""Would the tests notice? One-line edits of the code, each of which must make its tests fail.

    make mutants                                    all of them
    .venv/bin/python tests/mutants.py NAME ...      those whose name or file contains a word
    .venv/bin/python tests/mutants.py --list        their names by file

Each edit is made in a copy of the tree, and the tests of the module it is in are run there. Exit
code 1 and a line for every mutant that lived, or whose text is not (once) in its file any more.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = (
    "src",
    "tests",
    "workflow",
    "config",
    "docs",
    "profiles",
    "resources",
    "benchmarks",
    "envs",
)
LINKED = (".venv", "data")
# A test that hangs under an edit has noticed it.
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Mutant:
    """One edit: `old`, which stands once in `path`, becomes `new`; `tests` must then fail."""

    path: str
    name: str
    old: str
    new: str
    tests: str = ""  # a test file (and `-k` words); the module's own where not given

    @property
    def test_words(self) -> list[str]:
        """What pytest is told to run."""
        own = Path(self.path.removeprefix("src/scpress/"))
        default = f"tests/{own.parent}/test_{own.stem}.py".replace("/./", "/")
        file, _, words = (self.tests or default).partition(" ")
        return [file, *(["-k", words] if words else [])]


def _in(module: str, *edits: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one module of the package: (name, old, new[, tests])."""
    return [Mutant(f"src/scpress/{module}.py", *edit) for edit in edits]


MUTANTS = [
    # cli, errors, settings, slots, slurm ----------------------------------------------------------
    # config ---------------------------------------------------------------------------------------
    # counts ---------------------------------------------------------------------------------------
    # io -------------------------------------------------------------------------------------------
    # model ----------------------------------------------------------------------------------------
    *_in(
        "model/axes",
        (
            "an encoder that is told does not bring its prior",
            'axes["prior"] = "kl" if options.encoder == "variational" else "none"',
            'axes["prior"] = "kl"',
        ),
        (
            "one batch is told apart from none",
            "return len(self.batches) if len(self.batches) > 1 else 0",
            "return len(self.batches)",
        ),
    ),
    *_in(
        "model/likelihoods",
        (
            "later rows of a block read the first block's means",
            "d = log_mu[rows] - log_theta_rows",
            "d = log_mu[: len(log_mu[rows])] - log_theta_rows",
        ),
        (
            "a zero of a zinb is never an extra one",
            "return torch.logaddexp(p.pi_logits, _nb_zero(p)) - softplus(p.pi_logits)",
            "return _nb_zero(p) - softplus(p.pi_logits)",
        ),
        (
            "the gradient of theta by nonzeros forgets theta",
            "by_theta[x.rows, x.columns] = theta * (torch.log1p(g) - g + rest)",
            "by_theta[x.rows, x.columns] = torch.log1p(g) - g + rest",
        ),
    ),
    *_in(
        "model/batches",
        (
            "stored zeros are kept as nonzeros",
            "if block.nnz and not np.all(block.data):",
            "if False:",
        ),
    ),
    *_in(
        "model/network",
        (
            "the KL has the log of the deviation once",
            "return 0.5 * (mean**2 + sd**2 - 1 - 2 * torch.log(sd)).sum(dim=-1)",
            "return 0.5 * (mean**2 + sd**2 - 1 - torch.log(sd)).sum(dim=-1)",
        ),
        (
            "the shift of the input is folded in unscaled",
            "bias = bias - weight @ self.input_mean",
            "bias = bias - linear.weight[:, :n_genes] @ self.input_mean",
        ),
        (
            "an observed library is the size factor",
            "return cells.total.clamp(min=1)",
            "return cells.size_factor",
        ),
        (
            "every batch has the first one's theta in the compiled loops",
            """            return cells.batch
        return torch.zeros(len(cells.total), dtype=torch.int64)""",
            """            return 0 * cells.batch
        return torch.zeros(len(cells.total), dtype=torch.int64)""",
        ),
        (
            "the mean is not clamped from above",
            "return log_mu.clamp(lk.LOG_MU_MIN, lk.LOG_MU_MAX)",
            "return log_mu.clamp(lk.LOG_MU_MIN)",
        ),
        (
            "the weight of the KL is always one",
            "return Loss(reconstruction + kl_weight * kl, reconstruction, kl)",
            "return Loss(reconstruction + kl, reconstruction, kl)",
        ),
    ),
    *_in(
        "model/fitted",
        (
            "an unknown batch is the first one",
            "return np.array([known.get(name, reference) for name in names], dtype=np.int64)",
            "return np.array([known.get(name, 0) for name in names], dtype=np.int64)",
        ),
        (
            "a symbol of several genes is that of the last",
            "by_symbol = {s: i for i, s in enumerate(symbols) if s and not repeated[i]}",
            "by_symbol = {s: i for i, s in enumerate(symbols) if s}",
        ),
        (
            "the reference is the smallest batch",
            "return int(np.argmax(self.batch_sizes)) if self.batch_sizes else 0",
            "return int(np.argmin(self.batch_sizes)) if self.batch_sizes else 0",
        ),
        (
            "covariates are shifted and not scaled",
            "return (continuous - self.network.continuous_mean) / self.network.continuous_scale",
            "return continuous - self.network.continuous_mean",
        ),
        (
            "theta is no part of the decoder",
            'parts = ("decoder.", "eta.", "pi_logits.", "log_theta", "continuous_")',
            'parts = ("decoder.", "eta.", "pi_logits.", "continuous_")',
        ),
    ),
    *_in(
        "model/modelled",
        (
            "a gene that is missing moves the others to the left",
            "(found.data, present[found.indices], found.indptr)",
            "(found.data, found.indices, found.indptr)",
        ),
        (
            "the digest leaves the continuous covariates out",
            "X.indptr, self.size_factor, self.batch, self.continuous)",
            "X.indptr, self.size_factor, self.batch)",
        ),
    ),
    *_in(
        "model/covariates",
        (
            "a covariate may be infinite",
            "if not np.isfinite(values).all():",
            "if np.isnan(values).any():",
        ),
    ),
    *_in(
        "model/scoring",
        (
            "draws are not averaged but added up",
            "out[rows] = math.log(n_draws) - total.cpu().numpy()",
            "out[rows] = -total.cpu().numpy()",
        ),
        (
            "the best draw stands for all",
            "total = torch.logaddexp(total, log_joint.double())",
            "total = torch.maximum(total, log_joint.double())",
        ),
        (
            "later blocks of the gene means read the first one's library",
            "log_mu = np.log(held_library[rows])[:, None] + log_share",
            "log_mu = np.log(held_library[: len(block)])[:, None] + log_share",
        ),
        (
            "a gene without molecules has a variance of its own alone",
            "return mean, (n_obs * variance + max(float(variance.mean()), 1e-6)) / (n_obs + 1)",
            "return mean, np.maximum(variance, 1e-6)",
        ),
        (
            "the moments of theta forget the Poisson part",
            "excess = (second - first) / np.maximum(mu_squared, 1e-12) - 1",
            "excess = second / np.maximum(mu_squared, 1e-12) - 1",
        ),
    ),
    *_in(
        "model/baselines",
        (
            "the gene scale of PCA forgets the size factor",
            "decoded += factor @ rho",
            "decoded += rho.sum(axis=0)",
        ),
        (
            "the sign of a component is the solver's",
            "components = components * np.sign(components[np.arange(n_components), peak])[:, None]",
            "components = components * 1.0",
        ),
    ),
    *_in(
        "model/compiled/likelihood_loops",
        (
            "later genes read the first block's theta in the loops",
            "_nb_zeros(s, theta[first:last], t, m, scale, mu_low, mu_high)",
            "_nb_zeros(s, theta[: last - first], t, m, scale, mu_low, mu_high)",
        ),
    ),
    # training -------------------------------------------------------------------------------------
    *_in(
        "training/checkpoints",
        (
            "minutes between checkpoints are seconds",
            "time.monotonic() - self._saved >= 60 * self.minutes",
            "time.monotonic() - self._saved >= self.minutes",
            "tests/training/test_checkpoints.py minutes",
        ),
        (
            "the state is no part of the digest",
            "words = np.array([identity, json.dumps(state, sort_keys=True), *names])",
            "words = np.array([identity, *names])",
            "tests/training/test_checkpoints.py digest",
        ),
        (
            "the state of another training is gone on from",
            'if header["identity"] != self.identity:',
            "if False:",
            "tests/training/test_checkpoints.py another_configuration",
        ),
    ),
    *_in(
        "training/loop",
        (
            "the name of a checkpoint forgets the held-out cells",
            "for one in (training, validation)],",
            "for one in (training,)],",
            "tests/training/test_checkpoints.py everything",
        ),
        (
            "covariates are standardized by their variance",
            "spread = np.maximum(training.continuous.std(axis=0), 1e-6)",
            "spread = np.maximum(training.continuous.var(axis=0), 1e-6)",
        ),
        (
            "the training loss is always over all steps between validations",
            "since = (schedule.step - 1) % options.validate_every + 1",
            "since = options.validate_every",
        ),
        (
            "a better loss does not start the patience anew",
            "waited = schedule.step - max(schedule.best_step, options.kl_warmup_steps)",
            "waited = schedule.step - options.kl_warmup_steps",
            "tests/training/test_schedule.py",
        ),
        (
            "the patience does not wait for the weight of the KL",
            "waited = schedule.step - max(schedule.best_step, options.kl_warmup_steps)",
            "waited = schedule.step - schedule.best_step",
            "tests/training/test_schedule.py",
        ),
        (
            "a lowered rate is lowered at every validation",
            "schedule.step - max(schedule.lowered_step, schedule.best_step) >= options.plateau",
            "schedule.step - schedule.best_step >= options.plateau",
            "tests/training/test_schedule.py",
        ),
        (
            "the last step is not validated",
            "is_validated = is_last or schedule.step % options.validate_every == 0",
            "is_validated = schedule.step % options.validate_every == 0",
            "tests/training/test_schedule.py",
        ),
    ),
    *_in(
        "training/state",
        (
            "a rollback keeps its rate",
            "schedule.learning_rate *= self.options.plateau_factor",
            "pass",
        ),
        (
            "a loss that is as good is better",
            "if row.validation_loss < self.schedule.best_loss:",
            "if row.validation_loss <= self.schedule.best_loss:",
            "tests/training/test_schedule.py",
        ),
        (
            "a rollback leaves the moments of Adam",
            "_copy(self.good, self._tensors())",
            "_copy(self.good, {k: v for k, v in self._tensors().items() if 'optim' not in k})",
        ),
        (
            "early terms of the average weigh as the later ones",
            "term = max(AVERAGE_EVERY / self.options.averaged_steps, 9 / (terms + 9))",
            "term = AVERAGE_EVERY / self.options.averaged_steps",
        ),
        (
            "the best weights are the last ones and not their average",
            "            self.best = _copied(self._averaged)",
            "            self.best = _copied(self._weights)",
        ),
    ),
    *_in(
        "training/split",
        (
            "the order is the same in each epoch",
            "np.random.default_rng([self.seed, epoch])",
            "np.random.default_rng([self.seed])",
        ),
        (
            "the strata are not those of the cells in their random order",
            "members = order[strata[order] == stratum]",
            "members = order[strata == stratum]",
        ),
    ),
    *_in(
        "training/stepper",
        (
            "what is one number per gene is decayed",
            '{"params": per_gene, "weight_decay": 0.0},',
            '{"params": per_gene, "weight_decay": options.weight_decay},',
        ),
        (
            "small gradients are scaled up to the limit",
            "if norm > limit:",
            "if norm != limit:",
        ),
    ),
    *_in(
        "training/gradients",
        (
            "the gradient of the first layer forgets the scale of its input",
            "self._by_weight.div_(self._network.input_scale[:, None])",
            "pass",
            "tests/training/test_gradients.py equal_autograds",
        ),
    ),
    *_in(
        "training/cuda_graph",
        (
            "a row on the GPU reads the first count of the next",
            "inside = at < stop[:, None]",
            "inside = at <= stop[:, None]",
        ),
    ),
    *_in(
        "training/validation",
        (
            "the last, shorter block weighs as the others",
            "sums += len(block) * np.array([float(part) for part in loss])",
            "sums += _BLOCK_CELLS * np.array([float(part) for part in loss])",
        ),
    ),
    *_in(
        "training/engines",
        (
            "the variance of the closed form is that of the gene",
            "residual = np.maximum(variance - explained, 1e-6)",
            "residual = np.maximum(variance, 1e-6)",
        ),
    ),
    *_in(
        "training/scvi_tools",
        (
            "the thetas of the batches change places on their way to scvi-tools",
            "if per_gene else log_theta.T",
            "if per_gene else log_theta.T.flip(1)",
            "tests/training/test_scvi_tools.py survive",
        ),
        (
            "a batch without cells loses its number",
            "categories=list(config.batches)",
            "categories=sorted({config.batches[code] for code in batch})",
            "tests/training/test_scvi_tools.py batchs",
        ),
    ),
    # cells ----------------------------------------------------------------------------------------
    # compression ----------------------------------------------------------------------------------
    # steps ----------------------------------------------------------------------------------------
    # report ---------------------------------------------------------------------------------------
    # verbs ----------------------------------------------------------------------------------------
    # workflow -------------------------------------------------------------------------------------
]


def copy_tree(folder: Path) -> None:
    """Copy what the tests need to a folder of its own."""
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)
    for name in COPIED:
        # Compiled files come along: only what an edit touches is compiled again.
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)


def run_tests(words: list[str], folder: Path) -> tuple[int | None, str]:
    """(exit code, output) of pytest in a copy; None where it did not end."""
    environment = os.environ | {
        "PYTHONPATH": str(folder / "src"),
        "PYTHONHASHSEED": "0",
        "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, "timed out"
    return done.returncode, done.stdout + done.stderr


def judge(mutant: Mutant, folder: Path) -> str:
    """ "" where the tests noticed the edit, else what is wrong."""
    path = folder / mutant.path
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return f"its text stands {text.count(mutant.old)} times in {mutant.path}, not once"
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        code, output = run_tests(mutant.test_words, folder)
    finally:
        path.write_text(text)
    # 1: a test failed. 2 to 5: pytest itself could not, or there was nothing to run.
    if code in (1, None):
        return ""
    return "lived" if code == 0 else f"pytest ended with {code}: {output.splitlines()[-1:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="parts of names or files; all when none is given")
    parser.add_argument("--list", action="store_true", help="names by file, nothing is run")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the tree at a time [2]")
    arguments = parser.parse_args()
    chosen = [
        m
        for m in MUTANTS
        if not arguments.words or any(w in m.name or w in m.path for w in arguments.words)
    ]
    names = [m.name for m in MUTANTS]
    if len(set(names)) < len(names):
        sys.exit(f"two mutants of one name: {sorted({n for n in names if names.count(n) > 1})}")
    if not chosen:
        sys.exit(f"no mutant has {' or '.join(arguments.words)} in its name or file.")
    if arguments.list:
        for path in dict.fromkeys(m.path for m in chosen):
            print(path)
            for m in chosen:
                if m.path == path:
                    print(f"    {m.name}")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as parent:
        folders: queue.Queue[Path] = queue.Queue()
        for number in range(min(arguments.jobs, len(chosen))):
            folder = Path(parent) / str(number)
            folder.mkdir()
            copy_tree(folder)
            folders.put(folder)

        def work(mutant: Mutant) -> str:
            folder = folders.get()
            begun = time.monotonic()
            try:
                problem = judge(mutant, folder)
            finally:
                folders.put(folder)
            seconds = time.monotonic() - begun
            print(
                f"{problem or 'killed':<8} {seconds:4.0f} s  {mutant.path}: {mutant.name}",
                flush=True,
            )
            return problem

        with ThreadPoolExecutor(arguments.jobs) as pool:
            problems = [problem for problem in pool.map(work, chosen) if problem]
    print(f"{len(chosen) - len(problems)} of {len(chosen)} mutants were killed")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
