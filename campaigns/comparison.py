"""A campaign beside the known truth and beside random choice at equal cost.

Definitions: *n* counts every evaluation, the first round and the failures included.
Recall r(n) is the share of the targets among what was evaluated. The acceleration
factor is AF(r) = n_random(r) / n_campaign(r), the enhancement factor
EF(n) = r_campaign(n) / r_random(n) (Q. Liang et al., npj Comput. Mater. 7, 188
(2021)). Both are of this one campaign; how they scatter over seeds only a replay
tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from campaigns.fronts.front import Front
from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import HullObjective
from matdisco.data.dataset import Dataset
from matdisco.thermo import Hull, fractions

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.config_blocks import KnownPhase
    from campaigns.state import State

TOLERANCE = 0.002
"""eV/atom within which a candidate is the same phase as the hull's: relaxations that
start from different cells of one structure agree to about this."""
REDISCOVERED = 0.025
"""eV/atom above the hull within which a known phase counts as rediscovered: about kT
at room temperature, and the error of the simulator."""
TOP = 0.01
"""Share of the pool that are the targets where the objective is a property."""
DRAWS = 2000
"""Simulated random campaigns behind the band."""


@dataclass(frozen=True)
class Target:
    """One thing that the campaign could have found."""

    name: str
    """Formula of the phase, or id of the candidate."""
    value: float
    """Energy per atom of the phase (eV/atom), or the property's value."""
    candidates: frozenset[str]
    """Candidates that realise it."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a campaign found of what there is, and what chance would have found."""

    targets: tuple[Target, ...]
    """Stable compounds of the whole pool, its best candidates, or its front."""
    found_at: tuple[int | None, ...]
    """For each target the number of evaluations after which it was found."""
    pool: int
    """Candidates in the pool."""
    evaluations: int
    """Evaluations spent so far."""
    expected: np.ndarray
    """Expected number found by random choice after 0 .. pool evaluations."""
    low: np.ndarray
    """5 % quantile of the same, shape (evaluations + 1,)."""
    high: np.ndarray
    """95 % quantile of the same, shape (evaluations + 1,)."""

    @property
    def found(self) -> np.ndarray:
        """Number of targets found after 0 .. ``evaluations``, shape (n + 1,)."""
        steps = np.zeros(self.evaluations + 1)
        for n in self.found_at:
            if n is not None:
                steps[n] += 1
        return np.cumsum(steps)

    @property
    def missed(self) -> tuple[Target, ...]:
        """Targets that the campaign has not found."""
        pairs = zip(self.targets, self.found_at, strict=True)
        return tuple(t for t, n in pairs if n is None)

    @property
    def recall(self) -> float:
        """Share of the targets found."""
        return float(self.found[-1] / len(self.targets))

    @property
    def enhancement(self) -> float:
        """EF(n): found over what random choice finds, at the cost so far."""
        return float(self.found[-1] / self.expected[self.evaluations])

    def acceleration(self, recall: float | None = None) -> float | None:
        """Return AF(r): evaluations random choice needs over those spent here.

        Args:
            recall: share of the targets; what the campaign reached when not given.

        Returns:
            None where that recall has not been reached.
        """
        recall = self.recall if recall is None else recall
        wanted = recall * len(self.targets)
        reached = np.flatnonzero(self.found >= wanted - 1e-9)
        if wanted <= 0 or len(reached) == 0:
            return None
        # between whole numbers of evaluations the expectation is near linear
        n_random = np.interp(wanted, self.expected, np.arange(self.pool + 1))
        return float(n_random / max(int(reached[0]), 1))


@dataclass(frozen=True)
class KnownOutcome:
    """What became of a phase known from experiment."""

    name: str
    """What people call it."""
    formula: str
    """Reduced formula."""
    in_pool: bool
    """Whether any candidate has its formula and one of its structure types."""
    candidate: str | None
    """The lowest candidate evaluated that has, or relaxed into, its structure."""
    above_hull: float | None
    """Its energy above today's hull, eV/atom."""

    @property
    def rediscovered(self) -> bool:
        """Whether it was evaluated and lies within :data:`REDISCOVERED`."""
        return self.above_hull is not None and self.above_hull <= REDISCOVERED


def compare(campaign: Campaign) -> Comparison | None:
    """Compare with ``review.truth``; None where no truth is given or it has no target.

    The truth holds a label for every candidate that can be evaluated; those whose
    evaluation fails carry ``source["failure"]`` instead.
    """
    from matdisco.data.shipped import resolve

    if campaign.config.review.truth is None:
        return None
    truth = Dataset.open(resolve(campaign.config.review.truth))
    state = campaign.state
    targets = find_targets(truth, state)
    if not targets:
        return None
    order = evaluation_order(campaign)
    return Comparison(
        targets,
        tuple(_first(t, order, state) for t in targets),
        len(state.pool),
        len(order),
        expected_by_chance(targets, len(state.pool)),
        *band_by_chance(targets, len(state.pool), len(order)),
    )


def evaluation_order(campaign: Campaign) -> list[str]:
    """Return the candidates evaluated, by round and rank: the same after a crash."""
    events = campaign.ledger.events("evaluated")
    events.sort(key=lambda e: (e.round, e.payload["rank"]))
    # a candidate measured again counts once
    return list(dict.fromkeys(e.payload["evaluation"]["crystal_id"] for e in events))


