"""State: what a campaign knows at some moment, derived from its ledger alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.answers import ASKED, evaluation_of
from campaigns.fronts.front import Front
from campaigns.fronts.recipe import FrontObjective
from campaigns.ledger import Event
from campaigns.objectives import AnyObjective, HullObjective, target_range
from campaigns.people.decisions import in_force
from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import CampaignError
from matdisco.evaluators.base import Evaluation
from matdisco.properties import convert, get
from matdisco.thermo import Hull, compressed, fractions

if TYPE_CHECKING:
    import pandas as pd


FORMATION = "formation_energy_per_atom"


@dataclass(frozen=True, eq=False)
class State:
    """The pool and every answer so far. All else follows from these."""

    pool: Dataset
    """All candidates, in their fixed order."""
    objective: AnyObjective
    """What is wanted."""
    evaluations: Mapping[str, Evaluation]
    """Candidate id to its evaluation."""
    rounds: Mapping[str, int]
    """Candidate id to the round that proposed it."""
    proposed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Candidate id to (round, rank) of every proposal, answered or not."""
    pins: tuple[str, ...] = ()
    """Candidates that somebody wants evaluated next, in that order."""
    vetoed: frozenset[str] = frozenset()
    """Candidates that somebody ruled out."""
    starts: Mapping[str, Crystal] = field(default_factory=dict)
    """Candidate id to the structure that is evaluated, where it is not the pool's."""

    @classmethod
    def of(
        cls,
        pool: Dataset,
        objective: AnyObjective,
        events: Sequence[Event],
        *,
        until: int | None = None,
        rung: str | None = None,
    ) -> State:
        """Derive from ledger events, optionally only those of rounds <= ``until``.

        Args:
            pool: the candidates at the start; those of ``grown`` events follow them.
            objective: what is wanted.
            events: the ledger.
            until: last round to take into account; all when None.
            rung: what this rung of the ladder knows, and no other fidelity; None is
                the campaign's own evaluator.
        """
        asked, answered = ASKED[rung is not None]
        pool = grown_pool(pool, events, until=until)
        evaluations: dict[str, Evaluation] = {}
        rounds: dict[str, int] = {}
        proposed: dict[str, tuple[int, int]] = {}
        starts: dict[str, Crystal] = {}
        decisions = []
        for event in events:
            if event.kind == "decided":
                decisions.append(dict(event.payload))
            if until is not None and event.round > until:
                continue
            if rung is not None and event.payload.get("fidelity") != rung:
                continue
            if event.kind == asked:
                for proposal in event.payload["proposals"]:
                    name = proposal["candidate"]
                    proposed[name] = (event.round, proposal["rank"])
                    if "crystal" in proposal:
                        starts[name] = Crystal.from_dict(proposal["crystal"])
            elif event.kind == answered:
                # a later measurement of the same candidate takes the first one's place
                evaluation = evaluation_of(event)
                evaluations[evaluation.crystal_id] = evaluation
                rounds.setdefault(evaluation.crystal_id, event.round)
        pins, vetoed = in_force(decisions)
        return cls(
            pool,
            objective,
            evaluations,
            rounds,
            proposed,
            tuple(p for p in pins if p not in evaluations and p not in proposed),
            frozenset(vetoed - evaluations.keys()),
            starts,
        )

    def structure(self, name: str) -> Crystal:
        """Return the structure of a candidate that is, or would be, evaluated."""
        return self.starts.get(name) or self.pool[self.position[name]]

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Candidate id to its row in the pool."""
        return {c.id: i for i, c in enumerate(self.pool)}

    @cached_property
    def answered(self) -> np.ndarray:
        """Pool rows with an answer, ascending.

        The order in which all is learned, whatever the order of the workers.
        """
        return self._rows(lambda e: e.ok)

    @cached_property
    def failed(self) -> np.ndarray:
        """Pool rows whose evaluation failed, ascending."""
        return self._rows(lambda e: not e.ok)

    @cached_property
    def available(self) -> np.ndarray:
        """Pool rows to choose from, ascending: not evaluated, pending or vetoed."""
        taken = np.zeros(len(self.pool), dtype=bool)
        taken[self.answered] = taken[self.failed] = taken[self.pending] = True
        taken[[self.position[name] for name in self.vetoed]] = True
        return np.flatnonzero(~taken)

    @cached_property
    def pending(self) -> np.ndarray:
        """Pool rows that were proposed and are not answered yet, ascending."""
        rows = [
            self.position[name]
            for name in self.proposed
            if name not in self.evaluations and name not in self.vetoed
        ]
        return np.array(sorted(rows), dtype=int)

    @cached_property
    def answers(self) -> np.ndarray:
        """Label values of the answered rows, in the property's unit, shape (n,)."""
        return np.array(
            [self._label(self.pool[int(i)].id).value for i in self.answered]
        )

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """The chemical space."""
        return self.pool.elements

    @cached_property
    def x(self) -> np.ndarray:
        """Atomic fractions of the whole pool, shape (n, n_elements)."""
        return fractions([c.composition for c in self.pool], self.elements)

    @cached_property
    def hull(self) -> Hull | None:
        """The convex hull of all answers.

        None unless the objective is a hull, or while an element has no answer.
        """
        if not isinstance(self.objective, HullObjective):
            return None
        x = self.x[self.answered]
        if not all((x[:, i] > 1 - 1e-9).any() for i in range(len(self.elements))):
            return None
        return Hull(self.elements, x, self.answers)

    def require_hull(self) -> Hull:
        """Return the hull.

        Raises:
            CampaignError: a pure element has no successful evaluation.
        """
        if self.hull is not None:
            return self.hull
        x = self.x[self.answered]
        missing = [
            e for i, e in enumerate(self.elements) if not (x[:, i] > 1 - 1e-9).any()
        ]
        raise CampaignError(
            f"no successful evaluation of pure {', '.join(missing)}: energies above "
            "the hull need a reference for every element; raise start.per_element, "
            "or see why the evaluations failed with: matdisco status RUN --failures"
        )

    @cached_property
    def targets(self) -> np.ndarray:
        """What the surrogate learns, for the answered rows, shape (n,).

        Compressed formation energies relative to today's references (see
        :func:`matdisco.thermo.compressed`), or the property itself.
        """
        if isinstance(self.objective, HullObjective):
            formation: np.ndarray = self.require_hull().formation
            return compressed(formation)
        return self.answers

    @cached_property
    def headline(self) -> np.ndarray:
        """The objective's values of the answered rows, shape (n,)."""
        if isinstance(self.objective, HullObjective):
            if self.hull is None:
                return np.full(len(self.answered), np.nan)
            above: np.ndarray = self.hull.energies_above
            return above
        return self.answers

    @cached_property
    def front(self) -> Front | None:
        """The front of all answers; None unless the objective is one."""
        if not isinstance(self.objective, FrontObjective):
            return None
        names = [self.pool[int(i)].id for i in self.answered]
        values = [
            [self._label(name, key).value for key in self.objective.labels]
            for name in names
        ]
        first = np.array([self.rounds[name] == 0 for name in names], dtype=bool)
        shape = (len(names), len(self.objective.labels))
        return Front(self.objective, np.array(values).reshape(shape), first)

    def merit(self, values: np.ndarray) -> np.ndarray:
        """Turn objective values into merits: higher is better, shape kept.

        For a front those of the first target with a goal; see :attr:`merits`.
        """
        objective = self.objective
        if isinstance(objective, HullObjective):
            return -values
        if isinstance(objective, FrontObjective):
            return objective.goals[0].sign * values
        if objective.goal == "target":
            low, high = target_range(objective)
            return -np.maximum(np.maximum(low - values, values - high), 0.0)
        return values if objective.goal == "maximise" else -values

    @cached_property
    def merits(self) -> np.ndarray:
        """How good each answer is, higher is better, shape (n,).

        For a front minus the layer: the front itself is 0, what would be the front
        without it -1, and what is outside a limit comes last.
        """
        if self.front is not None:
            return -self.front.layer.astype(float)
        return self.merit(self.headline)

    @cached_property
    def found(self) -> np.ndarray:
        """Answered rows on the hull (pure elements left out), or the best one.

        For a front its members.
        """
        if self.front is not None:
            members: np.ndarray = self.answered[self.front.members]
            return members
        if isinstance(self.objective, HullObjective):
            if self.hull is None:
                return np.array([], dtype=int)
            compound = self.x[self.answered].max(axis=1) < 1 - 1e-9
            stable: np.ndarray = self.answered[self.hull.stable & compound]
            return stable
        if len(self.answered) == 0:
            return np.array([], dtype=int)
        merits = self.merit(self.headline)
        best: np.ndarray = self.answered[merits >= merits.max() - 1e-12]
        return best

    @property
    def best(self) -> float:
        """Number of stable compounds found, or the best objective value.

        For a front its hypervolume.
        """
        if self.front is not None:
            return self.front.best
        if isinstance(self.objective, HullObjective):
            return float(len(self.found))
        if len(self.answered) == 0:
            return float("nan")
        return float(self.headline[int(self.merit(self.headline).argmax())])

    def learning_set(self) -> Dataset:
        """Return the answered candidates, as proposed, with the surrogate's target."""
        key = self.objective.target
        unit = get(key).unit
        crystals = []
        for row, value in zip(self.answered, self.targets, strict=True):
            crystal = self.pool[int(row)]
            method = self._label(crystal.id).method
            crystals.append(
                crystal.with_labels({key: Label(float(value), unit, method)})
            )
        return Dataset(f"{self.pool.name}-learned", tuple(crystals))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per evaluated candidate, best first."""
        from campaigns.state_tables import answers

        return answers(self)

    def failures_frame(self) -> pd.DataFrame:
        """Return one row per failed evaluation."""
        from campaigns.state_tables import failures

        return failures(self)

    def _rows(self, wanted: Any) -> np.ndarray:
        rows = [self.position[k] for k, e in self.evaluations.items() if wanted(e)]
        return np.array(sorted(rows), dtype=int)

    def _label(self, candidate: str, key: str | None = None) -> Label:
        key = key or self.objective.label
        label = self.evaluations[candidate].labels[key]
        unit = get(key).unit
        if unit and label.unit != unit:
            return Label(convert(label.value, label.unit, unit), unit, label.method)
        return label


def grown_pool(
    pool: Dataset, events: Sequence[Event], *, until: int | None = None
) -> Dataset:
    """Return the pool with the candidates that were bred or that people added."""
    kinds = ("grown", "told", "decided")
    added = [
        Crystal.from_dict(data)
        for event in events
        if event.kind in kinds and (until is None or event.round <= until)
        for data in event.payload["crystals"]
    ]
    if not added:
        return pool
    known = set(pool.ids)
    new = {c.id: c for c in added if c.id not in known}
    return Dataset(pool.name, (*pool.crystals, *new.values()), pool.card)
