"""Records that part of an ensemble missed: which they are, and what they tell."""

import numpy as np
import pytest

from surrogates.base import Prediction
from surrogates.calibration import OutOfBag, error_of_all


@pytest.mark.parametrize(
    ("members", "wanted"), [(1, 1), (2, 2), (3, 2), (4, 2), (8, 4)]
)
def test_half_of_the_members_missed_each_record_and_its_group(
    members: int, wanted: int
) -> None:
    draw = np.random.default_rng(members)
    weights = draw.poisson(1.0, (members, 400))
    groups = [f"g{i // 2}" for i in range(400)]
    bag = OutOfBag.of(weights, groups)
    assert bag.members.shape == (wanted, len(bag)) and len(bag) > 0
    pairs = weights.reshape(members, 200, 2).sum(axis=2)  # what each saw of a group
    for row, missed in zip(bag.rows, bag.members.T, strict=True):
        assert len(set(missed)) == wanted
        assert (pairs[missed, row // 2] == 0).all()
    left = np.setdiff1d(np.arange(400), bag.rows)
    assert ((pairs[:, left // 2] == 0).sum(axis=0) < wanted).all()
    alone = OutOfBag.of(weights, [str(i) for i in range(400)])
    assert alone.share == 1 and bag.share == len(bag) / len(alone) < 0.5


def test_members_take_turns() -> None:
    bag = OutOfBag.of(np.zeros((4, 100), dtype=int), [str(i) for i in range(100)])
    counts = np.bincount(bag.members.ravel(), minlength=4)
    assert counts.tolist() == [50] * 4


def test_answers_are_those_of_the_members_that_missed_the_record() -> None:
    weights = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 2, 0]])
    bag = OutOfBag.of(weights, ["a", "b", "c"])
    assert bag.rows.tolist() == [0, 1, 2]
    said = 10.0 * np.arange(4)[:, None, None] + np.arange(3)[None, :, None]
    picked = bag.pick(said)
    assert picked.shape == (2, 3, 1)
    assert sorted(picked[:, 0, 0]) == [0, 20] and sorted(picked[:, 1, 0]) == [11, 21]
    assert set(picked[:, 2, 0]) < {2, 12, 32}


def test_nothing_was_missed() -> None:
    bag = OutOfBag.of(np.ones((4, 5), dtype=int), list("abcde"))
    assert len(bag) == 0 and bag.pick(np.zeros((4, 0, 1))).shape == (2, 0, 1)
    assert len(OutOfBag.of(np.ones((4, 0), dtype=int), [])) == 0


@pytest.mark.parametrize("shared", [0.0, 0.3, 2.0])
def test_the_error_of_all_follows_from_that_of_a_few(shared: float) -> None:
    draw = np.random.default_rng(0)
    n, members = 40_000, 8
    errors = draw.normal(size=(members, n)) + shared * draw.normal(size=n)

    def joint(said: np.ndarray) -> Prediction:
        mean = said.mean(axis=0)
        factors = (said - mean) / np.sqrt(len(said) - 1)
        return Prediction(mean, factors, np.full(n, 0.1))

    for few in (2, 4):
        ratio = error_of_all(joint(errors[:few]), np.zeros(n), members)
        true = np.sqrt(
            (errors.mean(axis=0) ** 2).mean() / (errors[:few].mean(axis=0) ** 2).mean()
        )
        assert ratio == pytest.approx(true, rel=0.03)
    assert error_of_all(joint(errors), np.zeros(n), members) == 1.0


def test_errors_that_chance_made_small_do_not_vanish() -> None:
    far = Prediction(np.zeros(3), np.ones((2, 3)), np.ones(3))  # variance 2
    ratio = error_of_all(far, np.full(3, 0.5), 4)
    assert ratio == 1.0, "errors below those of independent members are not cut further"
    assert error_of_all(far, np.zeros(3), 4) == error_of_all(
        far.take([]), np.zeros(0), 4
    )
