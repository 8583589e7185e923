"""Replays: metrics against closed forms, whole replays, resuming, wrong files."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from botorch.utils.multi_objective.hypervolume import Hypervolume
from scipy.spatial.distance import cdist
from torch import from_numpy

from campaigns.cli import main
from campaigns.fronts.volume import hypervolume, pareto
from campaigns.replay import intervals, metrics, runner
from campaigns.replay.card import judge, text, write
from campaigns.replay.features import formula_table
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.learners import learner
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from campaigns.replay.simulate import start
from matdisco.errors import ConfigError
from surrogates.gp.site_kernel import SiteProcess, SiteSpace


def table(path, n=150, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(n, 2))
    y = -((x[:, 0] - 0.3) ** 2) - (x[:, 1] + 0.2) ** 2
    frame = pd.DataFrame({"u": x[:, 0], "v": x[:, 1], "y": y, "z": np.sin(3 * x[:, 0])})
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def small(tmp_path):
    def make(**changes):
        pool = {
            "kind": "table", "path": str(table(tmp_path / "pool.csv")),
            "structure": "none", "columns": ["u", "v"],
        }  # fmt: skip
        gp = {"kind": "gaussian_process", "features": ["columns"]}
        data = {
            "name": "small",
            "pool": pool,
            "targets": [{"column": "y", "goal": "maximise"}],
            "wanted": {"kind": "top", "fraction": 0.05},
            "initial": 6, "batch_size": 4, "rounds": 3, "seeds": 2, "resamples": 100,
            "strategies": {
                "ucb": {
                    "learner": gp,
                    "acquisition": {"kind": "upper_confidence_bound", "beta": 1.0},
                }
            },
        }  # fmt: skip
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({**data, **changes}))
        return path

    return make


def test_acceleration_is_random_over_own_labels_and_says_when_it_is_not_reached():
    spent = metrics.counts(10, 10, 3, 1000)
    curve = np.array([0.0, 0.2, 0.6, 0.7])
    assert spent.tolist() == [10, 20, 30, 40]
    # half is found a quarter of the way... from 20 to 30 labels: 27.5
    assert metrics.acceleration(curve, spent, 0.5, 1000) == pytest.approx(500 / 27.5)
    assert metrics.acceleration(curve, spent, 0.8, 1000) is None
    one = metrics.Measure(spent, 1000, recall=0.8)
    found = intervals.estimate(np.array([curve, curve + 0.2]), np.array([[1, 1]]), one)
    assert found.value == pytest.approx(800 / 40)
    assert intervals.Estimate(None, None, None).text() == "not reached"


def test_an_interval_with_seeds_that_never_get_there_says_so():
    spent = metrics.counts(10, 10, 2, 100)
    curves = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.1]] * 3)
    draws = intervals.resamples(6, 400)
    found = intervals.estimate(curves, draws, metrics.Measure(spent, 100, recall=0.5))
    assert found.value is not None and found.high is not None
    assert found.low is None  # most seeds drawn slow: not reached
    assert found.text().startswith(f"{found.value:.3g} (not reached to ")


def test_random_choice_is_the_hypergeometric_law():
    mean, low, high = metrics.random_recall(
        np.array([0, 50, 100]), np.array([*range(10), *[-1] * 90])
    )
    assert mean.tolist() == [0, 0.5, 1]
    draws = [
        np.isin(np.random.default_rng(s).permutation(100)[:50], range(10)).sum() / 10
        for s in range(1000)
    ]
    inside = np.mean((np.array(draws) >= low[1]) & (np.array(draws) <= high[1]))
    assert 0.95 <= inside < 0.995


def test_paired_differences_are_narrower_than_independent_ones():
    rng = np.random.default_rng(0)
    luck = rng.normal(size=12)  # of the first labels, shared by both strategies
    a, b = luck + 0.1, luck + rng.normal(0, 0.02, 12)
    draws = intervals.resamples(12, 1000)
    gap = intervals.difference(a, b, draws)
    assert gap.low > 0
    assert gap.high - gap.low < 0.1 < np.ptp(a[draws].mean(axis=1))


def test_hypervolume_is_botorchs_and_the_front_is_not_dominated():
    rng = np.random.default_rng(3)
    merit = rng.normal(size=(40, 2))
    reference = np.array([-0.5, -0.2])
    own = hypervolume(merit, reference)
    theirs = Hypervolume(from_numpy(reference)).compute(
        from_numpy(merit[pareto(merit)])
    )
    assert own == pytest.approx(float(theirs))
    curve = metrics.volume_curve(np.arange(40), merit, reference, np.array([5, 40]))
    assert 0 <= curve[0] < curve[1] == pytest.approx(1)


def test_a_replay_finds_more_than_chance_and_the_same_again(small, tmp_path):
    config = ReplayConfig.load(small(seeds=6))
    traces = run(config, tmp_path / "a", workers=1)
    names = {t.strategy for t in traces}
    assert names == {
        "ucb", "own-greedy", "own-max-variance", "forest-columns-greedy",
        "forest-columns-ucb",
    }  # fmt: skip
    for seed in range(6):
        first = [t.order[:6] for t in traces if t.seed == seed]
        assert len(set(first)) == 1  # paired: the same start
        assert first[0] == tuple(start(config, load(config), seed))
    assert all(len(set(t.order)) == 6 + 3 * 4 for t in traces)
    pool = load(config)
    card = judge(config, pool, traces)
    assert card["verdict"]["ucb"]["beats_random"] == "yes"
    assert card["strategies"]["ucb"]["recall"]["value"] > 0.5
    assert 0 <= card["strategies"]["ucb"]["calibration"]["coverage_90"] <= 1
    assert "beats random choice at 95 %" in text(card) and "NOTE" not in text(card)
    assert card["notices"] == [] and "scikit-learn" in card["versions"]
    write(card, tmp_path / "a")
    page = (tmp_path / "a" / "card.html").read_text()
    assert card["hash"] in page and "http" not in page.split("<script")[0]
    # a lost trace is made again, bit for bit; a whole run elsewhere gives the hash
    (tmp_path / "a" / "traces" / "ucb" / "0001.json").unlink()
    assert (
        judge(config, pool, run(config, tmp_path / "a", workers=1))["hash"]
        == (card["hash"])
    )


def children(parent: int) -> list[int]:
    return [
        int(p.name)
        for p in Path("/proc").glob("[0-9]*")
        if f"PPid:\t{parent}\n" in read(p / "status")
    ]


def runs(process: int) -> bool:
    """Whether it runs; one that has ended stays listed until somebody reaps it."""
    status = read(Path(f"/proc/{process}/status"))
    return bool(status) and "State:\tZ" not in status


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_killed_and_started_again_a_replay_is_the_one_never_killed(small, tmp_path):
    path = small(seeds=2)
    whole = run(ReplayConfig.load(path), tmp_path / "whole", workers=1)
    folder = tmp_path / "killed"
    command = [
        sys.executable, "-c", "from campaigns.cli import main; main()",
        "replay", str(path), "--to", str(folder), "--workers", "2",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while not list(folder.glob("traces/*/*.json")) and time.monotonic() < give_up:
        time.sleep(0.05)
    workers = children(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    give_up = time.monotonic() + 60
    while any(map(runs, workers)):  # nobody is left behind
        assert time.monotonic() < give_up
        time.sleep(0.1)
    kept = list(folder.glob("traces/*/*.json"))
    assert kept
    before = {p: p.stat().st_mtime_ns for p in kept}
    again = run(ReplayConfig.load(path), folder, workers=1)
    assert [t.order for t in again] == [t.order for t in whole]
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())


def test_other_seeds_are_other_campaigns_and_the_same_as_in_a_longer_run(
    small, tmp_path
):
    several = ReplayConfig.load(small(baselines=False, seeds=3))
    later = ReplayConfig.load(small(baselines=False, seeds=2, first_seed=1))
    all_three = run(several, tmp_path / "several", workers=1)
    last_two = run(later, tmp_path / "later", workers=1)
    assert [t.seed for t in last_two] == [1, 2]
    assert [t.order for t in last_two] == [t.order for t in all_three[1:]]
    assert len({t.order for t in all_three}) == 3
    card = judge(later, load(later), last_two)
    write(card, tmp_path / "later")
    page = (tmp_path / "later" / "card.html").read_text()
    for said in (text(card), page):
        assert "2 seeds are too few, at least 6 are needed" in said
        assert "o baselines were played" in said  # capital on the page
        assert " at 95 %" not in said.split("<script")[0]
    assert card["verdict"]["ucb"]["beats_random"] == "not judged"
    assert "low" not in card["strategies"]["ucb"]["recall"]
    assert card["protocol"]["first_seed"] == 1 and card["protocol"]["seeds"] == 2


def test_what_learns_is_made_ready_once_whatever_the_seeds(
    small, tmp_path, monkeypatch
):
    ready = []
    monkeypatch.setattr(
        runner, "_featurise", lambda pool, recipes: ready.append(recipes)
    )
    config = ReplayConfig.load(small(seeds=3))
    run(config, tmp_path / "r", workers=1)
    kinds = [r.kind for r in ready[0]]
    # one process, shared by three strategies, and one forest, shared by two
    assert len(ready) == 1 and sorted(kinds) == ["gaussian_process", "random_forest"]


def test_columns_in_the_spread_of_the_pool_do_not_depend_on_the_labels(small, tmp_path):
    """A column that few labels hardly vary in keeps its length."""
    config = ReplayConfig.load(small(baselines=False))
    pool = load(config)
    rows = np.argsort(np.abs(pool.columns[:, 0]), kind="stable")[:12]  # u hardly varies
    fitted = {
        scaled: learner(Exact(features=("columns",), scaled_by=scaled), pool, 0).fit(
            rows, pool.merit[rows, 0]
        )
        for scaled in ("pool", "labels")
    }
    unit = {k: f.process.unit for k, f in fitted.items()}
    whole, few = pool.columns.std(axis=0), pool.columns[rows].std(axis=0)
    np.testing.assert_allclose(unit["pool"][0] / unit["pool"][1], whole[0] / whole[1])
    np.testing.assert_allclose(unit["labels"][0] / unit["labels"][1], few[0] / few[1])
    assert few[0] < 0.3 * whole[0]


def test_a_trace_of_another_protocol_is_not_taken_for_this_one(small, tmp_path):
    run(ReplayConfig.load(small(baselines=False)), tmp_path / "r", workers=1)
    other = ReplayConfig.load(small(baselines=False, batch_size=5))
    assert {len(t.order) for t in run(other, tmp_path / "r", workers=1)} == {21}


def test_wrong_files_get_a_sentence_and_spend_nothing(small, tmp_path, capsys):
    cases = [
        ({"targets": [{"column": "yy", "goal": "maximise"}]}, "no column 'yy'"),
        ({"initial": 400}, "expected at least 404"),
        ({"pool": {"kind": "table", "path": "no.csv"}}, "no such file: no.csv"),
        ({"wanted": {"kind": "front"}}, "needs two or more targets"),
        ({"wanted": {"kind": "threshold", "value": 9}}, "no candidate"),
        ({"rouds": 3}, "did you mean rounds"),
    ]
    for change, sentence in cases:
        with pytest.raises(SystemExit) as stopped:
            main(["replay", str(small(**change)), "--to", str(tmp_path / "x")])
        assert stopped.value.code == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "x" / "traces").exists()


def test_repeats_are_averaged_and_bounds_dropped_or_kept(tmp_path, small):
    frame = pd.DataFrame(
        {"u": [1, 1, 2, 3, 4, 5], "k": ["1e-3", "3e-3", "<1e-9", "0.1", "0.2", "0.3"]}
    )
    frame.to_csv(tmp_path / "c.csv", index=False)
    pool = {
        "kind": "table", "path": str(tmp_path / "c.csv"), "structure": "none",
        "columns": ["u"], "average_repeats": True,
    }  # fmt: skip
    base = {"column": "k", "goal": "maximise"}
    rest = {"pool": pool, "initial": 2, "batch_size": 1}
    kept = load(ReplayConfig.load(small(targets=[base], **rest)))
    assert kept.values[:, 0] == pytest.approx([2e-3, 0.1, 0.2, 0.3])
    logged = {**base, "log": True, "censored": "at_limit"}
    kept = load(ReplayConfig.load(small(targets=[logged], **rest)))
    assert kept.values[1, 0] == pytest.approx(-9)


def test_fronts_are_replayed_with_their_hypervolume(small, tmp_path):
    config = ReplayConfig.load(
        small(
            targets=[
                {"column": "y", "goal": "maximise"}, {"column": "z", "goal": "minimise"}
            ],
            wanted={"kind": "front"}, baselines=False, seeds=2,
            strategies={
                "parego": {
                    "learner": {"kind": "gaussian_process", "features": ["columns"]},
                    "acquisition": {"kind": "log_expected_improvement"},
                }
            },
        )
    )  # fmt: skip
    card = judge(config, load(config), run(config, tmp_path / "f", workers=1))
    row = card["strategies"]["parego"]
    assert 0 <= row["hypervolume"]["value"] <= 1
    assert row["hypervolume_curve"] == sorted(row["hypervolume_curve"])


def test_formulas_alone_give_the_features_of_their_sites():
    rows = formula_table(["SrTiO3", "Li0.5La0.5TiO3"])
    assert rows.shape[0] == 2 and np.isfinite(rows).all()
    assert rows[0, 0] == pytest.approx((38 + 22 + 3 * 8) / 5)  # mean atomic number


def space(n=60, seed=0):
    rng = np.random.default_rng(seed)
    tables = (rng.normal(size=(5, 3)), rng.normal(size=(4, 2)))
    codes = np.column_stack([rng.integers(5, size=n), rng.integers(4, size=n)])
    return SiteSpace(codes, tables, rng.normal(size=(n, 2)), rng.normal(size=(n, 3)))


def test_the_site_process_is_the_textbook_posterior_of_its_kernel():
    s, rows = space(), np.arange(20)
    y = np.sin(s.occupants[0][s.codes[:20, 0], 0]) + s.cell[:20, 0]
    process = SiteProcess(s)
    process.fit(rows, y, steps=15)
    p = {k: v.numpy() for k, v in process.parameters.items()}
    weights, every = np.exp(p["weights"]), np.arange(60)

    def site(i):
        scaled = s.occupants[i] / np.exp(p[f"site{i}"])
        same = 1 / (1 + np.exp(-p["same"][i]))
        alike = np.exp(-cdist(scaled, scaled, "sqeuclidean") / 2)
        full = (1 - same) * alike + same * np.eye(len(scaled))
        return full[np.ix_(s.codes[:, i], s.codes[:, i])]

    def plain(x):
        return np.exp(-cdist(x, x, "sqeuclidean") / 2)

    kernel = (
        weights[0] * site(0) + weights[1] * site(1) + weights[2] * site(0) * site(1)
        + weights[3] * plain(s.cell / np.exp(p["cell"]))
        + weights[4] * plain(s.latents / np.sqrt(3) / np.exp(p["latents"]))
    ) * y.var()  # fmt: skip
    noise = np.exp(p["noise"]) * y.var()
    block = kernel[:20, :20] + noise * np.eye(20)
    mean = y.mean() + kernel[:, :20] @ np.linalg.solve(block, y - y.mean())
    spread = kernel - kernel[:, :20] @ np.linalg.solve(block, kernel[:20])
    found, variance = process.moments(every)
    np.testing.assert_allclose(found, mean, atol=1e-4)
    np.testing.assert_allclose(process.mean(every), mean, atol=1e-4)
    np.testing.assert_allclose(variance, np.diag(spread), atol=1e-4)
    v = process.whiten(every)
    np.testing.assert_allclose(
        process.kernel(every, every) - v.T @ v, spread, atol=1e-4
    )


def test_climbing_lowers_the_loss_and_a_refit_goes_on_from_there():
    s, rows = space(200, 1), np.arange(120)
    y = s.occupants[0][s.codes[:120, 0], 0] * s.occupants[1][s.codes[:120, 1], 0]
    truth = s.occupants[0][s.codes[:, 0], 0] * s.occupants[1][s.codes[:, 1], 0]
    untrained, trained = SiteProcess(s), SiteProcess(s)
    untrained.fit(rows, y, steps=0)
    trained.fit(rows, y, steps=60)
    rest = np.arange(120, 200)
    errors = [np.abs(p.mean(rest) - truth[rest]).mean() for p in (untrained, trained)]
    assert errors[1] < 0.7 * errors[0]
    before = {k: v.clone() for k, v in trained.parameters.items()}
    trained.fit(rows, y, steps=0)
    assert all((before[k] == v).all() for k, v in trained.parameters.items())


def test_the_perovskite_replay_is_the_pool_of_its_readme(shared_data):
    config = ReplayConfig.load(Path("configs/replays/perovskites-sites.yaml"))
    path = str(shared_data / "perovskites" / "data.parquet")
    pool = load(config.model_copy(
        update={"pool": config.pool.model_copy(update={"path": path})}
    ))  # fmt: skip
    assert (len(pool), int(pool.wanted.sum())) == (18928, 189)
    assert pool.merit[pool.wanted].min() >= pool.merit[~pool.wanted].max()
    assert json.dumps(pool.sites["X"][0]) == '["N", "N", "N"]'


def test_a_pool_without_structures_refuses_structure_features(small, tmp_path):
    strategy = {
        "learner": {"kind": "additive_process"}, "acquisition": {"kind": "greedy"}
    }  # fmt: skip
    config = ReplayConfig.load(small(strategies={"s": strategy}, baselines=False))
    with pytest.raises(ConfigError, match="structure: sites"):
        run(config, tmp_path / "r", workers=1)
