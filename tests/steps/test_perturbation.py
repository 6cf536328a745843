import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions
from scpress.config.response import PerturbationOptions
from scpress.errors import InputError
from scpress.steps.cohort import cohort
from scpress.steps.perturbation import perturbation
from scpress.tables.response import RESPONSES

OPTIONS = PerturbationOptions(condition_key="condition", n_features=30, n_components=4)
N_GENES, N_DONORS = 40, 6


def simulate(size, seed=0):
    """Cells of six donors and two types, half of each treated; `size` of what they share."""
    rng = np.random.default_rng(seed)
    shared = size * rng.normal(size=(2, N_GENES))
    blocks, rows = [], []
    for donor in range(N_DONORS):
        level = rng.normal(3, 0.3, N_GENES)
        for kind in range(2):
            for condition in ("ctrl", "stim"):
                noise = rng.normal(0, 0.2, N_GENES)
                mean = np.exp(level + noise + shared[kind] * (condition == "stim"))
                blocks.append(rng.poisson(mean, (10, N_GENES)))
                rows += [(f"d{donor}", f"t{kind}", condition)] * 10
    obs = pd.DataFrame(rows, columns=["donor", "cell_type", "condition"])
    obs.index = [f"c{one}" for one in range(len(obs))]
    return ad.AnnData(sparse.csr_matrix(np.concatenate(blocks)), obs=obs)


def donors_of(cells, latent=None, model=""):
    options = CohortOptions(split_by="condition", min_cells=10)
    return cohort(cells, None, latent, options, model=model)


