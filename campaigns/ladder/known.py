"""What all fidelities of a campaign know together, for rules that choose among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from campaigns.acquisition.beliefs import Belief, FactorBelief
from campaigns.acquisition.fidelities import Ask
from campaigns.acquisition.fidelity_belief import FidelityBelief
from campaigns.acquisition.stacked import stacked
from campaigns.config import CampaignConfig
from campaigns.costs import CostModel, cost_model
from campaigns.ladder.choice import LEAST
from campaigns.ladder.promotion import distances, may_climb
from campaigns.ladder.recipe import SCREENING
from campaigns.ladder.worth import is_pure
from campaigns.ledger import Event
from campaigns.objectives import HullObjective
from campaigns.state import State
from surrogates.base import Prediction
from surrogates.gp.exact import ExactGP

COMPOSED = 8
"""Answers of a rung from which on what it adds to the line is learnt by composition;
of fewer, length scale and noise cannot be told apart."""
RANK = 256
"""Rank of that process over the pool: a function of composition needs no more."""
AGREED = 0.01
"""Least scatter around the line, in standard deviations of the rung's answers: a few
that agree do not make the fidelities one."""


@dataclass(frozen=True, eq=False)
class Known:
    """The fidelities of a campaign, the cheapest first, and what each has answered."""

    names: tuple[str, ...]
    """Of the fidelities: ``screening``, then the rungs."""
    states: tuple[State, ...]
    """What each knows, over one pool."""
    costs: tuple[CostModel, ...]
    """What an evaluation by each takes."""

    @classmethod
    def of(cls, config: CampaignConfig, state: State, events: Sequence[Event]) -> Known:
        """Gather what a campaign's fidelities know.

        Args:
            config: the campaign.
            state: of its own evaluator.
            events: the ledger.
        """
        states = [state]
        for rung in config.ladder:
            states.append(State.of(state.pool, state.objective, events, rung=rung.name))
        measured = getattr(config.acquisition, "cost", "given") == "measured"
        ways = [(config.evaluator, config.execution)]
        ways += [(r.evaluator, r.execution or config.execution) for r in config.ladder]
        costs = [
            cost_model(evaluator, execution, known, measured=measured)
            for (evaluator, execution), known in zip(ways, states, strict=True)
        ]
        names = (SCREENING, *(r.name for r in config.ladder))
        return cls(names, tuple(states), tuple(costs))

    @property
    def unready(self) -> str | None:
        """Why the fidelities cannot be related yet; None where they can."""
        for name, state, rows in zip(self.names, self.states, self.rows, strict=True):
            if isinstance(state.objective, HullObjective) and state.hull is None:
                return f"{name} has no answer for every element yet"
            count = sum(not is_pure(state, int(r)) for r in rows)
            if name != SCREENING and count < LEAST:
                return f"{name} has {count} of {LEAST} answers that relate it"
        return None

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """Pool rows answered at each fidelity and at all below it, ascending."""
        found = [self.states[0].answered]
        for state in self.states[1:]:
            found.append(np.intersect1d(state.answered, found[-1]))
        return found

    @property
    def best(self) -> float:
        """What is to be improved on: the dearest hull, or the dearest's best answer."""
        top = self.states[-1]
        if isinstance(top.objective, HullObjective):
            return 0.0
        return float((self.sign * top.targets).max())

    @property
    def sign(self) -> float:
        """Merit is this times what the surrogate learns."""
        return (
            1.0 if getattr(self.states[0].objective, "goal", "") == "maximise" else -1.0
        )

    def belief(self, prediction: Prediction) -> FidelityBelief:
        """Return the joint belief about the pool at all fidelities, higher is better.

        For a hull it is about the depth below the dearest one.

        Args:
            prediction: of the surrogate, for the whole pool: the cheapest fidelity.
        """
        own = Prediction(
            self.sign * prediction.mean, prediction.factors, prediction.residual
        )
        pool, x = self.states[0], self.states[0].x

        def learn(level: int, at: np.ndarray, left: np.ndarray) -> Belief:
            return FactorBelief(
                own if level == 0 else beyond(x, at, left, answers[level])
            )

        answers = [self._values(level) for level in range(len(self.names))]
        belief = stacked(len(pool.pool), self.rows, answers, learn)
        if not isinstance(pool.objective, HullObjective):
            return belief
        height = self.states[-1].require_hull().height(x)
        return replace(belief, mean=belief.mean + np.tile(height, len(self.names)))

    def barred(self, config: CampaignConfig, sizes: Sequence[int]) -> np.ndarray:
        """Return what must not be asked, shape (levels, n), bool.

        A candidate goes up one rung a round, as a rung evaluates what the one below has
        relaxed. What failed, was vetoed, is further than ``within``, or is another
        one's copy goes no further; a fidelity whose batch is empty is not asked. Pure
        elements are references, promoted where one is missing.
        """
        n = len(self.states[0].pool)
        out = np.ones((len(self.names), n), dtype=bool)
        own = self.states[0]
        out[0, own.available] = [is_pure(own, int(row)) for row in own.available]
        for level, rung in enumerate(config.ladder, start=1):
            below, above = self.states[level - 1], self.states[level]
            near = distances(below)
            taken = [name for name in above.proposed if name in below.evaluations]
            for row, distance in zip(below.answered, near, strict=True):
                out[level, row] = not may_climb(
                    rung, below, above, int(row), float(distance), taken
                )
        out[[size <= 0 for size in sizes]] = True
        return out

    @property
    def pending(self) -> list[Ask]:
        """What is asked and not answered yet."""
        return [
            (int(row), level)
            for level, state in enumerate(self.states)
            for row in state.pending
        ]

    def prices(self) -> np.ndarray:
        """Return core-seconds of each candidate at each fidelity, (levels, n)."""
        atoms = np.array([c.n_atoms for c in self.states[0].pool], dtype=float)
        return np.stack([model.core_seconds(atoms) for model in self.costs])

    def described(self) -> Mapping[str, Mapping[str, float]]:
        """Return the costs as plain data for the ledger."""
        return {n: m.to_dict() for n, m in zip(self.names, self.costs, strict=True)}

    def _values(self, level: int) -> np.ndarray:
        """Return merits of the rows of a fidelity, shape (rows,)."""
        state = self.states[level]
        kept = np.isin(state.answered, self.rows[level])
        return np.asarray(self.sign * state.targets[kept])


def beyond(
    x: np.ndarray, at: np.ndarray, left: np.ndarray, answers: np.ndarray
) -> Prediction:
    """Return what a rung adds to the line in the fidelity below, for the whole pool.

    Potentials are wrong in ways that elements share, so from :data:`COMPOSED` answers
    on it is a Gaussian process over composition; before that, scatter of each alone.

    Args:
        x: atomic fractions of the pool, shape (n, elements).
        at: rows with an answer, shape (m,).
        left: their distance from the line, shape (m,).
        answers: their answers, shape (m,).
    """
    least = max(AGREED * float(answers.std()), 1e-9)
    if len(at) < COMPOSED or len(np.unique(x[at], axis=0)) < 2:
        scatter = float(np.sqrt(left @ left / max(len(at) - 2, 1)))
        return Prediction.apart(np.zeros(len(x)), np.full(len(x), max(scatter, least)))
    process = ExactGP.fit(x[at], left)
    factors, rest = process.low_rank(x, int((RANK * len(x)) ** 0.5))
    own = np.sqrt(np.maximum(rest, 0.0) + np.asarray(process.noise) + least**2)
    return Prediction(process.mean(x), factors, own)
