"""Proposing a round: learn from the answers so far, score the pool, choose.

Everything here depends on (configuration, pool, earlier events) alone. All
randomness comes from ``SeedSequence([seed, round, purpose])``, so a continued
campaign proposes bit for bit what the uninterrupted one would have.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.acquisition.recipes import RandomChoice
from campaigns.assessment import check_round, refuse
from campaigns.config import CampaignConfig
from campaigns.fronts.verdicts import sentence
from campaigns.gate import mean_squared_correlation
from campaigns.gate import refuse as refuse_at_gate
from campaigns.learning import Learned, Purpose, learn, past_errors, stream
from campaigns.ledger import VOLATILE, Event
from campaigns.objectives import HullObjective
from campaigns.state import State
from campaigns.stopping import reason_from_outlook
from matdisco.candidates.volume import packing_fraction
from matdisco.errors import CampaignError, TooFewRecords
from matdisco.evaluators.base import evaluation_key
from surrogates.base import Progress

if TYPE_CHECKING:
    from campaigns.choosing import Chosen

FACTS = (
    "mean", "std", "low", "high", "expected_merit", "exploration", "acquisition",
    "nearest", "nearest_distance", "distance_ratio", "neighbours", "screening",
    "copy_of", "chance_of_answer", "relative_cost", "before_next",
)  # fmt: skip
"""What only a round that learned can say of a proposal (:mod:`campaigns.explain`)."""


def first_round(config: CampaignConfig, state: State) -> list[dict[str, Any]]:
    """Choose what is evaluated before there is anything to learn from."""
    pool = state.pool
    chosen: dict[int, str] = {}
    for name in config.start.include:
        if name not in state.position:
            raise CampaignError(f"start.include: no candidate {name!r} in the pool")
        chosen[state.position[name]] = "asked for"
    if isinstance(config.objective, HullObjective):
        for i, element in enumerate(state.elements):
            pure = np.flatnonzero(state.x[:, i] > 1 - 1e-9)
            if len(pure) == 0:
                raise CampaignError(
                    f"the pool has no structure of pure {element}: the hull needs a "
                    "reference for every element; add one to the candidates"
                )
            packing = [-packing_fraction(pool[int(p)].structure) for p in pure]
            # equal to 3 digits counts as equal: fcc and hcp differ by float noise
            order = np.lexsort((pure, np.round(packing, 3)))
            for p in pure[order[: config.start.per_element]]:
                chosen.setdefault(int(p), f"reference for {element}")
    rest = np.array([i for i in range(len(pool)) if i not in chosen])
    rng = stream(config, 0, Purpose.START)
    for p in rng.choice(rest, size=min(config.start.random, len(rest)), replace=False):
        chosen[int(p)] = "random start"
    return [
        _proposal(config, state, rank, row, reason)
        for rank, (row, reason) in enumerate(chosen.items())
    ]


def next_round(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    folder: Path,
    round_: int,
    size: int,
    progress: Progress | None = None,
    affordable: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Learn, score and choose; return the payload of the ``proposed`` event.

    Args:
        config: the campaign.
        state: what is known.
        events: the ledger.
        folder: the run folder.
        round_: number of the round.
        size: candidates for the campaign's own evaluator.
        progress: called while training.
        affordable: rung of the ladder to evaluations that can be paid for, where the
            acquisition chooses among fidelities.
    """
    rng = stream(config, round_, Purpose.ACQUISITION)
    pins = [state.position[name] for name in state.pins][:size]
    if isinstance(config.acquisition, RandomChoice):
        return _drawn(config, state, rng, pins, size)
    try:
        learned = learn(config, state, events, folder, round_, progress)
    except TooFewRecords as error:
        if size == 0:  # only rungs have something left, which need a surrogate
            return {"stop": f"budget: all evaluations are spent, and {error}"}
        return _drawn(config, state, rng, pins, size, unlearnt(state, error))
    from campaigns.choosing import choose
    from campaigns.explain import Explainer
    from campaigns.outlook import outlook
    from campaigns.utility import utility

    clock = time.perf_counter()
    said = _said(config, learned)
    if said and config.gate.fall_back == "stop":
        refuse_at_gate(round_, said)
    available = state.available
    worth = utility(
        state, learned.prediction.take(available), available, learned.predictions
    )
    ahead: dict[str, float] = {}
    if len(available):
        ahead = dict(outlook(worth, stream(config, round_, Purpose.OUTLOOK)))
    gate = learned.verdict.to_dict()
    if stop := reason_from_outlook(
        config.stopping, ahead, gate, events, config.objective
    ):
        return {"stop": stop}
    check = _check(config, learned, state, events, round_)
    chosen = choose(
        config, learned, state, events, pins, check, rng, size, affordable or {}
    )
    asks, choices = chosen.asks, chosen.choices
    if not choices and (asks is None or not asks.climbs):
        return {"stop": "every ask that the budget and the ladder allow is made"}
    rows = [int(available[c.row]) for c in choices]
    proposals = [
        _proposal(config, state, rank, row, choice.reason)
        for rank, (row, choice) in enumerate(zip(rows, choices, strict=True))
    ]
    if choices:
        Explainer(
            state,
            learned.prediction,
            worth,
            available,
            config.screening is not None,
            learned.alike,
            chosen.weights,
        ).explain(proposals, [*choices, *chosen.following])
    if asks is not None:
        for row, proposal in zip(rows, proposals, strict=True):
            if facts := asks.facts.get(row):
                proposal |= facts
                proposal["why"] += f"; {facts['asked_because']}"
    return {
        "proposals": proposals,
        **_asks(chosen),
        "surrogate": _fitted(learned, rows),
        "gate": gate,
        **_targets(learned, rows),
        "outlook": ahead,
        **({"cost": chosen.costs.to_dict()} if chosen.costs else {}),
        **({"refuted": said} if said else {}),
        **({"assessment": check} if check else {}),
        VOLATILE: {
            "seconds": {
                **{k: round(v, 3) for k, v in learned.seconds.items()},
                "acquire": round(time.perf_counter() - clock, 3),
            }
        },
    }


