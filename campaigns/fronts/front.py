"""The front of a campaign's answers, derived from them alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from campaigns.fronts.recipe import FrontObjective
from campaigns.fronts.volume import hypervolume, layers, pareto


@dataclass(frozen=True, eq=False)
class Front:
    """Answers to several targets, and who of them is beaten by nobody."""

    objective: FrontObjective
    """What is wanted."""
    values: np.ndarray
    """Answers in the properties' own units, shape (n, targets); targets in the order
    of ``objective.ordered``."""
    first: np.ndarray
    """Which of them the first round brought, shape (n,), bool."""

    @cached_property
    def signs(self) -> np.ndarray:
        """Merits are these times the values, shape (targets,)."""
        return np.array([t.sign for t in self.objective.ordered])

    @cached_property
    def limits(self) -> np.ndarray:
        """Lowest and highest merit of use, shape (targets, 2)."""
        bounds = np.array([t.bounds for t in self.objective.ordered])
        turned = bounds * self.signs[:, None]
        return np.asarray(np.sort(turned, axis=1))

    @cached_property
    def merit(self) -> np.ndarray:
        """The answers turned so that higher is better, shape (n, targets)."""
        return np.asarray(self.values * self.signs)

    @cached_property
    def useful(self) -> np.ndarray:
        """Which answers meet every limit, shape (n,), bool."""
        low, high = self.limits.T
        return np.asarray(((self.merit >= low) & (self.merit <= high)).all(axis=1))

    @property
    def goals(self) -> int:
        """How many targets are minimised or maximised."""
        return len(self.objective.goals)

    @cached_property
    def members(self) -> np.ndarray:
        """Which answers meet every limit and are beaten by no other, (n,), bool."""
        found = np.zeros(len(self.values), dtype=bool)
        found[self.useful] = pareto(self.merit[self.useful, : self.goals])
        return found

    @cached_property
    def layer(self) -> np.ndarray:
        """Layer of each answer, 0 the front; what is of no use comes last, (n,)."""
        found = np.zeros(len(self.values), dtype=int)
        useful = self.useful
        found[useful] = layers(self.merit[useful, : self.goals])
        found[~useful] = found[useful].max(initial=-1) + 1
        return found

    @cached_property
    def reference(self) -> np.ndarray | None:
        """The reference point in merits, shape (goals,); None before any answer.

        Coordinates that the objective does not give are the worst answers of the first
        round, so that the point does not move later.
        """
        given = [
            None if t.reference is None else t.sign * t.own(t.reference)
            for t in self.objective.goals
        ]
        if all(v is not None for v in given):
            return np.array(given, dtype=float)
        begun = self.merit[self.first if self.first.any() else slice(None)]
        if len(begun) == 0:
            return None
        worst = begun[:, : self.goals].min(axis=0)
        pairs = zip(given, worst, strict=True)
        return np.array([w if v is None else v for v, w in pairs])

    @cached_property
    def volume(self) -> float:
        """What the front dominates above the reference point, in ``volume_unit``.

        NaN before any answer.
        """
        if self.reference is None:
            return float("nan")
        return hypervolume(self.merit[self.members, : self.goals], self.reference)

    @property
    def worth(self) -> float:
        """The hypervolume, 0 before any answer."""
        return 0.0 if self.reference is None else self.volume

    @property
    def best(self) -> float:
        """The hypervolume; with one goal the best value inside the limits, or NaN."""
        if self.goals > 1:
            return self.volume
        if not self.members.any():
            return float("nan")
        return float(self.values[self.members, 0][0])

    def improves_on(self, before: Front) -> bool:
        """Say whether more is dominated, or better is known, than ``before``."""
        if self.goals > 1:
            return bool(self.worth > before.worth + 1e-12)
        sign = self.signs[0]
        known = -np.inf if before.best != before.best else sign * before.best
        return bool(sign * self.best > known + 1e-12)
