"""Choosing a round: the batch, what weighs on it, and which fidelity is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.acquisition.recipes import (
    AnyAcquisition,
    FidelityRule,
    LogExpectedImprovement,
    RandomChoice,
)
from campaigns.acquisition.select import Choice, select_and_next
from campaigns.acquisition.spread import space_filling
from campaigns.config import CampaignConfig
from campaigns.costs import CostModel, cost_model
from campaigns.utility import utility
from campaigns.weights import Weights, weighed

if TYPE_CHECKING:
    from campaigns.ladder.asks import Round
    from campaigns.learning import Learned
    from campaigns.ledger import Event
    from campaigns.state import State
    from campaigns.utility import Utility


@dataclass(frozen=True, eq=False)
class Chosen:
    """A batch; rows of its choices are positions among the available candidates."""

    choices: list[Choice]
    """What the campaign's own evaluator is asked, pins first."""
    following: list[Choice] = field(default_factory=list)
    """What would have come next, if known."""
    weights: Weights = field(default_factory=Weights)
    """What the rule's values were multiplied by."""
    costs: CostModel | None = None
    """What evaluations are predicted to cost, where the rule learns that."""
    asks: Round | None = None
    """What was chosen for which fidelity, where the rule chooses that."""
    unrelated: str = ""
    """Why it cannot choose that yet."""


def choose(
    config: CampaignConfig,
    learned: Learned,
    state: State,
    events: Sequence[Event],
    pins: Sequence[int],
    check: Mapping[str, Any],
    rng: np.random.Generator,
    size: int,
    affordable: Mapping[str, int],
) -> Chosen:
    """Choose a round's batch.

    Args:
        config: the campaign.
        learned: the surrogate.
        state: what is known.
        events: the ledger so far.
        pins: pool rows that people want in it.
        check: the surrogate's assessment, empty where there was none.
        rng: source of all randomness.
        size: of the batch, pins included.
        affordable: rung to evaluations that can be paid for.
    """
    available = state.available
    # what is asked for already, by this campaign or by a person, is as good as known:
    # its answers shrink the sigmas of everything like it
    asked = np.array([*state.pending, *pins], dtype=int)
    free = np.setdiff1d(available, asked)
    pinned = [Choice(row, None, "pinned") for row in _where(available, pins)]
    rule, more, unrelated = _rule(config, check), size - len(pins), ""
    if isinstance(rule, FidelityRule):
        from campaigns.ladder.asks import asked_round

        spread = _spread(config, learned, min(more, len(free)))
        asks = asked_round(
            config, state, events, learned.prediction, pins, more - spread,
            affordable, rng,
        )  # fmt: skip
        if not isinstance(asks, str):
            ours = [Choice(row, value, rule.kind) for row, value in asks.screened]
            taken = [c.row for c in ours]
            rest = np.setdiff1d(free, taken)
            ours += _extra(config, state, rest, taken, spread, rng)
            return Chosen([*pinned, *_moved(available, ours)], asks=asks)
        # until they can be related, the cheapest is searched for itself
        rule, unrelated = LogExpectedImprovement(batch_size=rule.batch_size), asks
    costs = _costs(config, state)
    if more <= 0:
        return Chosen(pinned, costs=costs, unrelated=unrelated)
    shown = learned.prediction if learned.unlike is None else learned.unlike
    belief = shown.given(asked)
    left, weights = weighed(
        rule, learned, state, events,
        utility(
            state, belief.take(free), free,
            {k: p.given(asked) for k, p in learned.predictions.items()}, asked,
        ), free, costs,
    )  # fmt: skip
    batch, runner_up = _batch(config, rule, learned, state, left, free, rng, more)
    following = [runner_up] if runner_up is not None else []
    return Chosen(
        [*pinned, *_moved(available, batch, free)],
        _moved(available, following, free), weights, costs, unrelated=unrelated,
    )  # fmt: skip


def _moved(
    rows: np.ndarray, choices: Sequence[Choice], among: np.ndarray | None = None
) -> list[Choice]:
    """Return choices of pool rows, or of positions ``among`` some, as positions."""
    there = [c.row if among is None else int(among[c.row]) for c in choices]
    places = _where(rows, there)
    return [replace(c, row=at) for c, at in zip(choices, places, strict=True)]


def _rule(config: CampaignConfig, check: Mapping[str, Any]) -> AnyAcquisition:
    """Return what chooses this round: random where the surrogate has failed."""
    if check.get("verdict") == "fail" and config.assessment.on_failure == "explore":
        return RandomChoice(batch_size=config.acquisition.batch_size)
    return config.acquisition


def _spread(config: CampaignConfig, learned: Learned, size: int) -> int:
    """Return how many of ``size`` are not chosen by rule, as the gate failed."""
    gate = config.gate
    fails = learned.verdict.failed and gate.fall_back in ("random", "space_filling")
    return max(1, round(gate.share * size)) if fails and size > 0 else 0


def _batch(
    config: CampaignConfig,
    rule: AnyAcquisition,
    learned: Learned,
    state: State,
    left: Utility,
    free: np.ndarray,
    rng: np.random.Generator,
    size: int,
) -> tuple[list[Choice], Choice | None]:
    """Choose ``size`` of the free rows, by rule or by what stands in for it.

    Returns:
        The batch and what would have come next, as rows of ``left``.
    """
    spread = _spread(config, learned, min(size, len(free)))
    chosen: list[Choice] = []
    following = None
    if size > spread:
        chosen, following = select_and_next(left, rule, rng, batch_size=size - spread)
    if not spread:
        return chosen, following
    taken = {c.row for c in chosen}
    rest = np.array([row for i, row in enumerate(free) if i not in taken], dtype=int)
    rows = [int(free[i]) for i in taken]
    extra = _extra(config, state, rest, rows, spread, rng)
    return chosen + _moved(free, extra), None


def _extra(
    config: CampaignConfig,
    state: State,
    rest: np.ndarray,
    taken: Sequence[int],
    spread: int,
    rng: np.random.Generator,
) -> list[Choice]:
    """Choose what the gate asks for of the rows that are left, as pool rows."""
    if not spread:
        return []
    how = config.gate.fall_back
    if how == "random":
        extra = [int(i) for i in rng.choice(rest, min(spread, len(rest)), False)]
    else:
        pool = state.pool
        known = [int(i) for i in (*state.answered, *state.pending, *taken)]
        places = space_filling(
            [pool[int(i)] for i in rest], [pool[i] for i in known], spread, rng
        )
        extra = [int(rest[i]) for i in places]
    return [Choice(i, None, how) for i in extra]


def _costs(config: CampaignConfig, state: State) -> CostModel | None:
    """Return what evaluations are predicted to cost, where the rule learns that."""
    rule = config.acquisition
    if getattr(rule, "cost", "given") != "measured":
        return None
    exponent = float(getattr(rule, "cost_exponent", 0.0))
    return cost_model(
        config.evaluator, config.execution, state, exponent, measured=True
    )


def _where(rows: np.ndarray, wanted: Sequence[int]) -> list[int]:
    """Return the positions of ``wanted`` in the ascending ``rows``."""
    return [int(i) for i in np.searchsorted(rows, wanted)]
