"""A round in which the acquisition chooses what to ask, and which fidelity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaigns.acquisition.fidelities import Asked, ask_batch
from campaigns.acquisition.recipes import FidelityRule
from campaigns.config import CampaignConfig
from campaigns.costs import core_time
from campaigns.ladder.known import Known
from campaigns.ladder.promotion import copies
from campaigns.ledger import Event
from campaigns.objectives import HullObjective
from campaigns.state import State
from matdisco.properties import get
from surrogates.base import Prediction

MANY = float(np.log(1000))
"""Logarithm of a ratio of worths from which on its size tells nothing more."""


@dataclass(frozen=True, eq=False)
class Round:
    """What the rule asks in one round."""

    screened: tuple[tuple[int, float], ...]
    """Pool row and value of what the campaign's own evaluator is asked, in order."""
    climbs: tuple[dict[str, Any], ...]
    """What rungs are asked, in order, as it is recorded."""
    facts: Mapping[int, dict[str, Any]]
    """Pool row to what its proposal says of the fidelity."""
    costs: Mapping[str, Mapping[str, float]]
    """Fidelity to what its evaluations cost."""


def asked_round(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    prediction: Prediction,
    pinned: Sequence[int],
    size: int,
    affordable: Mapping[str, int],
    rng: np.random.Generator,
) -> Round | str:
    """Choose what is asked of which fidelity, or say why they cannot be related yet.

    Args:
        config: the campaign, with a rule that chooses a fidelity.
        state: of its own evaluator.
        events: the ledger.
        prediction: of the surrogate, for the whole pool.
        pinned: pool rows that the own evaluator is asked in any case.
        size: how many it is asked besides, at most.
        affordable: rung to how many evaluations can be paid for; its limit is kept in
            any case.
        rng: source of draws.
    """
    rule = config.acquisition
    assert isinstance(rule, FidelityRule)
    known = Known.of(config, state, events)
    if known.unready is not None:
        return known.unready
    sizes = [size]
    for rung, above in zip(config.ladder, known.states[1:], strict=True):
        left = rung.evaluations - len(above.proposed)
        sizes.append(max(0, min(rung.best, left, affordable.get(rung.name, left))))
    belief, prices = known.belief(prediction), known.prices()
    pending = [*known.pending, *((int(row), 0) for row in pinned)]
    asks = ask_batch(
        belief, rule, known.best, prices, sizes, rng,
        barred=known.barred(config, sizes), pending=pending,
    )  # fmt: skip
    asks = _without_copies(known, asks)
    n = len(state.pool)
    mean = belief.mean.reshape(-1, n)[-1]
    std = np.sqrt(np.maximum(belief.variance, 0.0)).reshape(-1, n)[-1]
    screened, climbs = [], []
    facts: dict[int, dict[str, Any]] = {}
    for ask in asks:
        row, name = ask.candidate, known.names[ask.level]
        crystal, cost = state.pool[row], float(prices[ask.level, row])
        said = _why(known, ask, cost, float(mean[row]), float(std[row]))
        fact = {
            "fidelity": name,
            "predicted_core_seconds": round(cost, 4),
            "correlation_with_dearest": round(ask.link, 4),
            "asked_because": said,
        }
        if ask.level == 0:
            screened.append((row, ask.value))
            facts[row] = fact
        else:
            climbs.append(
                {
                    "candidate": crystal.id, "formula": crystal.formula,
                    "acquisition": ask.value, **fact,
                }
            )  # fmt: skip
    return Round(tuple(screened), tuple(climbs), facts, known.described())


def _without_copies(known: Known, asks: Sequence[Asked]) -> list[Asked]:
    """Leave out what has relaxed below to what the same rung is asked already."""
    kept: list[Asked] = []
    for ask in asks:
        if ask.level:
            below = known.states[ask.level - 1]
            same = [below.pool[a.candidate].id for a in kept if a.level == ask.level]
            if copies(below, below.pool[ask.candidate].id, same):
                continue
        kept.append(ask)
    return kept


def _why(known: Known, ask: Asked, cost: float, mean: float, std: float) -> str:
    """Say why a candidate is asked of this fidelity and not of another."""
    objective, name, top = (
        known.states[0].objective,
        known.names[ask.level],
        known.names[-1],
    )
    prop = get(objective.target)
    if isinstance(objective, HullObjective):
        side = "below" if mean > 0 else "above"
        expected = (
            f"expected {abs(mean) * 1000:.0f} ± {std * 1000:.0f} meV/atom {side} the "
            f"hull of {top}"
        )
    else:
        value = f"{known.sign * mean:.4g} ± {std:.2g} {prop.unit}".strip()
        expected = f"expected {value} by {top}"
    parts = [f"asked of {name} ({core_time(cost)} predicted)", expected]
    if ask.level < len(known.names) - 1:
        parts.append(f"its answer correlates by {ask.link:.2f} with that of {top}")
    for level, rival in enumerate(ask.rivals):
        if level == ask.level:
            continue
        other, more = known.names[level], ask.value - rival
        if not np.isfinite(rival):
            parts.append(f"nothing worth asking is left for {other}")
            continue
        times = f"{np.exp(more):.3g}" if more < MANY else "over a thousand"
        parts.append(f"{times} times the worth per cost of the best left for {other}")
    return ", ".join(parts)