def _asks(chosen: Chosen) -> dict[str, Any]:
    """Return what is recorded where the rule chooses fidelities, or cannot yet."""
    if chosen.asks is None:
        return {"unrelated": chosen.unrelated} if chosen.unrelated else {}
    return {"climbs": list(chosen.asks.climbs), "costs": dict(chosen.asks.costs)}


def _said(config: CampaignConfig, learned: Learned) -> str:
    """Say what the gate found; empty where it let the surrogate pass."""
    if not learned.verdict.failed:
        return ""
    if learned.every:
        return sentence(config.gate, {k: p.verdict for k, p in learned.every.items()})
    return learned.verdict.sentence(config.gate)


def _fitted(learned: Learned, rows: Sequence[int]) -> dict[str, Any]:
    """Return what is recorded of a fit, with the proposals at the pool rows."""
    return {
        "scale": learned.scale,
        "n_train": learned.report.n_train,
        "metrics": dict(learned.report.metrics),
        "correlation": round(
            mean_squared_correlation(learned.prediction.take(rows).covariance), 6
        ),
    }


def _targets(learned: Learned, rows: Sequence[int]) -> dict[str, Any]:
    """Return the same, and the gate's verdict, by target of a front."""
    if not learned.every:
        return {}
    return {
        "surrogates": {k: _fitted(part, rows) for k, part in learned.every.items()},
        "gates": {k: part.verdict.to_dict() for k, part in learned.every.items()},
    }


def _drawn(
    config: CampaignConfig,
    state: State,
    rng: np.random.Generator,
    pins: Sequence[int],
    size: int,
    why: str = "",
) -> dict[str, Any]:
    """Return the payload of a round drawn at random, and why not by rule."""
    free = np.setdiff1d(state.available, pins)
    rows = [*pins, *rng.choice(free, size=size - len(pins), replace=False)]
    proposals = [
        _proposal(config, state, rank, int(row), "pinned" if row in pins else "random")
        for rank, row in enumerate(rows)
    ]
    if not why:
        return {"proposals": proposals, VOLATILE: {"seconds": {}}}
    for proposal in proposals:
        if proposal["reason"] == "random":
            proposal["why"] = "drawn at random: too few answers to learn from"
    return {"proposals": proposals, "unlearnt": why, VOLATILE: {"seconds": {}}}


def unlearnt(state: State, error: TooFewRecords) -> str:
    """Say why nothing can be learnt yet, and what became of the evaluations."""
    failures = state.failures_frame()
    text = f"too few answers to learn from ({error})"
    if len(failures):
        kinds = (failures["kind"] + ": " + failures["message"]).value_counts()
        text += (
            f"; {len(failures)} of {len(state.evaluations)} evaluations failed, most "
            f"often with {kinds.index[0]} (all: matdisco status RUN --failures)"
        )
    return text


def _check(
    config: CampaignConfig,
    learned: Learned,
    state: State,
    events: Sequence[Event],
    round_: int,
) -> dict[str, Any]:
    """Assess the fitted surrogate, where the configuration asks for it.

    Raises:
        CampaignError: it failed, and the campaign is to stop then.
    """
    if not config.assessment.each_round:
        return {}
    check = check_round(
        config.assessment, learned.surrogate, learned.prediction, state,
        past_errors(state, events), learned.scale, config.seed + round_,
    )  # fmt: skip
    if check["verdict"] == "fail" and config.assessment.on_failure == "stop":
        refuse(round_, check)
    return check


def _proposal(
    config: CampaignConfig, state: State, rank: int, row: int, reason: str
) -> dict[str, Any]:
    crystal = state.pool[row]
    return {
        "rank": rank,
        "candidate": crystal.id,
        "formula": crystal.formula,
        "key": evaluation_key(crystal, config.evaluator),
        "reason": reason,
        **dict.fromkeys(FACTS),
        "why": reason,
    }
