"""A campaign of several targets, seen as if it had only one of them.

What was made for one property (learning, the gate, errors, plots of calibration) works
on such a view: a state whose objective is that property alone, and ``proposed`` events
that state its predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from campaigns.fronts.recipe import FrontTarget
from campaigns.objectives import PropertyObjective

if TYPE_CHECKING:
    from campaigns.ledger import Event
    from campaigns.state import State


def about(state: State, target: FrontTarget) -> State:
    """Return the state as of a campaign that only wants ``target``."""
    goal = target.goal or "maximise"  # a limit alone has no better end
    objective = PropertyObjective(property=target.property, goal=goal)
    return replace(state, objective=objective)


def events_about(events: Sequence[Event], key: str) -> list[Event]:
    """Return the events with the predictions of one property in the proposals."""
    return [_about(e, key) if e.kind == "proposed" else e for e in events]


def _about(event: Event, key: str) -> Event:
    """Return one ``proposed`` event as it would be with one target."""
    payload: dict[str, Any] = dict(event.payload)
    payload["proposals"] = [
        {**p, **(p.get("targets") or {}).get(key, {})} for p in payload["proposals"]
    ]
    for one, every in (("surrogate", "surrogates"), ("gate", "gates")):
        if every in payload:
            payload[one] = payload[every][key]
    return replace(event, payload=payload)
