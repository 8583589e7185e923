"""Acquisition against closed forms, BoTorch's own, pymatgen and brute force."""

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement as AnalyticLogEI
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.stats import norm

from campaigns.acquisition.hull import MARGIN, probability_on_hull
from campaigns.acquisition.recipes import (
    Greedy,
    HullProbability,
    LevelSet,
    LogExpectedImprovement,
    MaxVariance,
    ProbabilityOfImprovement,
    RandomChoice,
    ThompsonSampling,
    UpperConfidenceBound,
)
from campaigns.acquisition.select import select, thompson
from campaigns.utility import Utility
from matdisco.thermo import Hull, fractions
from surrogates.base import Prediction
from surrogates.posterior import PoolModel


def belief(seed=0, n=40, r=5):
    rng = np.random.default_rng(seed)
    return Prediction(
        rng.normal(0, 1, n), 0.3 * rng.normal(size=(r, n)), rng.uniform(0.05, 0.6, n)
    )


def rng(seed=0):
    return np.random.default_rng(seed)


ALL = [
    LogExpectedImprovement(samples=64),
    UpperConfidenceBound(samples=64),
    ThompsonSampling(),
    Greedy(),
    RandomChoice(),
    LogExpectedImprovement(scorer="exact"),
    UpperConfidenceBound(scorer="exact"),
    ProbabilityOfImprovement(),
    MaxVariance(),
    LevelSet(level=0.2),
]


@pytest.mark.parametrize(
    "recipe", ALL, ids=lambda r: f"{r.kind}-{getattr(r, 'scorer', '')}"
)
def test_a_batch_has_no_duplicates_and_the_same_seed_gives_the_same(recipe):
    u = Utility(belief(), best=1.0)
    first = select(u, recipe, rng(3), batch_size=12)
    again = select(u, recipe, rng(3), batch_size=12)
    assert first == again
    assert len({c.row for c in first}) == 12
    everything = select(u, recipe, rng(), batch_size=100)
    assert sorted(c.row for c in everything) == list(range(40))


def test_single_choice_of_log_ei_is_the_analytic_maximum():
    b = belief(1)
    u = Utility(b, best=0.8)
    z = (b.mean - 0.8) / b.std
    closed = np.log(b.std * (norm.pdf(z) + z * norm.cdf(z)))
    model = PoolModel(b)
    points = torch.arange(len(b), dtype=torch.double)[:, None, None]
    botorch = AnalyticLogEI(model, best_f=0.8)(points).detach().numpy()
    np.testing.assert_allclose(botorch, closed, atol=1e-6)
    choice = select(u, LogExpectedImprovement(samples=4096), rng(), batch_size=1)[0]
    assert choice.row == int(closed.argmax())
    assert choice.value == pytest.approx(closed.max(), abs=0.05)


def test_log_ei_pair_is_the_best_pair_by_brute_force():
    b = belief(2, n=9)
    draws = rng(1).multivariate_normal(b.mean, b.covariance, 200_000)
    best = 0.5
    first = np.maximum(draws - best, 0).mean(axis=0).argmax()
    gain = [
        np.maximum(np.maximum(draws[:, first], draws[:, j]) - best, 0).mean()
        if j != first
        else -1
        for j in range(9)
    ]
    chosen = select(
        Utility(b, best), LogExpectedImprovement(samples=4096), rng(), batch_size=2
    )
    assert [c.row for c in chosen] == [first, int(np.argmax(gain))]


def test_first_of_ucb_is_the_closed_form():
    b, beta = belief(3), 4.0
    chosen = select(
        Utility(b, 0.0),
        UpperConfidenceBound(beta=beta, samples=4096),
        rng(),
        batch_size=1,
    )
    # BoTorch's qUCB in expectation: mean + sqrt(beta pi / 2) E|f - mean|
    bound = b.mean + np.sqrt(beta) * b.std
    assert chosen[0].row == int(bound.argmax())
    assert chosen[0].value == pytest.approx(bound.max(), abs=0.05)


def test_thompson_chooses_with_the_probability_of_being_best():
    b = Prediction(np.array([0.0, 0.5]), np.zeros((0, 2)), np.array([1.0, 0.2]))
    wins = np.mean([thompson(Utility(b, 0.0), rng(s), 1)[0].row for s in range(4000)])
    assert wins == pytest.approx(norm.cdf(0.5 / np.sqrt(1.04)), abs=0.025)


