"""Replays: the share of every batch that is drawn at random, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import yaml

from campaigns.cli import main
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.errors import ConfigError

GP = {"kind": "gaussian_process", "features": ["columns"]}
FRONT = {
    "targets": [{"column": c, "goal": "maximise"} for c in ("y", "z")],
    "wanted": {"kind": "front"},
}
HULL = {
    "targets": [{"column": "energy_per_atom", "goal": "minimise"}],
    "wanted": {"kind": "stable"}, "initial": 14,
}  # fmt: skip


@pytest.fixture
def replayed(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(120, 2))
    frame = pd.DataFrame(x, columns=["u", "v"])
    frame["y"], frame["z"] = -(x[:, 0] ** 2) - x[:, 1] ** 2, np.sin(3 * x[:, 0])
    frame.to_csv(tmp_path / "pool.csv", index=False)
    pool = {
        "kind": "table", "path": str(tmp_path / "pool.csv"), "structure": "none",
        "columns": ["u", "v"],
    }  # fmt: skip

    def make(shares, rule, learner=GP, **changes):
        data = {
            "name": "share", "pool": pool, "baselines": False, "resamples": 100,
            "targets": [{"column": "y", "goal": "maximise"}],
            "initial": 8, "batch_size": 6, "rounds": 2, "seeds": 2,
            "strategies": {
                f"s{share}": {
                    "learner": learner,
                    "acquisition": {**rule, "random_share": share},
                }
                for share in shares
            },
            **changes,
        }  # fmt: skip
        path = tmp_path / "share.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return make


@pytest.fixture
def hull(tmp_path):
    whole = Dataset.open(resolve("shipped:al-ni-ti"))
    whole = whole.take(np.flatnonzero(np.isfinite(whole.values("energy_per_atom"))))
    path = whole.take(np.arange(0, 984, 8)).save(tmp_path / "some.parquet")
    composition = {"kind": "gaussian_process", "features": ["composition"]}
    return {**HULL, "pool": {"kind": "dataset", "path": str(path)}}, composition


def check(config, folder):
    """The informed half is what the rule alone says first, the rest is not its."""
    traces = run(ReplayConfig.load(config), folder, workers=1)
    by = {(t.strategy, t.seed): t for t in traces}
    start = ReplayConfig.load(config).initial
    extras = []
    for seed in (0, 1):
        alone, half = by["s0.0", seed].order, by["s0.5", seed].order
        assert half[:start] == alone[:start]
        assert half[start : start + 3] == alone[start : start + 3]
        assert len(set(half)) == len(half) == start + 12
        extras.append(half[start + 3 : start + 6])
        assert set(extras[-1]) != set(alone[start + 3 : start + 6])
    assert set(extras[0]) != set(extras[1])  # by seed
    return traces


def test_half_of_a_batch_is_random(replayed, tmp_path):
    config = replayed((0.0, 0.5), {"kind": "upper_confidence_bound", "beta": 1.0})
    traces = check(config, tmp_path / "a")
    again = run(ReplayConfig.load(config), tmp_path / "b", workers=1)
    assert [t.order for t in again] == [t.order for t in traces]


def test_half_of_a_batch_for_a_front_is_random(replayed, tmp_path):
    rule = {"kind": "hypervolume_improvement", "samples": 16, "looked_at": 300}
    check(replayed((0.0, 0.5), rule, **FRONT), tmp_path / "a")


def test_half_of_a_batch_for_a_hull_is_random(replayed, hull, tmp_path):
    changes, learner = hull
    rule = {"kind": "upper_confidence_bound"}
    check(replayed((0.0, 0.5), rule, learner, **changes), tmp_path / "a")


def test_a_share_that_leaves_nothing_to_choose_is_random_choice(replayed, tmp_path):
    rule = {"kind": "greedy"}
    config = ReplayConfig.load(replayed((0.95,), rule, batch_size=4))
    for trace in run(config, tmp_path / "a", workers=1):
        assert len(set(trace.order)) == 8 + 8
        assert sum(trace.seconds.values()) == 0  # nothing was fitted


def test_a_share_over_fidelities_is_refused(replayed, tmp_path, capsys):
    config = replayed(
        (0.2,), {"kind": "promotion"}, {"kind": "cokriging", "process": GP},
        fidelities={"cheaper": [{"name": "z", "column": "z", "cost": 0.1}]},
    )  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        main(["replay", str(config), "--to", str(tmp_path / "x")])
    assert stopped.value.code == 2
    assert "random_share: expected 0 with learner cokriging" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [{"per_formula": 2}, {"cost_exponent": 1.0}, {"feasibility": True},
     {"scorer": "monte_carlo"}],
)  # fmt: skip
def test_options_without_effect_are_refused(replayed, option):
    rule = {"kind": "log_expected_improvement"}
    with pytest.raises(ConfigError, match=f"strategies.s0.0: {next(iter(option))}: "):
        ReplayConfig.load(replayed((0.0,), {**rule, **option}))
    plain = {"per_formula": None, "cost_exponent": 0.0, "feasibility": False}
    ReplayConfig.load(replayed((0.0,), {**rule, **plain, "scorer": "exact"}))
