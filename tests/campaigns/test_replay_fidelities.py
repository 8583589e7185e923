"""Replays with several fidelities: costs to the unit, verdicts, wrong files."""

import numpy as np
import pandas as pd
import pytest
import yaml

from campaigns.replay import costs
from campaigns.replay.card import judge, text, write
from campaigns.replay.cokriging import CokrigingLearner
from campaigns.replay.intervals import Estimate, resamples
from campaigns.replay.learner_recipes import Cokriging
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from campaigns.replay.simulate import simulate
from campaigns.replay.trace import Trace
from matdisco.errors import ConfigError

PROCESS = {"kind": "gaussian_process", "features": ["columns"]}
BOTH = {"kind": "cokriging", "process": PROCESS}
CHEAP = {"name": "coarse", "column": "coarse", "cost": 0.05, "initial": 10,
         "batch_size": 8}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(120, 2))
    y = -((x[:, 0] - 0.3) ** 2) - (x[:, 1] + 0.2) ** 2 + 0.15 * np.sin(9 * x[:, 0])
    frame = pd.DataFrame(
        {"u": x[:, 0], "v": x[:, 1], "y": y, "coarse": 3 - 2 * y + 0.2 * x[:, 1],
         "holes": np.where(np.arange(120) == 5, np.nan, y)}
    )  # fmt: skip
    frame.to_csv(tmp_path / "pool.csv", index=False)

    def make(fidelities=None, strategies=None, **changes):
        data = {
            "name": "two",
            "pool": {
                "kind": "table", "path": str(tmp_path / "pool.csv"),
                "structure": "none", "columns": ["u", "v"],
            },
            "targets": [{"column": "y", "goal": "maximise"}],
            "wanted": {"kind": "top", "fraction": 0.05},
            "initial": 8, "batch_size": 3, "rounds": 4, "seeds": 2, "resamples": 100,
            "baselines": False,
            "fidelities": fidelities or {"initial": 4, "cheaper": [CHEAP]},
            "strategies": strategies
            or {
                "single": {"learner": PROCESS, "acquisition": {"kind": "greedy"}},
                **{
                    kind: {"learner": BOTH, "acquisition": {"kind": kind}}
                    for kind in ("promotion", "fidelity_entropy", "greedy")
                },
            },
            **changes,
        }  # fmt: skip
        file = tmp_path / "two.yaml"
        file.write_text(yaml.safe_dump(data))
        return file

    return make


def test_costs_are_counted_to_the_unit_and_the_budget_is_kept(path, tmp_path):
    config = ReplayConfig.load(path())
    pool = load(config)
    traces = run(config, tmp_path / "a", workers=1)
    for trace in traces:
        if trace.strategy == "single":
            assert trace.paid == () and len(trace.order) == config.budget == 20
            continue
        count = trace.asked["coarse"]
        # the last target answer may be followed by cheap ones
        assert len(trace.order) - 1 < trace.paid[-1] <= config.budget
        assert trace.paid[0] == pytest.approx(1.05)
        steps = (np.diff([0, *trace.paid]) - 1) / 0.05
        assert steps == pytest.approx(np.rint(steps)) and (steps > -1e-9).all()
        assert steps.sum() <= count + 1e-9
        assert len(trace.order) + 0.05 * count <= config.budget + 1e-9
        assert len(set(trace.order)) == len(trace.order)
        single = next(
            t for t in traces if (t.strategy, t.seed) == ("single", trace.seed)
        )
        assert trace.order[:4] == single.order[:4]  # paired
    everything = [t for t in traces if t.strategy == "greedy"]
    assert {t.asked["coarse"] for t in everything} == {120}
    assert everything[0].paid[4] == pytest.approx(5 + 120 * 0.05)
    card = judge(config, pool, traces)
    again = simulate(config, pool, "b", config.strategies["fidelity_entropy"], 1)
    first = next(t for t in traces if (t.strategy, t.seed) == ("fidelity_entropy", 1))
    assert (again.order, again.paid, again.asked) == (
        first.order, first.paid, first.asked,
    )  # fmt: skip
    assert card["strategies"]["promotion"]["recall"]["value"] > 0.5
    said = text(card)
    assert "promotion against single, which asks only the target" in said
    assert "times the cost" in said
    write(card, tmp_path / "a")
    page = (tmp_path / "a" / "card.html").read_text()
    assert "What the same result costs" in page and "coarse" in page


def test_a_known_answer_is_no_guess_and_the_next_fidelity_leans_on_it(path):
    config = ReplayConfig.load(path())
    pool = load(config)
    assert pool.cheaper[:, 0] == pytest.approx(
        3 - 2 * pool.merit[:, 0] + 0.2 * pool.columns[:, 1]
    )
    learner = CokrigingLearner(Cokriging.model_validate(BOTH), pool, 0, 2)
    low, top = np.arange(60), np.arange(12)
    belief = learner.fit([low, top], [pool.cheaper[low, 0], pool.merit[top, 0]])
    assert belief.slopes[0] == pytest.approx(-0.5, abs=0.1)
    assert belief.mean[:60] == pytest.approx(pool.cheaper[:60, 0])
    assert belief.mean[120:132] == pytest.approx(pool.merit[:12, 0])
    assert (belief.variance.reshape(2, 120)[:, :12] == 0).all()
    # what is answered below is known better above, and right
    std = np.sqrt(belief.dearest().variance)
    assert np.median(std[12:60]) < np.median(std[60:])
    rest = np.arange(12, 120)
    gap = np.abs(belief.dearest().mean - pool.merit[:, 0])[rest]
    assert gap.mean() < 0.15 * pool.merit[:, 0].std()
    same = learner.fit([low, top], [pool.cheaper[low, 0], pool.merit[top, 0]])
    assert same.deltas[0] is belief.deltas[0]  # nothing new, not fitted again


