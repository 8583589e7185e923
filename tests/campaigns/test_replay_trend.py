"""A potential's formation energies as the trend of a replay's process."""

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from scipy.stats import spearmanr

from campaigns.replay.features import table
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.learners import learner
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve

pytest.importorskip("chgnet")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A pool whose label is what the compounds of the quickstart gain by forming."""
    folder = tmp_path_factory.mktemp("trend")
    whole = Dataset.open(resolve("shipped:intermetallics"))
    key = "formation_energy_per_atom"
    rows = np.flatnonzero(np.isfinite(whole.values(key)))[::2]
    labelled = [
        c.with_labels({"e": Label(c.labels[key].value, "eV/atom")})
        for c in whole.take(rows)
    ]
    Dataset("pool", tuple(labelled)).save(folder / "pool.parquet")
    path = folder / "replay.yaml"
    data = {
        "name": "trend",
        "pool": {"kind": "dataset", "path": str(folder / "pool.parquet")},
        "targets": [{"column": "e", "goal": "minimise"}],
        "wanted": {"kind": "top", "fraction": 0.1}, "initial": 8, "batch_size": 8,
        "rounds": 2, "seeds": 2, "resamples": 100, "baselines": False,
        "strategies": {
            name: {
                "learner": {
                    "kind": "gaussian_process", "features": ["composition"], **more,
                },
                "acquisition": {"kind": "greedy"},
            }
            for name, more in (("plain", {}), ("trend", {"trend": "chgnet"}))
        },
    }  # fmt: skip
    path.write_text(yaml.safe_dump(data))
    return ReplayConfig.load(path)


def test_a_few_labels_are_enough_to_use_it(asked):
    pool = load(asked)
    merit = pool.merit[:, 0]
    energies = table(pool, ("chgnet_formation",))[:, 0]
    assert np.corrcoef(energies, -merit)[0, 1] > 0.5
    rows = np.random.default_rng(0).choice(len(pool), 16, replace=False)
    ranked = {}
    for name, trend in (("plain", None), ("trend", "chgnet")):
        recipe = Exact(features=("composition",), trend=trend)
        fitted = learner(recipe, pool, 0).fit(rows, merit[rows])
        found = fitted.predict(np.arange(len(pool)))
        ranked[name] = spearmanr(found.mean, merit).statistic
        belief = fitted.belief(needs_std=True)
        np.testing.assert_allclose(belief.mean, found.mean, rtol=1e-4, atol=1e-4)
        assert (belief.variance >= 0).all()
    assert ranked["trend"] > ranked["plain"] + 0.1


def test_a_replay_finds_more_with_it(asked, tmp_path):
    traces = run(asked, tmp_path, workers=1)
    pool = load(asked)
    found = {"plain": 0, "trend": 0}
    for trace in traces:
        found[trace.strategy] += int((pool.phases[list(trace.order)] >= 0).sum())
    assert found["trend"] > found["plain"]


def test_it_does_not_go_with_a_length_for_every_column():
    with pytest.raises(ValidationError, match="no trend"):
        Exact(features=("composition",), relevance=True, trend="chgnet")
