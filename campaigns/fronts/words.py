"""Sentences about fronts: where a campaign stands, why a candidate was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.fronts.front import Front
    from campaigns.fronts.recipe import FrontObjective

SHOWN = 3
"""Members of a front that one line names."""


def standing(front: Front, formulas: list[str]) -> str:
    """Say in a few words what has been found.

    Args:
        front: the answers.
        formulas: of the members, best first.
    """
    if len(front.values) == 0:
        return "no answer yet"
    objective, count = front.objective, int(front.members.sum())
    if count == 0:
        return "no answer inside the limits yet"
    if front.goals == 1:
        prop = get(objective.label)
        value = f"{front.best:.4g} {prop.unit}".strip()
        return f"best {prop.label.lower()} inside the limits {value} ({formulas[0]})"
    shown = " ".join(formulas[:SHOWN]) + (" …" if count > SHOWN else "")
    return f"front of {count} ({shown}), hypervolume {volume(front)}"


def volume(front: Front) -> str:
    """Return the hypervolume with its unit and reference point."""
    unit = front.objective.volume_unit
    return f"{front.volume:.4g} {unit}".strip() + f" beyond {reference(front)}"


def reference(front: Front) -> str:
    """Return the reference point with names and units."""
    assert front.reference is not None
    parts = []
    for target, merit in zip(front.objective.goals, front.reference, strict=True):
        prop = get(target.property)
        number = f"{target.sign * merit:.4g} {prop.unit}".strip()
        parts.append(f"{prop.label.lower()} {number}")
    return ", ".join(parts)


def said(objective: FrontObjective, facts: Mapping[str, Any]) -> list[str]:
    """Say what is expected of a candidate, target by target."""
    parts = []
    for target in objective.targets:
        prop, own = get(target.property), facts["targets"][target.property]
        number = f"{own['mean']:.3f} ± {own['std']:.3f} {prop.unit}".strip()
        parts.append(f"predicted {prop.label.lower()} {number}")
    parts.append(f"alone expected to add {gain(objective, facts['expected_merit'])}")
    if facts["feasible"] is not None:
        parts.append(f"inside the limits with probability {facts['feasible']:.0%}")
    return parts


def compared(
    objective: FrontObjective, first: Mapping[str, Any], second: Mapping[str, Any]
) -> str:
    """Say how two candidates differ, alone."""
    gains = [f["expected_merit"] for f in (first, second)]
    words = [
        f"alone expected to add {'more' if gains[0] >= gains[1] else 'less'} "
        f"({gains[0]:.3g} against {gain(objective, gains[1])})"
    ]
    if first["feasible"] is not None and first["feasible"] != second["feasible"]:
        words.append(
            f"inside the limits with {first['feasible']:.0%} against "
            f"{second['feasible']:.0%}"
        )
    if gains[0] < gains[1]:
        words.append(
            "adds what the choices before it do not, or looks along another direction"
        )
    return ", ".join(words)


def gain(objective: FrontObjective, value: float) -> str:
    """Return an expected gain with what it is a gain of, and its unit."""
    number = f"{value:.3g} {objective.volume_unit}".strip()
    if len(objective.goals) > 1:
        return f"{number} of hypervolume"
    return f"{number} to the best inside the limits"


def outlook(objective: FrontObjective, ahead: Mapping[str, float]) -> str:
    """Say what the best single candidate promises."""
    return (
        "best single candidate promises "
        f"{gain(objective, ahead['expected_hypervolume'])}"
    )
