"""The contract of an evaluation: what is asked, what comes back, how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from matdisco.recipe import Recipe, digest

if TYPE_CHECKING:
    from matdisco.crystal import Crystal, Label


class FailureKind(StrEnum):
    """Why an evaluation gave no trustworthy answer."""

    NOT_CONVERGED = "not-converged"
    EXPLODED = "exploded"
    VOLUME_COLLAPSE = "volume-collapse"
    OVERLAPPING_ATOMS = "overlapping-atoms"
    SYMMETRY_CHANGED = "symmetry-changed"
    DUPLICATE = "duplicate-after-relaxation"
    NOT_A_NUMBER = "not-a-number"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    WORKER_LOST = "worker-lost"
    BACKEND_ERROR = "backend-error"
    NOT_MADE = "not-made"


TRANSIENT = frozenset({FailureKind.WORKER_LOST})
"""Kinds that a second try can mend; all others would fail the same way again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed calculation, as data."""

    kind: FailureKind
    """The place in the taxonomy."""
    message: str
    """One sentence for a person."""
    traceback: str = ""
    """The backend's own words, where there are any."""

    def to_dict(self) -> dict[str, str]:
        """Return plain data for JSON."""
        return {
            "kind": str(self.kind),
            "message": self.message,
            "traceback": self.traceback,
        }


class EvaluationFailed(Exception):
    """Raised by an evaluator to name the kind of its failure."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a backend answered about one crystal, a failure included."""

    key: str
    """Hash of (structure, evaluator recipe); see :func:`evaluation_key`."""
    crystal_id: str
    """The candidate that was evaluated."""
    labels: Mapping[str, Label] = field(default_factory=dict)
    """The values obtained; empty on failure."""
    relaxed: Crystal | None = None
    """The final structure, where the evaluator relaxes."""
    failure: Failure | None = None
    """Set when there is no trustworthy answer."""
    seconds: float = 0.0
    """Wall-clock seconds of the last attempt."""
    spent: float = 0.0
    """Core-seconds of all attempts: what it cost."""
    attempts: int = 1
    """How often it was tried."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Code, versions, host, times, number of steps."""

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.failure is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "key": self.key,
            "crystal_id": self.crystal_id,
            "labels": {k: v.to_dict() for k, v in self.labels.items()},
            "relaxed": self.relaxed.to_dict() if self.relaxed else None,
            "failure": self.failure.to_dict() if self.failure else None,
            "seconds": self.seconds,
            "spent": self.spent,
            "attempts": self.attempts,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Make an evaluation from what :meth:`to_dict` wrote."""
        from matdisco.crystal import Crystal, Label

        failure, relaxed = data["failure"], data["relaxed"]
        return cls(
            key=data["key"],
            crystal_id=data["crystal_id"],
            labels={k: Label(**v) for k, v in data["labels"].items()},
            relaxed=Crystal.from_dict(relaxed) if relaxed else None,
            failure=Failure(**{**failure, "kind": FailureKind(failure["kind"])})
            if failure
            else None,
            seconds=data["seconds"],
            spent=data.get("spent", data["seconds"]),
            attempts=data["attempts"],
            provenance=data["provenance"],
        )


@runtime_checkable
class Evaluator(Protocol):
    """Anything that can answer for a crystal. Lives inside a worker process."""

    def evaluate(self, crystal: Crystal, folder: Path) -> Evaluation:
        """Answer for one crystal.

        Args:
            crystal: the candidate.
            folder: where inputs, outputs and trajectories may be left.

        Raises:
            EvaluationFailed: with the kind of failure; any other exception is
                recorded as a ``backend-error``.
        """
        ...


class EvaluatorRecipe(Recipe):
    """Base of the ``evaluator:`` blocks of a configuration."""

    by_hand: ClassVar[bool] = False
    """Whether people answer, outside any worker process."""

    def check(self, elements: frozenset[str]) -> None:
        """Refuse, before anything is spent, what this evaluator cannot do.

        Args:
            elements: all element symbols of the candidate pool.

        Raises:
            SetupError: a package, executable or element is missing.
        """

    def largest_cell(self) -> int | None:
        """Return the largest number of atoms it takes; None where there is no limit."""
        return None

    def fixed_for(self, elements: frozenset[str]) -> Self:
        """Return the recipe with everything settled that depends on the elements.

        Args:
            elements: all element symbols of the candidates; empty when not known yet.
        """
        return self

    def seconds_per_evaluation(self, n_atoms: float) -> float:
        """Estimate wall seconds of one evaluation on one core, for planning only."""
        raise NotImplementedError

    def properties(self) -> tuple[str, ...]:
        """Name the labels a successful evaluation carries."""
        raise NotImplementedError

    def build(self) -> Evaluator:
        """Make the evaluator; called once in each worker."""
        raise NotImplementedError


def evaluation_key(crystal: Crystal, recipe: Recipe) -> str:
    """Return the identity of an evaluation: the same key is never paid for twice."""
    return digest([crystal.structure_hash, recipe.digest()])
