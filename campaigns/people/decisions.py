"""Decisions of people about proposals, as events with name and reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from matdisco.errors import DataError
from matdisco.recipe import nearest

if TYPE_CHECKING:
    from campaigns.state import State
    from matdisco.crystal import Crystal
    from matdisco.evaluators.base import EvaluatorRecipe

Action = Literal["pin", "veto", "release", "add", "approve"]


@dataclass(frozen=True)
class Decision:
    """What somebody decided, why, and about what."""

    action: Action
    """pin: evaluate next; veto: never evaluate; release: undo either; add: a new
    candidate; approve: let the open round be evaluated."""
    by: str
    """Who."""
    reason: str
    """Why."""
    candidates: tuple[str, ...] = ()
    """Candidate ids; those of the new crystals for add."""
    crystals: tuple[Crystal, ...] = ()
    """The new crystals of add."""

    def __post_init__(self) -> None:
        for name in ("by", "reason"):
            if not getattr(self, name).strip():
                raise DataError(
                    f"--{name}: every decision is on record with a name and a reason; "
                    f"the {'name' if name == 'by' else name} is empty"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the ledger."""
        return {
            "action": self.action,
            "by": self.by,
            "reason": self.reason,
            "candidates": list(self.candidates),
            "crystals": [c.to_dict() for c in self.crystals],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Decision:
        """Make a decision from what :meth:`to_dict` wrote."""
        from matdisco.crystal import Crystal

        return cls(
            data["action"],
            data["by"],
            data["reason"],
            tuple(data["candidates"]),
            tuple(Crystal.from_dict(c) for c in data["crystals"]),
        )


def check(decision: Decision, state: State, evaluator: EvaluatorRecipe) -> None:
    """Refuse a decision that cannot be carried out.

    Raises:
        DataError: an unknown or already evaluated candidate, or a new crystal that
            the pool has already or the evaluator cannot do.
    """
    from campaigns.objectives import HullObjective

    if decision.action == "approve":
        return
    if decision.action == "add":
        foreign = {e for c in decision.crystals for e in c.elements} - set(
            state.elements
        )
        if foreign and isinstance(state.objective, HullObjective):
            raise DataError(
                f"cannot add candidates with {', '.join(sorted(foreign))}: the hull "
                f"has references for {', '.join(state.elements)} only"
            )
        evaluator.check(frozenset(foreign))
        limit = evaluator.largest_cell()
        for crystal in decision.crystals:
            if limit is not None and crystal.n_atoms > limit:
                raise DataError(
                    f"cannot add {crystal.id}: its {crystal.n_atoms} atoms are more "
                    f"than the {limit} that the evaluator takes (evaluator.max_atoms)"
                )
        have = {c.structure_hash: c.id for c in state.pool}
        for crystal in decision.crystals:
            if crystal.id in state.position:
                raise DataError(
                    f"cannot add {crystal.id}: the pool has a candidate of that name; "
                    "rename the record"
                )
            if crystal.structure_hash in have:
                raise DataError(
                    f"cannot add {crystal.id}: it is {have[crystal.structure_hash]}, "
                    "which is in the pool already; pin that one"
                )
        return
    for name in decision.candidates:
        if name not in state.position:
            raise DataError(
                f"no candidate {name!r}{nearest(name, tuple(state.position))}"
                if len(state.pool) < 5000
                else f"no candidate {name!r} in the pool"
            )
        if name in state.evaluations:
            raise DataError(f"{name} has been evaluated; too late to {decision.action}")


def in_force(decisions: Sequence[dict[str, Any]]) -> tuple[list[str], set[str]]:
    """Return (pinned, vetoed) candidate ids after all decisions, in their order."""
    pinned: dict[str, None] = {}
    vetoed: dict[str, None] = {}
    for decision in decisions:
        for name in decision["candidates"]:
            if decision["action"] in ("pin", "add", "veto", "release"):
                pinned.pop(name, None)
                vetoed.pop(name, None)
            if decision["action"] in ("pin", "add"):
                pinned[name] = None
            if decision["action"] == "veto":
                vetoed[name] = None
    return list(pinned), set(vetoed)
