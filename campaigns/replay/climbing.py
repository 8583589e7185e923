"""One replay with several fidelities: what to ask, at which of them, within a budget.

Everything is counted in units of one evaluation of the target. A candidate is asked at
a fidelity only when it is answered at all cheaper ones: who goes up is promoted.
"""

from __future__ import annotations

import numpy as np

from campaigns.acquisition.batch import Aim, choose
from campaigns.acquisition.fidelities import Ask, ask_batch
from campaigns.acquisition.fidelity_belief import FidelityBelief
from campaigns.acquisition.recipes import FidelityRule
from campaigns.replay.cokriging import CokrigingLearner
from campaigns.replay.learner_recipes import Cokriging
from campaigns.replay.phases import Phases
from campaigns.replay.pools import Pool
from campaigns.replay.recipes import Fidelities, ReplayConfig, Strategy

_TINY = 1e-9
"""Rounding of sums of costs, in evaluations of the target."""


class Climb:
    """A strategy that may ask cheaper fidelities, at work.

    Args:
        config: the protocol, with fidelities.
        pool: the labelled pool.
        strategy: learner ``cokriging`` and what chooses.
        seed: of the replay.
        first: the first target labels of all strategies of this seed.
        rng: source of draws.
    """

    def __init__(
        self,
        config: ReplayConfig,
        pool: Pool,
        strategy: Strategy,
        seed: int,
        first: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        assert isinstance(strategy.learner, Cokriging)
        assert strategy.acquisition is not None
        assert config.fidelities is not None and pool.cheaper is not None
        self.pool, self.rule, self.rng = pool, strategy.acquisition, rng
        self.fidelities: Fidelities = config.fidelities
        cheaper = self.fidelities.cheaper
        self.costs = [*(c.cost for c in cheaper), 1.0]
        self.sizes = [*(c.batch_size for c in cheaper), config.batch_size]
        self.budget = config.budget
        self.values = np.column_stack([pool.cheaper, pool.merit[:, 0]])
        self.learner = CokrigingLearner(strategy.learner, pool, seed, len(self.costs))
        self.asked: list[dict[int, None]] = [{} for _ in self.costs]
        """Candidates answered at each fidelity, in order."""
        self.paid: list[float] = []
        """What was spent when each target answer came, it included."""
        self.phases = Phases()
        self._begin(first, seed)

    @property
    def spent(self) -> float:
        """What all answers so far have cost."""
        return float(np.dot([len(a) for a in self.asked], self.costs))

    @property
    def everything_first(self) -> bool:
        """Whether all candidates are asked at the cheaper fidelities at the start."""
        return not isinstance(self.rule, FidelityRule)

    def round(self) -> FidelityBelief | None:
        """Ask a batch; return the belief that chose it, None when nothing is left."""
        if self.spent + 1.0 > self.budget + _TINY or len(self.asked[-1]) == len(
            self.pool
        ):
            return None
        rows = [np.array(list(a)) for a in self.asked]
        answers = [self.values[r, level] for level, r in enumerate(rows)]
        belief = self.phases.timed("fit", lambda: self.learner.fit(rows, answers))
        asks = self.phases.timed("choose", lambda: self._choose(belief, answers[-1]))
        before = self.spent
        for candidate, level in asks:
            self._ask(candidate, level)
        return belief if self.spent > before else None

    def _choose(self, belief: FidelityBelief, y: np.ndarray) -> list[Ask]:
        best, top = float(y.max()), len(self.costs) - 1
        if isinstance(self.rule, FidelityRule):
            sizes, rng = self.sizes, self.rng
            asks = ask_batch(belief, self.rule, best, self.costs, sizes, rng)
            return [(a.candidate, a.level) for a in asks]
        picks = choose(
            belief.dearest(), self.rule, Aim(best, answered=y), self.rng,
            self.sizes[-1], barred=np.array(list(self.asked[-1])),
        )  # fmt: skip
        return [(p.row, top) for p in picks]

    def _begin(self, first: np.ndarray, seed: int) -> None:
        """Ask the first target labels and random cheaper answers, the same for all."""
        count = self.fidelities.initial or len(first)
        for row in first[:count]:
            self._ask(int(row), len(self.costs) - 1)
        rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
        order = [int(i) for i in rng.permutation(len(self.pool))]
        for level, recipe in enumerate(self.fidelities.cheaper):
            known = self.asked[level]
            new = [i for i in order if i not in known]
            for row in new[: None if self.everything_first else recipe.initial]:
                self._ask(row, level)

    def _ask(self, candidate: int, level: int) -> None:
        """Pay for an answer and for all that are missing below it, if they fit."""
        missing = [k for k in range(level + 1) if candidate not in self.asked[k]]
        price = sum(self.costs[k] for k in missing)
        if self.spent + price > self.budget + _TINY:
            return
        for k in missing:
            self.asked[k][candidate] = None
        if level == len(self.costs) - 1:
            self.paid.append(self.spent)
