"""What an ensemble tells beside its prediction: its members, and who judged them."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.calibration import ConformalInterval, Scale
from surrogates.checkpoint import Checkpoint, load, read, write
from surrogates.ensemble import NetworkEnsemble
from surrogates.ensemble_state import Held
from surrogates.posterior import AllMembers, PoolModel, to_botorch
from surrogates.recipes import RandomForestRecipe
from surrogates.testing import toy_crystals
from tests.surrogates.test_ensemble import NEW, fitted, shelf

__all__ = ["shelf"]

POOL = toy_crystals(9, seed=5)


@pytest.fixture(scope="module", params=["tuned", "from nothing", "base"])
def ensemble(request: pytest.FixtureRequest, shelf: Path) -> NetworkEnsemble:
    match request.param:
        case "tuned":
            return fitted(shelf, None, NEW)
        case "base":
            return fitted(shelf, None, NEW[:0])
        case _:
            data = Dataset("toy", tuple(toy_crystals(60, seed=3)))
            return fitted(shelf, None, data, pretrain=None)


def test_members_are_as_far_apart_as_the_prediction_says(
    ensemble: NetworkEnsemble,
) -> None:
    members, joint = ensemble.members(POOL), ensemble.predict(POOL)
    assert members.shape == (ensemble.recipe.members, len(POOL))
    np.testing.assert_allclose(members.mean(axis=0), joint.mean, atol=1e-12)
    shared = joint.factors.T @ joint.factors
    np.testing.assert_allclose(np.cov(members, rowvar=False), shared, atol=1e-12)
    assert np.diag(shared).min() > 0


def test_the_sampler_of_all_members_draws_the_shared_part(
    ensemble: NetworkEnsemble,
) -> None:
    model, joint = to_botorch(ensemble, POOL, members=True), ensemble.predict(POOL)
    posterior = model.posterior(model.choices())
    sampler = AllMembers(ensemble.recipe.members)
    drawn = sampler(posterior)[..., 0].numpy()  # S x n
    shared = joint.factors.T @ joint.factors
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), shared, atol=1e-12)
    np.testing.assert_allclose(drawn.mean(axis=0), joint.mean, atol=1e-12)
    np.testing.assert_allclose(
        posterior.variance[:, 0].numpy(), np.diag(shared), atol=1e-12
    )
    assert isinstance(to_botorch(ensemble, POOL), PoolModel)


def test_what_has_no_members_is_told_so() -> None:
    forest = RandomForestRecipe(trees=10, threads=1).build(0)
    forest.fit(NEW, "toy")
    with pytest.raises(SurrogateError, match="no members to show"):
        to_botorch(forest, POOL, members=True)


def test_one_member_is_the_mean(shelf: Path) -> None:
    alone = fitted(shelf, None, NEW, pretrain=None, members=1)
    np.testing.assert_array_equal(alone.members(POOL)[0], alone.predict(POOL).mean)


def test_records_that_judged_are_kept_with_their_calibrated_sigmas(
    ensemble: NetworkEnsemble, tmp_path: Path
) -> None:
    rows, labels, found = ensemble.held_out()
    assert len(rows) == len(set(rows)) == len(labels) == len(found) > 0
    state = ensemble.state
    assert state is not None
    # the scale is the root mean square of their errors over raw sigmas and a prior's
    prior = Scale(1.0, 5.0)
    if ensemble._base is not None and ensemble._base is not state:
        prior = ensemble._base.scale.capped(ensemble.recipe.calibration_prior)
    raw = (labels - found.mean) / found.std * state.scale.k
    assert prior.updated(raw).k == pytest.approx(state.scale.k, rel=1e-9)
    assert prior.updated(raw).n == state.scale.n
    ensemble.save(tmp_path / "c")
    again = load(tmp_path / "c")
    assert isinstance(again, NetworkEnsemble)
    for one, two in zip(ensemble.held_out()[:2], again.held_out()[:2], strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(again.held_out()[2].mean, found.mean)
    np.testing.assert_array_equal(again.held_out()[2].std, found.std)


def test_rows_count_labelled_records(shelf: Path) -> None:
    rows, labels, _ = fitted(shelf, None, NEW).held_out()
    np.testing.assert_array_equal(labels, NEW.values("toy")[rows])
    data = Dataset("toy", tuple(toy_crystals(60, seed=3)))
    rows, labels, _ = fitted(shelf, None, data, pretrain=None).held_out()
    np.testing.assert_array_equal(labels, data.values("toy")[rows])


def test_they_make_conformal_intervals(shelf: Path) -> None:
    _, labels, found = fitted(shelf, None, NEW).held_out()
    interval = ConformalInterval.fit(labels, found, 0.8)
    lower, upper = interval.apply(found)
    assert ((lower <= labels) & (labels <= upper)).mean() >= 0.8


def test_checkpoints_from_before_have_none(shelf: Path, tmp_path: Path) -> None:
    now = fitted(shelf, None, NEW)
    now.save(tmp_path / "now")
    whole = read(tmp_path / "now")
    arrays = {k: v for k, v in whole.arrays.items() if not k.startswith("held_out.")}
    assert len(arrays) == len(whole.arrays) - len(vars(Held()))
    write(tmp_path / "before", Checkpoint(whole.recipe, whole.state, arrays))
    old = load(tmp_path / "before")
    assert isinstance(old, NetworkEnsemble)
    assert len(old.held_out()[0]) == len(old.held_out()[2]) == 0
    np.testing.assert_array_equal(old.predict(POOL).std, now.predict(POOL).std)
