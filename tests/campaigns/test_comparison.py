"""Comparison with truth and chance, against enumeration and closed forms."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from recorded_campaign import PROPERTY, chemistry, record, truth_of

from campaigns import Campaign
from campaigns.comparison import (
    Comparison,
    Target,
    band_by_chance,
    compare,
    evaluation_order,
    expected_by_chance,
    known_phases,
)


def target(*candidates: str) -> Target:
    return Target("".join(candidates), 0.0, frozenset(candidates))


def test_expectation_is_that_of_all_possible_draws() -> None:
    names = "abcdefg"
    targets = [target("a"), target("b", "c"), target("d", "e", "f")]
    exact = [
        np.mean(
            [
                sum(bool(t.candidates & set(draw)) for t in targets)
                for draw in combinations(names, n)
            ]
        )
        for n in range(len(names) + 1)
    ]
    assert np.allclose(expected_by_chance(targets, len(names)), exact, atol=1e-12)


def test_one_candidate_each_gives_the_straight_line() -> None:
    targets = [target(c) for c in "abcde"]
    assert np.allclose(expected_by_chance(targets, 1000), 5 * np.arange(1001) / 1000)


def test_band_holds_the_share_it_says() -> None:
    targets = [target(str(i)) for i in range(20)]
    low, high = band_by_chance(targets, 200, 100)
    # hypergeometric: mean 10, standard deviation 2.12
    assert low[100] in (6, 7)
    assert high[100] in (13, 14)
    assert low[0] == high[0] == 0


def test_band_is_the_same_every_time() -> None:
    targets = [target("a"), target("b", "c")]
    first, second = band_by_chance(targets, 50, 30), band_by_chance(targets, 50, 30)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def straight(found_at: tuple[int | None, ...], pool: int, spent: int) -> Comparison:
    targets = tuple(target(str(i)) for i in range(len(found_at)))
    zeros = np.zeros(spent + 1)
    expected = expected_by_chance(targets, pool)
    return Comparison(targets, found_at, pool, spent, expected, zeros, zeros)


def test_factors_by_hand() -> None:
    made = straight((10, 20, None, 40), 1000, 50)
    assert made.found[[9, 10, 20, 39, 40, 50]].tolist() == [0, 1, 2, 2, 3, 3]
    assert made.recall == 0.75
    assert made.acceleration(0.5) == pytest.approx(0.5 * 1000 / 20)
    assert made.acceleration() == pytest.approx(0.75 * 1000 / 40)
    assert made.acceleration(1.0) is None  # not reached is not zero
    assert made.enhancement == pytest.approx(0.75 / (50 / 1000))
    assert [t.name for t in made.missed] == ["2"]


def test_nothing_found_has_no_acceleration() -> None:
    assert straight((None, None), 10, 5).acceleration() is None


@pytest.fixture(scope="module")
def exhausted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign that went on until it had found most of what there is."""
    base = tmp_path_factory.mktemp("comparison")
    plain = record(base / "plain", rounds=2)
    truth = truth_of(plain, base / "truth.parquet")
    known = [
        {"formula": "AuCu", "prototypes": [], "name": "any structure"},
        {"formula": "AuCu9", "prototypes": [], "name": "nowhere"},
        {"formula": "CuAu", "prototypes": ["no_such_type"], "name": "other type"},
    ]
    review = {"truth": str(truth), "known_phases": known}
    return record(base / "run", rounds=12, review=review)


def test_campaign_against_truth(exhausted: Path) -> None:
    with Campaign.open(exhausted) as campaign:
        made = compare(campaign)
        state = campaign.state
        order = evaluation_order(campaign)
    assert made is not None
    assert made.pool == len(state.pool)
    assert made.evaluations == len(order) == len(state.evaluations)
    # the truth's own hull, by pymatgen-free means: all its vertices are targets
    assert all(t.candidates for t in made.targets)
    for t, n in zip(made.targets, made.found_at, strict=True):
        evaluated = [i for i, c in enumerate(order, 1) if c in t.candidates]
        ok = [i for i in evaluated if state.evaluations[order[i - 1]].ok]
        assert n == min(ok, default=None)
    assert made.found[-1] >= 1


def test_truth_hull_is_pymatgens(exhausted: Path, tmp_path: Path) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    from matdisco.data.dataset import Dataset

    with Campaign.open(exhausted) as campaign:
        made = compare(campaign)
        truth = Dataset.open(campaign.config.review.truth)
    energies = truth.values("energy_per_atom")
    entries = [
        PDEntry(c.composition, e * c.n_atoms)
        for c, e in zip(truth, energies, strict=True)
    ]
    stable = PhaseDiagram(entries).stable_entries
    names = {e.composition.reduced_formula for e in stable if len(e.elements) > 1}
    assert made is not None
    assert {t.name for t in made.targets} == names


def test_order_does_not_depend_on_which_worker_was_quicker(exhausted: Path) -> None:
    with Campaign.open(exhausted) as campaign:
        expected = [
            p["candidate"]
            for e in campaign.ledger.events("proposed")
            for p in e.payload["proposals"]
        ]
        assert evaluation_order(campaign) == expected


def test_known_phases(exhausted: Path) -> None:
    with Campaign.open(exhausted) as campaign:
        any_type, nowhere, other_type = known_phases(campaign)
        lowest = min(
            v
            for i, v in zip(
                campaign.state.answered, campaign.state.headline, strict=True
            )
            if campaign.pool[int(i)].formula == "CuAu"
        )
    assert any_type.above_hull == pytest.approx(lowest)
    assert any_type.rediscovered == (lowest <= 0.025)
    assert any_type.in_pool
    assert not nowhere.in_pool
    assert not other_type.in_pool
    assert nowhere.candidate is None
    assert not nowhere.rediscovered


def test_without_truth_there_is_no_comparison(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", rounds=1)
    with Campaign.open(folder) as campaign:
        assert compare(campaign) is None
        assert known_phases(campaign) == ()


def test_property_objective_looks_for_the_best_hundredth(tmp_path: Path) -> None:
    from matdisco.crystal import Label
    from matdisco.data.dataset import Dataset

    plain = record(tmp_path / "plain", rounds=1, **PROPERTY, **chemistry("Cu", "Au"))
    with Campaign.open(plain) as campaign:
        pool = campaign.pool
    rows = [
        c.with_labels({"bulk_modulus": Label(float(i), "GPa")})
        for i, c in enumerate(pool)
    ]
    truth = Dataset("truth", tuple(rows)).save(tmp_path / "truth.parquet")
    folder = record(
        tmp_path / "run", rounds=2, review={"truth": str(truth)}, **PROPERTY
    )
    with Campaign.open(folder) as campaign:
        made = compare(campaign)
    assert made is not None
    count = max(1, round(0.01 * len(pool)))
    assert [t.name for t in made.targets] == list(pool.ids[::-1][:count])