def test_three_fidelities_climb_in_order(path):
    middle = {**CHEAP, "name": "middle", "cost": 0.3, "initial": 4, "batch_size": 3}
    config = ReplayConfig.load(path({"cheaper": [CHEAP, middle]}))
    pool = load(config)
    for kind in ("promotion", "fidelity_improvement"):
        strategy = config.strategies["promotion"].model_copy(
            update={"acquisition": _rule(kind)}
        )
        trace = simulate(config, pool, kind, strategy, 0)
        assert trace.asked["coarse"] >= trace.asked["middle"] >= len(trace.order)
        total = (
            len(trace.order) + 0.05 * trace.asked["coarse"]
            + 0.3 * trace.asked["middle"]
        )  # fmt: skip
        assert trace.paid[-1] <= total <= config.budget + 1e-9


def _rule(kind):
    from pydantic import TypeAdapter

    from campaigns.acquisition.recipes import AnyAcquisition

    return TypeAdapter(AnyAcquisition).validate_python({"kind": kind})


def test_ratios_of_cost_by_hand():
    spent = np.array([10.0, 20.0, 30.0])
    fast = np.array([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]] * 3)
    slow = np.array([[0.0, 0.2, 0.4], [0.0, 0.2, 0.4]] * 3)
    draws = resamples(6, 100)
    # half at 20 against never within 30, which counts as 30
    assert costs.ratio(fast, slow, spent, draws, 0.5).value == pytest.approx(20 / 30)
    none = costs.ratio(slow, fast, spent, draws, 0.5)
    assert none.value is None and none.high is None
    found = costs.costs(fast, spent, draws)
    assert found["cost50"] == {"value": 20.0, "low": 20.0, "high": 20.0}
    assert costs.costs(slow, spent, draws)["cost80"]["value"] is None
    few = costs.ratio(fast[:5], slow[:5], spent, resamples(5, 100), 0.5)
    assert few.plain() == {"value": round(20 / 30, 5)}


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.3, 0.5), "0.40 times the cost (0.30 to 0.50, at most half at 95 %)"),
        ((0.3, 0.6), "(0.30 to 0.60, level with half at 95 %)"),
        ((0.3, None), "(0.30 to not reached, level with half at 95 %)"),
        ((0.51, 0.6), "(0.51 to 0.60, more than half at 95 %)"),
    ],
)
def test_half_the_cost_is_said_of_the_interval_not_of_the_mean(ends, said):
    found = Estimate(0.4, *ends)
    assert said in costs._words(0.8, found, 10, reached=True)
    unknown = costs._words(0.8, Estimate(0.4, judged=False), 3, reached=True)
    assert "half" not in unknown and "3 seeds are too few" in unknown


def test_answers_by_cost_are_counted_when_they_are_paid():
    trace = Trace("a", 0, (5, 6, 7), {}, (), (1.0, 2.1, 3.1), {"coarse": 2})
    assert trace.answered(np.array([0, 1, 2, 3, 4])).tolist() == [0, 1, 1, 2, 3]
    assert Trace.from_dict(trace.to_dict()) == trace
    plain = Trace("a", 0, (5, 6, 7), {}, ())
    assert plain.answered(np.array([2, 9])).tolist() == [2, 3]


GREEDY = {"kind": "greedy"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fidelities": {"cheaper": [CHEAP, CHEAP]}}, "rising costs"),
        ({"fidelities": {"cheaper": [{**CHEAP, "cost": 1.0}]}}, "less than 1"),
        ({"fidelities": {"initial": 9, "cheaper": [CHEAP]}}, "at most initial (8)"),
        (
            {"strategies": {"a": {"learner": PROCESS,
                                  "acquisition": {"kind": "promotion"}}}},
            "acquisition promotion needs learner cokriging",
        ),
        (
            {"strategies": {"a": {
                "learner": {**BOTH, "process": {**PROCESS, "prior": "zero_shot"}},
                "acquisition": GREEDY}}},
            "the fidelity below is the prior",
        ),
        ({"wanted": {"kind": "stable"},
          "targets": [{"column": "y", "goal": "minimise"}]}, "top or threshold"),
        (
            {"fidelities": {"cheaper": [{**CHEAP, "column": "corse"}]}},
            "no column 'corse'",
        ),
        (
            {"fidelities": {"cheaper": [{**CHEAP, "column": "holes"}]}},
            "no number for 1 of 120",
        ),
        (
            {"fidelities": {"cheaper": [{**CHEAP, "column": None}]}},
            "without structures has no energies",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(path, changes, said):
    with pytest.raises(ConfigError) as caught:
        load(ReplayConfig.load(path(**changes)))
    assert said in str(caught.value)


def test_cokriging_without_fidelities_says_what_is_missing(path):
    data = yaml.safe_load(path().read_text())
    del data["fidelities"]
    with pytest.raises(ConfigError, match="needs fidelities"):
        ReplayConfig.from_mapping(data, source="two.yaml")
