"""Closing a round: what it found, how wrong the predictions were, what it cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from campaigns.answers import evaluation_of
from campaigns.fronts.views import about, events_about
from campaigns.learning import past_errors
from campaigns.ledger import VOLATILE, Event
from campaigns.spending import Purse
from campaigns.state import State


def closing(
    proposed: Event,
    events: Sequence[Event],
    before: State,
    state: State,
    purse: Purse,
    confirmed: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the payload of a round's ``closed`` event.

    Args:
        proposed: the round's proposals.
        events: the ledger.
        before: what was known before the round.
        state: what is known now.
        purse: what has been spent.
        confirmed: what each rung of the ladder has found; empty without a ladder.
    """
    clock = time.perf_counter()
    new = [e for e in events if e.kind == "evaluated" and e.round == proposed.round]
    found = [state.pool[int(i)].id for i in state.found]
    return {
        "evaluated": len(state.evaluations),
        "failed": len(state.failed),
        "best": None if state.best != state.best else state.best,
        "found": found,
        "improved": _improved(before, state, found),
        "error": batch_error(state, proposed),
        **_of_front(before, state, proposed),
        **({"confirmed": dict(confirmed)} if confirmed else {}),
        VOLATILE: {
            "seconds": {
                "evaluate": round(sum(evaluation_of(e).seconds for e in new), 3),
                "wall": round(_wall(proposed, new), 3),
                "close": round(time.perf_counter() - clock, 3),
            },
            "core_seconds": {
                name: round(account.core_seconds, 3)
                for name, account in purse.accounts.items()
            },
        },
    }


def _improved(before: State, state: State, found: Sequence[str]) -> bool:
    """Say whether something better is known: for a front, whether it dominates more."""
    if state.front is not None and before.front is not None:
        return state.front.improves_on(before.front)
    known = {before.pool[int(i)].id for i in before.found}
    return any(f not in known for f in found)


def _of_front(before: State, state: State, proposed: Event) -> dict[str, Any]:
    """Return what only a front has: reference point, gain, errors by target."""
    if state.front is None:
        return {}
    front, ordered = state.front, state.front.objective.ordered
    point = None
    if front.goals > 1 and front.reference is not None:
        point = {
            t.property: float(t.sign * v)
            for t, v in zip(front.objective.goals, front.reference, strict=True)
        }
    errors = {
        t.property: batch_error(
            about(state, t), events_about([proposed], t.property)[0]
        )
        for t in ordered
    }
    gained = front.volume - (0.0 if before.front is None else before.front.worth)
    return {
        "reference": point,
        "useful": int(front.useful.sum()),
        **({} if gained != gained or front.goals == 1 else {"gained": gained}),
        "errors": errors,
    }


def batch_error(state: State, proposed: Event) -> dict[str, float] | None:
    """Return how wrong the round's predictions were; None where there were none."""
    if len(state.answered) == 0:
        return None
    if any(p["mean"] is None for p in proposed.payload["proposals"]):
        return None
    errors = past_errors(state, [proposed])
    if len(errors) == 0:
        return None
    z = errors[:, 2] / proposed.payload["surrogate"]["scale"]
    return {
        "mae": float(abs(errors[:, 1] - errors[:, 0]).mean()),
        "bias": float((errors[:, 0] - errors[:, 1]).mean()),
        # two-sided 90 % interval of a normal distribution
        "coverage_90": float((abs(z) < 1.6448536269514722).mean()),
        "rms_z": float((z**2).mean() ** 0.5),
    }


def _wall(proposed: Event, evaluated: Sequence[Event]) -> float:
    """Return the seconds from the proposals to the last answer."""
    if not evaluated:
        return 0.0
    begun = datetime.fromisoformat(proposed.time)
    return (datetime.fromisoformat(evaluated[-1].time) - begun).total_seconds()
