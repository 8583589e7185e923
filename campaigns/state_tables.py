"""What is known at some moment, as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from campaigns.objectives import HullObjective
from campaigns.state import FORMATION, State


def answers(state: State) -> pd.DataFrame:
    """Return one row per evaluated candidate, best first."""
    rows: list[dict[str, Any]] = []
    objective, hull = state.objective, state.hull
    can = not isinstance(objective, HullObjective) or hull is not None
    for n, (row, value) in enumerate(zip(state.answered, state.headline, strict=True)):
        crystal = state.pool[int(row)]
        rows.append(
            {
                "candidate": crystal.id,
                "formula": crystal.formula,
                "round": state.rounds[crystal.id],
                **({FORMATION: float(hull.formation[n])} if hull else {}),
                **({objective.target: float(state.targets[n])} if can else {}),
                objective.headline: float(value),
                **_on_front(state, n),
                "seconds": state.evaluations[crystal.id].seconds,
                "prototype": crystal.source.get("prototype", ""),
            }
        )
    hulls = [FORMATION] if isinstance(objective, HullObjective) else []
    front = (*objective.labels[1:], "on_front") if state.front else ()
    columns = [
        "candidate", "formula", "round", *hulls, objective.target, objective.headline,
        *front, "seconds", "prototype",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    merits, beside = state.merits, np.zeros(len(state.answered))
    if state.front is not None:  # within a layer by the first target
        beside = -state.merit(state.headline)
    order = np.lexsort((np.arange(len(merits)), beside, -merits))
    return frame.iloc[order].reset_index(drop=True)


def failures(state: State) -> pd.DataFrame:
    """Return one row per failed evaluation."""
    rows = []
    for row in state.failed:
        crystal = state.pool[int(row)]
        evaluation = state.evaluations[crystal.id]
        assert evaluation.failure is not None
        rows.append(
            {
                "candidate": crystal.id,
                "formula": crystal.formula,
                "round": state.rounds[crystal.id],
                "kind": str(evaluation.failure.kind),
                "message": evaluation.failure.message,
                "seconds": evaluation.seconds,
                "attempts": evaluation.attempts,
            }
        )
    columns = [
        "candidate", "formula", "round", "kind", "message", "seconds", "attempts",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _on_front(state: State, n: int) -> dict[str, Any]:
    """Return the columns of one answer that only a front has."""
    if state.front is None:
        return {}
    values = (float(v) for v in state.front.values[n])
    own = dict(zip(state.front.objective.labels, values, strict=True))
    return {**own, "on_front": bool(state.front.members[n])}
