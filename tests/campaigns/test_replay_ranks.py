"""Replays that learn where labels stand, not how far apart they are."""

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import TypeAdapter

from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from campaigns.replay.strategies import Strategy, misfit

RANKS = {"kind": "gaussian_process", "features": ["columns"], "labels": "ranks"}
RULES = {
    "greedy": {"kind": "greedy"},
    "ucb": {"kind": "upper_confidence_bound", "beta": 1.0},
    "ei": {"kind": "log_expected_improvement", "scorer": "exact"},
    "share": {"kind": "top_share", "share": 0.05},
}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_choices_depend_on_the_order_of_labels_alone(tmp_path, rule):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(120, 2))
    y = -(x[:, 0] ** 2) - x[:, 1] ** 2
    frame = pd.DataFrame(x, columns=["u", "v"]).assign(y=y, steep=np.exp(9 * y))
    frame.to_csv(tmp_path / "pool.csv", index=False)

    def orders(target, learner):
        data = {
            "name": target, "baselines": False, "resamples": 100,
            "pool": {
                "kind": "table", "path": str(tmp_path / "pool.csv"),
                "structure": "none", "columns": ["u", "v"],
            },
            "targets": [{"column": target, "goal": "maximise"}],
            "initial": 8, "batch_size": 4, "rounds": 3, "seeds": 2,
            "strategies": {"one": {"learner": learner, "acquisition": RULES[rule]}},
        }  # fmt: skip
        path = tmp_path / f"{target}.yaml"
        path.write_text(yaml.safe_dump(data))
        folder = tmp_path / f"{target}-{learner.get('labels')}"
        return [t.order for t in run(ReplayConfig.load(path), folder, workers=1)]

    assert orders("y", RANKS) == orders("steep", RANKS)
    values = {k: v for k, v in RANKS.items() if k != "labels"}
    assert orders("y", values) != orders("steep", values)


@pytest.mark.parametrize(
    ("rule", "wanted", "said"),
    [
        ({"kind": "greedy"}, "stable", "energies"),
        ({"kind": "hypervolume_improvement"}, "front", "hypervolume"),
        ({"kind": "level_set", "level": 1.0}, "top", "level"),
        ({"kind": "probability_of_improvement", "margin": 0.1}, "top", "margin"),
    ],
)
def test_what_is_about_values_refuses_ranks(rule, wanted, said):
    strategy = TypeAdapter(Strategy).validate_python(
        {"learner": RANKS, "acquisition": rule}
    )
    sentence = str(misfit(strategy, wanted, fidelities=False))
    assert said in sentence and "expected values, got ranks" in sentence
    plain = {"learner": RANKS, "acquisition": {"kind": "greedy"}}
    assert misfit(Strategy.model_validate(plain), "top", fidelities=False) is None


def test_fidelities_refuse_ranks():
    learner = {"kind": "cokriging", "process": RANKS}
    strategy = Strategy.model_validate(
        {"learner": learner, "acquisition": {"kind": "promotion"}}
    )
    assert "fidelities are compared" in str(misfit(strategy, "top", fidelities=True))
