"""Replays whose hull moves: what there is to find, what was found, how it is chosen."""

import numpy as np
import pytest
import yaml
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

from campaigns.acquisition.beliefs import FactorBelief
from campaigns.acquisition.claims import REMEMBERED, Claims
from campaigns.acquisition.recipes import UpperConfidenceBound
from campaigns.comparison import TOLERANCE
from campaigns.gate import pooled_scale
from campaigns.replay import metrics, until
from campaigns.replay.card import judge, text
from campaigns.replay.hulls import (
    REACH,
    HullStep,
    Trust,
    hull_truth,
    within_reach,
)
from campaigns.replay.page import page
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from campaigns.replay.simulate import start
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.errors import ConfigError
from surrogates.base import Prediction


@pytest.fixture(scope="module")
def answers():
    whole = Dataset.open(resolve("shipped:al-ni-ti"))
    energies = whole.values("energy_per_atom")
    return whole.take(np.flatnonzero(np.isfinite(energies)))


@pytest.fixture
def config(tmp_path, answers):
    """Every element's structures, everything nearly stable, and some that are not."""
    truth = hull_truth(answers.crystals, answers.values("energy_per_atom"))
    rng = np.random.default_rng(0)
    rows = np.unique([
        *truth.references, *np.flatnonzero(truth.phase >= 0), *rng.permutation(984)[:60]
    ])  # fmt: skip
    path = answers.take(rows).save(tmp_path / "some.parquet")
    learner = {"kind": "gaussian_process", "features": ["composition"]}
    rules = {
        "phases": {"kind": "new_phases", "draws": 16},
        "ucb": {"kind": "upper_confidence_bound"},
    }
    data = {
        "name": "some", "pool": {"kind": "dataset", "path": str(path)},
        "targets": [{"column": "energy_per_atom", "goal": "minimise"}],
        "wanted": {"kind": "stable"}, "initial": 14, "batch_size": 6, "rounds": 2,
        "seeds": 2, "resamples": 100, "baselines": False,
        "strategies": {
            k: {"learner": learner, "acquisition": v} for k, v in rules.items()
        },
    }  # fmt: skip
    return ReplayConfig.load(_written(tmp_path / "some.yaml", data))


def _written(path, data):
    path.write_text(yaml.safe_dump(data))
    return path


def test_what_there_is_to_find_is_what_pymatgen_calls_stable(answers):
    energies = answers.values("energy_per_atom")
    truth = hull_truth(answers.crystals, energies)
    entries = [
        PDEntry(c.composition, e * c.composition.num_atoms, name=c.id)
        for c, e in zip(answers, energies, strict=True)
    ]
    diagram = PhaseDiagram(entries)
    stable = {e.name for e in diagram.stable_entries if not e.is_element}
    assert truth.phase.max() + 1 == len(stable) == 26
    rows = {c.id: i for i, c in enumerate(answers)}
    assert {truth.phase[rows[name]] for name in stable} == set(range(26))
    for row in np.flatnonzero(truth.phase >= 0):
        assert diagram.get_e_above_hull(entries[row]) < TOLERANCE
    first = {answers[int(r)].elements for r in truth.references}
    assert first == {("Al",), ("Ni",), ("Ti",)} and len(truth.references) == 9


def test_a_phase_counts_once_whichever_candidate_finds_it():
    phases = np.array([0, 0, -1, 1, 1, 2])
    spent = np.array([1, 3, 6])
    curve = metrics.recall_curve(np.array([1, 0, 2, 4, 3, 5]), phases, spent)
    assert curve == pytest.approx([1 / 3, 1 / 3, 1.0])
    mean, low, high = metrics.random_recall(spent, phases)
    rng = np.random.default_rng(1)
    drawn = [metrics.recall_curve(rng.permutation(6), phases, spent)
             for _ in range(1000)]  # fmt: skip
    np.testing.assert_allclose(mean, np.mean(drawn, axis=0), atol=0.04)
    # random choice needs fewer labels where several candidates are one phase, and AF
    # compares with what it really needs
    needed = metrics.random_labels(0.5, phases)
    assert np.interp(needed, spent, mean) == pytest.approx(0.5, abs=0.05)
    assert needed < 0.5 * 6
    measure = metrics.Measure(spent, 6, recall=0.5, random=needed)
    assert measure(mean) == pytest.approx(1.0, abs=0.1)
    plain = np.array([0, 1, 2, -1, -1, -1])
    assert metrics.random_labels(0.5, plain) == pytest.approx(3.0)
    assert (low <= mean + 1e-9).all() and (mean <= high + 1e-9).all()


