"""Hull rules against closed forms, brute force and pymatgen."""

from itertools import combinations, permutations

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.stats import norm

from campaigns.acquisition.hull import (
    MARGIN,
    choose_stable,
    expected_phases,
    greedy_volume,
    mean_depth,
    probability_on_hull,
    worlds,
)
from campaigns.acquisition.interleave import interleaved
from campaigns.acquisition.recipes import HullProbability, HullVolume, NewPhases
from campaigns.acquisition.select import select
from campaigns.utility import Utility
from matdisco.thermo import Hull, fractions
from surrogates.base import Prediction

PURE = ("Al", "Ni", "Ti")


def rng(seed=0):
    return np.random.default_rng(seed)


def at(*formulas, elements=PURE):
    return fractions([Composition(f) for f in formulas], elements)


BINARY = Hull.of(
    [Composition(f) for f in ("Al", "Ni", "AlNi")], [0.0, 0.0, -0.5], ("Al", "Ni")
)
TERNARY = Hull.of(
    [Composition(f) for f in (*PURE, "AlNi3")], [0.0, 0.0, 0.0, -0.3], PURE
)
FORMULAS = ("AlNi", "Al3Ni", "TiAl", "TiNi", "TiNi3", "AlNiTi", "AlNi2Ti", "Al3Ti")


def small(seed=5, n=8):
    r = rng(seed)
    return Prediction(
        r.normal(0, 0.1, n), 0.03 * r.normal(size=(2, n)), r.uniform(0.005, 0.06, n)
    )


def test_hull_probability_of_one_candidate_is_the_normal_tail():
    x = at("Al3Ni", elements=("Al", "Ni"))
    b = Prediction(np.array([0.01]), np.array([[0.03]]), np.array([0.02]))
    p = probability_on_hull(b, x, BINARY, rng(), draws=600)
    assert p[0] == pytest.approx(norm.cdf((0.01 - MARGIN) / b.std[0]), abs=0.05)


def test_of_two_at_one_composition_only_the_lower_is_on_the_hull():
    x = at("Al3Ni", "Al6Ni2", elements=("Al", "Ni"))
    b = Prediction(np.array([1.0, 1.02]), np.zeros((0, 2)), np.array([0.01, 0.02]))
    p = probability_on_hull(b, x, BINARY, rng(), draws=600)
    assert p.sum() == pytest.approx(1.0, abs=1e-9)
    expected = norm.cdf(0.02 / np.hypot(0.01, 0.02))
    assert p[1] == pytest.approx(expected, abs=0.05)


def test_worlds_agree_with_pymatgen():
    """The same draws, every hull by PhaseDiagram: the same vertices."""
    x, b = at(*FORMULAS), small()
    got = probability_on_hull(b, x, TERNARY, rng(7), draws=40)
    counts, again = np.zeros(len(FORMULAS)), rng(7)
    for _ in range(40):
        depth = b.mean + again.standard_normal(2) @ b.factors
        depth = depth + b.residual * again.standard_normal(len(FORMULAS)) - MARGIN
        energy = TERNARY.height(x) - depth
        entries = [PDEntry(Composition(e), 0.0) for e in PURE]
        entries.append(PDEntry(Composition("AlNi3"), -0.3 * 4))
        mine = [
            PDEntry(Composition(f), e * Composition(f).num_atoms)
            for f, e in zip(FORMULAS, energy, strict=True)
        ]
        stable = PhaseDiagram(entries + mine).stable_entries
        counts += [m in stable for m in mine]
    np.testing.assert_allclose(got, counts / 40)


def test_hull_batch_is_ordered_by_probability():
    x = at("Al3Ni", "AlNi3", "Al2Ni", elements=("Al", "Ni"))
    b = Prediction(
        np.array([-0.3, 0.04, -0.01]), np.zeros((0, 3)), np.array([0.01, 0.01, 0.02])
    )
    u = Utility(b, 0.0, known=BINARY, x=x)
    chosen = select(u, HullProbability(), rng(), batch_size=3)
    assert [c.row for c in chosen] == [1, 2, 0]
    assert chosen[0].value > 0.9
    assert chosen[2].value == 0.0