def find_targets(truth: Dataset, state: State) -> tuple[Target, ...]:
    """Return what the pool holds to be found, lowest (best) value first."""
    known = np.column_stack([truth.values(k) for k in state.objective.labels])
    rows = [
        i
        for i, c in enumerate(truth)
        if c.id in state.position
        and "failure" not in c.source
        and np.isfinite(known[i]).all()
    ]
    truth, values = truth.take(rows), known[rows, 0]
    if isinstance(state.objective, FrontObjective):
        nobody = np.zeros(len(rows), dtype=bool)
        members = Front(state.objective, known[rows], nobody).members
        return tuple(
            Target(truth[int(i)].id, float(values[i]), frozenset([truth[int(i)].id]))
            for i in np.flatnonzero(members)
        )
    if not isinstance(state.objective, HullObjective):
        merit = state.merit(values)
        best = np.lexsort((np.arange(len(rows)), -merit))
        best = best[: max(1, round(TOP * len(state.pool)))]
        return tuple(
            Target(truth[int(i)].id, float(values[i]), frozenset([truth[int(i)].id]))
            for i in best
        )
    x = fractions([c.composition for c in truth], state.elements)
    hull = Hull(state.elements, x, values)
    stable = np.flatnonzero(hull.stable & (x.max(axis=1) < 1 - 1e-9))
    targets = {}
    for i in stable:
        same = np.abs(x - x[i]).max(axis=1) < 1e-6
        near = same & (values <= values[i] + TOLERANCE)
        targets[truth[int(i)].formula] = Target(
            truth[int(i)].formula,
            float(values[same].min()),
            frozenset(truth[int(j)].id for j in np.flatnonzero(near)),
        )
    return tuple(targets[k] for k in sorted(targets))


def _first(target: Target, order: Sequence[str], state: State) -> int | None:
    """Return after how many evaluations a target was found, by the answers given."""
    hull = isinstance(state.objective, HullObjective)
    for n, name in enumerate(order, start=1):
        evaluation = state.evaluations[name]
        if not evaluation.ok:
            continue
        if not hull:
            if name in target.candidates:
                return n
            continue
        if state.pool[state.position[name]].formula != target.name:
            continue
        row = int(np.searchsorted(state.answered, state.position[name]))
        if state.answers[row] <= target.value + TOLERANCE:
            return n
    return None


def expected_by_chance(targets: Sequence[Target], pool: int) -> np.ndarray:
    """Return the expected number found by random choice, shape (pool + 1,).

    A target that k of N candidates realise is found among n drawn without
    replacement with probability 1 - C(N - k, n) / C(N, n) (hypergeometric).
    """
    n = np.arange(pool + 1)
    total = np.zeros(pool + 1)
    for target in targets:
        k = len(target.candidates)
        left = np.maximum(pool - k - n, 0)
        log_missed = (
            gammaln(pool - k + 1) - gammaln(left + 1)
            - gammaln(pool + 1) + gammaln(pool - n + 1)
        )  # fmt: skip
        total += np.where(n <= pool - k, -np.expm1(log_missed), 1.0)
    return total


def band_by_chance(
    targets: Sequence[Target], pool: int, evaluations: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 5 % and 95 % quantiles of the number found by random choice.

    Args:
        targets: what there is to find.
        pool: number of candidates.
        evaluations: up to how many evaluations.
        seed: of the simulated draws.
    """
    rng = np.random.default_rng(seed)
    names = sorted({c for t in targets for c in t.candidates})
    row = {c: i for i, c in enumerate(names)}
    members = [np.array([row[c] for c in sorted(t.candidates)]) for t in targets]
    counts = np.zeros((DRAWS, evaluations + 1))
    for draw in counts:
        # only where the candidates that matter fall in the random order is needed
        place = rng.choice(pool, size=len(names), replace=False) + 1
        for m in members:
            first = place[m].min()
            if first <= evaluations:
                draw[first] += 1
    counts.cumsum(axis=1, out=counts)
    low, high = np.quantile(counts, [0.05, 0.95], axis=0, method="inverted_cdf")
    return low, high


def known_phases(campaign: Campaign) -> tuple[KnownOutcome, ...]:
    """Return what became of each phase in ``review.known_phases``."""
    state = campaign.state
    return tuple(_outcome(p, state) for p in campaign.config.review.known_phases)


def _outcome(phase: KnownPhase, state: State) -> KnownOutcome:
    from pymatgen.core.composition import Composition

    formula = Composition(phase.formula).reduced_formula
    matches = [
        i
        for i, c in enumerate(state.pool)
        if c.formula == formula
        and (
            not phase.prototypes
            or {c.source.get("prototype"), c.id.partition(".")[2]}
            & set(phase.prototypes)
        )
    ]
    best: tuple[float, str] | None = None
    if state.hull is not None:
        above = dict(zip((int(i) for i in state.answered), state.headline, strict=True))
        matches += _relaxed_into(matches, formula, state)
        values = [(float(above[i]), state.pool[i].id) for i in matches if i in above]
        best = min(values, default=None)
    return KnownOutcome(
        phase.name or formula,
        formula,
        bool(matches),
        best[1] if best else None,
        best[0] if best else None,
    )


def _relaxed_into(types: Sequence[int], formula: str, state: State) -> list[int]:
    """Return answered rows of the formula that relaxed into one of ``types``.

    Judged by pymatgen's StructureMatcher at its own tolerances, volumes scaled.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    found = []
    for i in (int(i) for i in state.answered):
        relaxed = state.evaluations[state.pool[i].id].relaxed
        if relaxed is None or state.pool[i].formula != formula or i in types:
            continue
        if any(matcher.fit(relaxed.structure, state.pool[j].structure) for j in types):
            found.append(i)
    return found