def test_greedy_orders_by_expected_merit_also_for_a_target_range():
    b = belief(4)
    rows = [c.row for c in select(Utility(b, 0.0), Greedy(), rng(), batch_size=40)]
    assert rows == list(np.argsort(-b.mean))

    u = Utility(b, 0.0, wanted=(0.1, 0.3))
    draws = b.mean + b.std * rng().standard_normal((100_000, 40))
    brute = -np.maximum(np.maximum(0.1 - draws, draws - 0.3), 0).mean(axis=0)
    np.testing.assert_allclose(u.expected(), brute, atol=0.012)  # sampling error


def test_random_share_draws_part_of_the_batch():
    u = Utility(belief(), 0.0)
    chosen = select(u, Greedy(random_share=0.25), rng(), batch_size=8)
    assert [c.reason for c in chosen] == ["greedy"] * 6 + ["random"] * 2


BINARY = Hull.of(
    [Composition(f) for f in ("Al", "Ni", "AlNi")], [0.0, 0.0, -0.5], ("Al", "Ni")
)


def test_hull_probability_of_one_candidate_is_the_normal_tail():
    x = fractions([Composition("Al3Ni")], ("Al", "Ni"))
    b = Prediction(np.array([0.01]), np.array([[0.03]]), np.array([0.02]))
    p = probability_on_hull(b, x, BINARY, rng(), draws=8000)
    assert p[0] == pytest.approx(norm.cdf((0.01 - MARGIN) / b.std[0]), abs=0.015)


def test_of_two_at_one_composition_only_the_lower_is_on_the_hull():
    x = fractions([Composition("Al3Ni"), Composition("Al6Ni2")], ("Al", "Ni"))
    b = Prediction(np.array([1.0, 1.02]), np.zeros((0, 2)), np.array([0.01, 0.02]))
    p = probability_on_hull(b, x, BINARY, rng(), draws=8000)
    assert p.sum() == pytest.approx(1.0, abs=1e-9)
    expected = norm.cdf(0.02 / np.hypot(0.01, 0.02))
    assert p[1] == pytest.approx(expected, abs=0.015)


def test_worlds_agree_with_pymatgen():
    """The same draws, every hull by PhaseDiagram: the same vertices."""
    elements = ("Al", "Ni", "Ti")
    formulas = ["AlNi", "Al3Ni", "TiAl", "TiNi", "TiNi3", "AlNiTi", "AlNi2Ti", "Al3Ti"]
    x = fractions([Composition(f) for f in formulas], elements)
    known = Hull.of(
        [Composition(f) for f in ("Al", "Ni", "Ti", "AlNi3")],
        [0.0, 0.0, 0.0, -0.3],
        elements,
    )
    b = belief(5, n=len(formulas), r=2)
    b = Prediction(0.1 * b.mean, 0.1 * b.factors, 0.1 * b.residual)
    got = probability_on_hull(b, x, known, rng(7), draws=40)
    counts, again = np.zeros(len(formulas)), rng(7)
    for _ in range(40):
        depth = b.mean + again.standard_normal(2) @ b.factors
        depth = depth + b.residual * again.standard_normal(len(formulas)) - MARGIN
        energy = known.height(x) - depth
        entries = [PDEntry(Composition(e), 0.0) for e in elements]
        entries.append(PDEntry(Composition("AlNi3"), -0.3 * 4))
        mine = [
            PDEntry(Composition(f), e * Composition(f).num_atoms)
            for f, e in zip(formulas, energy, strict=True)
        ]
        stable = PhaseDiagram(entries + mine).stable_entries
        counts += [m in stable for m in mine]
    np.testing.assert_allclose(got, counts / 40)


def test_hull_batch_is_ordered_by_probability():
    x = fractions([Composition(f) for f in ("Al3Ni", "AlNi3", "Al2Ni")], ("Al", "Ni"))
    b = Prediction(
        np.array([-0.3, 0.04, -0.01]), np.zeros((0, 3)), np.array([0.01, 0.01, 0.02])
    )
    chosen = select(
        Utility(b, 0.0, known=BINARY, x=x), HullProbability(), rng(), batch_size=3
    )
    assert [c.row for c in chosen] == [1, 2, 0]
    assert chosen[0].value > 0.9
    assert chosen[2].value == 0.0
