"""Batches for several targets: by hypervolume, or each pick along its own direction.

A random direction turns the targets into one number
(:mod:`campaigns.acquisition.chebyshev`), by which the usual rules choose: expected
improvement makes it ParEGO (qParEGO: S. Daulton et al., NeurIPS 2020,
arXiv:2006.05078), as in replays. Here every pick of a batch has a direction of its own,
and the targets keep a belief each: what is drawn is all of them, what is judged the
number that a draw makes. Limits are counted as the chance of meeting them; as long as
no answer meets them, the likeliest to do so are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.model import ModelList
from scipy.special import ndtri
from scipy.stats.qmc import Sobol
from torch import Tensor

from campaigns.acquisition.chebyshev import AUGMENTED, chebyshev, in_range, reach
from campaigns.acquisition.hypervolume import (
    constraints,
    hypervolume_batch,
    promising,
    samplers,
)
from campaigns.acquisition.pool import Pick
from campaigns.acquisition.recipes import (
    AnyAcquisition,
    HypervolumeImprovement,
    LogExpectedImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
)
from campaigns.fronts.belief import FrontBelief
from campaigns.fronts.volume import inside_probability
from surrogates.base import Prediction
from surrogates.posterior import PoolModel

LOOKED_AT = 4000
"""Candidates that a direction is judged on; from larger pools those on top by mean +
sigma along many directions go in."""
SAMPLES = 256
"""Draws behind a value, where the recipe names no number."""
HOPELESS = 0.01
"""Candidates that meet the limits with less than this share of the highest probability
of all are not looked at, unless too few others are left."""
CHUNK = 1024
"""Candidates valued together, to keep memory small."""


def front_batch(
    belief: FrontBelief, recipe: AnyAcquisition, rng: np.random.Generator, q: int
) -> list[Pick]:
    """Return a batch of candidates, rows of ``belief``, in the order of choice.

    Args:
        belief: about the candidates and what is answered.
        recipe: which rule.
        rng: source of all randomness.
        q: size.
    """
    beside = belief.scaled(beside=True)
    n = len(belief)
    known = np.arange(n, len(beside[0]))
    looked = _looked_at(belief, recipe, rng, q)
    at = np.concatenate([looked, known])
    own = tuple(b.take(at) for b in beside)
    labelled = np.arange(len(looked), len(at))
    if isinstance(recipe, HypervolumeImprovement):
        picks = hypervolume_batch(
            own, labelled, belief.answers, q, int(rng.integers(2**31)),
            samples=recipe.samples, limits=belief.limits, goals=belief.goals,
            reference=belief.reference,
        )  # fmt: skip
    else:
        picks = _along(belief, own, len(looked), recipe, rng, q)
    return [Pick(int(at[p.row]), p.value, p.mean, p.std) for p in picks]


def _looked_at(
    belief: FrontBelief, recipe: AnyAcquisition, rng: np.random.Generator, q: int
) -> np.ndarray:
    """Return the candidates worth a value, ascending, shape (looked at,)."""
    most, each = LOOKED_AT, LOOKED_AT // 16
    if isinstance(recipe, HypervolumeImprovement):
        most, each = 4 * recipe.looked_at, recipe.looked_at // 16
    usable = np.flatnonzero(belief.chance >= HOPELESS * belief.chance.max())
    if len(usable) < q:
        usable = np.sort(np.argsort(-belief.chance, kind="stable")[:q])
    if len(usable) <= max(most, q):
        return usable
    goals = slice(belief.goals)
    mean = ((belief.mean - belief.centre) / belief.unit)[:, goals]
    std = (belief.std / belief.unit)[:, goals]
    found = promising(mean[usable].T, std[usable].T, rng, max(each, q), max(most, q))
    return np.sort(usable[found])


def _along(
    belief: FrontBelief,
    own: Sequence[Prediction],
    n: int,
    recipe: AnyAcquisition,
    rng: np.random.Generator,
    q: int,
) -> list[Pick]:
    """Choose along one random direction per pick.

    Args:
        belief: for goals, limits and answers.
        own: scaled beliefs about ``n`` candidates, then what is answered, then what is
            being evaluated.
        n: candidates.
        recipe: the rule.
        rng: source of directions and draws.
        q: size.
    """
    beliefs, goals = tuple(own), belief.goals
    low, span = reach(belief.answers[:, :goals])
    answered = in_range(belief.answers[:, :goals], low, span)
    useful = belief.front.useful
    waiting = list(range(n + len(belief.answers), len(own[0])))
    free = np.ones(n, dtype=bool)
    picks: list[Pick] = []
    for _ in range(min(q, n)):
        weights = rng.dirichlet(np.ones(goals))
        known = chebyshev(answered, weights)
        seed = int(rng.integers(2**31))
        if not useful.any():  # nothing to improve on: look for what meets the limits
            value = _likely(beliefs, belief.limits, n)
        elif isinstance(recipe, LogExpectedImprovement):
            value = _improvement(
                beliefs, belief.limits, n, weights, (low, span),
                float(known[useful].max()), recipe.samples, seed, waiting,
            )  # fmt: skip
        elif isinstance(recipe, ThompsonSampling):
            value = _drawn(beliefs, belief.limits, n, weights, (low, span), rng)
        else:
            beta = recipe.beta if isinstance(recipe, UpperConfidenceBound) else 0.0
            value = _bound(beliefs, belief.limits, n, weights, (low, span), beta, seed)
        row = int(np.where(free, value, -np.inf).argmax())
        free[row] = False
        waiting.append(row)
        first = beliefs[0]
        picks.append(
            Pick(row, float(value[row]), float(first.mean[row]), float(first.std[row]))
        )
        # the next picks know what this one will tell
        beliefs = tuple(b.given([row]) for b in beliefs)
    return picks


def _improvement(
    beliefs: Sequence[Prediction],
    limits: np.ndarray,
    n: int,
    weights: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray],
    best: float,
    samples: int,
    seed: int,
    waiting: Sequence[int],
) -> np.ndarray:
    """Return the logarithm of each candidate's expected improvement, (n,)."""
    low, span, turn = (torch.from_numpy(a) for a in (*scale, weights))
    goals = len(weights)

    def merit(draws: Tensor, X: Tensor | None = None) -> Tensor:
        weighed = turn * (draws[..., :goals] - low) / span
        return weighed.amin(dim=-1) + AUGMENTED * weighed.sum(dim=-1)

    function = qLogExpectedImprovement(
        ModelList(*(PoolModel(b) for b in beliefs)),
        best_f=best,
        sampler=samplers(len(beliefs), samples, seed),
        objective=GenericMCObjective(merit),
        X_pending=(
            torch.tensor(waiting, dtype=torch.double)[:, None] if waiting else None
        ),
        constraints=constraints(limits[:goals]) or None,
    )
    rows = torch.arange(n, dtype=torch.double)[:, None, None]
    with torch.no_grad():
        parts = [function(rows[i : i + CHUNK]).numpy() for i in range(0, n, CHUNK)]
    # a target without a goal is independent of the improvement: its chance is exact
    mean = np.array([b.mean[:n] for b in beliefs[goals:]]).reshape(-1, n).T
    std = np.array([b.std[:n] for b in beliefs[goals:]]).reshape(-1, n).T
    chance = inside_probability(mean, std, limits[goals:])
    return np.asarray(np.concatenate(parts) + np.log(np.maximum(chance, 1e-300)))


