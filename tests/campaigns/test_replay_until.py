"""Evaluations until a share is found: counted by hand, unreached, paired, of chance."""

import numpy as np
import pytest

from campaigns.acquisition.recipes import NewPhases, UpperConfidenceBound
from campaigns.replay import until
from campaigns.replay.intervals import resamples
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.recipes import Strategy

SPENT = np.array([10, 20, 30, 40])
FAST = np.array([[0.0, 0.5, 0.9, 1.0], [0.1, 0.4, 0.8, 1.0]] * 3)
SLOW = np.array([[0.0, 0.1, 0.5, 0.9], [0.1, 0.2, 0.4, 0.8]] * 3)


def test_a_share_is_reached_at_the_end_of_the_batch_that_reaches_it():
    assert until.needed(FAST[:2], SPENT, 0.5).tolist() == [20, 30]
    assert until.needed(SLOW[:2], SPENT, 0.9).tolist() == [40, np.inf]
    # a share that is a sum of phases is not missed by rounding
    assert until.needed(np.array([[1 / 26 * 13]]), SPENT[:1], 0.5).tolist() == [10]


def test_who_does_not_arrive_counts_with_the_budget_and_is_said_to():
    draws = resamples(6, 200)
    found = until.until(SLOW, SPENT, draws)
    assert found["80"] == {"value": 40, "low": 40, "high": 40, "arrived": 6, "seeds": 6}
    assert found["90"]["value"] == 40 and found["90"]["arrived"] == 3
    assert until.cell(found["90"]) == "at least 40 (3 of 6)"
    assert until.cell(found["100"]) == "not reached"
    assert until.cell(until.until(FAST, SPENT, draws)["50"]) == "25 (20 to 30)"


def test_rules_of_the_hull_are_compared_with_the_others_paired_by_seed():
    learner = Exact(features=("composition",))
    strategies = {
        "phases": Strategy(learner=learner, acquisition=NewPhases()),
        "bound": Strategy(learner=learner, acquisition=UpperConfidenceBound()),
    }
    draws = resamples(6, 200)
    curves = {"phases": FAST, "bound": SLOW}
    found = until.verdicts(curves, strategies, SPENT, draws)
    assert list(found) == ["phases"] and list(found["phases"]) == ["bound"]
    gap = found["phases"]["bound"]["difference"]
    assert (gap["50"]["value"], gap["50"]["low"], gap["50"]["high"]) == (-10, -10, -10)
    # 30 - 40 and 30 - 40: the one that does not get there is credited with 40
    assert gap["90"]["value"] == pytest.approx(-5)
    words = found["phases"]["bound"]["words"]
    assert "50 % -10 (-10 to -10, fewer at 95 %)" in words and "90 % -5 (" in words
    few = until.verdicts({n: c[:4] for n, c in curves.items()}, strategies, SPENT,
                         resamples(4, 200))["phases"]["bound"]  # fmt: skip
    assert few["difference"]["50"] == {"value": -10.0}
    assert "50 % -10 evaluations" in few["words"] and "fewer" not in few[
        "words"
    ].replace("too few", "")
    assert few["words"].endswith("4 seeds are too few, at least 6 are needed)")


def test_random_choice_needs_what_order_statistics_say():
    phases = np.array([0, 1, 2, 3, *[-1] * 36])
    spent = np.arange(1, 41)
    found = until.chance(phases, spent)
    # the k-th of K among N comes at k (N + 1) / (K + 1) on average
    assert found["50"]["value"] == pytest.approx(2 * 41 / 5, rel=0.05)
    assert found["100"]["value"] == pytest.approx(4 * 41 / 5, rel=0.03)
    assert found["100"]["arrived"] == until.CAMPAIGNS
