import numpy as np
import pytest
from scipy import sparse

from scpress.donors.drug_response import RIVALS, Design, Predictor, deal, means_of_drugs
from scpress.donors.learners import FITS
from scpress.donors.response_scores import HeldOut

N_LINES, N_DRUGS = 45, 6
VIEWS, LEARNERS = ("genes", "components"), ("ridge", "shared_latent")


@pytest.fixture(scope="module")
def design():
    """Lines of two factors, drugs whose features are their weights of these."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(N_LINES, 2))
    genes = factors @ rng.normal(size=(2, 20)) + rng.normal(0, 0.3, (N_LINES, 20))
    features = rng.normal(size=(N_DRUGS, 2))
    responses = factors @ features.T + rng.normal(0, 0.2, (N_LINES, N_DRUGS)) + np.arange(N_DRUGS)
    responses[0, 0] = np.nan
    return Design(
        values=sparse.csr_matrix(genes),
        responses=responses,
        drug_features=features,
        n_features=15,
        n_components=2,
    )


@pytest.fixture(scope="module")
def folds():
    rng = np.random.default_rng(1)
    return deal(np.arange(N_LINES), 2, rng), deal(np.arange(N_DRUGS), 3, rng)


@pytest.mark.parametrize("split", RIVALS)
def test_what_is_held_out_changes_no_prediction_of_it(design, folds, split):
    """The leak test: other responses in the test block, the same predictions of it."""
    line_fold, drug_fold = folds
    lines = np.full(N_LINES, True) if split == "drug" else line_fold == 0
    drugs = np.full(N_DRUGS, True) if split == "line" else drug_fold == 0
    unseen = np.zeros(design.responses.shape, dtype=bool)
    if split != "drug":
        unseen[lines] = True
    if split != "line":
        unseen[:, drugs] = True
    changed = design.responses.copy()
    changed[unseen] = np.random.default_rng(2).normal(50, 9, unseen.sum())
    before = Predictor(design, line_fold, drug_fold, VIEWS, LEARNERS).predict(split)
    other = Design(**{**vars(design), "responses": changed})
    after = Predictor(other, line_fold, drug_fold, VIEWS, LEARNERS).predict(split)
    block = np.ix_(lines, drugs)
    for name, values in before.items():
        assert np.isfinite(values).all(), name
        np.testing.assert_allclose(after[name][block], values[block], err_msg=str(name))
        assert not np.allclose(after[name], values)


@pytest.mark.parametrize("split", ["line", "both"])
def test_expression_of_other_lines_under_test_changes_nothing(design, folds, split):
    line_fold, drug_fold = folds
    rows = np.flatnonzero(line_fold == 0)
    genes = design.values.toarray()
    genes[rows[1:]] = 99.0
    other = Design(**{**vars(design), "values": sparse.csr_matrix(genes)})
    found = [
        Predictor(one, line_fold, drug_fold, VIEWS, ("ridge",)).predict(split)
        for one in (design, other)
    ]
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name][rows[0]], values[rows[0]])


def test_rivals_are_means_of_what_is_known(design, folds):
    line_fold, drug_fold = folds
    predictor = Predictor(design, line_fold, drug_fold, (), ())
    y = design.responses
    by_line = predictor.predict("line")
    line = int(np.flatnonzero(line_fold == 1)[0])
    np.testing.assert_allclose(
        by_line["drug_mean", ""][line], np.nanmean(y[line_fold != 1], axis=0)
    )
    by_drug = predictor.predict("drug")
    drug = int(np.flatnonzero(drug_fold == 2)[0])
    known = y[:, drug_fold != 2]
    line = 5  # whose responses all are there
    np.testing.assert_allclose(by_drug["line_mean", ""][line, drug], known[line].mean())
    np.testing.assert_allclose(
        by_drug["overall_mean", ""][line, drug], np.nanmean(known, axis=0).mean()
    )
    assert {name for name, _ in predictor.predict("both")} == {"overall_mean"}


def test_without_features_an_unseen_drug_is_what_all_have_in_common(design, folds):
    """Every drug of a fold has the same prediction of a line, and features tell them apart."""
    line_fold, drug_fold = folds
    found = Predictor(design, line_fold, drug_fold, ("genes",), ("ridge",)).predict("both")
    common, told = found["ridge", "genes"], found["ridge+drug_features", "genes"]
    drugs = np.flatnonzero(drug_fold == 0)
    np.testing.assert_allclose(common[:, drugs[0]], common[:, drugs[1]])
    one = HeldOut(responses=design.responses, predicted=told[None], line_fold=line_fold[None])
    assert np.median(one.correlation()) > 0.8
    without = Design(**{**vars(design), "drug_features": None})
    found = Predictor(without, line_fold, drug_fold, ("genes",), ("ridge",)).predict("both")
    assert ("ridge+drug_features", "genes") not in found


def test_a_line_is_predicted_by_the_ridge_of_the_other_folds(design, folds):
    line_fold, drug_fold = folds
    train, test = line_fold != 1, line_fold == 1
    genes = design.values.toarray()
    chosen = np.sort(np.argsort(-genes[train].var(axis=0), kind="stable")[:15])
    genes = genes[:, chosen]
    scaled = (genes - genes[train].mean(axis=0)) / genes[train].std(axis=0)
    means = np.nanmean(design.responses[train], axis=0)
    wanted = means + FITS["ridge"](scaled[train], design.responses[train] - means, scaled[test])
    found = Predictor(design, line_fold, drug_fold, ("genes",), ("ridge",)).predict("line")
    np.testing.assert_allclose(found["ridge", "genes"][test], wanted)


def test_groups_are_in_one_fold():
    group = np.repeat(np.arange(10), 3)
    fold = deal(group, 4, np.random.default_rng(0))
    assert all(len(set(fold[group == one])) == 1 for one in range(10))
    assert set(fold) == {0, 1, 2, 3}


def test_a_drug_without_lines_has_the_mean_of_all():
    found = means_of_drugs(np.array([[1.0, np.nan], [3.0, np.nan]]))
    assert found.tolist() == [2.0, 2.0]