def _likely(beliefs: Sequence[Prediction], limits: np.ndarray, n: int) -> np.ndarray:
    """Return the chance of each candidate to meet all limits, (n,)."""
    mean = np.array([b.mean[:n] for b in beliefs]).T
    std = np.array([b.std[:n] for b in beliefs]).T
    return inside_probability(mean, std, limits)


def _bound(
    beliefs: Sequence[Prediction],
    limits: np.ndarray,
    n: int,
    weights: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray],
    beta: float,
    seed: int,
) -> np.ndarray:
    """Return ``mean + sqrt(beta) std`` of the drawn numbers, weighed by the limits.

    Measured from a range of the answers below the lowest of all candidates, and times
    the chance of meeting the limits, as BoTorch's ConstrainedMCObjective weighs values
    that may be negative.
    """
    goals = len(weights)
    mean = np.array([b.mean[:n] for b in beliefs]).T
    std = np.array([b.std[:n] for b in beliefs]).T
    uniform = Sobol(goals, seed=seed).random(SAMPLES)
    z = ndtri(np.clip(uniform, 1e-9, 1 - 1e-9))[:, None]
    value = np.empty(n)
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        draws = mean[part, :goals] + z * std[part, :goals]  # (samples, chunk, goals)
        number = chebyshev(in_range(draws, *scale), weights)
        value[part] = number.mean(axis=0) + np.sqrt(beta) * number.std(axis=0)
    floor = float(value.min()) - 1.0  # a range of the answers: none is worth nothing
    weighed: np.ndarray = (value - floor) * inside_probability(mean, std, limits)
    return floor + weighed


def _drawn(
    beliefs: Sequence[Prediction],
    limits: np.ndarray,
    n: int,
    weights: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the number that one joint draw of every target makes, shape (n,).

    Draws outside a limit come after all others, the least far outside first.
    """
    draw = np.array([(b.mean + b.deviations(rng))[:n] for b in beliefs]).T
    number = chebyshev(in_range(draw[:, : len(weights)], *scale), weights)
    outside = np.maximum(limits[:, 0] - draw, draw - limits[:, 1])
    worst = np.maximum(outside, 0.0).sum(axis=1)
    floor = float(number.min())
    return np.where(worst > 0, floor - worst, number)
