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


def _workflow(file: str, tests: str, *edits: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of one file of the workflow, and what must fail."""
    return [Mutant(f"workflow/{file}", *edit, tests) for edit in edits]


MUTANTS = [
    # donors ---------------------------------------------------------------------------------------
    *_in(
        "counts/simulated_donors",
        ("a condition is never a batch", "condition if options.confounded else ", ""),
        ("all planted genes go up", "np.resize([1.0, -1.0], options.donor_genes)", "1.0"),
        ("donors of one type are alike", "rng.normal(0.0, options.donor_sd, rho.shape)", "0"),
        ("kinds follow the conditions", "// (2 * options.n_batches) % 2", "% 2"),
    ),
    *_in(
        "donors/sums",
        ("sums of donors overflow", "block.astype(np.int64)", "block"),
        ("fractions are counts", " & (values == np.rint(values))", ""),
    ),
    *_in(
        "donors/design",
        (
            "a batch is a number",
            "obs[batch].astype(object).where(obs[batch].notna())",
            "obs[batch]",
        ),
        ("what two columns make together passes", ', " and ".join(parts): nuisance', ""),
        ("a donor of unknown condition is compared", "known &= ~lacks.to_numpy()", "pass"),
        ("units are donors", "len(set(donor[side]))", "len(donor[side])"),
        ("two donors are enough", "_MIN_DONORS = 3", "_MIN_DONORS = 2"),
        ("one donor is left to tell", "_MIN_FREE = 2", "_MIN_FREE = 1"),
        ("a combination of conditions passes", "_rank(part) + len(columns)", "_rank(part) + 1"),
        ("the first condition is the case", "self.condition == 1", "self.condition == 0"),
    ),
    *_in(
        "donors/biomarkers",
        (
            "dispersions are known for sure",
            "degrees = prior_degrees + design.shape[0]",
            "degrees = 1e9 + design.shape[0]",
        ),
        (
            "dispersions of a sample have no prior",
            "degrees = found.prior_degrees + design",
            "degrees = design",
        ),
        (
            "a biomarker has to be as sure as the others",
            "* max_fdr / max(rates",
            "* 1 / max(0 * rates",
        ),
        (
            "batches are not held constant",
            "np.ones(len(is_case)), nuisance,",
            "np.ones(len(is_case)),",
        ),
        (
            "a biomarker of the other sign is one again",
            "(np.sign(change[:, -1]) == sign[there]) & ",
            "",
        ),
        ("a sample leaves out one condition", "in (is_case, ~is_case):", "in (is_case,):"),
        ("fold changes are not shrunken", "tests.lfc_shrink(coeff=_CASE)", "pass"),
    ),
    *_in(
        "steps/cohort",
        (
            "types below the floor are summed",
            "(sums, is_used, [column])",
            "(sums, ~(is_used & ~is_used), [column])",
        ),
        ("one donor is a cohort", "len(kept) < 2", "len(kept) < 1"),
        (
            "the floor leaves out who has as many",
            "n_cells >= options.min_cells",
            "n_cells > options.min_cells",
        ),
    ),
    *_in(
        "report/forest",
        ("intervals are as long to both sides", "one.value - one.low", "one.high - one.value"),
        ("no effect is off the axis", "ends = [none_at, *(", "ends = [*("),
    ),
    *_in(
        "report/donors",
        ("the map is not of what differs", "values - values.mean(axis=0), full", "values, full"),
        ("donors stand in any order", "np.lexsort([names, groups])", "np.lexsort([groups, names])"),
        ("one value is a colour", "1 < n <= _MOST_COLOURS", "1 <= n <= _MOST_COLOURS"),
    ),
    *_in(
        "report/biomarkers",
        ("what is not found has effects", 'table["fdr"] <= record.max_fdr', 'table["fdr"] <= 2'),
        ("a p-value of 0 has no place", "clip(lower=_LEAST_P)", "clip(lower=0)"),
        (
            "untested types have figures",
            "types if not one.reason]\n    return {",
            "types]\n    return {",
        ),
    ),
    *_in(
        "report/classification",
        ("permutations do not count", " or best.p_value > _MOST_P", ""),
        ("covariates are the best view", "if one.name != _COVARIATES", "if True"),
        ("worse covariates are warned of", " and known.auc >= best.auc_low", ""),
        ("the shade is not closed", "*reversed(above)]", "*above]"),
    ),
    *_in(
        "report/donor_subtypes",
        ("the first view is the one kept", "view.name == found.view", "True"),
        ("the weakest come first", "(one.fdr, one.p_value))", "(-one.fdr, one.p_value))"),
    ),
    *_in(
        "report/response",
        ("chance saves", "if best.skill_low <= 0:", "if best.skill_low < 0:"),
        ("the worst model is named", "max(models, key", "min(models, key"),
        ("what is in components is in genes", 'one.view == "genes"', 'one.view != ""'),
        ("too few are nothing", "if least > _MOST_FDR:", "if least > 2 * _MOST_FDR + 1:"),
        (
            "the rival has a p",
            'if one.model == RIVALS[one.split] else f"{one.p_value',
            'if not one.model else f"{one.p_value',
        ),
    ),
    *_in(
        "report/survival",
        ("chance tells", "concordance_low <= 0.5", "concordance_low < 0.5"),
        ("strokes are a step late", 'side="right"', 'side="left"'),
        ("stairs fall before their time", "y += [before, value]", "y += [value, value]"),
        (
            "endless hazards have no end",
            "np.clip(one.log_ratio + side * _Z * one.error, -12, 12)",
            "one.log_ratio + side * _Z * one.error",
        ),
    ),
    *_in(
        "donors/features",
        ("a type no donor lacks", "dtype=float) + _PRIOR)", "dtype=float) + 1e-9)"),
        ("batches stay in the features", "dense = dense - known @ of_nuisance", "pass"),
        ("the least variable features are taken", "np.argsort(-variance,", "np.argsort(variance,"),
        (
            "other donors are scaled by themselves",
            "with_ones(nuisance) @ self.of_nuisance",
            "dense.mean(axis=0)",
        ),
    ),
    *_in(
        "donors/classification",
        (
            "models see the donors they predict",
            "np.flatnonzero(fold != number), np",
            "np.arange(len(fold)), np",
        ),
        (
            "the frequent condition is favoured",
            "np.where(cases, 1 / np.maximum(n_case, 1), 1 / np.maximum(n - n_case, 1))",
            "np.ones(cases.shape)",
        ),
        ("the intercept is shrunken", "ridge[:, 0] = 1e-9", "pass"),
        ("probabilities are of balanced conditions", "+ np.log(odds)", "+ 0"),
        (
            "donors left out are fitted",
            "(weight[going] * (p - cases[going]))",
            "(p - cases[going])",
        ),
        ("a donor is in two folds", "return fold[code]", "return np.arange(len(code)) % n_folds"),
        (
            "units change places between donors",
            "result[rows] = condition[rng.permutation(rows)]",
            "return rng.permutation(condition)",
        ),
    ),
    *_in(
        "donors/performance",
        (
            "permutations may all be worse",
            "(1 + (permuted >= found - 1e-9).sum()) / (1 + len(permuted))",
            "(permuted >= found - 1e-9).sum() / len(permuted)",
        ),
        (
            "donors of different folds are compared",
            "fold[is_case][:, None] == fold[~is_case]",
            "True",
        ),
        ("a tie is lost", "(difference > 0) + 0.5 *", "(difference > 0) + 0.0 *"),
        ("a perfect order is sure", "max(variance, least)", "variance"),
        ("dependence is overlooked", "(1 + 4 * excess * slope)", "1"),
        ("chance is told apart", "float(high), area, *chance)", "float(high), area)"),
        ("of two conditions the first is the case", "else (1,)", "else (0,)"),
        ("the area of one curve is the mean", "of_side / size / n_problems", "of_side / size"),
        (
            "all folds count the same on a curve",
            "weights[:, cases] * n_others",
            "weights[:, cases]",
        ),
        ("ties are steps of a curve", "np.where(last > first, passed, at", "np.where(False, 1, at"),
        (
            "conditions count by their donors",
            "np.mean([one.mean() for one in rights])",
            "is_right.mean()",
        ),
        (
            "groups are of any probability",
            "np.argsort(probability, ",
            "np.argsort(0 * probability, ",
        ),
    ),
    *_in(
        "donors/groups",
        (
            "rotated donors vary in all directions alike",
            "np.linalg.qr(drawn)[0] * scale",
            "np.linalg.qr(drawn)[0] * scale.mean()",
        ),
        ("rotated donors have the batch", "drawn -= known @ (known.T @ drawn)", "pass"),
        ("the best number is tested alone", "-np.inf).max(axis=1)", "-np.inf)[:, 0]"),
        ("a group may be one donor", "if size[one] >= min_donors]", "if size[one] >= 1]"),
        (
            "a subtype of many donors is three of them",
            "max(min_donors, int(np.ceil(_MIN_SHARE * n_donors)))",
            "min_donors",
        ),
        (
            "features are permuted together",
            "rng.permuted(standardized, axis=0)",
            "rng.permutation(standardized)",
        ),
        (
            "the smallest group is the first",
            'np.argsort(-size, kind="stable"))[label]',
            'np.argsort(size, kind="stable"))[label]',
        ),
        ("groups are matched by their numbers", "linear_sum_assignment(-table)[1][group]", "group"),
    ),
    *_in(
        "donors/subtypes",
        (
            "what goes with groups by chance takes them with it",
            "np.eye(self.group.max() + 1)[self.group]]",
            "np.ones((len(size), 1))]",
        ),
        (
            "p-values are of one view",
            "adjust_all([one.p_value for one in views])",
            "[one.p_value for one in views]",
        ),
        (
            "depth makes subtypes",
            "(one.agreement < _GONE or one.share > _MOST)",
            "one.agreement < -1",
        ),
        (
            "the batch stays in",
            "np.hstack([background.batch, background.covariates])",
            "np.hstack([background.covariates])",
        ),
        (
            "groups that change are kept",
            "view.donors_stability < options.min_stability",
            "view.donors_stability < -1",
        ),
        (
            "a view whose cells cannot be drawn is kept",
            "if view.cells_stability is None:",
            "if view.cells_stability == 2:",
        ),
        (
            "the least sure view is taken",
            "return -view.adjusted_p, min(found)",
            "return view.adjusted_p, min(found)",
        ),
    ),
    *_in(
        "donors/views",
        (
            "types that a donor lacks are features",
            "record.min_type_cells).all(axis=0)",
            "record.min_type_cells).any(axis=0)",
        ),
        ("cells without a type are features", "kept and name != slots.UNASSIGNED", "kept"),
        (
            "cells of rare types are a frequency",
            "n_cells.median(axis=0).to_numpy() >= record",
            "n_cells.median(axis=0).to_numpy() >= 0 * record",
        ),
        (
            "one cell is drawn from",
            "if n_cells.sum(axis=1).min() > 1 else None",
            "if True else None",
        ),
    ),
    *_in(
        "donors/associations",
        ("a name of each donor is a property", "max(2, _MAX_WORDS * n_known)", "n_known"),
        ("effects have a sign", "abs(float(rho))", "float(rho)"),
        (
            "chi-square is of one donor more",
            "np.sqrt(found / (n * (min(shape) - 1)))",
            "np.sqrt(found / n / min(shape))",
        ),
        (
            "a hazard is of a unit",
            "(feature - feature.mean()) / scale",
            "(feature - feature.mean())",
        ),
    ),
    *_in(
        "donors/sums",
        (
            "a cell is drawn once at most",
            "drawn[draw, start + row].astype(np.int64)",
            "np.ones(len(row), dtype=np.int64)",
        ),
    ),
    *_in(
        "donors/survival",
        ("ties are Breslow's", 'ties="efron"', 'ties="breslow"'),
        (
            "the dead at the end of another are not first",
            " | ((time[:, None] == time) & (event == 0))",
            "",
        ),
        ("who is not dead comes first", "(event[:, None] == 1) & (", "(event[:, None] >= 0) & ("),
        ("pairs of other folds are asked", "first & (fold[:, None] == fold)", "first & True"),
        (
            "a model sees the times it predicts",
            "np.flatnonzero(fold != number), np",
            "np.arange(len(fold)), np",
        ),
        ("nine events are enough", "event.sum() < 2 *", "event.sum() < 1 *"),
        ("events may be anything", "np.isin(event, (0, 1))", "np.isin(event, (0, 1, 2))"),
        ("the dead are censored", "np.sort(time[event == 0])", "np.sort(time)"),
        (
            "intervals are of the share itself",
            "error[inside] / (alive[inside] * -logs)",
            "error[inside]",
        ),
    ),
    *_in(
        "io/responses",
        ("a pair may be there twice", "if (line, drug) in found:", "if False:"),
        ("a row without a response is dropped", "            if drop:\n", "            if True:\n"),
        ("endless numbers are read", "if not math.isfinite(value) or", "if"),
        ("drugs need not have all features", "if len(missing):", "if False:"),
        ("short lines are read", "if len(row) != len(header):", "if len(row) > len(header):"),
    ),
    *_in(
        "donors/learners",
        (
            "all drugs have one strength",
            "alphas=_strengths(features[rows]), alpha_per_target=True",
            "alphas=_strengths(features[rows])[:1]",
        ),
        ("one line is enough", "_MIN_FIT = 5", "_MIN_FIT = 1"),
        ("the latent is as large as it can be", "sizes[int(errors.argmin())]", "sizes[-1]"),
        ("all is predicted of one direction", "components_[:n_shared]", "components_[:1]"),
        (
            "what a line lacks is 0",
            "np.where(known, responses, mean[:, None])",
            "np.nan_to_num(responses)",
        ),
    ),
    *_in(
        "donors/drug_response",
        (
            "a fold sees the lines it predicts",
            "return np.flatnonzero(fold != number), np.flatnonzero(fold == number)",
            "return np.arange(len(fold)), np.flatnonzero(fold == number)",
        ),
        (
            "the mean of a drug is of all lines",
            "means = means_of_drugs(responses[train])",
            "means = means_of_drugs(responses)",
        ),
        (
            "features are of all lines",
            "        rotation = learn_rotation(\n            values[train],",
            "        rotation = learn_rotation(\n            values,",
        ),
        (
            "what all drugs have in common is that of one",
            "of_line = whole.mean(axis=1, keepdims=True)",
            "of_line = whole[:, :1]",
        ),
        ("unseen drugs are all alike", "of_line + added)", "of_line + 0 * added)"),
        ("groups are divided", "return fold[codes]", "return rng.permutation(fold[codes])"),
    ),
    *_in(
        "donors/response_scores",
        ("folds are compared with each other", "rows = fold == number", "rows = fold >= 0"),
        ("constants correlate", "varies = (var_p > _ROUNDING * square_p)", "varies = (var_p > 0)"),
        ("lines of a group are drawn apart", "rng)[:, group]", "rng)[:, group * 0]"),
        (
            "skill is the error that is left",
            "1 - errors.sum() / of_rival.sum()",
            "errors.sum() / of_rival.sum()",
        ),
        ("drawn drugs count once", "np.repeat(r, n)", "np.repeat(r, 1)"),
    ),
    *_in(
        "steps/drug_response",
        ("zeros have a logarithm", "is_log & (values <= 0)", "is_log & (values < 0)"),
        ("one drug is enough", "_MIN_DRUGS = 3", "_MIN_DRUGS = 1"),
        (
            "lines are as few as there are",
            "if len(common) < _MIN_FOLD * options.n_folds:",
            "if not len(common):",
        ),
        ("drugs of one value are kept", " and np.ptp(known) > 0", ""),
        ("endless expression is read", "if not np.isfinite(X.data).all():", "if False:"),
        ("drugs may lack features", "    if lacking:\n", "    if False:\n"),
        (
            "lines are permuted with their responses",
            "rng.permutation(design.responses, axis=0)",
            "design.responses",
        ),
    ),
    *_in(
        "donors/perturbation",
        ("a donor agrees with itself", "cosine - np.diag(np.diag(cosine))", "cosine"),
        ("all exchanges are there twice", "repeat=n_donors - 1)", "repeat=n_donors)"),
        ("nobody is exchanged, too", "for one in rest][1:]", "for one in rest]"),
        ("a donor is drawn alone", "(drawn > 0).sum(axis=1) > 1", "(drawn > 0).sum(axis=1) > 0"),
        (
            "the mean knows who is held out",
            "train = np.flatnonzero(profiles.donor != donor)",
            "train = np.arange(len(profiles.donor))",
        ),
        ("genes are those with the least variance", "argsort(-variance", "argsort(variance"),
        (
            "a type that was not there is another",
            "np.where(is_known[:, None], self",
            "np.where(True, self",
        ),
        (
            "exchanges are of nobody",
            "np.arange(n) + n * swapped[self.donor]",
            "np.arange(n) + 0 * swapped[self.donor]",
        ),
    ),
    *_in(
        "steps/perturbation",
        ("a batch comes with the treatment", "if batch[control] != batch[treated]:", "if False:"),
        ("a condition may be there twice", "if inside.sum() > 1:", "if inside.sum() > 9:"),
        ("the lone are compared", "if all(map(len, sides)):", "if len(sides):"),
        (
            "types of few cells are compared",
            "n_cells[places] >= record.min_type_cells",
            "n_cells[places] >= 1",
        ),
        ("the response is what treatment takes", "(logs[1] - logs[0])", "(logs[0] - logs[1])"),
        ("two donors are sure", "if n > 2:", "if n > 1:"),
        ("latents are of the control", "points[t][places[d, side]]", "points[t][places[d, 0]]"),
    ),
    *_in(
        "steps/survival",
        ("donors without a time are told", 'and options.missing == "refuse"', "and False"),
        ("permuted times are not", "rng.permutation(len(time))", "np.arange(len(time))"),
        ("high risk is low", "is_high = risk > ", "is_high = risk < "),
    ),
    *_in(
        "steps/donor_subtypes",
        ("a column is tested once more", "and words not in said and", "and"),
    ),
    *_in(
        "steps/classify",
        (
            "probabilities are over 1",
            "return each / each.sum(axis=1, keepdims=True)",
            "return each",
        ),
        (
            "weights are of permuted labels",
            "one.weigh(made, number)",
            "one.weigh(made, -1 - number)",
        ),
    ),
    *_in(
        "steps/biomarkers",
        ("types of few donors are tested", "n_cells >= record.min_type_cells", "n_cells >= 0"),
        (
            "other genes are tested",
            "counts[:, genes].toarray()",
            "counts[:, genes[::-1]].toarray()",
        ),
    ),
    # cli, errors, settings, slots, slurm ----------------------------------------------------------
    *_in(
        "errors",
        (
            "an interrupted training ends with the bare number",
            "128 + signal_number",
            "signal_number",
        ),
    ),
    *_in(
        "settings",
        ("numba keeps its own number of threads", '    "NUMBA_NUM_THREADS",\n', ""),
        ("a cache of another user's", " or found.st_uid != os.getuid()", ""),
        ("a cache that the group may write", "(stat.S_IWGRP | stat.S_IWOTH)", "stat.S_IWOTH"),
        ("a cache behind a link", "os.lstat(folder)", "os.stat(folder)"),
    ),
    *_in(
        "archive/probabilities",
        ("a block never ends by its genes", "j - first < BLOCK_GENES and ", ""),
        ("the guide is one value late", "guide[row, q] = j\n", "guide[row, q] = j + 1\n"),
        ("large odds overflow", "if odds < 1 << 30:", "if odds < 1 << 62:"),
        ("what is missing goes to the last value", "if weights[j] > weights[most]:", "if True:"),
        (
            "counts that lose bits are told at once",
            "is_plain = low == 1 and e_first + i < E_TOP - 16",
            "is_plain = low == 1",
        ),
        (
            "a table of larger counts is told at once",
            "is_plain = low == 1 and e_first",
            "is_plain = e_first",
        ),
        (
            "a value has no frequency",
            "start += 1 + (weights[j] * left)",
            "start += (weights[j] * left)",
        ),
    ),
    *_in(
        "archive/numbers",
        ("a symbol is never", "sizes = 1 + counts", "sizes = 0 + counts"),
        ("signed numbers lose their sign", "else -value * 2 - 1", "else -value * 2"),
    ),
    *_in(
        "archive/numpy_reader",
        ("a weighted gene is rare", " | self.w[:, order].any(axis=0)", ""),
        ("latents do not widen the means", "(b - reach).min()", "b.min()"),
        ("a chunk may end anywhere", " or (lanes.state != FLOOR).any()", ""),
        ("words may be left over", "lanes.left().any() or ", ""),
        ("levels are rounded down", "(level + (1 << RARE_SHIFT >> 1))", "level"),
        (
            "counts of zero are counts",
            "found_values.min() < 1 or ",
            "",
            "tests/archive/test_loops.py",
        ),
        ("equals are in any order", 'np.argsort(-b, kind="stable")', "np.argsort(-b)[::-1]"),
    ),
    *_in(
        "archive/bits",
        ("equals are above", 'types.int32, 16, ">")', 'types.int32, 16, ">=")'),
        ("numbers above 2^15 are negative", "if number.signed else", "if True else"),
    ),
    *_in(
        "archive/loops",
        (
            "larger counts lose their low bits",
            "value = (value << lost) | rest",
            "value = value << lost",
            "tests/archive/test_codec.py any_counts",
        ),
        (
            "an escape is a value",
            "np.uint16(slot))\n            if more < uint64(NEAR_PLACES - 1) and slot != NEVER and "
            "near[row, 0] == NEVER:\n                start = np.uint16(near[row, more] + 1)\n"
            "                size = np.uint16(near[row, more + _BIT] + 1 - start)\n"
            "                state_a",
            "np.uint16(slot))\n            if more < uint64(NEAR_PLACES - 1) and "
            "near[row, 0] == NEVER:\n                start = np.uint16(near[row, more] + 1)\n"
            "                size = np.uint16(near[row, more + _BIT] + 1 - start)\n"
            "                state_a",
        ),
        (
            "too large a count is one",
            "is_wrong[0] |= not 0 < value <= 0x7FFFFFFF",
            "is_wrong[0] |= not 0 < value",
        ),
        (
            "a gene stands behind itself",
            "lower = (_BIT << uint64(gene & 63)) - _BIT",
            "lower = (_BIT << uint64(gene & 63))",
            "tests/archive/test_codec.py real_counts",
        ),
        (
            "a damaged chunk is passed over",
            "        if problem != OK:\n",
            "        if False:\n",
            "tests/archive/test_codec.py another_length",
        ),
        (
            "what is left over is not seen",
            "    if places[0] < places[1] + 1:\n        return TOO_LONG",
            "    if False:\n        return TOO_LONG",
            "tests/archive/test_codec.py another_length",
        ),
        (
            "fewer entries than said are not seen",
            "return OK if filled == capacity else WRONG_COUNT",
            "return OK",
            "tests/archive/test_codec.py another_number",
        ),
        (
            "a cell that is not there takes words",
            "        if not is_pair:\n",
            "        if False:\n",
            "tests/archive/test_codec.py any_counts",
        ),
        (
            "what is left of a block is as much as at its beginning",
            "            whole = uint64(survival[b, c_b])\n",
            "            whole = uint64(survival[b, 0])\n",
            "tests/archive/test_codec.py real_counts",
        ),
    ),
    *_in(
        "archive/encoding",
        (
            "each lane has all cells",
            "for i in range(lane, n_cells, LANES):",
            "for i in range(n_cells):",
        ),
        (
            "rare genes have the level of their cell",
            "e = min(max(rare_level + b_rare[r], e_first), E_MAX)",
            "e = min(max(level + b_rare[r], e_first), E_MAX)",
            "tests/archive/test_codec.py real_counts",
        ),
    ),
    *_in(
        "archive/codec",
        (
            "latents are those of the first cells",
            "places(block, levels, first_cell)",
            "places(block, levels, 0)",
            "tests/archive/test_codec.py given",
        ),
    ),
    *_in(
        "archive/survey",
        (
            "all genes have the finest steps",
            "np.clip(np.rint(np.log2(_STEP_SDS * sd)), 0, 5)",
            "0 * sd",
        ),
        ("a sample of blocks", "np.arange(-at % step, ", "np.arange(0, "),
        ("a level of rare genes is free", "if saved.sum() <= cost:", "if saved.sum() <= 0:"),
    ),
    *_in(
        "archive/costs",
        ("a value costs nothing", "out[j, k] += nonzero[row] + lost + more", "out[j, k] += 0"),
        (
            "a count above zero costs as one of zero, too",
            "total += nonzero[row] + lost + more - zero[row]",
            "total += nonzero[row] + lost + more",
        ),
        (
            "zeros cost what the first level's do",
            "level_counts[i] * zero",
            "level_counts[0] * zero",
        ),
    ),
    *_in(
        "archive/fit",
        (
            "a theta is as the moments say",
            "bits.argmin(axis=1)[:, None]",
            "np.full((len(b), 1), 4)",
        ),
    ),
    *_in(
        "archive/rungs",
        (
            "a latent costs nothing",
            "float(gain[kept].sum() - z_bits)",
            "float(gain[kept].sum())",
            "tests/archive/test_codec.py without_structure",
        ),
        ("weights cost nothing", " - weight_bits\n", "\n"),
        (
            "the worst latent is taken",
            "chosen = max(saved_by",
            "chosen = min(saved_by",
            "tests/archive/test_codec.py pays",
        ),
    ),
    *_in(
        "archive/latents",
        ("no prior", " - now[here] * prior", ""),
        ("a step is a standard deviation", "_STEP = 0.5", "_STEP = 1.0"),
        (
            "cells of the file's beginning",
            "self.z[first_cell + here.start : first_cell + here.stop]",
            "self.z[here]",
        ),
        ("latents leave their table", "np.clip(z[:, k], values[0], values[-1])", "z[:, k]"),
    ),
    *_in(
        "slots",
        (
            "cells in another order are the same",
            "if names.equals(others):",
            "if set(names) == set(others):",
        ),
        ("a slot may hold less than it can", "if low < slot.low:", "if False:"),
        ("a slot may hold what is not finite", "if high > slot.high", "if False"),
        ("a number may be missing in every slot", "if not slot.may_lack:", "if False:"),
        ("true and false may be numbers", '"b": ("b", "true', '"b": ("biuf", "true'),
        ("text may be missing", "if lacks and not may_lack", "if False"),
        ("the axes of an array are not counted", "if held.ndim != n_axes or", "if"),
        ("two cells may have one name", "if not names.is_unique:", "if False:"),
    ),
    *_in(
        "slurm",
        (
            "a reason that begins with the time limit is one",
            '"Reason=TimeLimit" not in reason.split()',
            '"Reason=TimeLimit" not in reason',
        ),
        ("any job of Slurm is requeued", ' or "SCPRESS_REQUEUE" not in os.environ', ""),
    ),
    *_in(
        "cli",
        ("a second signal ends the cleaning up", "_GRACE_SECONDS = 5.0", "_GRACE_SECONDS = 0.0"),
        (
            "a signal may come while HDF5 writes",
            ' or frame.f_globals.get("__name__") == _HDF5_MODULE',
            "",
        ),
        ("a signal is lost where an object ends", 'frame.f_code.co_name == "__del__" or ', ""),
        ("the error of what was cut short is said", "if kind not in (None,", "if kind in (None,"),
        ("a negative seed is taken", "if seed < 0:", "if seed < -1:"),
        ("a seed of any size is taken", "seed > MAX_SEED", "seed > 2 * MAX_SEED"),
        ("warnings stand above our line", "warnings.showwarning = _say_nothing", "pass"),
        ("parts of flags are taken", "allow_abbrev=False", "allow_abbrev=True"),
    ),
    # config ---------------------------------------------------------------------------------------
    *_in(
        "config/foreign",
        (
            "another package's names go with every preset",
            "options.preset != dialect.preset",
            "False",
        ),
        (
            "a thing may be said in both names",
            "if getattr(options, ours) !=",
            "if False and None !=",
        ),
        (
            "an epoch is of all cells",
            "training = n_cells - round(",
            "training = n_cells - 0 * round(",
        ),
        ("part of a batch is none", "math.ceil(training /", "math.floor(training /"),
        ("two names may disagree", "if changes.get(ours, one) != one:", "if False:"),
    ),
    *_in(
        "config/dca",
        ("widths need not be mirrored", " or widths != widths[::-1]", ""),
        (
            "the latent is the first width",
            "return widths[:middle], widths[middle]",
            "return widths[:middle], widths[0]",
        ),
    ),
    *_in(
        "config/scvi",
        (
            "layers are as many as they are wide",
            '* given.get("n_layers", _N_LAYERS)',
            '* given.get("n_layers", 2)',
        ),
        ("epochs are steps", "return (value * epoch,)", "return (value,)"),
        ("no early stopping is any", "        if value:\n", "        if not value:\n"),
        ("a training without a stop ends as early", 'given["max_epochs"] * epoch', "epoch"),
        (
            "an epoch knows nothing of the division",
            "for first in (True, False):",
            "for first in (False, True):",
        ),
    ),
    *_in(
        "config/fields",
        (
            "what to use instead is not said",
            'if item.metadata["instead"]:',
            "if False:",
            "tests/config/test_dca.py",
        ),
        ("the minimum itself is refused", "value < low", "value <= low"),
        ("a list stays one", "value = tuple(value)\n", "value = list(value)\n"),
        ("true is a number", " and not isinstance(value, bool)", ""),
        ("the maximum itself is refused", "value > high", "value >= high"),
        (
            "only the first of several values is checked",
            "for one in value if isinstance(value, tuple)",
            "for one in value[:1] if isinstance(value, tuple)",
        ),
    ),
    *_in(
        "config/flags",
        ("null is a word", 'None if text == "null" else text if', "text if"),
        ("no word stands for a number", "text if text in words else one(text)", "one(text)"),
        ("what is refused is in the help", "help=argparse.SUPPRESS", 'help="refused"'),
        ("no choice of those that may be null", 'schema["enum"].append(None)', "pass"),
    ),
    *_in(
        "config/schema",
        (
            "overrides of a model have defaults",
            'if key != "default"}\n        for name, schema in train',
            'if key != "defaults"}\n        for name, schema in train',
        ),
    ),
    *_in(
        "config/flags",
        ("an unknown option is left out", "if name not in known:", "if False:"),
        ("a list is options", "if not isinstance(values, dict):", "if values is None:"),
    ),
    # counts ---------------------------------------------------------------------------------------
    *_in(
        "counts/digests",
        ("a digest without the shape", "{array.dtype} {array.shape}", "{array.dtype}"),
        ("a digest without the type", "{array.dtype} {array.shape}", "{array.shape}"),
    ),
    *_in(
        "counts/genes",
        ("versions stay at ids", "return head if dot", "return gene_id if dot"),
        (
            "mitochondrial ids with a version are not found",
            "without_version(gene_id) in MITO",
            "gene_id in MITO",
        ),
        ("half of the names make an index of ids", "mean() > 0.5", "mean() >= 0.5"),
    ),
    *_in(
        "counts/matrix",
        (
            "a gene that is missing moves the others to the left",
            "(found.data, present[found.indices], found.indptr)",
            "(found.data, found.indices, found.indptr)",
        ),
        ("counts may be fractions", "good &= found == np.rint(found)", "pass"),
        ("counts may be endless", " & (found < np.inf)", ""),
        (
            "whole counts may be negative",
            "        good = found >= 0\n",
            "        good = found == found\n",
        ),
        ("a block that just fits is cut", 'side="right")) - 1', 'side="left")) - 1'),
        (
            "pointers of later blocks are one short",
            "block.shape[0]] += at",
            "block.shape[0]] += max(at - 1, 0)",
        ),
        (
            "columns of one gene stay apart",
            "np.bincount(target[target >= 0]) > 1",
            "np.bincount(target[target >= 0]) > 9",
        ),
        (
            "what is set aside is the last gene",
            "np.cumsum(kept) - 1, -1)",
            "np.cumsum(kept) - 1, kept.sum() - 1)",
        ),
        ("pointers are too short for many columns", "max(n_nonzeros, n_vars) <=", "n_nonzeros <="),
        ("squares overflow", "values = block.astype(np.float64)", "values = block.copy()"),
    ),
    *_in(
        "counts/raw",
        ("four bytes hold any count", "values.dtype.itemsize > 2", "values.dtype.itemsize > 4"),
        (
            "noise is any fraction",
            "_NOISE, _RELATIVE_NOISE = 1e-3",
            "_NOISE, _RELATIVE_NOISE = 0.6",
        ),
        ("a whole number below zero is noise", " & (values >= -_NOISE)", ""),
        ("arrays of genes stay at cells", "        obsm={},\n", ""),
    ),
    *_in(
        "counts/rounding",
        ("halves are rounded up", "new = np.rint(values)", "new = np.floor(values + 0.5)"),
        ("chance is the same for every seed", "default_rng(seed)", "default_rng(0)"),
        ("entries of one place are rounded by themselves", "block.sum_duplicates()", "pass"),
        ("a fraction below zero becomes zero", "(values < 0) | ", ""),
        ("nothing at all is a result", "== 0 <", "< 0 <"),
    ),
    *_in(
        "counts/parts",
        ("raw has the genes of X", 'return found, "raw/var" if', 'return found, "var" if'),
        ("a layer named like a sum is one", "whole not in keys and layer", "layer"),
        ("sums wrap", "else np.int64, copy", "else block.dtype, copy"),
        ("what is below zero vanishes in a sum", "block.data.min() < 0", "False"),
        ("a whole X is called a part", "if own >= whole * (1 - 1e-6)", "if own > whole"),
    ),
    *_in(
        "counts/genomes",
        ("nine tenths are pure", "> _PURE * total", ">= _PURE * total"),
        ("the user's column of genomes is lost", "if _COLUMN not in raw.obs:", "if True:"),
    ),
    *_in(
        "counts/axes",
        ("tags are genes", "if are_hashtags(", "if False and are_hashtags("),
        (
            "probes that are filtered count",
            "target[kept], genes = pd.factorize(ids[kept])",
            "target[:], genes = pd.factorize(ids)",
        ),
        ("nothing is ever turned", '== "genes_by_cells":\n        raw', '== "":\n        raw'),
    ),
    *_in(
        "counts/names",
        ("a symbol in front of each id is a genome", "<= _MOST_GENOMES", "<= 10**9"),
        ("one word at all ids is a symbol", "if 2 * len(set(symbols)) > len(symbols):", "if True:"),
        ("mitochondrial genes of mouse are metadata", ' and not name.startswith("mt-")', ""),
    ),
    *_in(
        "counts/simulation",
        (
            "later blocks have the library sizes of the first",
            "library_size[block, None]",
            "library_size[: block.stop - block.start, None]",
        ),
        (
            "later blocks have the states of the first",
            "rho[state[block]]",
            "rho[state[: block.stop - block.start]]",
        ),
    ),
    *_in(
        "counts/sizes",
        (
            "later rows of log-values have the first size factors",
            "inverse[first:last]",
            "inverse[: last - first]",
        ),
        (
            "library sizes overflow",
            "block.sum(axis=1, dtype=np.int64)",
            "block.sum(axis=1, dtype=np.int32)",
        ),
    ),
    *_in(
        "counts/spill",
        (
            "what just fits is spilled",
            "8 * self._n_nonzeros > self",
            "8 * self._n_nonzeros >= self",
        ),
        ("blocks are written again", "        self._blocks = []\n\n    def", "\n    def"),
    ),
    *_in(
        "counts/frames",
        ("a text may have a NUL in it", 'and "\\0" in text', 'and "\\0\\0" in text'),
        (
            "text of pandas stays where none is missing",
            "return pd.Series(column.to",
            "return column\n        return pd.Series(column.to",
        ),
        (
            "missing text becomes a word",
            "return pd.Categorical(column.astype(object).where(column.notna(), None))",
            "return pd.Categorical(column.astype(object).map(str))",
        ),
        ("categories lose their order", "ordered=dtype.ordered", "ordered=False"),
        (
            "the index keeps the text of pandas",
            "plain.index = _plain_index(table.index)",
            "plain.index = table.index",
        ),
        ("the input is changed", "table.copy(deep=False)", "table"),
        (
            "numbers that may be missing stay so",
            "isinstance(dtype, pd.Float32Dtype | pd.Float64Dtype)",
            "isinstance(dtype, pd.Float32Dtype)",
        ),
    ),
    *_in(
        "counts/thinning",
        (
            "later values have the theta of the first",
            "counts.indices[part]]",
            "counts.indices[: part.stop - part.start]]",
        ),
        (
            "half of the molecules whatever the fraction",
            "rng.beta(fraction * per_value",
            "rng.beta(per_value / 2",
        ),
        ("thinning without the extra variance", "p = rng.beta(", "p = fraction + 0 * rng.beta("),
        ("theta as of cells of one size", "(size_factor**2).sum()", "size_factor.sum()"),
        (
            "types are dispersion",
            "size_factor[start:stop], block),",
            "size_factor[start:stop] * 0, block),",
        ),
        (
            "the mean's own chance is taken for expression",
            "total * np.maximum(total - 1, 0)",
            "total * total",
        ),
        (
            "later folds have the dispersion of all molecules",
            "split_counts(rest, theta * left, frac",
            "split_counts(rest, theta, frac",
        ),
        ("later folds are smaller", "fraction=fraction / left", "fraction=fraction"),
    ),
    *_in(
        "counts/variable_genes",
        (
            "residuals are clipped by the first batch",
            "np.sqrt(moments.n_obs[batch])",
            "np.sqrt(moments.n_obs[0])",
        ),
        ("the mean rank", "np.nanmedian(ranks", "np.nanmean(ranks"),
        (
            "ties of votes are not broken",
            "(by_rank, -share) if votes_first",
            "(-share, -share) if votes_first",
        ),
        (
            "cells of no batch count as the last",
            "cells = np.flatnonzero(batches >= 0)",
            "cells = np.arange(len(batches))",
        ),
        (
            "later tiles of residuals have the first cells",
            "mu = np.outer(sizes[tile]",
            "mu = np.outer(sizes[cells[: len(tile)]]",
        ),
        (
            "a deviance is from a fraction of no batch",
            "part = total / np.maximum(everything, 1)",
            "part = total / np.maximum(everything.sum(), 1)",
        ),
        (
            "molecules of other genes are as expected",
            "special.xlogy(x, part) + special.xlog1py(sizes - x, -part)",
            "special.xlogy(x, part)",
        ),
        ("a deviance is below nothing", "np.maximum(2 * deviance, 0.0)", "2 * deviance - 1e-3"),
    ),
    *_in(
        "counts/permutation",
        ("samples share strata", "group * n_strata + part", "part"),
        ("strata are by lot", "np.lexsort((size_factor, group))", "np.lexsort((group,))"),
        ("depth does not matter", "expected = depth *", "expected = depth.mean() *"),
        ("the deepest cells get the least", "np.argsort(-draw)", "np.argsort(draw)"),
        ("deep types keep their genes", "if found > due + 2", "if found > due + 2e9"),
        (
            "counts stay where they are",
            "dealt[np.argsort(-draw)[: len(counts)]]",
            "dealt[of_genes.indices[of_genes.indptr[gene] : of_genes.indptr[gene + 1]]]",
        ),
    ),
    # io -------------------------------------------------------------------------------------------
    *_in(
        "io/files",
        (
            "a file takes its place before it is whole",
            "            yield temporary\n",
            "            yield path\n            temporary.touch()\n",
        ),
        ("a result is for its owner alone", "0o666 & ~umask", "0o600"),
        (
            "an old result stands beside a new table",
            "        Path(outputs[-1][0]).unlink(missing_ok=True)\n",
            "",
        ),
        (
            "the result takes its place first",
            "for path, _ in outputs[::-1]]",
            "for path, _ in outputs]",
        ),
        ("what is left is of any host", "{socket.gethostname()} {numbers}", "{numbers}"),
        ("what is left is of any container", "{socket.gethostname()} {numbers}", "x"),
        ("what a process that runs writes is removed", " and _is_gone(int(number))", ""),
    ),
    *_in(
        "io/crashes",
        ("the verb is the command", "os.fork()", "0"),
        (
            "the file read first is named",
            "if _note is not None:",
            "if _note is not None and not _note[0]:",
        ),
        ("a longer name shows behind a shorter", 'name + b"\\0"', 'name + b"\\0"[:0]'),
        ("the verb goes on alone", ".prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)", ".getpid()"),
        ("no signal is passed on", "os.kill(child, number)", "pass"),
        ("a killed verb is a finished command", "    os.kill(os.getpid(), number)\n", ""),
    ),
    *_in(
        "io/results",
        ("a table's file is not named", """(path), f"'{path}'")""", '(path), "it")'),
        (
            "a record is not looked at",
            "        result.require(adata, f\"'{path}'\")\n",
            "        pass\n",
        ),
        ("names may repeat", "    slots.require_unique(adata, f\"'{path}'\")\n", ""),
    ),
    *_in(
        "io/rows",
        ("a line may be short", "if len(line) != len(header):", "if len(line) > len(header):"),
        ("a column may be there twice", "header.count(name) != 1", "name not in header"),
        ("no column may lack", "f.default is dataclasses.MISSING or", "True or"),
    ),
    *_in(
        "counts/stored",
        (
            "row pointers may fall",
            "falls = pointers[1:] < pointers[:-1]",
            "falls = np.zeros(1, bool)",
        ),
        (
            "an index one beyond its axis is inside",
            "indices.max() >= n_columns",
            "indices.max() > n_columns",
        ),
        ("an index below zero is inside", "if indices.min() < 0 or ", "if "),
        (
            "a matrix of the other layout is read transposed",
            "(n_columns + 1,):\n        other",
            "(-1,):\n        other",
        ),
        ("the last row pointer is not looked at", " or pointers[-1] != n_stored:", ":"),
    ),
    *_in(
        "io/guards",
        ("any number of texts", "if n_texts != math.prod(array.chunks):", "if False:"),
        ("links in HDF5 are followed", "if not isinstance(link, h5py.HardLink):", "if False:"),
        ("data in other files are read", "if dataset.is_virtual or dataset.external:", "if False:"),
        ("missing chunks read as zeros", "    if found < needed:", "    if False:"),
        (
            "chunks within a shard are counted as shards",
            "array.nchunks_initialized // inside",
            "array.nchunks_initialized",
        ),
    ),
    *_in(
        "io/h5ad",
        (
            "a column may be anything",
            "if isinstance(column, h5py.Group) and not",
            "if False and not",
        ),
        (
            "tables are taken as they are read",
            "return _make_plain(adata)",
            "return adata",
            "tests/test_pandas_text.py read_is_of_one_kind",
        ),
        (
            "tables in obsm are taken as they are read",
            "arrays.update(_plain_items(arrays))",
            "pass",
            "tests/test_pandas_text.py read_is_of_one_kind",
        ),
        (
            "columns are widened as the first of them",
            "narrow[start : start + 64 * _HDF5_CHUNK]",
            "narrow[: 64 * _HDF5_CHUNK]",
        ),
        (
            "columns stay narrow",
            "_widen_indices(group, options)\n            _append",
            "pass\n            _append",
        ),
        ("more rows than promised", "if rows != shape[0]", "if rows < shape[0]"),
        (
            "pointers of later blocks begin anew on disk",
            "indptr.append(indptr[-1][-1] + block",
            "indptr.append(block",
        ),
    ),
    *_in(
        "io/hdf5",
        ("the last error of the disk", "self._error = self._error or error", "self._error = error"),
        ("writing goes on after an error", "while left and self._error is None", "while left"),
        (
            "what HDF5 met goes before the disk",
            "            disk.check()\n            raise",
            "            raise",
        ),
    ),
    *_in(
        "io/panel",
        (
            "a field beyond the header moves the columns",
            "if not isinstance(table.index, pd.RangeIndex):",
            "if False:",
        ),
        ("NA is no name of a cell type", "keep_default_na=False", "keep_default_na=True"),
        (
            "a path that ends as a panel is called is the panel",
            "if path in SHIPPED_PANELS else",
            "if Path(path).name in SHIPPED_PANELS else",
        ),
    ),
    *_in(
        "io/formats/__init__",
        (
            "damage in a later block is a traceback",
            "            with explain_damage(path, kind):\n                block",
            "            with contextlib.nullcontext():\n                block",
            "tests/io/formats/test_formats.py",
        ),
        (
            "an option without effect is taken",
            "if kind in kinds and value",
            "if False and value",
            "tests/io/formats/test_formats.py without_effect",
        ),
        (
            "the name goes before the option",
            "options.format or recognize_format(path)",
            "recognize_format(path) or options.format",
            "tests/io/formats/test_formats.py",
        ),
    ),
    *_in(
        "io/formats/annotated",
        (
            "a group without names is an old table",
            'and "_index" not in table.attrs:',
            "and False:",
        ),
        (
            "the tables need not fit the matrix",
            "if shape != (len(obs), len(var))",
            "if shape[1] != len(var)",
        ),
        ("genes of X for raw", 'store["obs"], store[var_key]]', 'store["obs"], store["var"]]'),
        ("any modality will do", "or names\n    if len", "or names[:1]\n    if len"),
        ("rows for columns", 'kind == "csc_matrix" or', 'kind == "csr_matrix" or'),
        ("float16 is said to be exact", ".dtype == np.float16", ".dtype == np.float32"),
    ),
    *_in(
        "io/formats/loom",
        ("an attribute may be too short", "if len(values) != size:", "if len(values) > size:"),
        ("chunks are cut", "step // wide * wide", "step"),
        ("blocks are wider than the budget", "min(step, wide)", "wide"),
        ("numbers that repeat name cells", "len(np.unique(named)) < len(named)", "False"),
    ),
    *_in(
        "io/formats/features",
        ("antibodies are genes", "word.strip().lower() == _EXPRESSION", 'word != ""'),
        ("types in 10x's own case only", "any(word.strip().lower() in", "any(word.strip() in"),
        ("a type that was cut off sets its gene aside", "_EXPRESSION.startswith(bare)", "False"),
    ),
    *_in(
        "io/formats/layouts",
        (
            "the other of plain and gzipped",
            'name.endswith(".gz") == self.is_gzip',
            'name.endswith(".gz") != self.is_gzip',
        ),
        (
            "two matrices need not be alike",
            "if read_shape(found[0]) != read_shape(found[1]):",
            "if False:",
        ),
        (
            "another sample's table is of the series",
            "and not any(other and name.startswith(other) for other in others)",
            "",
        ),
        (
            "files that another system left are read",
            'if not entry.name.startswith(".")',
            "if entry.name",
        ),
    ),
    *_in(
        "io/formats/matrix_market",
        ("a cell ends with its part", "stop = int(part[0].max())", "stop = int(part[0].max()) + 1"),
        (
            "entries in parts need not be sorted",
            "cells[0] >= last and ",
            "",
            "tests/io/formats/test_mtx.py",
        ),
        ("more entries than promised", "if found != n_entries", "if found < n_entries"),
        ("an entry beyond the last cell", "cells.max() >= n_obs", "cells.max() > n_obs"),
        (
            "a place between two rows",
            'if column.dtype.kind == "f" and',
            'if column.dtype.kind == "x" and',
        ),
        (
            "only Cell Ranger's numbers",
            '("integer", "unsigned-integer", "real")',
            '("integer", "real")',
        ),
    ),
    *_in(
        "io/formats/tenx_h5",
        (
            "a matrix of probes needs their filter",
            '"probe_region", "filtered_probes"]',
            '"filtered_probes"]',
        ),
        (
            "CellBender's group is a genome",
            '_GROUPS = ("matrix", "background_removed")',
            '_GROUPS = ("matrix",)',
        ),
    ),
    *_in(
        "io/formats/text",
        ("text after counts is a label", "n_labels < len(first) - 1 and not", "not"),
        (
            "metadata are looked for among the cells",
            'options.orientation == "genes_by_cells"',
            'options.orientation == ""',
        ),
        ("a separator at the end is a gene", 'first[-1] == "" and', 'first[-1] == " " and'),
        (
            "R's header loses a name",
            "len(header) == len(first) - 1",
            "len(header) == len(first) - 2",
        ),
    ),
    # model ----------------------------------------------------------------------------------------
    *_in(
        "model/axes",
        (
            "an encoder that is told does not bring its prior",
            'prior = "kl" if options.encoder == "variational" else "none"',
            'prior = "kl"',
        ),
        (
            "a contractive network may have dropout",
            'norm != "none" or axes.dropout_rate',
            'norm != "none"',
        ),
        ("every axis is in the file", " or value != LATER_FIELDS[name]", " or True"),
        (
            "tied weights pass over batches",
            "axes.tied_weights and (n_batches or ",
            "axes.tied_weights and (",
        ),
        (
            "a prior keeps a weight that it does not take",
            'prior_shape="normal", prior_weight=0.0)',
            ")",
        ),
        ("any layers can be residual", "one == next_ for one", "True for one"),
        (
            "one batch is told apart from none",
            "return len(self.batches) if len(self.batches) > 1 else 0",
            "return len(self.batches)",
        ),
    ),
    *_in(
        "model/likelihoods",
        ("a laplace has half its scale", "+ p.log_theta - math.log(2)", "+ p.log_theta"),
        (
            "presence corrects nothing",
            "_bernoulli_positive(p) - _poisson_zero(p)",
            "_bernoulli_positive(p)",
        ),
        ("no molecules are one outcome of two", "torch.where(total > 0, rest, 1.0)", "rest"),
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
            "total = reconstruction + kl_weight * kl\n",
            "total = reconstruction + kl\n",
        ),
        (
            "theta is no part of the decoder",
            '"pi_logits.", "log_theta", "continuous_")',
            '"pi_logits.", "continuous_")',
            "tests/model/test_fitted.py",
        ),
        (
            "the input is corrupted after training",
            "if self.training and config.gene_mask",
            "if config.gene_mask",
        ),
        (
            "what is left of thinned molecules is not scaled up",
            "counts.values, kept) / kept",
            "counts.values, kept)",
        ),
        (
            "noise is scaled like the input",
            "functional.linear(self._noise(cells), linear.weight[:, :n_genes])",
            "functional.linear(self._noise(cells), weight)",
        ),
        (
            "the l1 norm is of the draw",
            "self._penalty(code, h,",
            "self._penalty(z, h,",
            "tests/model/test_penalties.py",
        ),
        (
            "a multinomial lacks its total in the compiled loops",
            "total, parts = total + rest.sum(), parts + rest",
            "pass",
        ),
        (
            "tied layers are in the encoder's order",
            "*reversed(self.encoder.linear)]",
            "*self.encoder.linear]",
        ),
        (
            "a penalty is not in the loss",
            "total = total + penalty",
            "pass",
            "tests/model/test_penalties.py",
        ),
    ),
    *_in(
        "model/layers",
        ("a first layer is skipped", "i > 0 and one == other", "one == other"),
        (
            "a tied layer has all inputs of its source",
            "weight[:, : self.out_features].t()",
            "weight.t()",
        ),
    ),
    *_in(
        "counts/measured",
        ("a gene is everywhere that is somewhere", "genes.all(axis=0)", "genes.any(axis=0)"),
        ("a missing gene is the last one", " & (columns >= 0)", ""),
        (
            "sums are over all cells",
            "return of_set @ self.genes",
            "return of_set.sum() + 0 * self.genes[0]",
        ),
        (
            "molecules may be where nothing was measured",
            "& ~self.genes\n",
            "& self.genes & False\n",
        ),
        (
            "cells have the set of another sample",
            "np.searchsorted(present, of_sample)",
            "0 * of_sample",
        ),
        (
            "steps that count zeros go on",
            "if measured is not None:\n        n_genes",
            "if False:\n        n_genes",
        ),
    ),
    *_in(
        "model/imputation",
        ("hidden genes are seen", "Hidden(restrict(part, kept)", "Hidden(part"),
        (
            "genes that nobody measured are hidden",
            "whole.mask(at) & ~kept",
            "whole.mask(at) | ~kept",
        ),
        (
            "extra zeros are molecules",
            "absent = pi + (1 - pi) * absent",
            "absent = (1 - pi) * absent",
        ),
        ("gaps are zeros to neighbours", "np.maximum(n_measured, 1)\n", "n_rows\n"),
        ("what was not hidden counts", "np.where(mask, deviance, 0)", "deviance"),
        ("recall is of all that is expressed", "np.minimum(n_true[some], k)", "n_true[some]"),
    ),
    *_in(
        "model/decoding",
        ("one seed counts twice", "if other.record.seed in seeds:", "if False:"),
        (
            "molecules of other genes are shared out",
            "restrict(block, was_measured[one])",
            "restrict(block, was_measured[one] | True)",
        ),
        (
            "batches count alike",
            "np.asarray(model.batch_sizes, dtype=np.float32)",
            "np.ones(len(model.batch_sizes), dtype=np.float32)",
        ),
        (
            "a gene is decoded where it was never measured",
            "part[reference, was_measured[reference]] = 1",
            "part[:], part[reference] = 0, 1",
        ),
    ),
    *_in(
        "model/compiled/likelihood_loops",
        (
            "gaps take their share",
            "_hide(measured[gene_set[i]], share)",
            "pass",
            "tests/model/compiled/test_layers.py",
        ),
        (
            "gaps have a theta",
            "_leave_out(of_cell, by_theta)",
            "pass",
            "tests/model/compiled/test_layers.py",
        ),
    ),
    *_in(
        "training/gradients",
        (
            "what enters for a gap has no gradient",
            "self._by_weight.addmm_(self._absent.t(), by_set)",
            "pass",
            "tests/training/test_gradients.py -k by_hand_where_genes",
        ),
    ),
    *_in(
        "steps/normalize",
        ("means are over all cells", "measured.sums(np.ones(len(measured.of_cell)))", "None"),
        (
            "panels are ranked as one batch",
            "batches * n_sets + measured.of_cell)",
            "batches * n_sets)",
        ),
    ),
    *_in(
        "steps/merge",
        (
            "a gene is measured in the samples that lack it",
            "rest.var_names.isin(index)",
            "~rest.var_names.isin(index)",
        ),
    ),
    *_in(
        "steps/recommend",
        ("genes that were measured are named", "np.where(absent, found, -np.inf)", "found"),
        ("the least probable is first", "np.argsort(-score, axis=1", "np.argsort(score, axis=1"),
    ),
    *_in(
        "model/priors",
        ("a ball is empty inside", "* uniform ** (1 / n_latent)", ""),
        ("the parts of a mixture are too far out", "(1 - _PART_SD**2) * n_latent", "n_latent"),
        ("the mmd has the bias of the diagonal", " - kernel[rows, rows].diagonal().sum()", ""),
        (
            "the discriminator's loss moves the encoder",
            "softplus(self(z.detach()))",
            "softplus(self(z))",
        ),
        (
            "the encoder helps the discriminator",
            "own, softplus(-fooled).mean()",
            "own, softplus(fooled).mean()",
        ),
    ),
    *_in(
        "training/balance",
        (
            "a posterior of one dimension is collapsed",
            "_ACTIVE_VARIANCE).any()",
            "_ACTIVE_VARIANCE).all()",
        ),
        (
            "a blind discriminator is always a fault",
            "accuracy < _BLIND and distance > _FAR",
            "accuracy < _BLIND",
        ),
        ("an accuracy is that of one side", "(1 + told[0] - told[1]) / 2", "told[0]"),
    ),
    *_in(
        "model/penalties",
        ("the slope of a gelu is its distribution alone", "ndtr(h) + h * density", "ndtr(h)"),
        (
            "a skipped layer's derivative is its own alone",
            "passed + left if is_skipped else passed",
            "passed",
        ),
        (
            "the first layer has no slope",
            "left = left * slope(activation, entering[0])[:, None, :]\n",
            "",
        ),
        ("the ridge is on the probability itself", ".square().sum(dim=1)", ".sum(dim=1)"),
    ),
    *_in(
        "model/header",
        ("a digest of the weights alone", "canonical([rest, names])", "canonical([names])"),
        (
            "a digest of the header alone",
            "digest_of(text, *(tensors[name].numpy() for name in names))",
            "digest_of(text)",
        ),
        ("weights that are no numbers", "not torch.isfinite(tensors[name]).all()", "False"),
        ("axes of any value", "TrainOptions(**{k: v", "dict(**{k: v"),
    ),
    *_in(
        "model/fitted",
        (
            "no digest is looked at",
            ">= DIGEST_SINCE",
            "> DIGEST_SINCE",
            "tests/model/test_header.py",
        ),
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
            "a cell without molecules has no size factor",
            "return np.maximum(library_size, 1) / self.median_library_size",
            "return library_size / self.median_library_size",
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
    ),
    *_in(
        "model/modelled",
        (
            "the batches of later blocks are those of the first cells",
            "None if batch is None else batch[start:stop],",
            "None if batch is None else batch[: stop - start],",
        ),
        (
            "a library that is known is counted again",
            "model.size_factors(known[start:stop])",
            "model.size_factors(library_sizes(block))",
        ),
        (
            "the digest leaves the continuous covariates out",
            "(self.size_factor, self.batch, self.continuous, *sets)",
            "(self.size_factor, self.batch, *sets)",
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
            "a median passes over zeros",
            "np.concatenate([np.zeros(n_cells - len(found)), found])",
            "found",
        ),
        ("presence has the means' share", "for _ in range(_NEWTON_STEPS):", "for _ in range(0):"),
        (
            "a multinomial's shares are more than one",
            "log_share -= np.log(np.exp(log_share).sum())",
            "pass",
        ),
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
        "model/scree",
        ("one molecule of a rare gene is a dimension", "_CLIP = 10.0", "_CLIP = 1e9"),
        ("dispersion is taken for dimensions", "* share / theta[genes])", "* 0 / theta[genes])"),
        ("the threshold is of the shorter side", "* np.sqrt(longer)", "* np.sqrt(shorter)"),
        ("no more values are computed than at first", "scree.n_above < n or n == most", "True"),
    ),
    *_in(
        "model/baselines",
        (
            "the gene scale of PCA forgets the size factor",
            "decoded += factor @ rho",
            "decoded += rho.sum(axis=0)",
        ),
        ("residuals are not clipped", "np.clip(residual, -self.clip, self.clip)", "residual"),
    ),
    *_in(
        "counts/components",
        (
            "the sign of a component is the solver's",
            "rows * np.sign(rows[np.arange(n), peak])[:, None]",
            "rows * 1.0",
        ),
        ("smallest components first", "rows = vectors.T[::-1]", "rows = vectors.T"),
        ("the start of Lanczos is drawn", "v0=np.ones(n_genes)", "v0=None"),
        ("the largest by absolute value", 'which="LA"', 'which="SA"'),
        ("cells that are alike have no components", "except ArpackError:", "except KeyError:"),
        ("only the last block of cells has products", "beta=1.0", "beta=0.0"),
        ("the first block of cells again", "rows[start : start + _BLOCK", "rows[0 : _BLOCK"),
        ("products of one side alone", "total[gene + 1 :, gene] =", "_ ="),
        (
            "one gene less is decomposed",
            "[n_genes - n, n_genes - 1]",
            "[n_genes - n - 1, n_genes - 2]",
        ),
    ),
    *_in(
        "model/molecules",
        ("theta of a fold is that of all molecules", "        theta * fraction,", "        theta,"),
        ("means are those of training", "floor) * fold.ratio", "floor)"),
        (
            "the nb loss forgets the counts",
            "(fold.theta + x) * log_ratio",
            "fold.theta * log_ratio",
        ),
        (
            "a gene said to be nowhere costs next to everything",
            "_FLOOR_MOLECULES / len(fold.training)",
            "1e-300",
        ),
        (
            "molecules in training leave an extra zero possible",
            "np.where(part.X.toarray() > 0, 0.0, pi",
            "np.where(part.X.toarray() > 1e9, 0.0, pi",
        ),
        ("theta of all molecules predicts a fold", "theta * fold.ratio", "theta * 1.0"),
        ("levels are of the genes' order", "ranks * min(", "np.arange(n_genes) * min("),
        ("variance is Poisson's", "(mu + mu**2 / fold.theta)", "(mu + 0 * fold.theta)"),
        (
            "later blocks are scored as the first",
            "[rows].toarray().astype(np.float64)\n        of_x",
            "[: rows.stop - rows.start].toarray().astype(np.float64)\n        of_x",
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
            "the last step is not validated",
            "is_validated = is_last or schedule.step % options.validate_every == 0",
            "is_validated = schedule.step % options.validate_every == 0",
            "tests/training/test_schedule.py",
        ),
    ),
    *_in(
        "training/schedule",
        (
            "a better loss does not start the patience anew",
            "waited = self.step - max(self.best_step, options.kl_warmup_steps)",
            "waited = self.step - options.kl_warmup_steps",
        ),
        (
            "the patience does not wait for the weight of the KL",
            "waited = self.step - max(self.best_step, options.kl_warmup_steps)",
            "waited = self.step - self.best_step",
        ),
        (
            "a lowered rate is lowered at every validation",
            "since = self.step - max(self.lowered_step, self.best_step)",
            "since = self.step - self.best_step",
        ),
        (
            "a loss that is as good is better",
            "is_best = row.validation_loss < self.best_loss",
            "is_best = row.validation_loss <= self.best_loss",
        ),
        (
            "the weight of the KL rises a step late",
            "return min(1.0, (self.step + 1) / max(1, options.kl_warmup_steps))",
            "return min(1.0, self.step / max(1, options.kl_warmup_steps))",
            "tests/training/test_loop.py rises",
        ),
        (
            "a rollback keeps its rate",
            """            )
        self.learning_rate *= options.plateau_factor""",
            """            )""",
            "tests/training/test_state.py",
        ),
    ),
    *_in(
        "training/state",
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
        "training/fused/choice",
        (
            "a step that is not what autograd does is used",
            "if error <= _BOUNDS[model.network.products]:",
            "if error >= 0:",
            "tests/training/fused/test_choice.py fails",
        ),
        (
            "a comparison moves the network",
            "value.copy_(old)",
            "pass",
            "tests/training/fused/test_choice.py within",
        ),
    ),
    *_in(
        "training/fused/feed",
        (
            "all of an array is sent",
            "self.there[name][part].copy_(slot.host[name][part])",
            "self.there[name].copy_(slot.host[name])",
        ),
    ),
    *_in(
        "training/fused/gradients",
        (
            "covariates overwrite the last unit beside them",
            "end = self.own.shape[1]",
            "end = self.own.shape[1] - 1",
            "tests/training/fused/test_gradients.py every_way",
        ),
    ),
    *_in(
        "training/fused/plain",
        (
            "both kinds of draws share their words",
            "_OF_DROPOUT, _OF_NOISE = 0, 1",
            "_OF_DROPOUT, _OF_NOISE = 0, 0",
            "tests/training/fused/test_plain.py draws",
        ),
        (
            "a row reads the first count of the next",
            "inside = at < stop[:, None]",
            "inside = at <= stop[:, None]",
            "tests/training/fused/test_plain.py padding",
        ),
    ),
    *_in(
        "training/fused/source",
        (
            "all steps are of the first one's cells",
            "return self._csr_rows[step], self._rows[step]",
            "return self._csr_rows[0], self._rows[step]",
        ),
    ),
    *_in(
        "training/fused/stepper",
        (
            "what is multiplied in bfloat16 stays behind the weights",
            "        self.gradients.heads.cast()\n        self.draw(n_steps)",
            "        self.draw(n_steps)",
            "tests/training/fused/test_stepper.py cast",
        ),
        (
            "all steps of a replay draw the same",
            "self.noise[step], source",
            "self.noise[0], source",
            "tests/training/fused/test_stepper.py however",
        ),
    ),
    *_in(
        "training/fused/weights",
        (
            "biases of genes are decayed",
            "if group[0] not in PER_GENE:",
            "if True:",
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
    # programs -------------------------------------------------------------------------------------
    *_in(
        "model/traversals",
        ("changes are in nats", "(of_place - of_place[0]) / np.log(2)", "of_place - of_place[0]"),
        ("changes are from the place before", "of_place - of_place[0]", "of_place - of_place[-1]"),
        ("log-values are molecules", "torch.expm1(eta).clamp(min=0) * scale", "torch.exp(eta)"),
        ("cells are of the first batch", "model.reference_code(None)", "0"),
        ("loadings are of the batch, too", "weight[:, : model.n_latent].copy()", "weight.copy()"),
        ("every decoder has loadings", "if len(model.network.decoder.linear):", "if False:"),
        ("a moved cell has one molecule", "(DEPTH * of_all)", "of_all"),
    ),
    *_in(
        "cells/seeds",
        (
            "a flipped program is none",
            "correlation = np.abs(own @ others.T)",
            "correlation = (own @ others.T)",
            "tests/cells/test_seeds.py -k programs",
        ),
        (
            "programs keep their level",
            "one - one.mean(axis=1, keepdims=True) for one in (own, others)",
            "one for one in (own, others)",
            "tests/cells/test_seeds.py -k programs",
        ),
        (
            "what is spanned is its root",
            "(left / np.maximum(length, 1e-12)) ** 2",
            "(left / np.maximum(length, 1e-12))",
            "tests/cells/test_seeds.py -k programs",
        ),
    ),
    *_in(
        "steps/programs",
        (
            "a dimension is moved as far as it goes",
            "percentiles = np.linspace(options.low, options.high,",
            "percentiles = np.linspace(0, 100,",
        ),
        (
            "the farthest clusters first",
            "pairs.sort(key=lambda pair: float(",
            "pairs.sort(key=lambda pair: -float(",
        ),
        ("rare genes are listed", "kept = order[is_listed[order] & (sign", "kept = order[(sign"),
        ("still genes are listed", ">= options.min_log2_fold_change]", ">= 0]"),
        (
            "what falls is what rises",
            "order = np.argsort(-sign * change,",
            "order = np.argsort(-change,",
        ),
        ("latents of another seed go", 'or record.get("seed", seed) != seed:', "or False:"),
        (
            "another seed is asked for its starts",
            "np.stack([one.log2_fold_change[-1] for one in others])",
            "np.stack([one.log2_fold_change[0] for one in others])",
        ),
        (
            "cells of all clusters are moved",
            "own = np.flatnonzero(labels == one)",
            "own = np.arange(len(labels))",
        ),
    ),
    *_in(
        "steps/assemble",
        (
            "programs are of all genes",
            "        _add_varm(frame, programs, added)",
            "        pass",
            "tests/verbs/test_programs.py -k test_verb",
        ),
    ),
    *_in(
        "report/programs",
        (
            "cells have the colour of the first program",
            "values = z[rows, int(name[1:])]",
            "values = z[rows, 0]",
        ),
        (
            "bars go as they like",
            'own[own["change"] == "falls"][::-1]',
            'own[own["change"] == "falls"]',
        ),
        ("genes of another run are the last one", "if (columns < 0).any():", "if False:"),
        ("other clusters are none", "if not all(one.any() for one in ends):", "if False:"),
    ),
    *_in(
        "report/anomalies",
        (
            "genes as they stand",
            'np.argsort(-np.abs(outliers.data), kind="stable")',
            "np.arange(len(outliers.data))",
        ),
        ("a cell's place is its row", "int(np.searchsorted(shown, row))", "row"),
    ),
    *_in(
        "report/inputs",
        (
            "the strangest may not be drawn",
            "return np.sort(np.concatenate([named, others]))",
            "return np.sort(drawn)",
            "tests/report/test_anomalies.py",
        ),
    ),
    *_in(
        "cells/anomalies",
        ("depth stays in a score", "return scores - design @ fitted", "return scores"),
        (
            "new cells make the trend",
            "np.linalg.lstsq(design[calibration], scores[calibration], rcond=None)",
            "np.linalg.lstsq(design, scores, rcond=None)",
        ),
        (
            "a cell is compared with itself",
            "is_itself = others == np.arange(len(scores))[:, None]",
            "is_itself = others < 0",
        ),
        ("a new cell has p 0", "at_least / (n_normal + 1)", "(at_least - 1) / (n_normal + 1)"),
        ("a tie is less strange", 'side="left"', 'side="right"'),
        (
            "luck of the calibration cells is left out",
            "fdr[few] = np.maximum(fdr[few], most / called[few])",
            "pass",
        ),
        ("a step up makes the rate fall", "np.minimum.accumulate(fdr[::-1])[::-1]", "fdr"),
        (
            "what is seen counts as less",
            "betainc(np.maximum(x, 1), theta,",
            "betainc(x + 1, theta,",
        ),
        ("extra zeros are none", "at_most = pi + (1 - pi) * at_most", "at_most = at_most"),
        ("one tail is all", "np.minimum(2 * np.minimum(", "np.minimum(1 * np.minimum("),
    ),
    *_in(
        "cells/doublets",
        ("a cell is its own neighbour", "distances[itself, at + itself] = np.inf", "pass"),
        ("variances are not made equal", "scaled.data /= sd[scaled.indices]", "pass"),
        ("doublets are not brought to one depth", "_per_million(X[some[:, 0]]", "(X[some[:, 0]]"),
        ("the ratio of doublets is one", "ratio = len(pairs) / n_cells", "ratio = 1.0"),
    ),
    *_in(
        "cells/neighbors",
        ("a point is its own nearest other", "and start + j != i", "and start + j >= 0"),
        ("too few points of near groups are enough", "where) < n_neighbors", "where) < 0"),
        ("rows of the ordered points", "groups.order[rows], squares)", "rows, squares)"),
        ("a place where a point is is not near it", "itself = i if is_own else -1", "itself = i"),
        (
            "the last of several blocks starts anew",
            "rows[i - starts[begin]]",
            "rows[i - starts[group]]",
        ),
        ("squared distances", "np.sqrt(np.take_along_axis(", "(np.take_along_axis("),
        (
            "the last dimension is left out",
            "+ (f[j] - w) * (f[j] - w)\n                )\n        else",
            ")\n        else",
        ),
    ),
    *_in(
        "cells/graph",
        (
            "the graphs of several seeds are added up",
            "/ np.float32(len(graphs))",
            "/ np.float32(1)",
        ),
        (
            "a cell of a later block is its own neighbour",
            "distance[rows - start, rows] = np.inf",
            "distance[rows - start, rows - start] = np.inf",
        ),
        (
            "a cell of many is not among its own neighbours",
            "np.column_stack([np.zeros(n_obs), distances])",
            "np.column_stack([distances, np.zeros(n_obs)])",
        ),
        (
            "scanpy's last neighbour is a link",
            "rows[:, :n_neighbors], distances[:, :n_neighbors].astype",
            "rows, distances.astype",
        ),
        (
            "what is near both ways counts twice",
            "one_way + other_way - one_way.multiply(other_way)",
            "one_way + other_way",
        ),
        ("links add up to more", "np.log2(n_links))", "np.log2(n_links + 1))"),
        ("communities of another seed", "RandomState(seed)", "RandomState(seed + 1)"),
        (
            "a neighbour of another cell counts as recalled",
            "np.isin(reference + offset, neighbors + offset)",
            "np.isin(reference, neighbors)",
        ),
    ),
    *_in(
        "cells/stability",
        (
            "a cell that a subsample leaves out is one that it lost",
            "n_drawn[rows] += 1",
            "n_drawn += 1",
        ),
        ("the middle 80 % instead of 90 %", "_PERCENTILES = (5, 95)", "_PERCENTILES = (10, 90)"),
        (
            "a boundary of two clusters believed by the mean of its agreement",
            "return summarize_agreement(values).low",
            "return summarize_agreement(values).mean",
        ),
        (
            "a cluster that has grown keeps its old boundaries",
            "changed = {first}",
            "changed = set()",
        ),
        (
            "a cluster named by the cell of the smallest number in it",
            "return table.argmax(axis=1)[number]",
            "return (table > 0).argmax(axis=1)[number]",
        ),
        (
            "agreement without what chance gives",
            "expected = in_first * in_second / n_pairs if n_pairs else 0.0",
            "expected = 0.0",
        ),
    ),
    *_in(
        "cells/valleys",
        ("any significant ripple is a valley", "_MAX_RATIO = 0.85", "_MAX_RATIO = 1.0"),
        (
            "no gap is wide enough by itself",
            "distance > min_gap * spread",
            "distance > 99 * spread",
        ),
        (
            "the axis is fitted to the cells it divides",
            "for fit, use in ((even, ~even), (~even, even)):",
            "for fit, use in ((even, even), (~even, ~even)):",
        ),
    ),
    *_in(
        "cells/seeds",
        ("a cell agrees with itself", "other = graph.indices != rows", "other = rows >= 0"),
        (
            "what is common counts twice",
            "agreement += both / np.maximum(count[first] + count[second] - both, 1)",
            "agreement += both / np.maximum(count[first] + count[second], 1)",
        ),
        (
            "neighbours are of the first pair alone",
            "pairs = list(combinations(range(len(near)), 2))",
            "pairs = list(combinations(range(len(near)), 2))[:1]",
        ),
        (
            "chance knows nothing of the number of cells",
            "/ max(n_obs - 1, 1)\n        chance",
            "/ 100\n        chance",
        ),
        (
            "a large subtype is found by its size",
            "value = adjusted_rand_index(labels == one, found == one)",
            "value = float((found == one)[labels == one].mean())",
        ),
        ("a latent is cut into as many as there are", "_FINER = (1, 2, 4)", "_FINER = (1,)"),
        (
            "a cell is sure where its subtype is not found",
            "found_again & (of_seed >= FOUND)[labels]",
            "found_again",
        ),
        (
            "samples are subtypes",
            "        center_samples(points,",
            "        center_samples(1 * points,",
        ),
    ),
    *_in(
        "cells/subtypes",
        (
            "a split believed by the mean of its agreement",
            "if agreement.low < options.min_stability:",
            "if agreement.mean < options.min_stability:",
        ),
        ("the fewest supported subtypes are kept", "k = max(kept)", "k = min(kept)"),
        (
            "a final subtype of any size is kept",
            "np.bincount(final, minlength=k).min() >= options.min_subtype_cells",
            "np.bincount(final, minlength=k).min() >= 0",
        ),
        ("two held-out cells are tested", "tested.min() < 3", "tested.min() < 2"),
        (
            "markers are tested on the molecules that proposed them",
            "points, proposing, second, size_factor, genes, k, options, rng\n        )",
            "points, proposing, first, size_factor, genes, k, options, rng\n        )",
        ),
    ),
    *_in(
        "cells/markers",
        (
            "ties are not corrected for",
            "unequal = n_obs + 1 - ties / max(1, n_obs * (n_obs - 1))",
            "unequal = n_obs + 1",
        ),
        ("no continuity correction", "np.abs(difference) - 0.5", "np.abs(difference)"),
        (
            "a false discovery rate falls where p rises",
            "np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1]",
            "scaled",
        ),
        ("nothing is added to the mean of the others", "(outside + _PSEUDO_COUNT)", "outside"),
        (
            "the wrong direction speaks for a marker",
            "np.where(z > 0, p_value, 1.0)",
            "np.where(z != 0, p_value, 1.0)",
        ),
        (
            "a marker need not beat every other subtype",
            "z.min(axis=0), p_value.max(axis=0)",
            "z.min(axis=0), p_value.min(axis=0)",
        ),
        (
            "the best fold change of a marker is reported",
            "change.min(axis=0)",
            "change.max(axis=0)",
        ),
    ),
    *_in(
        "cells/panels",
        (
            "a marker is looked for by its symbol first",
            "by_id.get(gene_id, by_symbol.get(symbol, -1) if symbol else -1)",
            "by_symbol.get(symbol, by_id.get(gene_id, -1))",
        ),
        (
            "typical values are parts already",
            "rate[found] / _TYPICAL_UNIT",
            "rate[found]",
        ),
        (
            "a type may be its own ancestor",
            'above = parent[above] if above else ""',
            'above = ""',
        ),
    ),
    *_in(
        "cells/cell_types",
        (
            "negative markers do not count",
            "(_TYPICAL_AGAINST, negative, _NEGATIVE)",
            "(_TYPICAL_AGAINST, negative, _POSITIVE)",
        ),
        (
            "a child's confidence forgets its parent's",
            "np.arange(len(cells)), best] * confidence[cells]",
            "np.arange(len(cells)), best]",
        ),
        (
            "depth is not in the model",
            "typical = library_size * np.where",
            "typical = np.where",
        ),
        ("the cell's own molecules do not count", " + of_cell)", ")"),
        (
            "a parent that its markers refute takes its child's",
            "total[:, position] += expit(evidence[:, position] - _PARENT_REFUTED) * best",
            "total[:, position] += best",
        ),
        ("no type is in no cell", "np.exp(_NONE - top))", "0)"),
        ("tissues that the panel lacks have names", "said -= _UNKNOWN *", "said -= 0 *"),
        ("types of few markers have no name", "/ _ENOUGH) ** 2", "/ 3.0) ** 2"),
        ("an off gene has the spread of an on one", "+ np.log1p(off)", ""),
        (
            "evidence is carried between clusters",
            "inside = clusters[edges.row] == clusters[edges.col]",
            "inside = clusters[edges.row] == clusters[edges.row]",
        ),
    ),
    # compression ----------------------------------------------------------------------------------
    *_in(
        "compression/codes",
        ("counts are stored without gzip", '{"compression": "gzip", "chunks"', '{"chunks"'),
        ("the smallest value is not subtracted", "np.rint((z - low) / safe)", "np.rint(z / safe)"),
        ("a code pays from one cell sooner", "int(np.ceil(fixed_bytes", "int(np.floor(fixed_bytes"),
        (
            "rows of a second block point into the first",
            "nonzeros + block.indptr[1:]",
            "block.indptr[1:]",
        ),
        ("a tensor costs what it has in memory", "one.compress_size", "one.file_size"),
    ),
    *_in(
        "compression/decoder",
        (
            "batch codes are neither stored nor counted",
            "    if data.batch is not None:",
            "    if data.batch is None:",
        ),
        (
            "weights that were not stored are taken as they are drawn",
            "value.fill_(torch.nan)",
            "value.add_(0)",
        ),
        (
            "a decoder that is the encoder backwards may lack it",
            " or name.startswith(tied)",
            "",
        ),
        ("what the cells are told may be missing", " if name not in library]", " if name is None]"),
        (
            "extra zeros are molecules that are expected",
            "return mu * (1 - self._model",
            "return mu * (1 + 0 * self._model",
        ),
        (
            "later blocks are decoded with the first block's cells",
            "{name: values[start:stop] for name, values in self._library",
            "{name: values[: stop - start] for name, values in self._library",
        ),
    ),
    *_in(
        "compression/distortion",
        (
            "a code may predict nothing",
            "np.maximum(decode(start, stop), FLOOR * expected)",
            "np.maximum(decode(start, stop), 1e-30)",
        ),
        (
            "the gene mean has no deviance of its own",
            "1 - code_deviance / mean_deviance",
            "1 - code_deviance",
        ),
        ("depth is part of the correlation", "np.log1p(mu / factor[:, None])", "np.log1p(mu)"),
    ),
    # archive --------------------------------------------------------------------------------------
    *_in(
        "archive/container",
        (
            "a section is not held against its checksum",
            "checksum != section.checksum:",
            "False:",
        ),
        (
            "bytes between two sections are passed over",
            "found.offset != at + _FRAME.size or",
            "found.offset < at + _FRAME.size or",
        ),
        ("sections may come in any order", "if kinds != wanted:", "if set(kinds) != set(wanted):"),
        (
            "the trailer vouches for the table alone",
            'zlib.crc32(struct.pack("<Q", table), zlib.crc32(start))',
            'zlib.crc32(struct.pack("<Q", table))',
        ),
        ("bytes after the end are not looked for", "if end.endswith(END):", "if end == END:"),
    ),
    *_in(
        "archive/header",
        ("any number of cells is believed", "> _MOST_NAMES * file_bytes", "> 2**62"),
        (
            "an index of other counts is taken",
            "sum(map(int, index.nonzeros)) != header.nnz",
            "False",
        ),
        (
            "an index may be longer than its columns",
            "if at != len(payload):",
            "if at > len(payload):",
        ),
        ("an index belongs to any header", "if payload[:4] != struct", "if not struct"),
        ("chunks of no bytes may hold anything", "(index.nonzeros > most).any()", "False"),
        ("the last chunk is a full one", "if header.n_chunks:", "if not header.n_chunks:"),
    ),
    *_in(
        "archive/texts",
        ("a context forgets the line before", "above < line else 10", "above < 0 else 10"),
        ("a chance moves by one step too many", "2 * seen + 3", "2 * seen + 4"),
        ("bytes after a text are passed over", "if n != len(coded):", "if n > len(coded):"),
        ("a text may be as long as it says", "if n_bytes > MOST_BYTES:", "if n_bytes < 0:"),
    ),
    *_in(
        "archive/tree",
        ("names may come twice", "if len(set(names)) < len(names):", "if not names:"),
        ("what follows the streams is passed over", "or at != len(packed)", ""),
        ("texts that count up may be any number", "0 <= n <= _MOST_COUNTED", "0 <= n"),
        ("what unpacks longer is cut", "if len(plain) != n_bytes or", "if len(plain) < n_bytes or"),
        ("numbers are not sorted by their bytes", "if item_size > 1 and", "if item_size > 9 and"),
        (
            "texts with line ends are lines",
            r'not any(b"\n" in text for text in texts)',
            "True",
        ),
    ),
    *_in(
        "archive/rest",
        (
            "missing chunks of an archive read as zeros",
            "if not needed <= files.keys():",
            "if not needed:",
        ),
        ("any filter is run", "(_TEXT if is_text else None)", 'record["filters"]'),
        ("any length of a chunk is taken", "len(data) != n_bytes:", "not data:"),
        (
            "chunks of zeros are left out",
            '{"array.write_empty_chunks": True}',
            '{"array.write_empty_chunks": False}',
        ),
        ("compressed values stay so", 'record["compressor"] = None', "pass"),
    ),
    *_in(
        "archive/reader",
        (
            "a chunk is not held against its checksum",
            "if zlib.crc32(chunk) != self._index.coded_crc32[number]:",
            "if not chunk:",
        ),
        (
            "decoded counts are not held against theirs",
            "or counts_checksum(part) != self._index.counts_crc32[number]",
            "",
        ),
        (
            "cells come in the order of the file",
            "return found[np.searchsorted(order, wanted)]",
            "return found",
        ),
        (
            "negative positions are of the front",
            "np.where(found < 0, found + n, found)",
            "abs(found)",
        ),
        ("a name that is there twice is the first", "len(places) != len(genes)", "False"),
        ("the model of another archive is taken", "!= self.header.model_crc32", "is None"),
        ("the rest of another archive is taken", "!= self.header.rest_crc32", "is None"),
        ("a chunk may be in two sections", "(np.append(0, ends)[cuts] != limits).any()", "False"),
        ("molecules are not added up", "if total != self.header.sum:", "if total < 0:"),
    ),
    *_in(
        "archive/source",
        ("zeros that are stored stay", "    block.eliminate_zeros()\n", ""),
        (
            "sums that wrap around are taken",
            "        if len(lost):\n",
            "        if not len(lost):\n",
        ),
        ("links are followed", "require_own_storage(path, is_all_read=True)", "pass"),
        ("what is left out is not said", "    if left:\n", "    if not left:\n"),
    ),
    *_in(
        "archive/writer",
        ("nothing is compared", 'compare(archive, source, "what was written")', "pass"),
        ("counts are not compared", "not _are_equal(archive.counts(start, stop), block)", "False"),
        ("tables are not compared", "    if differing:\n", "    if not wanted:\n"),
        ("a short input is packed", "if n_obs != source.shape[0]:", "if n_obs > source.shape[0]:"),
        (
            "the last cells are lost",
            "    if kept is not None and kept.shape[0]:\n        yield kept",
            "    pass",
        ),
    ),
    *_in(
        "archive/unpack",
        ("a part is taken for the whole", "    if not kept.all():\n", "    if not kept.any():\n"),
        ("a part ends with the code of bad input", "exit_code = 4", "exit_code = 2"),
        ("a folder is overwritten", "    if output.exists():\n", "    if output.is_file():\n"),
        ("pointers begin anew in each block", "= at + block.indptr[1:]", "= block.indptr[1:]"),
    ),
    *_in(
        "compression/weights",
        ("a scale for each gene", "axis=np.argmax(values.shape)", "axis=np.argmin(values.shape)"),
        (
            "large vectors become infinite",
            "np.abs(values).max(initial=0) <= FLOAT16_MAX",
            "True",
        ),
        ("weights are cut, not rounded", "np.rint(values /", "np.trunc(values /"),
        ("all integers have 8 bits", "most = 2 ** (bits - 1) - 1", "most = 127"),
    ),
    *_in(
        "compression/coders",
        ("the encoder is believed", "* _REFINE_RATE", "* 0"),
        ("the prior of a model is forgotten", "loss + prior / 2", "loss + 0 * prior"),
        ("extra zeros do not count when a latent is found", "-pi_logits)", "-pi_logits) * 0"),
        ("the dispersion is stored", "if not k.startswith(DISPERSION)}", "}"),
        ("a gene without a molecule has none", "np.maximum(counted, 0.5)", "(counted)"),
        (
            "the cell's total is not used",
            "return mu * (library[",
            "return mu + 0 * (library[",
        ),
        ("batches are floats", 'np.int64 if name == "batch" else', "np.float32 if name else"),
        ("negative numbers wrap around", " and values.min() >= 0:", ":"),
        (
            "the shares of the factors are their sizes",
            "data.X.astype(np.float32)) * self.size",
            "data.X.astype(np.float32)) / self.size**2",
        ),
    ),
    *_in(
        "compression/held_out",
        (
            "the scored molecules are coded, too",
            "[select_columns(seen, columns)",
            "[select_columns(held_out_counts, columns)",
        ),
        ("the size factor is of all molecules", "first.size_factor * part", "first.size_factor"),
        (
            "what all cells share is divided by the coded ones",
            "shared.n_bytes / self.cells.n_obs",
            "shared.n_bytes / len(self.cells.coded)",
        ),
        (
            "the latent of a cell is free",
            "latent.n_bytes * bool(z.shape[1]) + library.n_bytes",
            "library.n_bytes",
        ),
        (
            "what was not stored decodes",
            "unpack_weights(shared.arrays)",
            "coder.weights",
        ),
        ("unseen molecules are as many as seen ones", "mu * ratio)", "mu)"),
        (
            "a gene that a code says is nowhere costs everything",
            "self.floor * self.total[rows, None]",
            "0 * self.total[rows, None]",
        ),
        ("covariates of other cells", "np.concatenate([first, rest])", "rest"),
        ("a model of log-values is a code", "].on_counts:", "].on_counts or True:"),
        (
            "the digest is of places alone",
            "(X.data, X.indices, X.indptr)",
            "(X.indptr[:1],)",
        ),
    ),
    # tables ---------------------------------------------------------------------------------------
    *_in(
        "tables/records",
        ("fields in any order", "dict(sorted(values.items()))", "dict(reversed(values.items()))"),
        ("whole numbers may be negative", "int: Range(low=0)", "int: Range()"),
        ("true is a number of a table", " and not isinstance(value, bool)", ""),
        ("NaN may stand for any number", "self.may_lack and math.isnan", "math.isnan"),
        ("columns may be of unlike lengths", "if len(set(lengths.values())) > 1:", "if False:"),
        (
            "what a wider record must have may be missing",
            "        return type(None) in typing.get_args(hint)\n    return item",
            "        return True\n    return item",
        ),
        ("options are not looked at", "return is_finite and not", "return True or not"),
    ),
    *_in(
        "tables/training",
        (
            "a fit is judged by its reconstruction",
            "self.reconstruction_nll if self.nll is None else self.nll",
            "self.reconstruction_nll",
            "tests/steps/test_train.py judged",
        ),
        (
            "held-out cells were not fitted",
            "return self.n_training_cells + self.n_validation_cells",
            "return self.n_training_cells",
            "tests/steps/test_compress.py precision",
        ),
    ),
    *_in(
        "tables/compression",
        (
            "gene means are not part of the fixed bytes",
            "self.decoder_bytes + self.gene_bytes + self.library_bytes",
            "self.decoder_bytes + self.library_bytes",
            "tests/report/test_bytes.py",
        ),
        (
            "a rival renamed",
            'PCA, NMF, GENE_MEAN = "PCA"',
            'PCA, NMF, GENE_MEAN = "pca"',
            "tests/steps/test_compress.py rivals",
        ),
    ),
    *_in(
        "tables/evaluation",
        (
            "a setting is a score",
            '("best_resolution", "chosen_resolution", "n_clusters_chosen")',
            '("chosen_resolution", "n_clusters_chosen")',
            "tests/report/test_sections.py",
        ),
        (
            "the mean seed instead of the middle one",
            "statistics.median(values)",
            "statistics.fmean(values)",
        ),
        ("a score may be lost", "if not _is_same(", "if False and not _is_same("),
        ("a seed without a score counts as one", "if v is not None]", "]"),
    ),
    *_in(
        "tables/results",
        ("what a step always writes may be missing", "RECORD, *self.slots, where", "RECORD, where"),
        (
            "slots are not looked at",
            "slots.require_present(adata, models=models, where=where)",
            "pass",
        ),
        (
            "the joined file may lack what its steps wrote",
            "slots.require(adata, *chain(*written), where=where)",
            "pass",
        ),
        ("the format is asked last", "if self.record is FinalRecord:", "if False:"),
    ),
    *_in(
        "tables/search",
        ("a search names trials that it has not", "number >= len(found.trials)", "number < 0"),
        ("a rung that there is not is read", "or found.rung > len(found.steps)", ""),
    ),
    *_in(
        "tables/scores",
        ("a baseline may be chosen", "if one.is_model]", "]"),
    ),
    *_in(
        "tables/learning_curve",
        ("the last point need not be of all cells", "sizes[-1] != found.n_cells", "False"),
        ("points may repeat", "sorted(set(sizes))", "sorted(sizes)"),
    ),
    # receptors ------------------------------------------------------------------------------------
    *_in(
        "receptors/contigs",
        (
            "receptor chains of low confidence are used",
            "            if not self.is_true(name):",
            '            if name == "is_cell" and not self.is_true(name):',
        ),
        (
            "the molecules of a receptor chain's copies are lost",
            "found[chain[:5]][0] += molecules",
            "found[chain[:5]][0] += 0",
        ),
        (
            "two alleles of a receptor gene are two genes",
            "return list(dict.fromkeys(found))",
            "return found",
        ),
    ),
    *_in(
        "receptors/cells",
        (
            "the receptor chain with the fewest molecules is the cell's",
            'ascending=[one != "molecules" for one in order]',
            "ascending=True",
        ),
        ("later blocks of receptors link the first ones", "row[same] + start", "row[same]"),
        (
            "receptors of other chains are alike",
            "others.append(column[same])",
            "others.append(column[same | True])",
        ),
    ),
    *_in(
        "receptors/distances",
        ("gaps of a CDR3 are free", "* (of_a @ of_b.T) + paid", "* (of_a @ of_b.T)"),
        ("receptor genes that are not known are the same", " & known\n    near", "\n    near"),
    ),
    *_in(
        "receptors/network",
        (
            "the receptor decoder is told all residues",
            "torch.where(told, residues, UNTOLD)",
            "residues",
        ),
    ),
    *_in(
        "receptors/training",
        (
            "the last pass over receptors is kept and not the best",
            "network.load_state_dict(best_state)",
            "network.eval()",
        ),
        (
            "copies of a receptor sequence are on both sides",
            "np.unique(sequences.residues, axis=0, return_inverse=True)",
            "(0, np.arange(len(sequences)))",
        ),
    ),
    *_in(
        "steps/receptors",
        (
            "the two chains of a receptor change places",
            "enumerate(ARM_NAMES)",
            "enumerate(ARM_NAMES[::-1])",
        ),
        ("the second nearest receptor is the nearest", "rows[near[:, 0]]", "rows[near[:, 1]]"),
    ),
    *_workflow(
        "inputs.py",
        "tests/workflow/test_inputs.py",
        (
            "tables of receptors need not be there",
            'files = [row.get("path"), *list_receptors(row)]',
            'files = [row.get("path")]',
        ),
    ),
    # steps ----------------------------------------------------------------------------------------
    *_in(
        "steps/generate",
        ("a draw has no deviation", "mean + deviation * noise", "mean + 0 * noise"),
        (
            "the prior is the posterior",
            'options.source == "prior":\n            z',
            "False:\n            z",
        ),
        ("one draw is all draws", "np.random.default_rng(seed)", "np.random.default_rng(0)"),
        (
            "a cell is drawn by luck",
            "rng.permutation(given) for",
            "rng.choice(given, len(given)) for",
        ),
    ),
    *_in(
        "steps/compress",
        (
            "bytes of a subsample divided by all cells",
            "all_genes_bytes / len(bench.rows)",
            "all_genes_bytes / n_obs",
        ),
        (
            "bytes divided by the scored cells",
            "bytes_per_cell=total / n_obs",
            "bytes_per_cell=total / len(bench.rows)",
        ),
        (
            "the library of the cells is free",
            'cell_bytes = (first.latent_bytes + sizes["library"])',
            "cell_bytes = (first.latent_bytes)",
        ),
        (
            "PCA may be larger",
            "fits = _store_pca(bench, shorter).n_bytes <= total",
            "fits = _store_pca(bench, shorter).n_bytes <= 2 * total",
        ),
        (
            "training cells are held-out ones",
            "held_out[model.validation_cells] = True",
            "held_out[:] = True",
        ),
        (
            "rivals are fitted to the cells they are scored on",
            "fitted = np.flatnonzero(~is_held_out)",
            "fitted = np.arange(len(data))",
        ),
        (
            "cells of the training are scored",
            "coded[is_held_out[coded]], coded[~is_held_out[coded]]",
            "coded[~is_held_out[coded]], coded[is_held_out[coded]]",
        ),
        ("other sizes than asked", "if found != sorted(set(n_latents)):", "if False:"),
        ("models of other cells", "if other.genes != model.genes or not", "if False and not"),
        (
            "the decoder is told of other cells",
            "values[bench.rows] for key, values in shared",
            "values[: len(bench.rows)] for key, values in shared",
        ),
    ),
    *_in(
        "steps/annotate",
        ("markers of all ranks", "        max_markers=options.n_markers,\n", ""),
        (
            "size factors of the first cells",
            "        size_factor[rows],\n",
            "        size_factor[: len(rows)],\n",
        ),
        (
            "unsure names stand",
            "np.where(confidence >= options.min_confidence, found, slots.UNASSIGNED)",
            "np.where(confidence >= 0, found, slots.UNASSIGNED)",
        ),
    ),
    *_in(
        "counts/frames",
        (
            "labels have no gaps",
            "np.where(given.notna(), given.astype(str)",
            "np.where(True, given",
        ),
    ),
    *_in(
        "model/added_batch",
        (
            "the new batch starts at none",
            "values.narrow(at, -1, 1).copy_(known.mean(dim=at, keepdim=True))",
            "pass",
        ),
        (
            "known batches are forgotten",
            "            values.narrow(at, first, n_batches).copy_(known)\n",
            "",
        ),
        ("all batches move", "values.shape[at] - 1, 1).fill_(1)", "0, values.shape[at]).fill_(1)"),
    ),
    *_in(
        "training/stepper",
        (
            "all of a free parameter moves",
            "            parameter.grad.mul_(mask)",
            "            pass",
        ),
        (
            "what stays decays",
            "replace(options, weight_decay=0.0)",
            "options",
        ),
    ),
    *_in(
        "cells/reference",
        (
            "distances among the cells themselves",
            "is_itself = near == itself[:, None]",
            "is_itself = near < 0",
        ),
        (
            "a cell is not among the null",
            "(1 + at_least) / (1 + len(null))",
            "at_least / len(null)",
        ),
        (
            "distances of single cells",
            "_distance(reference_at, cells @ whiten)[alike].mean(axis=1)",
            "_distance(reference_at, cells @ whiten)",
        ),
        (
            "types as spread as they are",
            "    return np.linalg.cholesky(np.linalg.inv(covariance))",
            "    return np.eye(len(covariance))",
        ),
        (
            "uncalibrated",
            'CalibratedClassifierCV(_both(), method="temperature", cv=folds)',
            "_both()",
        ),
        (
            "values of cells as deep as they are",
            "per_cell = _CELLTYPIST_SIZE / np.maximum(library_size, 1)",
            "per_cell = np.full(len(library_size), 5.0)",
        ),
    ),
    *_in(
        "cells/probes",
        ("accuracy of the largest group", 'scoring="balanced_accuracy"', 'scoring="accuracy"'),
        ("few genes say the phase", "len(of_cycle) < _MIN_CYCLE_GENES", "len(of_cycle) < 2"),
    ),
    *_in(
        "io/celltypist",
        (
            "a pickle may ask for anything",
            "        raise pickle.UnpicklingError(f",
            "        return super().find_class(module, name) or str(f",
        ),
        (
            "two types are one",
            "np.concatenate([-coefficients, coefficients])",
            "np.concatenate([coefficients, coefficients])",
        ),
    ),
    *_in(
        "steps/transfer",
        (
            "labelled cells stay deep",
            "np.minimum(1.0, rng.choice",
            "np.maximum(1.0, 0 * rng.choice",
        ),
        (
            "missing genes of one side only",
            "    known = replace(known, X=_without(known.X, missing))\n",
            "",
        ),
        ("unlike cells are named", "is_named = ~is_unlike & (", "is_named = ("),
        (
            "types of few cells are learned",
            "few = tuple(map(str, types[n < MIN_TYPE_CELLS]))",
            "few = ()",
        ),
    ),
    *_in(
        "steps/reference",
        (
            "values of the first block",
            "chunk[rows][:, columns]",
            "chunk[:_BLOCK_CELLS][:, columns]",
        ),
    ),
    *_in(
        "report/reference",
        (
            "the rate that was asked for",
            "{100 * record.held_out_rate:.1f}",
            "{100 * record.unlike_rate:.1f}",
        ),
    ),
    *_in(
        "steps/subtype",
        ("cells without a type are one", "if group == slots.UNASSIGNED:", 'if group == "":'),
        (
            "a difference between samples is a subtype",
            "        sample = pd.factorize(counts.obs[slots.SAMPLE.name].astype(str))[0]",
            "        pass",
        ),
        (
            "subtypes from 0",
            'group=[f"{group}.{one + 1}" for one in number]',
            'group=[f"{group}.{one}" for one in number]',
        ),
    ),
    *_in(
        "steps/cluster",
        (
            "a resolution believed by the mean of its agreement",
            '(stability["ari_low"] >= min_stability)',
            '(stability["ari_mean"] >= min_stability)',
        ),
        (
            "one cluster is a clustering",
            '(stability["n_clusters"] > 1)',
            '(stability["n_clusters"] > 0)',
        ),
        ("a drawn cell follows its neighbours", "everywhere[rows] = labels", "pass"),
        ("one neighbour is as good as most", "labels[drawn]] += 1", "labels[drawn]] = 1"),
        (
            "cells lie where the drawn neighbours of others are",
            "of_drawn[place] *",
            "of_drawn[place[::-1]] *",
        ),
        (
            "clusters are those that come back best, the coarsest",
            'sort_values(["ari_overall", "resolution"]',
            'sort_values(["ari_low", "resolution"]',
        ),
        (
            "every subsample is of the first seed",
            "latents[number % len(latents)][rows]",
            "latents[0][rows]",
        ),
        (
            "half of a cluster's cells need not be found again",
            "n_found < 0.5 * n_drawn",
            "n_found < 0.0 * n_drawn",
        ),
        (
            "the layout is of the averaged graph",
            "    graph = graphs[0]\n",
            "    graph = average_graphs(graphs)\n",
        ),
        (
            "a cell that was not drawn is as sure as its neighbours of other clusters",
            "np.where(same, np.nan_to_num(confidence[drawn]), 0)",
            "np.where(same, 0, np.nan_to_num(confidence[drawn]))",
        ),
    ),
    *_in(
        "steps/evaluate",
        (
            "cells without a label are a label",
            'known = np.flatnonzero(label != "")',
            "known = np.arange(len(label))",
        ),
        (
            "the last resolution is the best",
            'or ari > scores["ari_best"]',
            'or ari < scores["ari_best"] + 2',
        ),
    ),
    *_in(
        "steps/ingest",
        ("molecules are the cells", "int(block.data.sum(dtype=np.int64))", "block.shape[0]"),
        (
            "the rounding is not recorded",
            "if raw.rounding is not None:",
            "if False:",
            "tests/steps/test_ingest.py noise",
        ),
        (
            "the option of rounding is not asked",
            'if options.rounding != "none":',
            "if False:",
            "tests/steps/test_ingest.py fractions",
        ),
        (
            "a table keeps the barcodes",
            ".set_axis(whole, axis=0)",
            "",
            "tests/test_pandas_text.py in_memory",
        ),
        (
            "the text of cells stays as it came",
            "plain_frame(raw.obs)",
            "raw.obs",
            "tests/test_pandas_text.py in_memory",
        ),
        (
            "the text of genes stays as it came",
            "plain_frame(raw.var)",
            "raw.var",
            "tests/test_pandas_text.py in_memory",
        ),
        (
            "ids that differ in the version alone become one name",
            "names = bare if len(set(bare)) == len(set(names)) else names",
            "names = bare",
        ),
        ("donors become numbers", "name not in _NAMES and ", ""),
        (
            "rows of later blocks are kept as those of the first",
            "rows = slice(start, start + block.shape[0])",
            "rows = slice(0, block.shape[0])",
        ),
        (
            "ten molecules are too many for an empty droplet",
            "np.median(sizes) <= _UNFILTERED_MEDIAN",
            "np.median(sizes) < _UNFILTERED_MEDIAN",
        ),
    ),
    *_in(
        "steps/qc",
        ("a cell at a lower limit fails", "values < limit if name", "values <= limit if name"),
        (
            "a cell at an upper limit fails",
            "else values > limit, limit",
            "else values >= limit, limit",
        ),
        (
            "few mitochondrial molecules are a reason",
            "(values > high) | ((values < low) if is_log else False)",
            "(values > high) | (values < low)",
        ),
        (
            "a doublet score at the limit fails",
            "np.nan_to_num(score, nan=-np.inf) > options.max_doublet_score",
            "np.nan_to_num(score, nan=-np.inf) >= options.max_doublet_score",
        ),
        (
            "doublets are dropped beside a filter column",
            "if predicted is not None and options.filter_column is None:",
            "if predicted is not None:",
        ),
        (
            "doublets are placed among all cells",
            "np.flatnonzero(basis)[result.index.to_numpy(dtype=np.int64)]",
            "result.index.to_numpy(dtype=np.int64)",
        ),
        (
            "a later block counts the passing cells of the first",
            "kept = block[passing[start:stop]]",
            "kept = block[passing[: stop - start]]",
        ),
        ("the last reason is the only one", 'f"{text};{reason}" if text else reason', "reason"),
    ),
    *_in(
        "steps/merge",
        (
            "a table of all samples is an array",
            "elif all(tables):",
            "elif False:",
            "tests/test_pandas_text.py merge",
        ),
        ("a cell may be in two samples", "if index.has_duplicates:", "if False:"),
        ("half of the molecules are most", "share > _MOST", "share >= _MOST"),
        ("cells that fail count as lost", "block[rows[start:stop]]", "block"),
        (
            "both symbols of a gene go to its column",
            'pairs = pairs[~pairs["name"].duplicated(keep=False)]',
            "pass",
        ),
        (
            "a gene in as many cells as asked for is left out",
            "enough = n_cells.to_numpy() >= options.min_cells",
            "enough = n_cells.to_numpy() > options.min_cells",
        ),
        (
            "only the last sample's cells are counted",
            "n_cells += values[",
            "n_cells = values[",
        ),
        (
            "repeated symbols join by their numbers",
            "joined[unclear] = None",
            "pass",
        ),
    ),
    *_in(
        "steps/normalize",
        (
            "a batch of as many cells as asked for is left out",
            "small = sizes < options.min_cells_per_batch",
            "small = sizes <= options.min_cells_per_batch",
            "tests/steps/test_normalize.py batch",
        ),
        (
            "one gene of the list is enough",
            "if chosen.sum() < 2:",
            "if chosen.sum() < 1:",
            "tests/steps/test_normalize.py gene_list",
        ),
        (
            "one of the genes of a repeated symbol is meant",
            "chosen[list(found)] = True",
            "chosen[min(found)] = True",
            "tests/steps/test_normalize.py gene_list",
        ),
        (
            "null is the default number of genes",
            "n_top = X.shape[1] if options.n_top_genes is None",
            "n_top = 100 if options.n_top_genes is None",
            "tests/steps/test_normalize.py all_genes",
        ),
        (
            "the genes of most batches do not come first",
            "_choose(scores, n_top, votes_first=True)",
            "_choose(scores, n_top, votes_first=False)",
            "tests/steps/test_normalize.py expressed",
        ),
    ),
    *_in(
        "steps/denoise",
        ("the mean of theta is not geometric", "np.log(values) if key ==", "values if key =="),
        (
            "cells are decoded in the first batch",
            "model.reference_code(options.reference_batch))",
            "0)",
        ),
        (
            "a gene's theta is of one cell",
            "np.broadcast_to(values, (len(encoded.block), len(columns)))",
            "values",
        ),
        (
            "every block has the latent of the first",
            "latent[rows], size_factor[rows] =",
            "latent[: len(z)], size_factor[rows] =",
        ),
    ),
    *_in(
        "steps/assemble",
        ("keys are of the last model of the preset", "else found[0]", "else found[-1]"),
        ("the primary model is not asked about", "if primary in found else", "if False else"),
        (
            "a latent is written over another",
            "if other in latents and other != model:",
            "if False:",
        ),
        (
            "a key of the user is gone",
            "added)\n            getattr(frame, axis)[key] = value\n\n\ndef _model",
            "{axis: {key}})\n            getattr(frame, axis)[key] = value\n\n\ndef _model",
        ),
        (
            "later blocks are divided by the first one's size factors",
            "log_normalize(block, size_factor[start:stop])",
            "log_normalize(block, size_factor[: stop - start])",
        ),
        ("room is made on top of what was kept", "while kept in there:", "while False:"),
        (
            "results make room for each other",
            "key in there and key not in ours and",
            "key in there and",
        ),
    ),
    *_in(
        "steps/train",
        (
            "a fit as bad as the gene means is kept",
            "if not score < baseline:",
            "if score > baseline:",
        ),
        (
            "cells are held out whatever their sample",
            "split_validation(strata, options.validation_fraction)",
            "split_validation(strata * 0, options.validation_fraction)",
        ),
        (
            "rows of later blocks are divided as those of the first",
            "part_of[start:stop] == i",
            "part_of[: stop - start] == i",
        ),
    ),
    *_in(
        "steps/thin",
        ("all cells are one group", "if n_groups < 2 or", "if n_groups < 99 or"),
        (
            "the library is of the modelled genes",
            "library_sizes(fold, everywhere)",
            "library_sizes(fold[:, columns])",
        ),
        ("every block has the same chance", "[options.seed, start]", "[options.seed]"),
        ("the seed of folds is not used", "[options.seed, start]", "[0, start]"),
    ),
    *_in(
        "steps/score",
        ("extra zeros do not count", "mu *= 1 - model", "mu *= 1 - 0 * model"),
        ("a model of log-values is too small", "predict(rows) * scale", "predict(rows)"),
        (
            "a size factor of all molecules",
            "library_size - of_folds[rows]",
            "library_size - 0 * of_folds[rows]",
        ),
        ("each fold is the first", "k * n_obs, (k + 1) * n_obs", "0, n_obs"),
        (
            "a model that fails ends the run",
            "options = replace(options, allow_failed_fit=True)",
            "pass",
        ),
    ),
    *_in(
        "steps/baselines",
        (
            "NMF is fitted to what it predicts",
            "training.X[np.sort(np.random.default_rng(0).",
            "fold.molecules[np.sort(np.random.default_rng(0).",
        ),
        ("a rank is scored twice", "sorted(set(options.pca_ranks))", "sorted(options.pca_ranks)"),
    ),
    *_in(
        "steps/genes",
        (
            "the ranking sees the fold",
            "yield fold, ad.AnnData(fold.training.X,",
            "yield fold, ad.AnnData(X[some],",
        ),
        (
            "the best is chosen, however many genes",
            "return min(within, key=lambda one: (one[0], losses[one].mean()))",
            "return best",
        ),
        (
            "the first ranking is chosen, not the best",
            "key=lambda one: (one[0], losses[one].mean())",
            "key=lambda one: one[0]",
        ),
        (
            "genes that are not modelled share all molecules of the cell",
            "rest = library[rows] - modelled[rows]",
            "rest = library[rows]",
        ),
        (
            "a gene may be impossible",
            "expected = np.maximum(expected, FLOOR * np.outer(library[rows], rate))",
            "pass",
        ),
        ("the limit is no limit", "        if n <= options.max_genes\n", ""),
        ("all genes are ranked four times", "flavors if n < n_vars else flavors[:1]", "flavors"),
        ("all cells are compared on", "[: options.max_cells]", "[:]"),
        ("folds may be more than all", "if options.folds * options.fraction >", "if 0 >"),
    ),
    *_in(
        "report/genes",
        ("what was not tried is not said", "if choice.left_out:", "if False:"),
        (
            "all genes have a ranking",
            "if one.n_genes == choice.n_all else one.flavor",
            "if False else one.flavor",
        ),
    ),
    *_in(
        "verbs/genes",
        ("checkpoints are left beside the genes", "checkpoints.remove()", "pass"),
    ),
    *_in(
        "verbs/normalize",
        (
            "a number that was named is chosen again",
            "arguments.genes and AUTO in (options.n_top_genes, options.flavor)",
            "arguments.genes",
            "tests/verbs/test_genes.py",
        ),
        (
            "all genes are a number",
            "None if choice.chosen == choice.n_all else choice.chosen",
            "choice.chosen - 1",
            "tests/verbs/test_genes.py",
        ),
    ),
    *_in(
        "steps/likelihood",
        (
            "the likelihood of the options is trained three times",
            "likelihood=likelihood, allow",
            "allow",
        ),
        (
            "the best is chosen, not the simplest",
            "<= paired_error(",
            "<= 0 * paired_error(",
            "tests/steps/test_likelihood.py simplest",
        ),
        ("genes are named as if each were alone", "_MAX_CHANCE / n_genes", "_MAX_CHANCE"),
        ("genes of next to nothing are named", "(gain * n_cells > -np.log(chance))", "(gain > 0)"),
        ("one cell names a gene", "* error\n", "* 0\n"),
    ),
    *_in(
        "steps/annotate",
        (
            "what is tested can be denoised",
            "from scpress.counts.matrix import select_columns, select_rows\n",
            "from scpress.counts.matrix import select_columns, select_rows\n"
            "import scpress.steps.denoise\n",
            "tests/test_architecture.py smoothed",
        ),
    ),
    *_in(
        "steps/false_signals",
        ("a copy is the data", "copy = ad.AnnData(dealt,", "copy = ad.AnnData(data.X,"),
        ("all copies are one", "default_rng([options.seed, number])", "default_rng(options.seed)"),
        ("a copy without a fit ends it", "allow_failed_fit=True", "allow_failed_fit=False"),
        ("samples are mixed", "dict.fromkeys((sample, batch_key))", "dict.fromkeys((None, None))"),
        ("a sample's batches are mixed", "np.stack(known, axis=1)", "np.stack(known[:1], axis=1)"),
        ("negative correlations are none", "np.abs(correlation[", "(correlation["),
        ("a constant is correlated", "<= 1e-10 * np.diag", "<= -1 * np.diag"),
        ("rare genes have pairs", ">= _MIN_PAIR_CELLS", ">= 1"),
        ("subtypes of a copy are of its types", "groupby=slots.LEIDEN.name", "groupby='cell_type'"),
        ("groups without subtypes count", "if n > 1) if groups", "if n > 0) if groups"),
    ),
    *_in(
        "steps/learning_curve",
        ("parts are drawn anew for each size", "np.sort(order[:size])", "np.sort(order[-size:])"),
        ("every run has the same cells", "[seed, number, repeat]", "[seed]"),
        ("every run has the same seed", "seed=seed + repeat", "seed=seed"),
        ("a fit that fails ends the curve", "allow_failed_fit=True", "allow_failed_fit=False"),
        (
            "cells beside the smallest part are scored",
            "np.sort(order[:n_scored])",
            "np.sort(order[-n_scored:])",
        ),
        ("the chance of trainings is left out", "* deviation * long_tails", "* 0"),
        ("few runs are believed as many", "* deviation * long_tails", "* deviation"),
        (
            "the chance of cells is left out",
            "drawn = rng.multivariate_normal(mean, of_cells",
            "drawn = rng.multivariate_normal(mean, 0 * of_cells",
        ),
        (
            "the gain is that of the last doubling",
            "_shape_of(np.array(2.0), c)",
            "_shape_of(np.array(0.5), c)",
        ),
        (
            "the worst exponent is taken",
            "(slope**2 * squares).argmax",
            "(slope**2 * squares).argmin",
        ),
    ),
    *_in(
        "steps/search",
        ("settings are tried twice", "if meaning not in seen:", "if True:"),
        ("every seed draws the same", "default_rng(draw.seed)", "default_rng(0)"),
        (
            "the model as it is comes with those drawn",
            "[: draw.trials - 1]",
            "[: draw.trials]",
        ),
        ("the best of some sizes is taken", "if by_size else (0,)", "if False else (0,)"),
        ("sizes begin with a rung of few steps", "draw.steps[-1:] if by_size", "draw.steps if 0"),
        (
            "chosen settings replace what is said for one training",
            "if own.get(key) == found.given.get(key)",
            "if True",
        ),
    ),
    *_in(
        "steps/trial",
        ("every rung trains to the end", '{"max_steps": steps}', "{}"),
        ("a training that fails ends the search", "except FitFailedError", "except KeyError"),
        (
            "an empty place trains",
            "if slot >= len(standing.entered):",
            "if slot > len(standing.entered):",
        ),
    ),
    *_in(
        "steps/rank",
        ("the model as it is may drop out", "kept = [own, *(", "kept = [*("),
        ("all go on", "[:n_kept]", ""),
        ("the best is chosen by however little", "<= (trials[trial].error or 0)", "<= 0"),
        ("results of any rung are ranked", "if one.rung == standing.rung}", "}"),
        ("results of any molecules are ranked", "is not None}) != 1:", "is not None}) == 0:"),
    ),
    *_in(
        "steps/choose",
        ("a wild setting is all settings'", "np.median(runs.var(", "np.mean(runs.var("),
        ("the median of variances is their mean", "* free / chi2.median(free)", "* 1"),
        (
            "the error is not paired",
            "of_blocks = (first - second).mean",
            "of_blocks = first.mean",
        ),
        (
            "trainings differ as the seeds together do",
            "trainings or (first, second)",
            "(first, second)",
        ),
        ("seeds together decide nothing", "losses = apart |", "losses = apart or"),
        (
            "trainings have no error",
            "for values in (of_blocks, of_runs)",
            "for values in (of_blocks,)",
        ),
        ("the best is chosen whatever the error", "<= options.tolerance *", "<= 0 *"),
        ("a baseline is never better", "if not one.is_model and", "if one.is_model and"),
        (
            "scores of any molecules are compared",
            "if table.digest != baselines.digest:",
            "if False:",
        ),
        ("the loss is always Poisson", "getattr(fold, loss)", 'getattr(fold, "poisson")'),
    ),
    *_in(
        "steps/simulate",
        (
            "every type has subtypes",
            "(truth.cell_type == 0) & (options.n_subtypes > 1)",
            "(truth.cell_type >= 0) & (options.n_subtypes > 1)",
        ),
    ),
    # report ---------------------------------------------------------------------------------------
    *_in(
        "report/agreement",
        (
            "cells without a label agree",
            "label.notna().to_numpy() & (label",
            "label.isna().to_numpy() | (label",
        ),
        (
            "cells without a label count for the ARI",
            'known = label.notna().to_numpy() & (label.astype(str) != "").to_numpy()',
            "known = np.ones(len(label), dtype=bool)",
        ),
        ("one label is something to agree with", "nunique() < 2", "nunique() < 1"),
        ("clusters of all seeds are of one", "if n_seeds > 1 else", "if n_seeds > 9 else"),
        (
            "the best resolution is the chosen one",
            '"ari_best": "best_resolution"',
            '"ari_best": "chosen_resolution"',
        ),
    ),
    *_in(
        "report/seeds",
        ("half found is found", 'table["n_found"] < record', 'table["n_found"] < 0 * record'),
        ("of PCA a seed is missing", '.get("preset") == "pca"', '.get("preset") == ""'),
        (
            "the seed that agrees most is the least",
            "ARI {row.least:.2f}",
            "ARI {row.most:.2f}",
        ),
    ),
    *_in(
        "report/bytes",
        (
            "the first model in the alphabet is shown",
            "key=lambda one: (one.model != inputs.primary, one.model",
            "key=lambda one: (one.model",
        ),
        (
            "the change is of the one before",
            "code.nll - start.nll:+.3f",
            "start.nll - code.nll:+.3f",
        ),
        ("binary units", '("kB", 1e3)', '("kB", 1024)'),
        ("PCA is not said to be its judge", "if code.code == PCA else text", "if False else text"),
    ),
    *_in(
        "report/cells",
        ("zeros count as detected", "(part > 0)", "(part >= 0)"),
        ("means over all cells", "return total / size,", "return total / size.sum(),"),
        (
            "the map is not said to be a subsample",
            '"n_shown": len(rows)',
            '"n_shown": inputs.cells.n_obs',
        ),
        ("one marker fewer", "known[:n_markers]", "known[: n_markers - 1]"),
        ("ribosomes are among the dots", "if gene in shown]", "]"),
        (
            "a cluster is named unassigned",
            "own.empty or own.index[0] == slots.UNASSIGNED",
            "own.empty",
        ),
    ),
    *_in(
        "report/clusters",
        ("every seed finds every cluster", '"no" if name in unconfirmed', '"no" if False'),
        ("a row is named by ribosomes", "label[~own", "label[own.notna().all(axis=1) | ~own"),
    ),
    *_in(
        "report/expression",
        ("a long gap ends", "whole * _MOST", "whole * (_MOST - 1)"),
        ("genes go on on a full page", "        if n_left < 0:\n            break\n", ""),
        ("two genes of one symbol are one", "if doubled[number] else label", "if False else label"),
        (
            "large counts begin again at 0",
            "np.minimum(values.data[of_gene], _MOST)",
            "values.data[of_gene]",
        ),
    ),
    *_in(
        "report/glossary",
        ("a word is linked again and again", "if name in seen:", "if False:"),
        ("links are made in links", "and not set(open_tags) & set(_LEFT_ALONE)", ""),
    ),
    *_in(
        "report/samples",
        (
            "cells that were not kept count",
            "qc.obs[qc.obs[slots.PASS_QC.name].to_numpy()]",
            "qc.obs",
        ),
        ("one sample is side by side", "if len(sizes) < 2:", "if len(sizes) < 1:"),
        (
            "samples are in the order of their names",
            "place.get(name, len(place))",
            "len(place)",
        ),
    ),
    *_in(
        "report/words",
        (
            "a gene without a symbol has no name",
            'symbol.where(symbol.ne(""), table["gene"].astype(str))',
            "symbol",
        ),
        ("a sentence is all capitals", "text[:1].upper() + text[1:]", "text.upper()"),
        ("nearly none is none", "if 0 < value <= least / 2:", "if False:"),
        ("nearly all is all", "if 1 - least / 2 <= value < 1:", "if False:"),
    ),
    *_in(
        "report/figures",
        (
            "a code over the bytes of the latent alone",
            "[point.bytes_per_cell for point in own]",
            "[point.n_latent for point in own]",
        ),
    ),
    *_in(
        "report/inputs",
        ("any column is shown", "        slots.require(self.cells, slot)\n", ""),
        (
            "any record is shown",
            "        FinalRecord.from_plain(record, \"uns['scpress'] of the cells\")\n",
            "",
        ),
        (
            "the first model is the primary one",
            "return str(named) if named in models",
            "return str(named) if not models",
        ),
        ("drawn cells repeat", "size=max_cells, replace=False", "size=max_cells, replace=True"),
    ),
    *_in(
        "report/lossy",
        (
            "an equal code of more bytes is on the front",
            "code.unseen_deviance_explained > front[-1]",
            "code.unseen_deviance_explained >= front[-1]",
        ),
        ("codes larger than the counts are best", "if code.bytes_per_cell < most]", "]"),
        (
            "a range ends where it begins",
            "(found[-1][0], code.bytes_per_cell, found[-1][2])",
            "(found[-1][0], found[-1][0], found[-1][2])",
        ),
        ("one cell too few", "math.floor(more / saved) + 1", "math.floor(more / saved)"),
        (
            "rivals that keep less must be smaller, too",
            "if rival.unseen_deviance_explained < code.unseen",
            "if False and rival.unseen_deviance_explained < code.unseen",
        ),
        ("a rival that always is smaller can be led", "if saved <= 0:", "if saved < -1e9:"),
        (
            "scores on other molecules are compared",
            "if one.held_out.digest == with_rivals[0].held_out.digest:",
            "if one.held_out.digest:",
        ),
        ("a rival is drawn for each model", " if code.code not in known]", "]"),
    ),
    *_in(
        "report/page",
        ("a name can end a script", 'for character in "<>&', 'for character in "&'),
    ),
    *_in(
        "report/sections",
        (
            "the page's ARI of the primary model is that of its seeds",
            "            primary[metric] = [value]\n",
            "",
        ),
        ("the worst model is marked", "metric: max(", "metric: min("),
        (
            "the verdict of another model",
            "record = inputs.models.get(name, TrainingRecord())",
            "record = inputs.models.get(inputs.primary, TrainingRecord())",
        ),
        ("every agreement is shown", 'name not in ("ari_best", "nmi_best", "nmi_chosen")', "True"),
        ("nothing that was looked into is nothing found", "<= {slots.UNASSIGNED}:", "< set():"),
    ),
    *_in(
        "report/summary",
        ("a failed fit is not told", 'verdict is None or verdict.status == "ok":', "True:"),
        (
            "one cluster came back whatever was asked",
            "if n == 1 and resolution is not None:",
            "if False:",
        ),
        ("clusters without markers are not named", "    if not without:\n", "    if True:\n"),
        ("given labels are a panel's", "if panel is None or n <=", "if n <="),
        (
            "one cell without a type is a warning",
            "_MOST_UNASSIGNED = 0.5",
            "_MOST_UNASSIGNED = 0.0",
        ),
        (
            "what nobody looked for is missing",
            "if set(groups) <= {slots.UNASSIGNED}:",
            "if False:",
        ),
        ("a subtype is a group without one", "sum(n for n in split if n > 1)", "sum(split)"),
        ("a larger code is said to be smaller", "if full.ratio >= 1:", "if full.ratio > 1:"),
        (
            "unassigned is a type",
            "types.pop(slots.UNASSIGNED, 0)",
            "types.get(slots.UNASSIGNED, 0)",
        ),
        (
            "a cell counts for its first reason",
            'for reason in str(joined).split(";"):',
            'for reason in str(joined).split(";")[:1]:',
        ),
    ),
    *_in(
        "report/false_signals",
        ("one cluster is a signal", "clusters if clusters > 1 else 0", "clusters"),
        (
            "the copy that has least speaks for all",
            "max(getattr(one, name)",
            "min(getattr(one, name)",
        ),
        ("what denoising adds is not said", "denoised - raw < _MORE_PAIRS", "denoised < 1"),
    ),
    *_in(
        "report/learning_curve",
        ("an interval with 0 is a promise", "if outlook.low <= 0", "if outlook.low <= -1e9"),
        ("next to nothing is called help", "most < _SHARE_OF_GAIN", "most < 0 * _SHARE_OF_GAIN"),
        ("gains are drawn as losses", "rounded([-outlook.gain]", "rounded([outlook.gain]"),
    ),
    *_in(
        "report/overfitting",
        ("every training overfits", "if lost <= _SHARE_OF_GAIN * gain:", "if lost <= 0 * gain:"),
        (
            "a loss without all of the KL term is compared",
            'at_best["kl_weight"] == 1 or',
            "True or",
        ),
        ("a training that was too short overfits", "if best == len(held_out) - 1:", "if False:"),
    ),
    *_in(
        "report/searches",
        (
            "the next best is not named",
            "if len(order) > 1 and order[1] is not own:",
            "if False:",
        ),
        ("a failed training is the best", "if trial.difference is None:", "if False:"),
    ),
    *_in(
        "report/scores",
        ("nothing is said of a better baseline", "if choice.beaten_by and", "if False and"),
        (
            "a baseline is better whatever its loss",
            "better = baseline.from_chosen < 0",
            "better = True",
        ),
        ("the level's loss is not from the best", '{a - b:+.2f}" for a', '{a:+.2f}" for a'),
    ),
    # verbs ----------------------------------------------------------------------------------------
    *_in(
        "verbs/cluster",
        ("the seed of clusters is not used", "seed=arguments.seed", "seed=0"),
        ("the other seeds' latents are not used", "others=others", "others=()"),
    ),
    *_in(
        "verbs/score",
        ("checkpoints are left beside scores", "checkpoints.remove()", "pass"),
        ("seeds are all the first", "seed=seed,", "seed=1,"),
        ("models of some folds are kept", "if len(kept) != n_folds:", "if False:"),
    ),
    *_in(
        "steps/ensemble",
        ("a model scores what it has seen", "model.record.without_fold == lacked", "True"),
        ("seeds differ from fold to fold", "seeds != first or", "False or"),
        ("a model of other folds is left out", "    if known:", "    if False:"),
        ("seeds of other models are averaged", "if n_configs > 1:", "if False:"),
        ("the mean is a sum", "total / len(predicts)", "total"),
    ),
    *_in(
        "steps/denoise",
        ("seeds are not averaged", "models = (model, *others)", "models = (model,)"),
    ),
    *_in(
        "verbs/evaluate",
        (
            "two latents of one seed are taken",
            "if int(seed) in latents:",
            "if False:",
            "tests/verbs/test_evaluate.py test_verb",
        ),
    ),
    *_in(
        "verbs/export",
        (
            "an old directory is replaced",
            "if output.exists():",
            "if output.is_file():",
            "tests/verbs/test_export.py overwritten",
        ),
        (
            "half a directory is left where the disk is full",
            "shutil.rmtree(temporary, ignore_errors=True)",
            "pass",
            "tests/verbs/test_export.py half",
        ),
    ),
    *_in(
        "verbs/ingest",
        (
            "metadata may have no key",
            "if not equals or not key:",
            "if not equals:",
            "tests/verbs/test_ingest.py metadata_words",
        ),
    ),
    *_in(
        "verbs/report",
        (
            "a sample is always named as its folder is",
            '.get("sample", path.parent.name)',
            '.get("", path.parent.name)',
            "tests/verbs/test_report.py sample",
        ),
        (
            "a history's split is taken for its seed",
            "return parts[-4], parts[-2]",
            "return parts[-4], parts[-3]",
            "tests/verbs/test_report.py history",
        ),
    ),
    *_in(
        "verbs/simulate",
        ("the seed of a simulation is not used", "seed=arguments.seed", "seed=0"),
    ),
    *_in(
        "verbs/subtype",
        (
            "the seed of subtypes is not used",
            "seed=arguments.seed",
            "seed=0",
            "tests/verbs/test_subtype.py disk",
        ),
    ),
    *_in(
        "verbs/search",
        (
            "the likelihood that was chosen is not used in a search",
            "said_options(arguments, model, n_cells=counts.n_obs)",
            "model",
        ),
    ),
    *_in(
        "verbs/trial",
        ("checkpoints are left beside a trial", "checkpoints.remove()", "pass"),
        ("a place below the first is trained", "if arguments.slot < 0:", "if False:"),
    ),
    *_in(
        "verbs/likelihood",
        ("checkpoints are left beside a likelihood", "checkpoints.remove()", "pass"),
    ),
    *_in(
        "verbs/train",
        (
            "a likelihood that was named is chosen again",
            "arguments.likelihoods and options.likelihood == AUTO",
            "arguments.likelihoods",
            "tests/verbs/test_likelihood.py",
        ),
        (
            "checkpoints are left beside a model that is written",
            "checkpoint.remove()",
            "pass",
            "tests/verbs/test_train.py checkpoints_go",
        ),
        (
            "minutes between checkpoints are read as seconds",
            "minutes=options.checkpoint_minutes",
            "minutes=options.checkpoint_minutes / 60",
            "tests/verbs/test_train.py checkpoints",
        ),
    ),
    # workflow -------------------------------------------------------------------------------------
    *_workflow(
        "rules/common.smk",
        "tests/workflow/test_common.py",
        (
            "flags drop null",
            'if value is None and known[key].get("default") is None:',
            "if value is None:",
        ),
        (
            "a model's own options are ignored",
            "{**config[section], **dict(overrides)}",
            "{**config[section]}",
        ),
        (
            "the section's options come before a sample's",
            "{**config[section], **dict(overrides)}",
            "{**dict(overrides), **config[section]}",
        ),
        ("threads are not passed on", "str(threads_of(rule))", '"1"'),
        (
            "a rule's own threads are ignored",
            'threads.get(rule, threads["default"])',
            'threads["default"]',
        ),
        (
            "a rule that trains has the threads of train",
            'flags("train", overrides, rule=rule)',
            'flags("train", overrides)',
        ),
        (
            "pca is trained with every seed",
            'config["seeds"][:1] if preset == "pca"',
            'config["seeds"] if preset == "pca"',
        ),
        (
            "a preset of the train section is not seen by the seeds",
            '{**config["train"], **MODELS[model]}["preset"]',
            'MODELS[model].get("preset")',
        ),
        (
            "what follows a model reads its last seed",
            "else seeds(model)[:1])",
            "else seeds(model)[-1:])",
        ),
        ("an attempt does not double", "* 2 ** (attempt - 1)", "* attempt"),
        ("a request has no limit", "min(config[limit], wanted)", "wanted"),
        (
            "samples are merged in the memory of the largest",
            "prediction.total([prediction.measure(path) for path in input.counts])",
            "prediction.largest([prediction.measure(path) for path in input.counts])",
        ),
        (
            "a submitted job asks about the files of others",
            "workflow.remote_exec or os.path.exists(path)",
            "os.path.exists(path)",
        ),
        (
            "jobs of another folder are cancelled",
            "if folder == os.getcwd() and comment",
            "if comment",
        ),
    ),
    *_workflow(
        "rules/counts.smk",
        "tests/workflow/test_workflow.py sample_are_as_large",
        (
            "quality control is as large as what ingest will write",
            'memory("qc", sample_size)',
            'memory("qc")',
        ),
    ),
    *_workflow(
        "rules/cells.smk",
        "tests/workflow/test_workflow.py primary_one",
        (
            "the cells are clustered with another model's latent",
            'model_files("latent.h5ad", PRIMARY, every_seed=True),\n        choice',
            'model_files("latent.h5ad")[:1],\n        choice',
        ),
        (
            "the cells are clustered by the first seed alone",
            'model_files("latent.h5ad", PRIMARY, every_seed=True),\n        choice',
            'model_files("latent.h5ad", PRIMARY),\n        choice',
        ),
        (
            "the clusters are said to be of the last seed",
            "model=primary_flag,\n        seed=seeds(PRIMARY[0])[0]",
            "model=primary_flag,\n        seed=seeds(PRIMARY[0])[-1]",
        ),
    ),
    *_workflow(
        "rules/model.smk",
        "tests/workflow/test_workflow.py page_shows_every_one",
        (
            "a model is evaluated by its first seed alone",
            '"latent.h5ad", [wildcards.model], every_seed=True',
            '"latent.h5ad", [wildcards.model]',
        ),
    ),
    *_workflow(
        "rules/report.smk",
        "tests/workflow/test_workflow.py page_shows_every_one",
        (
            "the page shows the training of first seeds alone",
            'model_files("history.tsv", every_seed=True)',
            'model_files("history.tsv")',
        ),
    ),
    *_workflow(
        "inputs.py",
        "",
        ("two names of one thing are taken", "if train[ours] != known", "if not known"),
        (
            "names of one preset go with all but pca",
            'train["preset"] != preset:',
            'train["preset"] == "pca":',
        ),
        (
            "a size of DCA's is that of the first layer",
            "[*widths[:middle], n,",
            "[n, *widths[:middle],",
        ),
        ("a text may begin as a flag does", 'if text.startswith("-"):', 'if text == "-":'),
        ("a path may hold a wildcard", "if is_path and set(text)", "if not is_path and set(text)"),
        ("a column may be KEY=VALUE by itself", 'or "=" in name or', "or"),
        (
            "defaults are not filled into sections",
            'if "properties" in one and isinstance(data[key], dict):',
            'if "properties" in one and key not in data:',
        ),
        ("defaults are shared by all", 'copy.deepcopy(one["default"])', 'one["default"]'),
        ("two samples of one name", 'row["sample"] in names', 'row["sample"] in ()'),
        ("a mark before the text is part of the first column", "utf-8-sig", "utf-8"),
        ("a comment is a row", ' and not line.startswith("#")', ""),
        (
            "an open quotation mark swallows samples",
            "any(_has_line_break(cell) for cell in cells)",
            "False",
        ),
        (
            "a column that is twice is read once",
            "if name and header.count(name) > 1]",
            "if name and header.count(name) > 9]",
        ),
        (
            "a primary model that was dropped is accepted",
            "primary not in models:",
            'primary not in config["models"]:',
        ),
        (
            "a second file replaces whole sections",
            "lay_over(joined.get(key, {}), value)",
            "lay_over({}, value)",
        ),
        ("a missing panel is no problem", '    ("annotate", "panel"),\n', ""),
        (
            "only the first bad row is named",
            "problems.append(problem)",
            "problems = problems or [problem]",
        ),
    ),
    *_workflow(
        "prediction.py",
        "",
        ("an index of text is a group of two", 'index["values"] if hasattr', "index if hasattr"),
        (
            "gene counts are read as cells of 10x files",
            'len(group["barcodes"])',
            'len(group["data"])',
        ),
        (
            "the first matrix of a file is its size",
            "return Size(len(index), max(",
            "return Size(len(index), min(",
        ),
        (
            "an old answer for a new file",
            "modified = path.stat().st_mtime_ns",
            "modified = path.stat().st_mode",
        ),
        ("the largest of some files is the smallest", "Size(*map(max, zip(", "Size(*map(min, zip("),
        ("time in units of ten thousand cells", "size.cells / 1000)", "size.cells / 10_000)"),
    ),
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
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
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
