"""A prior mean from another evaluator's answers about the same candidates."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from campaigns.replay.answered import answered, opened, relaxed_alike
from campaigns.replay.exact_learner import ExactLearner
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from campaigns.replay.simulate import start
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.errors import ConfigError

SHIFT = {"Al": 0.7, "Ni": -0.4, "Ti": 1.1}
"""eV per atom by which the other evaluator calls the elements differently."""


@pytest.fixture(scope="module")
def pool_file(tmp_path_factory):
    whole = Dataset.open(resolve("shipped:al-ni-ti"))
    rows = np.flatnonzero(np.isfinite(whole.values("energy_per_atom")))[::6]
    elements = [
        i
        for i, c in enumerate(whole)
        if len(c.elements) == 1 and "failure" not in c.source
    ][:40]
    rows = np.unique([*rows, *elements])
    path = tmp_path_factory.mktemp("answered") / "pool.parquet"
    return whole.take(rows).save(path)


def other(pool_file, tmp_path, missing=()):
    """The same energies with elements shifted, noise, and some answers missing."""
    rng = np.random.default_rng(0)
    records = []
    for row, crystal in enumerate(Dataset.open(pool_file)):
        label = crystal.labels["energy_per_atom"]
        shift = sum(
            SHIFT[str(e)] * crystal.composition.get_atomic_fraction(e)
            for e in crystal.composition.elements
        )
        value = label.value + shift + rng.normal(0, 0.005)
        labels = (
            {} if row in missing else {"energy_per_atom": replace(label, value=value)}
        )
        records.append(replace(crystal, labels=labels))
    return str(Dataset("other", tuple(records)).save(tmp_path / "other.parquet"))


def config(pool_file, tmp_path, learner, wanted="stable"):
    data = {
        "name": "some", "pool": {"kind": "dataset", "path": str(pool_file)},
        "targets": [{"column": "energy_per_atom", "goal": "minimise"}],
        "wanted": {"kind": wanted}, "initial": 14, "batch_size": 6, "rounds": 2,
        "seeds": 1, "resamples": 100, "baselines": False,
        "strategies": {"s": {"learner": learner, "acquisition": {"kind": "greedy"}}},
    }  # fmt: skip
    path = tmp_path / f"{wanted}.yaml"
    path.write_text(yaml.safe_dump(data))
    return ReplayConfig.load(path)


def recipe(path, **more):
    return {
        "kind": "gaussian_process", "features": ["composition"], "prior": "answers",
        "answers": path, "answers_label": "energy_per_atom", **more,
    }  # fmt: skip


def test_formation_energies_do_not_mind_what_elements_are_called(pool_file, tmp_path):
    """For a hull the other's own references cancel; for plain energies the fractions
    let a fit take them up."""
    learner = recipe(other(pool_file, tmp_path))
    pool = load(config(pool_file, tmp_path, learner))
    columns = answered(pool, Exact(**learner), opened(Exact(**learner)))
    known = pool.truth.known(np.arange(len(pool)))
    from matdisco.thermo import compressed

    merit = -compressed(known.formation)
    assert columns.shape == (len(pool), 1)
    assert np.abs(columns[:, 0] - merit).max() < 0.06  # noise of four energies
    plain = load(config(pool_file, tmp_path, learner, "top"))
    columns = answered(plain, Exact(**learner), opened(Exact(**learner)))
    assert columns.shape == (len(plain), 1 + 3)
    solved, *_ = np.linalg.lstsq(columns, plain.merit[:, 0], rcond=None)
    assert np.abs(columns @ solved - plain.merit[:, 0]).max() < 0.03
    assert solved[0] == pytest.approx(1.0, abs=0.02)


def test_a_replay_finds_more_with_such_a_prior(pool_file, tmp_path):
    """Greedy batches after 14 labels: the other's answers decide nearly everything."""
    missing = (20, 21)
    learner = recipe(other(pool_file, tmp_path, missing))
    with_prior = config(pool_file, tmp_path, learner)
    pool = load(with_prior)
    columns = answered(pool, Exact(**learner), opened(Exact(**learner)))
    assert columns[:, 1].sum() == len(missing)
    assert np.isfinite(columns).all()
    plain = {"kind": "gaussian_process", "features": ["composition"]}
    without = config(pool_file, tmp_path, plain)
    found = []
    for name, asked in (("with", with_prior), ("without", without)):
        (trace,) = run(asked, tmp_path / name, workers=1)
        assert trace.order[:14] == tuple(start(asked, pool, 0))
        found.append((pool.phases[list(trace.order[14:])] >= 0).sum())
    assert found[0] > 2 * found[1], (found, pool.count)