@pytest.fixture(autouse=True, scope="module")
def few_exchanges():
    """So that predictions are made again two times, not ten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scpress.steps.perturbation._PREDICTED_AGAIN", 2)
        yield


@pytest.fixture(scope="module")
def donors():
    return donors_of(simulate(0.5))


@pytest.fixture(scope="module")
def found(donors):
    return perturbation(donors, OPTIONS)


def test_a_shared_response_agrees_and_is_predicted(found):
    responses, record = found
    assert record.levels == ("ctrl", "stim")
    assert record.donors == tuple(f"d{one}" for one in range(6))
    for one in record.agreement:
        assert one.cosine_low > 0.5
        assert one.cosine_low <= one.cosine <= one.cosine_high
        assert one.p_value == one.least_p == 1 / 32
        # Over all exchanges, that of nobody among them, the mean is 0.
        assert one.permuted_cosine == pytest.approx(-one.cosine / 31)
        assert one.cosine > one.other_types + 0.3
    explained = {(one.model, one.view): one for one in record.prediction if one.cell_type == ""}
    assert explained["no_response", ""].explained == 0
    mean = explained["mean_response", "genes"]
    assert mean.explained_low > 0.5
    assert mean.permuted_explained < 0
    assert explained["ridge", "genes"].explained > mean.explained - 0.05
    assert {one.cell_type for one in record.prediction} == {"", "t0", "t1"}
    RESPONSES.require(responses, "it")


def test_responses_are_differences_of_log_counts(donors, found):
    responses = found[0]
    assert responses.obs_names[1] == "d0|t1"
    control, treated = (
        donors[f"d0|{one}"].layers["counts_t1"].toarray().ravel() for one in ("ctrl", "stim")
    )
    wanted = np.log1p(treated / treated.sum() * 1e4) - np.log1p(control / control.sum() * 1e4)
    np.testing.assert_allclose(responses["d0|t1"].X.toarray().ravel(), wanted, rtol=1e-5)


def test_no_response_agrees_in_no_type():
    """Of two types in two seeds."""
    p = [
        one.p_value
        for seed in range(2)
        for one in perturbation(donors_of(simulate(0.0, seed)), OPTIONS)[1].agreement
        if one.view == "genes"
    ]
    assert np.median(p) > 0.1


def test_the_levels_turn_the_response(donors, found):
    turned = PerturbationOptions(**{**vars(OPTIONS), "levels": ("stim", "ctrl")})
    responses, record = perturbation(donors, turned)
    np.testing.assert_allclose(responses.X.toarray(), -found[0].X.toarray())
    assert record.agreement[0].cosine == pytest.approx(found[1].agreement[0].cosine)


def test_latents_of_the_run_are_compared_too():
    cells = simulate(0.5)
    z = np.log1p(cells.X.toarray()[:, :5]).astype("f4")
    latent = ad.AnnData(obs=cells.obs[[]], obsm={"X_vae": z})
    responses, record = perturbation(donors_of(cells, latent, "vae"), OPTIONS)
    assert record.latent_model == "vae"
    found = [one for one in record.agreement if one.view == "X_vae"]
    assert [one.cell_type for one in found] == ["t0", "t1"]
    inside = (cells.obs["donor"] == "d2") & (cells.obs["cell_type"] == "t0")
    treated = (cells.obs["condition"] == "stim").to_numpy()
    wanted = z[inside & treated].mean(axis=0) - z[inside & ~treated].mean(axis=0)
    np.testing.assert_allclose(responses["d2|t0"].obsm["X_vae"][0], wanted, rtol=1e-4)
    # What is predicted is of spaces that have not seen the donor.
    assert {one.view for one in record.prediction} == {"", "genes", "components"}


def some(cells, keep):
    return donors_of(cells[keep(cells.obs).to_numpy()].copy())


def test_donors_and_types_that_lack_a_side_are_named():
    cells = simulate(0.5)

    def keep(obs):
        lone = (obs["donor"] == "d0") & (obs["condition"] == "stim")
        rare = (obs["donor"] == "d1") & (obs["cell_type"] == "t1")
        rare &= (obs["condition"] == "stim") & (obs.index.str[-1] != "0")
        return ~lone & ~rare

    record = perturbation(some(cells, keep), OPTIONS)[1]
    assert record.left_out == ("d0 (no stim)", "d1: t1")
    assert [one.n_donors for one in record.agreement] == [5, 4, 5, 4]


def test_two_donors_can_say_little():
    record = perturbation(
        some(simulate(0.5), lambda obs: obs["donor"].isin(["d0", "d1"])), OPTIONS
    )[1]
    one = record.agreement[0]
    assert (one.cosine_low, one.cosine_high) == (-1, 1)
    assert one.least_p == 0.5


@pytest.mark.parametrize(
    ("keep", "line"),
    [
        (lambda o: o["donor"] == "d0", "'condition' is 'ctrl' for 1 donor, and a comparison needs"),
        (
            lambda o: (o["donor"].isin(["d0", "d1"])) == (o["condition"] == "ctrl"),
            "donors with both 'ctrl' and 'stim': 0, and two are the fewest",
        ),
        (lambda o: o["condition"] == "ctrl", "all donors have one value of 'condition'"),
        (
            lambda o: (o["cell_type"] == "t0") == (o["condition"] == "ctrl"),
            "no type has 10 control and treated cells in each of two donors: t0 \\(in 0 donors",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(keep, line):
    with pytest.raises(InputError, match=line) as caught:
        perturbation(some(simulate(0.5), keep), OPTIONS)
    assert "\n" not in str(caught.value)


def test_donors_that_are_not_divided_are_one_line(donors):
    whole = cohort(simulate(0.5), options=CohortOptions(min_cells=10))
    with pytest.raises(InputError, match="'condition' is no property of a donor"):
        perturbation(whole, OPTIONS)
    with pytest.raises(InputError, match="name the column of donors in condition_key"):
        perturbation(donors)


def test_a_donor_with_a_condition_twice_is_one_line():
    cells = simulate(0.5)
    cells.obs["lane"] = np.where(np.arange(cells.n_obs) % 2, "a", "b")
    cells.obs["lane"] += cells.obs["condition"]
    divided = cohort(cells, options=CohortOptions(split_by="lane", min_cells=5, min_type_cells=5))
    with pytest.raises(InputError, match="donor 'd0' has 'ctrl' twice, 'd0\\|actrl' and 'd0\\|b"):
        perturbation(divided, OPTIONS)


def test_a_batch_that_comes_with_the_treatment_is_refused():
    cells = simulate(0.5)
    cells.obs["batch"] = np.where(cells.obs["condition"] == "ctrl", "b1", "b2")
    divided = donors_of(cells)
    with pytest.raises(InputError, match="donor 'd0' are of 'batch' 'b1' and 'b2': nothing tells"):
        perturbation(divided, OPTIONS)
    options = PerturbationOptions(**{**vars(OPTIONS), "batch_key": None})
    assert len(perturbation(divided, options)[1].donors) == 6
