"""What multiplies the worth of candidates: costs, chances of an answer, copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from campaigns.acquisition.recipes import (
    AnyAcquisition,
    HullProbability,
    NewPhases,
    NoisyLogExpectedImprovement,
)

if TYPE_CHECKING:
    from campaigns.costs import CostModel
    from campaigns.learning import Learned
    from campaigns.ledger import Event
    from campaigns.state import State
    from campaigns.utility import Utility


@dataclass(frozen=True, eq=False)
class Weights:
    """Factors on the rule's value, for explanations; None where nothing weighs."""

    cost: np.ndarray | None = None
    """What each candidate of the pool is divided by, shape (n,)."""
    core_seconds: np.ndarray | None = None
    """What its evaluation is predicted to take, shape (n,), where that is learnt."""
    chance: np.ndarray | None = None
    """Probability of an answer, shape (n,)."""
    copies: np.ndarray | None = None
    """What came of candidates like it, over what was promised, shape (n,)."""

    @property
    def any(self) -> bool:
        """Whether the rule's value is no longer what the rule says alone."""
        return any(v is not None for v in (self.cost, self.chance, self.copies))


def weighed(
    rule: AnyAcquisition,
    learned: Learned,
    state: State,
    events: Sequence[Event],
    left: Utility,
    free: np.ndarray,
    costs: CostModel | None = None,
) -> tuple[Utility, Weights]:
    """Add to a utility what the rule asks for: costs, chances, formulas, answers.

    Args:
        rule: the acquisition.
        learned: the surrogate.
        state: what is known.
        events: the ledger so far.
        left: of the free candidates.
        free: their rows of the pool, shape (m,).
        costs: what evaluations cost, where that is learnt.

    Returns:
        The utility, and what its values were multiplied by.
    """
    n = len(state.pool)
    weights = Weights()
    exponent = getattr(rule, "cost_exponent", 0.0)
    atoms = np.array([state.pool[int(i)].n_atoms for i in free], dtype=float)
    if costs is not None:
        predicted = costs.core_seconds(atoms)
        weights = replace(
            weights,
            # over that of the usual size, so that worths keep their magnitude
            cost=_over(n, free, predicted / costs.usual),
            core_seconds=_over(n, free, predicted),
        )
    elif exponent:
        weights = replace(weights, cost=_over(n, free, atoms**exponent))
    if getattr(rule, "feasibility", False) and len(state.failed):
        from campaigns.acquisition.feasibility import success_probability

        rows = [int(i) for i in (*state.answered, *state.failed)]
        chance = success_probability(
            [state.pool[int(i)] for i in free],
            [state.pool[i] for i in rows],
            np.arange(len(rows)) < len(state.answered),
        )
        weights = replace(weights, chance=_over(n, free, chance))
    if learned.alike is not None and isinstance(rule, HullProbability | NewPhases):
        from campaigns.copies import chances

        worth = chances(learned.alike, state, events, free)
        weights = replace(weights, copies=_over(n, free, worth))
    if weights.any:
        offset = np.zeros(len(free))
        for factor, sign in (
            (weights.cost, -1), (weights.chance, 1), (weights.copies, 1),
        ):  # fmt: skip
            if factor is not None:
                offset += sign * np.log(factor[free])
        left = replace(left, offset=offset)
    if getattr(rule, "per_formula", None) is not None:
        names = [state.pool[int(i)].formula for i in free]
        left = replace(left, formulas=np.unique(names, return_inverse=True)[1])
    if isinstance(rule, NoisyLogExpectedImprovement):
        from campaigns.utility import utility

        rows = [int(i) for i in (*free, *state.answered)]
        whole = learned.prediction.given(np.array(state.pending, dtype=int))
        both = utility(state, whole.take(rows), np.array(rows))
        left = replace(left, beside=both.belief)
    return left, weights


def _over(n: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values of some rows as values of the whole pool, NaN elsewhere, (n,)."""
    whole = np.full(n, np.nan)
    whole[rows] = values
    return whole