def test_the_mean_depth_is_the_integral_of_the_hull():
    x = at("AlNi", "AlNiTi", "TiNi3", "Al3Ti")
    formation = np.array([-0.5, -0.7, -0.2, 0.3])
    hull = Hull.of(
        [Composition(f) for f in (*PURE, "AlNi", "AlNiTi", "TiNi3")],
        [0, 0, 0, *formation[:3]], PURE,
    )  # fmt: skip
    points = rng(1).dirichlet(np.ones(3), size=40_000)  # uniform over compositions
    brute = -hull.height(points).mean()
    assert mean_depth(x, formation) == pytest.approx(brute, rel=0.01)
    four = at("AlNiTiCu", elements=("Al", "Ni", "Ti", "Cu"))
    assert mean_depth(four, np.array([-1.0])) == pytest.approx(1 / 4)  # a pyramid
    assert mean_depth(x, np.full(4, 0.1)) == 0.0


def test_a_batch_by_volume_is_that_of_brute_force():
    """Every step takes the candidate that deepens the mean hull of all draws most."""
    x, b, draws = at(*FORMULAS), small(), 24
    again = rng(3)
    depths = np.array([
        b.mean + again.standard_normal(2) @ b.factors
        + b.residual * again.standard_normal(8) - MARGIN
        for _ in range(draws)
    ])  # fmt: skip
    formation = TERNARY.height(x) - depths

    def deepening(batch):
        total = 0.0
        for drawn, depth in zip(formation, depths, strict=True):
            new = [i for i in batch if depth[i] > 0]
            points = np.vstack([TERNARY.x, x[new]])
            total += mean_depth(points, np.append(TERNARY.formation, drawn[new]))
        return total / draws - mean_depth(TERNARY.x, TERNARY.formation)

    chosen = greedy_volume(depths, x, TERNARY, 3)
    batch = []
    for row, gain in chosen:
        gains = {
            i: deepening([*batch, i]) - deepening(batch)
            for i in range(8) if i not in batch
        }  # fmt: skip
        assert gain == pytest.approx(gains[row], rel=1e-6, abs=1e-12)
        assert gains[row] >= max(gains.values()) - 1e-12
        batch.append(row)
    picks = choose_stable(b, x, TERNARY, HullVolume(draws=draws), rng(3), 3)
    assert [p.row for p in picks] == batch


def phases_found(batch, x, found, draws):
    """Count distinct (world, composition) pairs that a batch covers, the long way."""
    seen = set()
    for w, (below, above) in enumerate(found):
        for i in batch:
            if i in below and above[list(below).index(i)] < MARGIN:
                seen.add((w, tuple(x[i].round(6))))
    return len(seen) / draws


def test_expected_phases_count_a_phase_once_and_are_near_the_best_batch():
    x = at("AlNi", "AlNi", "Al2Ni2", "Al3Ti", "TiNi", "TiNi", "AlNiTi")
    same = np.array([0.2, 0.2, 0.19, 0.01, 0.05, 0.05, 0.02])
    b = Prediction(same, 0.02 * np.ones((1, 7)), np.full(7, 1e-3))
    found = list(worlds(b, x, TERNARY, rng(2), 60))
    chosen = expected_phases(b, x, TERNARY, rng(2), 3, draws=60)
    rows = [row for row, _ in chosen]
    assert len({tuple(x[i]) for i in rows}) == 3  # never two that are one phase
    value = sum(v for _, v in chosen)
    assert value == pytest.approx(phases_found(rows, x, found, 60))
    best = max(phases_found(c, x, found, 60) for c in combinations(range(7), 3))
    assert value >= (1 - 1 / np.e) * best
    assert value == pytest.approx(best, abs=0.02)  # here it is the best one
    assert all(
        phases_found(p, x, found, 60) == pytest.approx(value)
        for p in permutations(rows)
    )


def test_chances_and_costs_weigh_the_rules():
    x, b = at(*FORMULAS), small()
    weight = np.ones(8)
    for rule in (HullProbability(draws=64), NewPhases(draws=64), HullVolume(draws=16)):
        first = choose_stable(b, x, TERNARY, rule, rng(), 1)[0]
        weight[:] = 1.0
        weight[first.row] = 1e-3
        other = choose_stable(b, x, TERNARY, rule, rng(), 1, weight=weight)[0]
        assert other.row != first.row


