"""What averaging does to errors, and who missed which record."""

import numpy as np
import pytest

from surrogates.calibration.averaging import DEALS, Missed, alike, averaged, dealt


@pytest.mark.parametrize(("n", "folds"), [(50, 5), (50, 3), (3, 5), (2, 2)])
def test_two_members_miss_each_record(n: int, folds: int) -> None:
    rows = dealt(n, folds, seed=7)
    assert len(rows) == DEALS * min(folds, n)
    assert (np.bincount(np.concatenate(rows), minlength=n) == DEALS).all()
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_records_come_back_to_where_they_were() -> None:
    rows, draw = dealt(20, 4, seed=1), np.random.default_rng(0)
    truth = draw.normal(size=20)
    told = Missed.of(rows, [(truth[r] + k // 4, np.full(len(r), 2.0 + k // 4))
                            for k, r in enumerate(rows)])  # fmt: skip
    np.testing.assert_allclose(told.mean, truth + np.arange(DEALS)[:, None])
    np.testing.assert_allclose(told.prediction.mean, truth + 0.5)
    np.testing.assert_allclose(told.prediction.std, np.sqrt((4 + 9) / 2))


def test_errors_of_an_average_are_told_by_two_members() -> None:
    draw = np.random.default_rng(0)
    n, members = 20_000, 6
    errors = draw.normal(size=n) + 0.8 * draw.normal(size=(members, n))
    one = np.sqrt((errors**2).mean())
    expected = np.sqrt((errors.mean(axis=0) ** 2).mean()) / one
    shared = alike(errors[0], errors[1])
    assert shared == pytest.approx(1 / 1.64, abs=0.01)
    assert averaged(shared, members) == pytest.approx(expected, abs=0.01)
    # few records prove little: nearer to an average that gains nothing
    few = averaged(alike(errors[0, :5], -errors[0, :5]), members)
    assert np.sqrt(10 / 15) < few < 1
    assert alike(np.zeros(4), np.zeros(4)) == 1
