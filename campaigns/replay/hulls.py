"""Replays whose hull moves: what is stable, what is known of it, and how to choose.

A phase counts as found when any candidate is evaluated that realises it: at the same
composition and within a tolerance of the stable energy, since several starting cells
relax into one structure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from campaigns.acquisition.batch import Aim, choose
from campaigns.acquisition.beliefs import Shifted, joint
from campaigns.acquisition.claims import Claims
from campaigns.acquisition.hull import MARGIN, choose_stable
from campaigns.acquisition.recipes import HullRule
from campaigns.comparison import TOLERANCE
from campaigns.gate import GateRecipe, pooled_scale, verdict
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError
from matdisco.thermo import Hull, compressed
from surrogates.base import Prediction

if TYPE_CHECKING:
    from campaigns.acquisition.beliefs import Belief
    from campaigns.acquisition.recipes import AnyAcquisition
    from campaigns.replay.learners import Fitted, Learner

PER_ELEMENT = 3
"""Densest-packed structures of every pure element among the first labels; for metals
fcc, hcp and bcc."""
REACH = 3.5
"""Sigmas; a candidate whose chance is smaller, 1 in 4,000, is not drawn."""


@dataclass(frozen=True, eq=False)
class HullTruth:
    """The hull of a whole pool."""

    elements: tuple[str, ...]
    """The chemical space."""
    x: np.ndarray
    """Atomic fractions, shape (n, n_elements)."""
    energies: np.ndarray
    """Energies per atom, eV/atom, shape (n,)."""
    phase: np.ndarray
    """Which stable compound each candidate realises, from 0; -1 is none, shape (n,)."""
    references: np.ndarray
    """Rows of the densest structures of every pure element."""

    def known(self, rows: np.ndarray) -> Hull:
        """Return the hull of the evaluated ``rows``, which hold every element."""
        return Hull(self.elements, self.x[rows], self.energies[rows])


def hull_truth(crystals: Sequence[Crystal], energies: np.ndarray) -> HullTruth:
    """Work out what is stable in a pool.

    Args:
        crystals: the candidates.
        energies: energies per atom, eV/atom, shape (n,).

    Raises:
        ConfigError: no structures, or none of a pure element.
    """
    from matdisco.candidates.volume import packing_fraction

    if not crystals:
        raise ConfigError("wanted: kind stable needs a pool with structures")
    elements = sorted({e for c in crystals for e in c.elements})
    hull = Hull.of([c.composition for c in crystals], energies, elements)
    phase = np.full(len(crystals), -1)
    compound = hull.x.max(axis=1) < 1 - 1e-9
    near = compound & (hull.energies_above < TOLERANCE)
    number = 0
    for row in np.flatnonzero(hull.stable & compound):
        if phase[row] >= 0:
            continue
        alike = near & (np.abs(hull.x - hull.x[row]).max(axis=1) < 1e-6)
        phase[alike] = number
        number += 1
    references: list[int] = []
    for i in range(len(elements)):
        pure = np.flatnonzero(hull.x[:, i] > 1 - 1e-9)
        packed = [-round(packing_fraction(crystals[int(p)].structure), 3) for p in pure]
        order = np.lexsort((pure, np.array(packed)))
        references += [int(p) for p in pure[order[:PER_ELEMENT]]]
    return HullTruth(
        tuple(elements), hull.x, np.asarray(energies, dtype=float), phase,
        np.array(references),
    )  # fmt: skip


@runtime_checkable
class KnowsCopies(Protocol):
    """A fit that knows which candidates are probably copies of evaluated ones."""

    def unlike(self, rows: np.ndarray) -> Fitted:
        """Return it as if no candidate were a copy of one of the evaluated ``rows``."""
        ...


class HullStep:
    """One way of choosing where the hull moves with every answer."""

    def __init__(
        self, truth: HullTruth, rule: AnyAcquisition, learner: Learner
    ) -> None:
        self.truth, self.rule, self.learner = truth, rule, learner
        self.trust = Trust()
        self.claims = Claims(learner.alike)

    def batch(
        self,
        rows: np.ndarray,
        q: int,
        rng: np.random.Generator,
        timed: Callable[[str, Callable[[], Any]], Any],
    ) -> tuple[list[int], Fitted, np.ndarray]:
        """Return the next ``q`` rows, the fit, and the merits of the whole pool.

        Args:
            rows: evaluated so far.
            q: how many.
            rng: source of draws.
            timed: runs an action and counts its time under a name.
        """
        truth = self.truth
        known = truth.known(rows)
        # against today's references, as a campaign learns them
        formation = truth.energies - truth.x @ known.references
        merit = -compressed(formation)
        fitted: Fitted = timed("fit", lambda: self.learner.fit(rows, merit[rows]))
        believed: Fitted = fitted
        if isinstance(self.rule, HullRule) and isinstance(fitted, KnowsCopies):
            # how often a copy is none is what claims weigh; this is what it is then
            believed = fitted.unlike(rows)
        belief = timed("predict", lambda: believed.belief(needs_std=True))
        height = known.height(truth.x)
        depth = Shifted(belief, height, self.trust.scale)

        def pick() -> list[int]:
            if isinstance(self.rule, HullRule):
                phases = rows[known.energies_above < MARGIN]
                free = within_reach(depth, rows, self.rule.sigma_factors, q)
                picks = choose_stable(
                    joint(depth, free), truth.x[free], known, self.rule, rng, q,
                    weight=self.claims.weight(rows, phases, free),
                )  # fmt: skip
                batch = free[[p.row for p in picks]]
                self.claims.learn(
                    rows, phases, batch, np.array([p.value for p in picks]),
                    height[batch] - formation[batch] > MARGIN,
                )  # fmt: skip
                return [int(i) for i in batch]
            aim = Aim(0.0)
            return [p.row for p in choose(depth, self.rule, aim, rng, q, barred=rows)]

        chosen: list[int] = timed("choose", pick)
        self.trust.learn(fitted.predict(np.array(chosen)), merit[chosen])
        return chosen, fitted, merit


def within_reach(
    depth: Belief, rows: np.ndarray, factors: Sequence[float], q: int
) -> np.ndarray:
    """Return the candidates, ascending, that a draw may put below today's hull.

    What stays above it with :data:`REACH` sigma in its favour is no vertex of any world
    that is drawn, and joint draws cost the cube of how many there are.

    Args:
        depth: belief about the depth below the hull of all candidates, eV/atom.
        rows: evaluated so far.
        factors: on sigma.
        q: batch size; at least eight times as many are returned, where there are.
    """
    free = np.setdiff1d(np.arange(len(depth.mean)), rows)
    sigma = np.sqrt(np.maximum(depth.variance, 0.0))
    best = (depth.mean + REACH * max(factors) * sigma)[free]
    count = max(int((best > 0).sum()), 8 * q)
    kept: np.ndarray = np.sort(free[np.argsort(-best, kind="stable")[:count]])
    return kept


class Trust:
    """How far a learner's sigmas are to be believed, by the errors of its own choices.

    What a campaign does every round (:mod:`campaigns.gate`): sigmas times the pooled
    factor of all earlier choices, and wider after a batch that failed its test.
    """

    def __init__(self) -> None:
        self.scale = 1.0
        self._raw: list[float] = []

    def learn(self, said: Prediction, truth: np.ndarray) -> None:
        """Take the answers of one batch, (q,), and what was predicted, into account."""
        raw = (truth - said.mean) / said.std
        self._raw += [float(z) for z in raw]
        pooled = pooled_scale(np.array(self._raw))
        found = verdict(GateRecipe(), raw, self.scale, pooled, round_=0)
        self.scale = pooled * found.widened