def test_a_share_by_bound_sees_what_draws_do_not_and_conditions_on_the_picks():
    """Against the normal conditional worked out directly, pick by pick."""
    source = rng(5)
    n, share, q = 12, 0.5, 6
    factors = source.normal(size=(4, n)) * 0.05
    belief = Prediction(source.normal(-0.1, 0.1, n), factors, np.full(n, 0.02))
    covariance = factors.T @ factors + 0.02**2 * np.eye(n)
    ranked = {int(i): float(n - k) for k, i in enumerate(source.permutation(n))}
    batch = interleaved(belief, ranked, share, q)
    taken: list[int] = []
    for place, pick in enumerate(batch):
        known = covariance[np.ix_(taken, taken)]
        cross = covariance[taken]
        explained = (cross * np.linalg.solve(known, cross)).sum(axis=0) if taken else 0
        std = np.sqrt(np.maximum(np.diag(covariance) - explained, 0.0))
        left = [i for i in range(n) if i not in taken]
        by_bound = max(left, key=lambda i: belief.mean[i] + std[i])
        by_rank = next(i for i in ranked if i not in taken)
        assert pick.row == (by_bound if place % 2 else by_rank)
        assert pick.std == pytest.approx(std[pick.row], abs=1e-6)
        assert pick.value == ranked[pick.row]
        taken.append(pick.row)
    assert len(set(taken)) == q
    shorter = interleaved(belief, ranked, share, q - 1)
    assert [p.row for p in shorter] == taken[:-1]


def test_a_rule_with_a_share_by_bound_takes_what_is_least_known():
    x = at("Al3Ni", "AlNi3", elements=("Al", "Ni"))
    x = np.vstack([x, at("Al2Ni", elements=("Al", "Ni"))])
    # two that are on the hull, sure; one deemed far above it, nearly unknown
    belief = Prediction(
        np.array([0.05, 0.05, -0.4]), np.zeros((0, 3)), np.array([1e-4, 1e-4, 0.6])
    )
    plain = NewPhases(draws=64, sigma_factors=(0.25,))
    mixed = NewPhases(draws=64, sigma_factors=(0.25,), bound_share=0.5)
    rows = [
        {p.row for p in choose_stable(belief, x, BINARY, rule, rng(), 2)}
        for rule in (plain, mixed)
    ]
    assert rows[0] == {0, 1} and 2 in rows[1]
    for share in ({"bound_share": 0.5}, {"bound_below": 0.1}):
        with pytest.raises(ValueError, match="a bound cannot be weighed"):
            NewPhases(**share, cost_exponent=1.0)


def test_what_is_worth_too_little_is_chosen_by_bound():
    x = at("Al3Ni", "AlNi3", elements=("Al", "Ni"))
    x = np.vstack([x, at("Al2Ni", "AlNi2", elements=("Al", "Ni"))])
    # a sure phase, one a little above the hull, and two nearly unknown far above it
    belief = Prediction(
        np.array([0.05, -0.002, -0.5, -0.4]), np.zeros((0, 4)),
        np.array([1e-4, 1e-4, 0.2, 0.2]),
    )  # fmt: skip
    rule = NewPhases(draws=64, sigma_factors=(0.25,))
    lower = NewPhases(draws=64, sigma_factors=(0.25,), bound_below=0.1)
    plain, bound = (
        [p.row for p in choose_stable(belief, x, BINARY, r, rng(), 3)]
        for r in (rule, lower)
    )
    assert plain[0] == 0
    assert bound[:2] == [0, 1]  # mean + sigma: -0.002 against -0.2
    assert bound[2] == 3


def test_weights_order_what_no_draw_finds():
    """A candidate a copy of which is known comes after one that is no copy."""
    x = at("Al3Ni", "AlNi3", elements=("Al", "Ni"))
    belief = Prediction(
        np.array([-0.001, -0.05]), np.zeros((0, 2)), np.array([0.001, 0.02])
    )
    rule = NewPhases(draws=16, sigma_factors=(0.01,))
    rows = [
        choose_stable(belief, x, BINARY, rule, rng(), 2, weight=w)[0].row
        for w in (None, np.array([1e-6, 1.0]))
    ]
    assert rows == [0, 1]
