"""Limits beside one goal: closed forms, what counts as found, whole replays, files."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm

from campaigns.acquisition.beliefs import FactorBelief
from campaigns.acquisition.recipes import (
    Greedy,
    LogExpectedImprovement,
    ProbabilityOfImprovement,
    TopShare,
    UpperConfidenceBound,
)
from campaigns.replay.card import judge, text, write
from campaigns.replay.limits import choose_within, log_chance, weighed_bar
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import _key, run
from campaigns.replay.strategies import Strategy
from matdisco.errors import ConfigError
from surrogates.base import Prediction

MEAN = np.array([0.0, 0.4, 1.0, 2.0, 0.9])
STD = np.array([0.5, 1.5, 0.3, 0.2, 0.3])
MARGIN = Prediction.apart(np.array([1.0, 0.2, 0.1, -1.0, -0.1]), np.full(5, 0.4))
CHANCE = norm.cdf(np.array([1.0, 0.2, 0.1, -1.0, -0.1]) / 0.4)
Y, MET = np.array([0.2, 3.0, -0.5]), np.array([True, False, True])


def first(rule, met=MET, q=1, weight=None):
    belief = FactorBelief(Prediction.apart(MEAN, STD))
    weight = log_chance([MARGIN]) if weight is None else weight
    rng, none = np.random.default_rng(0), np.array([], dtype=int)
    return choose_within(belief, rule, Y, met, weight, rng, q, barred=none)


def test_the_chance_of_independent_margins_is_the_product():
    other = Prediction.apart(np.zeros(5), np.ones(5))
    assert np.exp(log_chance([MARGIN])) == pytest.approx(CHANCE)
    assert np.exp(log_chance([MARGIN, other])) == pytest.approx(CHANCE / 2)


def test_expected_improvement_is_gardners_over_the_best_that_meets_the_limits():
    z = (MEAN - 0.2) / STD  # 3.0 is better, but misses the limit
    closed = CHANCE * STD * (norm.pdf(z) + z * norm.cdf(z))
    pick = first(LogExpectedImprovement())[0]
    assert pick.row == closed.argmax() == 1
    assert pick.value == pytest.approx(np.log(closed.max()))
    # without the limit the one that surely misses it would be chosen
    assert first(LogExpectedImprovement(), weight=np.zeros(5))[0].row == 3


def test_probability_of_improvement_is_multiplied():
    closed = CHANCE * norm.cdf((MEAN - 0.2) / STD)
    pick = first(ProbabilityOfImprovement())[0]
    assert pick.row == closed.argmax()
    assert np.exp(pick.value) == pytest.approx(closed.max())


@pytest.mark.parametrize(
    ("rule", "sigmas"), [(UpperConfidenceBound(beta=4.0), 2.0), (Greedy(), 0.0)]
)
def test_bounds_and_means_are_multiplied_above_the_lowest_answer(rule, sigmas):
    closed = CHANCE * (MEAN + sigmas * STD - (-0.5))
    picks = first(rule, q=5)
    assert [p.row for p in picks] == np.argsort(-closed).tolist()
    assert np.exp(picks[0].value) == pytest.approx(closed.max())


def test_the_bar_of_a_share_is_that_of_those_that_meet_the_limits():
    value = weighed_bar(MEAN, STD, CHANCE, Y[MET], 0.25)
    expected = (CHANCE * norm.cdf((MEAN - value) / STD)).sum() + (Y[MET] > value).sum()
    assert expected == pytest.approx(0.25 * (CHANCE.sum() + 2), abs=1e-6)
    closed = CHANCE * norm.cdf((MEAN - value) / STD)
    pick = first(TopShare(share=0.25))[0]
    assert pick.row == closed.argmax()
    assert np.exp(pick.value) == pytest.approx(closed.max(), rel=1e-6)


@pytest.mark.parametrize("rule", [LogExpectedImprovement(), Greedy(), TopShare()])
def test_before_any_answer_meets_the_limits_the_likeliest_are_chosen(rule):
    picks = first(rule, met=np.zeros(3, dtype=bool), q=3)
    assert [p.row for p in picks] == [0, 1, 2]


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-1, 1, size=(2, 160))
    # the goal grows with u, of which the limit on b allows no more than 0.2
    frame = pd.DataFrame({"u": u, "v": v, "a": u + 0.1 * v, "b": 3.0 - u})
    frame.to_csv(tmp_path / "pool.csv", index=False)
    gp = {"kind": "gaussian_process", "features": ["columns"]}
    ucb = {"kind": "upper_confidence_bound", "beta": 1.0}

    def make(**changes):
        data = {
            "name": "small",
            "pool": {
                "kind": "table", "path": str(tmp_path / "pool.csv"),
                "structure": "none", "columns": ["u", "v"],
            },
            "targets": [
                {"column": "a", "goal": "maximise"},
                {"column": "b", "limit": {"at_least": 2.8}},
            ],
            "wanted": {"kind": "top", "fraction": 0.05},
            "initial": 8, "batch_size": 4, "rounds": 3, "seeds": 6, "resamples": 200,
            "baselines": False,
            "strategies": {
                "ucb": {"learner": gp, "acquisition": ucb},
                "blind": {"learner": gp, "acquisition": ucb, "limits": "ignore"},
            },
        }  # fmt: skip
        (tmp_path / "small.yaml").write_text(yaml.safe_dump({**data, **changes}))
        return tmp_path / "small.yaml"

    return make


def test_what_is_wanted_is_the_best_of_what_meets_the_limits(path):
    pool = load(ReplayConfig.load(path()))
    a, b = pool.values.T
    within = b >= 2.8
    assert pool.merit.shape == (160, 1) and pool.margins.shape == (160, 1)
    assert pool.wanted.sum() == round(0.05 * within.sum())
    assert set(np.flatnonzero(pool.wanted)) <= set(np.flatnonzero(within))
    assert a[pool.wanted].min() >= np.sort(a[within])[-pool.wanted.sum()]
    assert (pool.worth[~within] == a.min()).all() and not pool.wanted[a.argmax()]
    above = load(ReplayConfig.load(path(wanted={"kind": "threshold", "value": 0.1})))
    assert (above.wanted == (within & (a > 0.1))).all()
    most = [
        {"column": "a", "goal": "maximise"},
        {"column": "b", "limit": {"at_most": 100.0}, "log": True},
    ]
    logged = load(ReplayConfig.load(path(targets=most)))
    assert logged.margins[:, 0] == pytest.approx(2.0 - np.log10(b))


def test_heeding_the_limits_finds_what_ignoring_them_does_not(path, tmp_path):
    config = ReplayConfig.load(path())
    pool = load(config)
    traces = run(config, tmp_path / "a", workers=1)
    card = judge(config, pool, traces)
    rows = card["strategies"]
    assert rows["ucb"]["recall"]["value"] > rows["blind"]["recall"]["value"] + 0.3
    assert rows["ucb"]["within_limits"] > rows["blind"]["within_limits"] + 0.3
    assert rows["ucb"]["regret"] < 0.1
    said = card["limit_verdict"]["ucb"]
    assert said["ignoring"] == "blind" and said["difference"]["low"] > 0
    assert "ucb beats blind, which ignores the limits, at 95 %" in text(card)
    write(card, tmp_path / "a")
    assert said["words"] in (tmp_path / "a" / "card.html").read_text()


def test_a_limit_that_all_meet_changes_nothing_that_is_chosen(path, tmp_path):
    loose = [
        {"column": "a", "goal": "maximise"},
        {"column": "b", "limit": {"at_least": -100.0}},
    ]
    strategies = {
        name: {
            "learner": {"kind": "gaussian_process", "features": ["columns"]},
            "acquisition": {"kind": "log_expected_improvement"},
            "limits": name,
        }
        for name in ("heed", "ignore")
    }
    config = ReplayConfig.load(path(targets=loose, strategies=strategies, seeds=1))
    one, other = run(config, tmp_path / "a", workers=1)
    assert one.order == other.order


def test_traces_of_before_there_were_limits_are_still_those_of_the_same_strategy():
    from matdisco.recipe import digest

    strategy = Strategy(learner={"kind": "nothing"}, acquisition={"kind": "random"})
    old = {k: v for k, v in strategy.model_dump(mode="json").items() if k != "limits"}
    assert _key("p", strategy) == digest({"protocol": "p", "strategy": old})
    ignoring = strategy.model_copy(update={"limits": "ignore"})
    assert _key("p", ignoring) != _key("p", strategy)


GOAL, LIMIT = (
    {"column": "a", "goal": "maximise"},
    {"column": "b", "limit": {"at_least": 2.8}},
)
GP = {"kind": "gaussian_process", "features": ["columns"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": [LIMIT, GOAL]}, "those with a goal first"),
        ({"targets": [GOAL, {"column": "b"}]}, "without one limit"),
        ({"targets": [GOAL, {"column": "b", "limit": 2.8}]}, "without one limit"),
        ({"targets": [{**GOAL, "limit": 1.0}]}, "a target of its own"),
        (
            {"targets": [GOAL, {"column": "b", "limit": {}}]},
            "one of at_least and at_most",
        ),
        ({"targets": [GOAL, {**LIMIT, "limit": {"at_least": 9.0}}]}, "no candidate"),
        ({"targets": [LIMIT]}, "expected at least one with a goal"),
        ({"targets": [GOAL]}, "none to ignore"),
        (
            {"strategies": {"s": {"learner": GP, "acquisition": {"kind": "thompson"}}}},
            "thompson cannot heed limits",
        ),
        (
            {"strategies": {"s": {"learner": {"kind": "ax", "features": ["columns"]}}}},
            "got limits",
        ),
    ],
)
def test_limits_that_make_no_sense_get_a_sentence(path, changes, said):
    with pytest.raises(ConfigError, match=said):
        load(ReplayConfig.load(path(**changes)))
