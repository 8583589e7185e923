"""Choosing what probably belongs to the best share."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

from campaigns.acquisition.batch import Aim, choose
from campaigns.acquisition.beliefs import FactorBelief
from campaigns.acquisition.fits import check
from campaigns.acquisition.recipes import TopShare
from campaigns.acquisition.select import select
from campaigns.acquisition.share import bar, most_probable
from campaigns.objectives import HullObjective
from campaigns.utility import Utility
from matdisco.errors import ConfigError
from surrogates.base import Prediction


def rng(seed=0):
    return np.random.default_rng(seed)


def belief(seed=0, n=10, r=3):
    """Candidates whose values hang together through three common factors."""
    g = rng(seed)
    return Prediction(
        g.normal(size=n), 0.6 * g.normal(size=(r, n)), g.uniform(0.1, 0.5, n)
    )


@pytest.mark.parametrize("count", [0.5, 3.0, 12.5])
def test_above_the_bar_the_wanted_number_is_expected(count):
    b, answered = belief(n=30), rng(1).normal(size=12)
    value = bar(b.mean, b.std, answered, count)
    drawn = np.array([b.mean + b.deviations(rng(s)) for s in range(4000)])
    found = (drawn > value).sum(axis=1).mean() + (answered > value).sum()
    # a step of one answer may lie at the bar
    step = np.abs(answered - value).min() < 1e-6
    assert found == pytest.approx(count, abs=1.0 if step else 0.15)


def test_the_batch_is_the_best_of_all_subsets_whatever_the_correlations():
    """Brute force: by joint draws, no other four hold more of the best share."""
    b, answered = belief(2), np.array([0.3, -1.0])
    value = bar(b.mean, b.std, answered, 0.25 * 12)
    batch = choose(
        FactorBelief(b), TopShare(share=0.25), Aim(0.3, answered=answered), rng(), 4
    )
    drawn = np.array([b.mean + b.deviations(rng(s)) for s in range(20_000)]) > value
    worth = {
        rows: drawn[:, rows].sum(axis=1).mean() for rows in combinations(range(10), 4)
    }
    best = max(worth.values())
    assert worth[tuple(sorted(p.row for p in batch))] == pytest.approx(best, abs=0.01)
    chances = norm.sf((value - b.mean) / b.std)
    assert [np.exp(p.value) for p in batch] == pytest.approx(np.sort(chances)[:-5:-1])


def test_sure_candidates_win_above_the_bar_and_unsure_ones_below():
    mean, std = np.array([1.0, 1.0, -1.0, -1.0]), np.array([0.1, 2.0, 0.1, 2.0])
    picks = most_probable(mean, std, 0.0, 4, free=np.ones(4, dtype=bool))
    assert [p.row for p in picks] == [0, 1, 3, 2]
    some = most_probable(
        mean, std, 0.0, 4, free=np.array([True, True, True, False]),
        groups=np.array([7, 7, 8, 8]), per_group=1,
    )  # fmt: skip
    assert [p.row for p in some] == [0, 2]
    heavy = np.array([-50.0, 0.0, 0.0, 0.0])
    first = most_probable(mean, std, 0.0, 1, free=np.ones(4, dtype=bool), offset=heavy)
    assert first[0].row == 1


def test_what_waits_counts_but_is_not_chosen_again():
    b, answered = belief(3), np.array([0.0])
    aim = Aim(0.0, answered=answered)
    whole = choose(FactorBelief(b), TopShare(share=0.3), aim, rng(), 5)
    rest = choose(
        FactorBelief(b), TopShare(share=0.3), aim, rng(), 3,
        pending=[whole[0].row], barred=[],
    )  # fmt: skip
    assert [p.row for p in rest] == [p.row for p in whole[1:4]]


def test_a_campaign_chooses_by_it():
    b = belief(4, n=40)
    u = Utility(b, 0.5, answered=np.array([0.5, -0.2, 0.1]))
    first = select(u, TopShare(share=0.1), rng(3), batch_size=6)
    assert first == select(u, TopShare(share=0.1), rng(8), batch_size=6)
    value = bar(b.mean, b.std, np.array([0.5, -0.2, 0.1]), 4.3)
    chances = norm.sf((value - b.mean) / b.std)
    assert {c.row for c in first} == set(np.argsort(-chances)[:6].tolist())


def test_a_hull_has_no_best_share():
    with pytest.raises(ValueError, match="kind top_share needs an objective of kind"):
        check(TopShare(), HullObjective())
    with pytest.raises(ConfigError, match="top_share has no exact batch"):
        choose(FactorBelief(belief()), TopShare(), Aim(0.0), rng(), 2)