def test_what_relaxed_into_one_structure_is_one_group(pool_file, tmp_path):
    """Against the plain definition, pair by pair, on the second potential's answers."""
    given = recipe("shipped:al-ni-ti-sevennet", alike=True)
    pool = load(config(pool_file, tmp_path, given))
    group = relaxed_alike(pool, Exact(**given), opened(Exact(**given)))
    second = {c.id: c for c in Dataset.open(resolve("shipped:al-ni-ti-sevennet"))}
    energy, volume = (
        np.array([second[i].labels[k].value if k in second[i].labels else np.nan
                  for i in pool.ids])
        for k in ("energy_per_atom", "volume_per_atom")
    )  # fmt: skip
    formula = np.array([c.composition.reduced_formula for c in pool.crystals])
    near = (
        (formula[:, None] == formula)
        & (np.abs(energy[:, None] - energy) < 0.002)
        & (np.abs(volume[:, None] - volume) < 0.3)
    )
    same = group[:, None] == group
    off = ~np.eye(len(pool), dtype=bool)
    assert (same & off).any()
    assert (formula[:, None] == formula)[same].all()
    linked = [
        (near[i] & same[i] & off[i]).any() for i in np.flatnonzero((same & off).any(1))
    ]
    assert all(linked)
    assert (near & ~same).sum() <= 0.02 * near.sum()  # chained past each other
    with_group = config(pool_file, tmp_path, given)
    (trace,) = run(with_group, tmp_path / "alike", workers=1)
    assert len(set(trace.order)) == 14 + 12
    with pytest.raises(ValueError, match="alike: expected with prior: answers"):
        Exact(features=("composition",), alike=True)


def test_an_answer_says_little_of_copies_that_may_be_none(pool_file, tmp_path):
    """A copy follows what its like was found to be; as another structure it hardly
    does, and is less known. Candidates like nothing evaluated stay as they are."""
    given = Exact(**recipe("shipped:al-ni-ti-sevennet", alike=True))
    pool = load(config(pool_file, tmp_path, given.model_dump(exclude_none=True)))
    learner = ExactLearner(given, pool)
    group = learner.alike
    numbers, counts = np.unique(group, return_counts=True)
    firsts = [np.flatnonzero(group == g)[0] for g in numbers[counts > 1][:20]]
    rows = np.unique([*firsts, *range(0, len(pool), 3)])
    copies = np.setdiff1d(np.flatnonzero(np.isin(group, group[rows])), rows)
    others = np.setdiff1d(np.arange(len(pool)), [*rows, *copies])
    assert len(copies) >= 10
    assert len(others) >= 10
    merit = -pool.truth.known(np.arange(len(pool))).formation
    moved = {True: [], False: []}
    for copy in copies[:4]:
        like = np.flatnonzero(group[rows] == group[copy])
        lower = merit[rows] + 0.3 * np.isin(np.arange(len(rows)), like)
        fits = [learner.fit(rows, y) for y in (merit[rows], lower)]
        for apart in (True, False):
            means = [
                (f.unlike(rows) if apart else f).belief(needs_std=True).mean[copy]
                for f in fits
            ]
            moved[apart].append((means[1] - means[0]) / 0.3)
    assert np.mean(moved[False]) > 0.5
    assert np.mean(moved[True]) < 0.6 * np.mean(moved[False])
    fit = learner.fit(rows, merit[rows])
    plain, apart = (f.belief(needs_std=True) for f in (fit, fit.unlike(rows)))
    assert (apart.variance[copies] > plain.variance[copies]).all()
    assert np.abs(apart.mean - plain.mean)[others].max() == 0
    assert np.abs(apart.variance - plain.variance)[others].max() == 0


def test_what_cannot_be_a_prior_is_said(pool_file, tmp_path):
    path = other(pool_file, tmp_path, missing=range(0, 1000, 3))
    pool = load(config(pool_file, tmp_path, recipe(path)))
    with pytest.raises(
        ConfigError, match="has no label 'gap'; it has: energy_per_atom"
    ):
        opened(Exact(**recipe(path, answers_label="gap")))
    with pytest.raises(ConfigError, match=r"answers: no such file: none\.parquet"):
        opened(Exact(**recipe("none.parquet")))
    few = Dataset.open(path).take(np.arange(10)).save(tmp_path / "few.parquet")
    with pytest.raises(ConfigError, match=r"answers \d+ of \d+ candidates, expected"):
        short = Exact(**recipe(str(few)))
        answered(pool, short, opened(short))
    with pytest.raises(ValueError, match="answers, answers_label: expected with prior"):
        Exact(features=("composition",), prior="answers", answers=path)
    with pytest.raises(ValueError, match="answers, answers_label: expected with prior"):
        Exact(features=("composition",), answers=path, answers_label="energy")