def test_a_hull_is_replayed_and_judged_against_chance(config, tmp_path):
    pool = load(config)
    traces = run(config, tmp_path / "r", workers=1)
    for seed in range(2):
        first = {t.order[:14] for t in traces if t.seed == seed}
        assert first == {tuple(start(config, pool, seed))}
        assert set(pool.truth.references) <= set(next(iter(first)))
    assert all(len(set(t.order)) == 14 + 12 for t in traces)
    card = judge(config, pool, traces)
    assert card["pool"]["wanted"] == 26
    # chance finds 26 phases sooner than 26 single candidates, and is credited for it
    luck = card["random"]["recall"]
    assert luck[-1] > 26 / len(pool)
    spent = np.array(card["protocol"]["labels"])
    mine = metrics.area(np.array(card["strategies"]["phases"]["curve"]), spent)
    gap = card["verdict"]["phases"]["difference"]["random"]["value"]
    assert gap == pytest.approx(mine - metrics.area(np.array(luck), spent), abs=1e-4)
    # half of them within the budget: in the table, on the page, and of chance too
    assert set(card["until_verdict"]) == {"phases"}
    found = card["strategies"]["phases"]["until"]["50"]
    assert found["seeds"] == 2 and found["value"] <= 26

    def by_area(name):
        return -card["strategies"][name]["audc"]["value"]

    lines = text(card).splitlines()
    first = next(i for i, line in enumerate(lines) if "until found" in line)
    assert [line.split("  ")[0] for line in lines[first + 1 : first + 4]] == [
        *sorted(("phases", "ucb"), key=by_area), "random (exact)"
    ]  # fmt: skip
    assert until.cell(found) in page(card)
    (tmp_path / "r" / "traces" / "phases" / "0001.json").unlink()
    again = run(config, tmp_path / "r", workers=1)
    assert [t.order for t in again] == [t.order for t in traces]


def test_sigmas_follow_the_errors_of_ones_own_choices():
    trust = Trust()
    said = Prediction(np.zeros(6), np.zeros((0, 6)), np.full(6, 0.1))
    trust.learn(said, np.array([0.1, -0.1, 0.05, 0.1, -0.1, 0.0]))
    assert trust.scale == pytest.approx(1.0, abs=0.1)  # about as large as stated
    trust.learn(said, np.full(6, 0.5))
    assert trust.scale == pytest.approx(5.0)  # the gate: refuted, widened at once
    trust.learn(said, np.full(6, 0.1))
    raw = np.array([1, 1, 0.5, 1, 1, 0, *[5] * 6, *[1] * 6])
    assert trust.scale == pytest.approx(pooled_scale(raw))


def test_claims_are_corrected_by_what_came_of_them():
    """Copies that find nothing lose their weight, those of phases apart from those of
    other structures; others keep theirs; all recover."""
    claims = Claims(np.array([0, 0, 0, 0, 1, 2, 3, 4, 4]))
    none = np.array([], dtype=int)
    start = claims.weight(np.array([6]), none, np.array([0, 4]))
    assert start.tolist() == [1.0, 1.0]
    # row 1 is like row 0, a phase; row 8 like row 7, which is none; row 4 like nothing
    known, phases, batch = np.array([0, 7]), np.array([0]), np.array([1, 8, 4])
    assert claims.kinds(known, phases, batch).tolist() == [2, 1, 0]
    for _ in range(3):
        weight = claims.weight(known, phases, batch)
        claims.learn(known, phases, batch, 0.5 * weight, np.array([False, False, True]))
    weight = claims.weight(known, phases, batch)
    claimed = 0.5 * (1 + REMEMBERED + REMEMBERED**2)
    assert weight[:2] == pytest.approx(2 * [1 / (1 + claimed)])
    assert weight[2] == pytest.approx((1 + 2 * claimed) / (1 + claimed))
    # a copy of a structure above the hull comes to something: phases' copies stay low
    value = np.array([0.1 * weight[1]])
    claims.learn(known, phases, np.array([8]), value, np.array([True]))
    later = claims.weight(known, phases, batch)
    assert later[1] > 2 * weight[1]
    assert later[0] < 1.3 * weight[0]
    for _ in range(40):
        claims.learn(known, phases, none, none.astype(float), none > 0)
    assert claims.ratio == pytest.approx([1.0, 1.0, 1.0], abs=1e-3)
    unknown = Claims(None)
    assert unknown.weight(np.array([0]), none, np.array([1])) is None


