"""The end of a campaign: when it is over, and the ranking that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from campaigns.acquisition.recipes import RandomChoice
from campaigns.config import CampaignConfig
from campaigns.growth import is_due
from campaigns.ladder.climb import Climb
from campaigns.ladder.recipe import SCREENING
from campaigns.learning import learn
from campaigns.ledger import Event
from campaigns.progress import Display
from campaigns.propose import unlearnt
from campaigns.spending import Purse
from campaigns.state import State
from campaigns.stopping import failing_too_often, reason_from_answers
from matdisco.errors import TooFewRecords
from matdisco.evaluators.laboratory import LaboratoryRecipe

RESERVED = 20
"""Rows of the final ranking kept in the ledger; the whole of it is a file."""


def reason_to_stop(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    climb: Climb,
    purse: Purse,
) -> str | None:
    """Say why a campaign is over, or None.

    Args:
        config: the campaign.
        state: what is known.
        events: the ledger.
        climb: its ladder.
        purse: what may still be spent.
    """
    n = len(state.evaluations) + len(state.pending)
    closed = [e for e in events if e.kind == "closed"]
    failures = failing_too_often(config.execution, n, len(state.failed))
    if failures and not isinstance(config.evaluator, LaboratoryRecipe):
        return failures
    if reason := climb.reason_to_stop():
        return reason
    if not closed:
        return None
    if reason := climb.spent():
        return reason
    # a rule that chooses a fidelity may go on with what is answered
    onward = climb.chosen
    if n >= config.budget.evaluations and not onward:
        return f"budget: {n} evaluations are spent"
    if enough := reason_from_answers(config.stopping, state, config.objective):
        return enough
    objection = purse.objection(SCREENING)
    if objection and not onward:
        return f"budget: {objection}"
    due = is_due(config, events, sum(e.kind == "proposed" for e in events))
    if len(state.available) == 0 and not due and not onward:
        return "every candidate has been evaluated"
    if config.budget.rounds is not None and len(closed) - 1 >= config.budget.rounds:
        return f"budget: {config.budget.rounds} rounds are done"
    patience = config.budget.patience
    if patience is not None and len(closed) > patience:
        recent = closed[-patience:]
        if not any(e.payload["improved"] for e in recent):
            return f"patience: nothing better in {patience} rounds"
    return None


def final_ranking(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    folder: Path,
    number: int,
    display: Display,
) -> tuple[list[dict[str, Any]], float | None]:
    """Learn from everything, write ``ranking.csv``; return its top and the scale.

    Nothing where there is nothing to rank, or too little to learn from.

    Args:
        config: the campaign.
        state: what is known.
        events: the ledger.
        folder: the run folder.
        number: of the round that would have come next.
        display: where progress goes.
    """
    drawn = isinstance(config.acquisition, RandomChoice)
    if drawn or not len(state.available) or not len(state.answered):
        return [], None
    try:
        with display.learning(number, final=True):
            learned = learn(config, state, events, folder, number, display.training)
    except TooFewRecords as error:
        display.say(f"no final ranking: {unlearnt(state, error)}")
        return [], None
    from campaigns.ranking import rank_remaining

    table = rank_remaining(state, learned.prediction, learned.predictions)
    table.to_csv(folder / "ranking.csv", index=False)
    top = table.head(RESERVED).to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in top], learned.scale
