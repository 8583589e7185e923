"""Intervals over seeds: how often they hold the truth, and when there are none."""

import numpy as np
import pytest
from scipy.stats import t as student

from campaigns.replay import intervals
from campaigns.replay.metrics import Measure
from campaigns.replay.verdicts import verdicts


@pytest.mark.parametrize("seeds", [6, 10])
def test_nominal_95_percent_holds_the_truth_about_so_often(seeds):
    """Plain percentile intervals hold it in 0.87 and 0.89 of these samples."""
    rng, draws = np.random.default_rng(0), intervals.resamples(seeds, 1000)
    inside = []
    for sample in rng.normal(size=(1000, seeds)):
        gap = intervals.difference(sample, np.zeros(seeds), draws)
        inside.append(gap.low <= 0 <= gap.high)
    assert 0.92 < np.mean(inside) < 0.97


def test_the_interval_of_a_mean_is_about_students():
    sample = np.random.default_rng(1).normal(size=10)
    gap = intervals.difference(sample, np.zeros(10), intervals.resamples(10, 20_000))
    half = student.ppf(0.975, 9) * sample.std(ddof=1) / np.sqrt(10)
    assert gap.high - gap.low == pytest.approx(2 * half, rel=0.06)
    plain = np.quantile(
        sample[intervals.resamples(10, 20_000)].mean(axis=1), [0.025, 0.975]
    )
    assert np.ptp(plain) < 1.75 * half


@pytest.mark.parametrize("seeds", range(1, 6))
def test_fewer_than_six_seeds_judge_nothing_however_far_ahead(seeds):
    ahead = np.linspace(5.0, 6.0, seeds)
    gap = intervals.difference(ahead, np.zeros(seeds), intervals.resamples(seeds, 100))
    assert gap.sign == "unknown" and gap.plain() == {"value": round(ahead.mean(), 5)}
    assert gap.text() == f"{ahead.mean():.3g}"


def test_six_seeds_on_one_side_are_told_and_written_and_read_back():
    gap = intervals.difference(
        np.linspace(5.0, 6.0, 6), np.zeros(6), intervals.resamples(6, 2000)
    )
    assert gap.sign == "above"
    assert intervals.Estimate.read(gap.plain()).text() == gap.text()
    lost = intervals.Estimate(None, None, 2.0)
    assert intervals.Estimate.read(lost.plain()) == lost


def test_what_is_not_reached_is_the_worst_end_also_of_costs():
    again = np.array([1.0, 2.0, np.inf] * 50)
    cost = intervals.interval(1.5, again, 10, rising=True)
    assert (cost.low, cost.high) == (1.0, None)
    speed = intervals.interval(1.5, np.where(np.isinf(again), np.nan, again), 10)
    assert (speed.low, speed.high) == (None, 2.0)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "own beside forest: not judged: 1 seed is too few, at least 6 are needed"),
        (2, "own beside forest: not judged: 2 seeds are too few"),
        (6, "own beats forest at 95 % (area under the discovery curve +0.1"),
    ],
)
def test_a_card_judges_only_what_its_seeds_can_show(seeds, said):
    spent, luck = np.array([10, 20]), np.linspace(0, 0.2, seeds)[:, None]
    curves = {"own": luck + np.array([0.2, 0.4]), "forest": luck + np.array([0.1, 0.3])}

    class Pool:
        phases = np.array([0, 1, *[-1] * 98])

        def __len__(self):
            return 100

    draws = intervals.resamples(seeds, 500)
    found = verdicts(curves, ["own"], ["forest"], spent, draws, Pool())["own"]
    assert said in found["words"]
    assert found["beats_best_baseline"] == ("yes" if seeds == 6 else "not judged")
    assert ("low" in found["difference"]["best_baseline"]) == (seeds == 6)
    area = Measure(spent, 100)
    assert area(curves["own"][0]) - area(curves["forest"][0]) == pytest.approx(0.1)
