"""When a campaign waits for people: an approval, or a laboratory's measurements."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from campaigns.config import CampaignConfig
from campaigns.interrupt import Interrupt
from campaigns.ledger import Event
from campaigns.people.inbox import to_approve
from campaigns.people.orders import write_orders
from campaigns.state import State
from matdisco.evaluators.base import EvaluatorRecipe
from matdisco.evaluators.laboratory import LaboratoryRecipe


def whom(
    config: CampaignConfig,
    folder: Path,
    state: State,
    events: Sequence[Event],
    open_rounds: Sequence[Event],
) -> str | None:
    """Say whom the campaign in ``folder`` waits for, or None.

    A laboratory finds its orders written when this returns.
    """
    first = open_rounds[0]
    if config.people.approval and to_approve(list(events)) == first.round:
        return (
            f"round {first.round} waits for approval: matdisco proposals "
            f"{folder} --approve --reason WHY"
        )
    recipe = config.evaluator
    if not isinstance(recipe, LaboratoryRecipe):
        return None
    proposals = [
        p for p in first.payload["proposals"] if p["candidate"] not in state.vetoed
    ]
    home = write_orders(folder, first.round, proposals, state, recipe)
    answered = sum(p["candidate"] in state.evaluations for p in proposals)
    if answered >= recipe.enough * len(proposals):
        return None
    return (
        f"round {first.round} waits for {len(proposals) - answered} of "
        f"{len(proposals)} measurements: fill in {home / 'results.csv'} and give "
        f"it back with matdisco tell {folder} {home / 'results.csv'}"
    )


def stays(recipe: EvaluatorRecipe, interrupt: Interrupt) -> bool:
    """Wait a while where the configuration names a folder to watch; tell whether."""
    if not isinstance(recipe, LaboratoryRecipe) or recipe.watch is None:
        return False
    end = time.monotonic() + recipe.poll
    while time.monotonic() < end and not interrupt.asked.is_set():
        time.sleep(min(0.2, recipe.poll))
    return True
