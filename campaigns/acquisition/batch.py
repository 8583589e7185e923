"""Choosing a batch with the exact pool scorer, by recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from campaigns.acquisition.beliefs import CHUNK, Belief, ProcessBelief, joint
from campaigns.acquisition.knowledge import JOINT, hopeful, knowledge_batch, max_values
from campaigns.acquisition.knowledge import MaxValueEntropy as Entropy
from campaigns.acquisition.pathwise import Paths
from campaigns.acquisition.pool import Pick, greedy_batch
from campaigns.acquisition.process import PoolProcess
from campaigns.acquisition.recipes import (
    AnyAcquisition,
    Greedy,
    KnowledgeGradient,
    LevelSet,
    LogExpectedImprovement,
    MaxValueEntropy,
    MaxVariance,
    ProbabilityOfImprovement,
    Quantile,
    ThompsonSampling,
    TopShare,
    UpperConfidenceBound,
)
from campaigns.acquisition.scores import (
    ConfidenceBound,
    LogImprovement,
    LogProbability,
    LogWindow,
    Mean,
    Score,
    Spread,
    Straddle,
)
from campaigns.acquisition.scores import (
    Quantile as QuantileScore,
)
from campaigns.acquisition.share import bar, most_probable
from matdisco.errors import ConfigError


@dataclass(frozen=True)
class Aim:
    """What a batch is measured against."""

    best: float
    """Merit of the best answer so far."""
    wanted: tuple[float, float] | None = None
    """Wanted range, where the goal is one."""
    sign: float = 1.0
    """Merit is this times the property."""
    answered: np.ndarray | None = None
    """Merits of all answers so far, shape (m,), for rules about a share."""


def scored(recipe: AnyAcquisition, aim: Aim) -> Score | None:
    """Return the closed-form score of a recipe; None where it has none."""
    if isinstance(recipe, MaxVariance):
        return Spread()
    if isinstance(recipe, LevelSet):
        return Straddle(aim.sign * recipe.level, recipe.beta)
    if aim.wanted is not None:
        # improvement on a range is to lie in it; only this has a closed form
        fits = isinstance(recipe, LogExpectedImprovement | ProbabilityOfImprovement)
        return LogWindow(*aim.wanted) if fits else None
    if isinstance(recipe, Greedy):
        return Mean()
    if isinstance(recipe, UpperConfidenceBound):
        return ConfidenceBound(recipe.beta)
    if isinstance(recipe, Quantile):
        return QuantileScore(recipe.level)
    if isinstance(recipe, LogExpectedImprovement):
        return LogImprovement(aim.best)
    if isinstance(recipe, ProbabilityOfImprovement):
        return LogProbability(aim.best + recipe.margin)
    return None


def choose(
    belief: Belief,
    recipe: AnyAcquisition,
    aim: Aim,
    rng: np.random.Generator,
    q: int,
    *,
    pending: Sequence[int] | np.ndarray = (),
    barred: Sequence[int] | np.ndarray = (),
    offset: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    per_group: int | None = None,
) -> list[Pick]:
    """Return a batch of ``q`` rows of a belief; see :func:`greedy_batch`.

    Raises:
        ConfigError: the recipe has no closed form for this aim.
    """
    if isinstance(recipe, ThompsonSampling):
        return thompson_batch(belief, rng, q, pending=pending, barred=barred)
    out = np.concatenate([np.asarray(barred, int), np.asarray(pending, int)])
    if isinstance(recipe, TopShare) and aim.answered is not None:
        free = np.ones(len(belief.mean), dtype=bool)
        free[np.asarray(barred, dtype=int)] = False
        std = np.sqrt(np.maximum(belief.variance, 0.0))
        count = recipe.share * (int(free.sum()) + len(aim.answered))
        value = bar(belief.mean[free], std[free], aim.answered, count)
        free[np.asarray(pending, dtype=int)] = False
        return most_probable(
            belief.mean, std, value, q, free=free, offset=offset, groups=groups,
            per_group=per_group,
        )  # fmt: skip
    score = scored(recipe, aim)
    if aim.wanted is None:
        if isinstance(recipe, KnowledgeGradient):
            waiting = np.asarray(pending, dtype=int)
            return knowledge_batch(belief, q, waiting, np.asarray(barred, dtype=int))
        if isinstance(recipe, MaxValueEntropy):
            free = np.ones(len(belief.mean), dtype=bool)
            free[out] = False
            score = Entropy(max_values(belief, free, recipe.draws, rng))
    if score is None:
        raise ConfigError(
            f"acquisition: kind {recipe.kind} has no exact batch"
            f"{' for a target range' if aim.wanted else ''}; use scorer: monte_carlo "
            "or another kind"
        )
    if offset is not None and not score.logarithmic:
        raise ConfigError(
            f"acquisition: kind {recipe.kind} cannot be weighed by cost or by the "
            "probability of success; use log_expected_improvement or "
            "probability_of_improvement"
        )
    return greedy_batch(
        belief, score, q, pending=pending, barred=barred, offset=offset,
        groups=groups, per_group=per_group,
    )  # fmt: skip


def thompson_batch(
    belief: Belief,
    rng: np.random.Generator,
    q: int,
    *,
    pending: Sequence[int] | np.ndarray = (),
    barred: Sequence[int] | np.ndarray = (),
) -> list[Pick]:
    """Draw the belief jointly ``q`` times; each draw's best new row joins.

    Candidates in evaluation are drawn too: a draw that they win goes to its best
    other row.
    """
    free = np.ones(len(belief.mean), dtype=bool)
    free[np.asarray(pending, dtype=int)] = False
    free[np.asarray(barred, dtype=int)] = False
    process = getattr(belief, "process", None)
    if isinstance(process, PoolProcess) and int(free.sum()) > JOINT:
        return _best_of_paths(belief, process, rng, q, free)
    rows = hopeful(belief, free, max(JOINT, 4 * q))
    std = np.sqrt(np.maximum(belief.variance, 0.0))
    local = joint(belief, rows)
    picks: list[Pick] = []
    taken = np.zeros(len(rows), dtype=bool)
    while len(picks) < min(q, len(rows)):
        draw = local.mean + local.deviations(rng)
        row = int(np.where(taken, -np.inf, draw).argmax())
        taken[row] = True
        at = int(rows[row])
        picks.append(Pick(at, float(draw[row]), float(belief.mean[at]), float(std[at])))
    return picks


def _best_of_paths(
    belief: Belief,
    process: PoolProcess,
    rng: np.random.Generator,
    q: int,
    free: np.ndarray,
) -> list[Pick]:
    """Each of ``q`` functions drawn pathwise gives its best row that is left."""
    assert isinstance(belief, ProcessBelief)
    drawn = Paths(process, q, rng)(belief.x)  # (n, q)
    # a prior mean, if any, is in the belief's mean and not in the process
    shift = belief.mean - _means(process, belief.x)
    picks: list[Pick] = []
    left = free.copy()
    for draw in drawn.T:
        row = int(np.where(left, draw + shift, -np.inf).argmax())
        left[row] = False
        std = float(np.sqrt(max(float(belief.variance[row]), 0.0)))
        picks.append(Pick(row, float(draw[row]), float(belief.mean[row]), std))
        if not left.any():
            break
    return picks


def _means(process: PoolProcess, x: np.ndarray) -> np.ndarray:
    """Return the means of a process at ``x``, chunk by chunk."""
    parts = [process.moments(x[i : i + CHUNK])[0] for i in range(0, len(x), CHUNK)]
    return np.concatenate(parts).astype(float)
