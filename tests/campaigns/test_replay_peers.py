"""Other packages in a replay: what they are told and what they may answer."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.spatial.distance import pdist

from campaigns.cli import main
from campaigns.replay.card import judge, text
from campaigns.replay.intervals import resamples
from campaigns.replay.peers import base
from campaigns.replay.peers.base import descriptors, seeded
from campaigns.replay.peers.play import Alike, _rounds
from campaigns.replay.peers.recipes import Ax, BayBE
from campaigns.replay.peers.verdicts import verdicts
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from campaigns.replay.strategies import Strategy, misfit
from matdisco.errors import ConfigError, MissingExtra
from surrogates.featurizers.table import Standardizer

BAYBE = {"kind": "baybe", "features": ["columns"]}
GP = {"kind": "gaussian_process", "features": ["columns"]}
UCB = {"kind": "upper_confidence_bound"}


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(90, 3))
    x[70:] = x[:20]  # nobody can tell these apart
    frame = pd.DataFrame(x, columns=["u", "v", "w"])
    frame["same"] = 1.0
    frame["y"] = -((x[:, 0] - 0.3) ** 2) - (x[:, 1] + 0.2) ** 2
    frame.to_csv(tmp_path / "pool.csv", index=False)

    def make(**changes):
        data = {
            "name": "peers",
            "pool": {
                "kind": "table", "path": str(tmp_path / "pool.csv"),
                "structure": "none", "columns": ["u", "v", "w", "same"],
            },
            "targets": [{"column": "y", "goal": "maximise"}],
            "wanted": {"kind": "top", "fraction": 0.1},
            "initial": 8, "batch_size": 4, "rounds": 3, "seeds": 2, "resamples": 100,
            "baselines": False,
            "strategies": {"peer": {"learner": BAYBE}},
            **changes,
        }  # fmt: skip
        written = tmp_path / "peers.yaml"
        written.write_text(yaml.safe_dump(data))
        return written

    return make


@pytest.mark.parametrize(
    ("strategy", "changes", "said"),
    [
        (
            {"learner": {"kind": "ax", "features": ["columns"]}, "acquisition": UCB},
            {}, "learner ax chooses by itself",
        ),
        ({"learner": GP}, {}, "acquisition: expected with learner gaussian_process"),
        (
            {"learner": BAYBE},
            {
                "targets": [{"column": c, "goal": "maximise"} for c in ("y", "u")],
                "wanted": {"kind": "front"},
            },
            "without fidelities and wanted top or threshold, got front",
        ),
        ({"learner": {"kind": "baybe", "features": []}}, {}, "features"),
    ],
)  # fmt: skip
def test_wrong_files_get_a_sentence(path, tmp_path, capsys, strategy, changes, said):
    config = path(strategies={"peer": strategy}, **changes)
    with pytest.raises(SystemExit) as stopped:
        main(["replay", str(config), "--to", str(tmp_path / "x")])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_fidelities_are_not_for_peers():
    strategy = Strategy(learner=Ax(features=("columns",)))
    assert misfit(strategy, "top", fidelities=False) is None
    assert "got fidelities" in str(misfit(strategy, "top", fidelities=True))


@pytest.mark.parametrize("kind", ["baybe", "ax"])
def test_who_is_missing_is_said_before_anything_is_made(
    path, tmp_path, capsys, monkeypatch, kind
):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda _: None)
    peer = {"learner": {"kind": kind, "features": ["columns"]}}
    config = path(strategies={"own": {"learner": GP, "acquisition": UCB}, "p": peer})
    with pytest.raises(
        MissingExtra, match=rf'{kind} .*pip install "matdisco\[peers\]"'
    ):
        run(ReplayConfig.load(config), tmp_path / "x", workers=1)
    with pytest.raises(SystemExit) as stopped:
        main(["replay", str(config), "--to", str(tmp_path / "x")])
    assert stopped.value.code == 1
    assert 'pip install "matdisco[peers]"' in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_components_keep_distances_and_their_signs(path):
    pool = load(ReplayConfig.load(path()))
    x = descriptors(pool, BayBE(features=("columns",)))
    assert x.shape == (90, 3)  # what is the same for all is left out
    whole = descriptors(pool, BayBE(features=("columns",), components=3))
    standard = Standardizer.of(x)(x)
    assert pdist(whole) == pytest.approx(pdist(standard))
    spread = whole.var(axis=0)
    assert np.all(np.diff(spread) <= 0)
    assert spread.sum() == pytest.approx(3)
    first = descriptors(pool, BayBE(features=("columns",), components=1))
    assert first[:, 0] == pytest.approx(whole[:, 0])
    # the column that weighs most in a component weighs more than nothing
    weights = standard.T @ first[:, 0]
    assert weights[np.abs(weights).argmax()] > 0
    with pytest.raises(ConfigError, match="expected at most 3 from 90 candidates"):
        descriptors(pool, Ax(features=("columns",), components=4))


class Lowest:
    """Takes the labels with the smallest numbers, after noting what it was told."""

    def __init__(self, spoil=lambda labels: labels):
        self.told, self.draws, self.spoil = [], [], spoil

    def learn(self, labels, merit):
        self.told.append(dict(zip(labels.tolist(), merit.tolist(), strict=True)))

    def choose(self, q, free):
        self.draws.append((np.random.random(), torch.rand(1).item()))
        assert np.all(np.diff(free) > 0) and len(free) >= q
        return self.spoil([int(i) for i in free[:q]])


def test_a_peer_is_told_every_answer_once_and_chooses_among_what_is_left():
    merit = np.arange(10.0)
    alike = Alike(np.arange(10))
    peer = Lowest()
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    order, seconds = _rounds(peer, alike, merit, np.array([5, 1]), 3, 4, seed=7)
    assert order == [5, 1, 0, 2, 3, 4, 6, 7, 8, 9]  # the last batch is what is left
    assert peer.told == [{5: 5.0, 1: 1.0}, {0: 0.0, 2: 2.0, 3: 3.0, 4: 4.0}]
    assert set(seconds) == {"fit", "predict", "choose"}
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])
    again = Lowest()
    _rounds(again, alike, merit, np.array([5, 1]), 3, 4, seed=7)
    assert again.draws == peer.draws and len(set(again.draws)) == len(again.draws)
    other = Lowest()
    _rounds(other, alike, merit, np.array([5, 1]), 3, 4, seed=8)
    assert other.draws != peer.draws


def test_candidates_that_are_alike_are_one_label_until_all_are_asked():
    label = np.array([0, 0, 0, 1, 2, 2])
    peer = Lowest()
    order, _ = _rounds(peer, Alike(label), np.arange(6.0), np.array([3]), 2, 3, seed=0)
    # two labels are left for three places: one more of those that are alike
    assert order == [3, 0, 4, 1, 2, 5]
    assert peer.told[1] == {0: 1.0, 2: 4.0}  # rows 0 and 1, told in this order


@pytest.mark.parametrize(
    "spoil", [lambda x: x[:-1], lambda x: [*x[:-1], x[0]], lambda x: [*x[:-1], 5]]
)
def test_a_peer_that_breaks_the_rules_is_stopped(spoil):
    peer, alike = Lowest(spoil), Alike(np.arange(10))
    with pytest.raises(RuntimeError, match="different candidates that are free"):
        _rounds(peer, alike, np.arange(10.0), np.array([5, 1]), 2, 4, seed=7)


def test_seeds_are_put_back_also_after_an_error():
    before = np.random.get_state()[1].copy()
    with pytest.raises(ZeroDivisionError), seeded(3):
        np.random.random()
        raise ZeroDivisionError
    assert np.array_equal(np.random.get_state()[1], before)


def test_own_strategies_are_compared_with_peers_paired_by_seed():
    own = Strategy(learner={"kind": "nothing"}, acquisition={"kind": "random"})
    strategies = {"own": own, "peer": Strategy(learner=Ax(features=("columns",)))}
    spent = np.array([10, 20, 30])
    luck = np.array([[0, 0.1, 0.2], [0, 0.3, 0.5], [0, 0.5, 0.8]] * 2)
    gain = np.array([0, 0.1, 0.1])
    curves = {"own": luck + gain, "peer": luck}
    draws = resamples(6, 200)
    found = verdicts(curves, strategies, spent, draws)
    assert list(found) == ["own"] and list(found["own"]) == ["peer"]
    gap = found["own"]["peer"]["difference"]
    # the mean height: half of the first interval, all of the second
    assert gap["value"] == pytest.approx(0.075) == gap["low"]
    assert "(+0.075 to +0.075, more at 95 %)" in found["own"]["peer"]["words"]
    turned = {"own": luck - gain, "peer": luck}
    less = verdicts(turned, strategies, spent, draws)
    assert "less at 95 %" in less["own"]["peer"]["words"]
    few = {n: c[:5] for n, c in curves.items()}
    unknown = verdicts(few, strategies, spent, resamples(5, 200))["own"]["peer"]
    why = "(not judged: 5 seeds are too few, at least 6 are needed)"
    assert unknown["words"].endswith(f"+0.075 {why}")
    assert list(unknown["difference"]) == ["value"]
    assert verdicts({"own": luck}, strategies, spent, draws) == {}


@pytest.mark.parametrize("kind", ["baybe", "ax"])
def test_a_peer_is_replayed_beside_own_strategies(path, tmp_path, kind):
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f'{kind} is not installed: pip install "matdisco[peers]"')
    config = ReplayConfig.load(
        path(
            strategies={
                "own": {"learner": GP, "acquisition": UCB},
                "peer": {"learner": {"kind": kind, "features": ["columns"]}},
            }
        )
    )
    traces = run(config, tmp_path / "a", workers=1)
    own, peer = traces[:2], traces[2:]
    for mine, theirs in zip(own, peer, strict=True):
        assert mine.order[:8] == theirs.order[:8]
        assert len(set(theirs.order)) == len(theirs.order) == 20
        assert theirs.seconds["choose"] > 0
    card = judge(config, load(config), traces)
    assert card["strategies"]["peer"]["recall"]["value"] > card["random"]["recall"][-1]
    assert "own" in card["peer_verdict"] and "peer" not in card["peer_verdict"]
    assert card["peer_verdict"]["own"]["peer"]["words"] in text(card)
    again = run(config, tmp_path / "b", workers=1)
    assert [t.order for t in again] == [t.order for t in traces]