def test_the_depth_is_below_the_hull_of_what_is_known(config):
    """A belief that is right, and sure, makes the batch the deepest candidates."""
    pool = load(config)
    truth = pool.truth

    class Oracle:
        alike = None

        def fit(self, rows, y):
            from matdisco.thermo import compressed

            known = truth.known(rows)
            merit = -compressed(truth.energies - truth.x @ known.references)
            said = Prediction(merit, np.zeros((0, len(pool))), np.full(len(pool), 1e-9))
            np.testing.assert_allclose(merit[rows], y)
            self.prediction = said
            return self

        def belief(self, *, needs_std):
            return FactorBelief(self.prediction)

        def predict(self, rows):
            return self.prediction.take(rows)

    rows = start(config, pool, 0)
    step = HullStep(truth, UpperConfidenceBound(beta=0.0), Oracle())
    batch, _, _ = step.batch(rows, 5, np.random.default_rng(0), lambda name, do: do())
    depth = -truth.known(rows).above(truth.x, truth.energies)
    depth[rows] = -np.inf
    assert set(batch) == set(np.argsort(-depth)[:5])


def test_hull_rules_need_a_hull(config, tmp_path):
    data = config.model_dump(mode="json")
    data["wanted"] = {"kind": "top"}
    with pytest.raises(ConfigError, match="acquisition new_phases needs wanted"):
        ReplayConfig.load(_written(tmp_path / "x.yaml", data))


def test_what_another_dataset_teaches_is_a_prior_mean(answers, config, tmp_path):
    """Trained on the pool's own answers it predicts them; a wrong label is refused."""
    from campaigns.replay.learner_recipes import Exact
    from campaigns.replay.transfer import transferred

    pool = load(config, tmp_path / "cache")
    learner = {
        "features": ["composition"], "prior": "transfer",
        "transfer": config.pool.path, "transfer_target": "compressed_formation_energy",
    }  # fmt: skip
    prior = transferred(pool, Exact(**learner))
    known = pool.truth.known(np.arange(len(pool)))
    from matdisco.thermo import compressed

    assert np.corrcoef(prior, -compressed(known.formation))[0, 1] > 0.6
    assert (transferred(pool, Exact(**learner)) == prior).all()  # from the cache
    wrong = Exact(**{**learner, "transfer_target": "hardness"})
    with pytest.raises(ConfigError, match="has no label 'hardness'; it has: "):
        transferred(pool, wrong)
    with pytest.raises(ValueError, match="only then"):
        Exact(features=["composition"], prior="transfer")


def test_only_what_may_come_below_the_hull_is_drawn():
    n = 400
    rng = np.random.default_rng(0)
    mean, std = rng.normal(-0.2, 0.1, n), rng.uniform(0.01, 0.1, n)
    depth = FactorBelief(Prediction(mean, np.zeros((0, n)), std))
    rows = np.arange(20)
    kept = within_reach(depth, rows, (0.25, 1.0), 4)
    possible = np.flatnonzero(mean + REACH * std > 0)
    assert kept.tolist() == possible[possible >= 20].tolist()
    assert 32 < len(kept) < n - 20
    # where nothing may, the best of what is left still makes a batch
    hopeless = FactorBelief(Prediction(mean - 9, np.zeros((0, n)), std))
    few = within_reach(hopeless, rows, (1.0,), 4)
    assert len(few) == 32 and (few >= 20).all()
    out = np.setdiff1d(np.arange(20, n), few)
    assert (mean + REACH * std)[few].min() >= (mean + REACH * std)[out].max()
