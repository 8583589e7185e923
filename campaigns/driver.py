"""The loop: propose, evaluate, close; again, until a reason to stop.

Every step is safe to lose. A proposal is in the ledger before anything is spent on
it; an answer is a file before it is an event; an event is on disk before the loop
goes on. Starting again picks up at the first step whose event is missing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from campaigns.acquisition.recipes import FidelityRule, RandomChoice
from campaigns.closing import closing
from campaigns.config import CampaignConfig
from campaigns.ending import final_ranking, reason_to_stop
from campaigns.feeding import Feed
from campaigns.growth import grow, is_due
from campaigns.interrupt import Interrupt
from campaigns.ladder.climb import Climb
from campaigns.ladder.recipe import SCREENING
from campaigns.ledger import VOLATILE, Event, Ledger
from campaigns.objectives import HullObjective
from campaigns.people.inbox import Inbox
from campaigns.people.waiting import stays, whom
from campaigns.progress import Display
from campaigns.propose import first_round, next_round
from campaigns.spending import Purse
from campaigns.state import State
from campaigns.stopping import FAILING
from matdisco.data.dataset import Dataset
from matdisco.evaluators.laboratory import LaboratoryRecipe


@dataclass
class Driver:
    """Runs one campaign whose ledger is open for writing."""

    config: CampaignConfig
    """The campaign."""
    folder: Path
    """Its run folder."""
    ledger: Ledger
    """Open for writing."""
    pool: Dataset
    """The candidates at the start; those of ``grown`` events come on top."""
    display: Display
    """Where progress goes."""
    interrupt: Interrupt
    """Whether to stop early."""
    on_close: Callable[[int], None] = lambda number: None
    """Called after each closed round."""
    _advised: int = -1
    """Answers after which the surrogate advised to stop, in the continuous mode."""

    def __post_init__(self) -> None:
        self.purse = Purse.of(self.config, self.ledger.events())
        self.climb = Climb(
            self.config, self.folder, self.ledger, self.pool, self.display,
            self.interrupt, self.purse,
        )  # fmt: skip

    def run(self, rounds: int | None = None) -> str:
        """Go on until a reason to stop; return that reason.

        Args:
            rounds: close at most this many rounds now; no limit when None.

        Raises:
            Interrupted: the user asked to stop; nothing is lost.
        """
        allowed = None
        if rounds is not None:
            allowed = len(self.ledger.events("closed")) + rounds
        inbox = Inbox(
            self.config, self.folder, self.ledger, self.pool, self.display.say
        )
        feed = Feed(
            self.config.evaluator, self.config.execution, self.folder, self.ledger,
            self.display, self.interrupt, self.purse,
            labelled=bool(self.config.ladder),
        )  # fmt: skip
        with feed, self.climb as climb:
            while True:
                if not feed.running and not climb.running:
                    self.interrupt.check()
                inbox.drain()
                events = self.ledger.events()
                if finished := [e for e in events if e.kind == "finished"]:
                    return str(finished[-1].payload["reason"])
                state = State.of(self.pool, self.config.objective, events)
                open_rounds = self._open_rounds(events)
                if not open_rounds:
                    reason = self.reason_to_stop(state, events)
                    if reason:
                        self._finish(state, events, reason)
                    elif allowed is not None and _proposed(events) >= allowed:
                        return f"{rounds} rounds were asked for"
                    elif not self._grow(state, events) and (
                        reason := self._propose(state, events)
                    ):
                        self._finish(state, events, reason)
                    continue
                if waits := whom(self.config, self.folder, state, events, open_rounds):
                    if not stays(self.config.evaluator, self.interrupt):
                        return waits
                    continue
                if isinstance(self.config.evaluator, LaboratoryRecipe):
                    self._close(open_rounds[0])
                    continue
                if self.config.execution.mode == "continuous":
                    self._flow(feed, state, open_rounds, allowed)
                    continue
                with self._preloading():
                    feed.evaluate(state, open_rounds[0])
                climb.settle(open_rounds[0].round)
                self._close(open_rounds[0])

    def _flow(
        self, feed: Feed, state: State, open_rounds: list[Event], allowed: int | None
    ) -> None:
        """Take one step of the continuous mode: submit, propose more, or collect.

        Proposals are made while others still run, as soon as fewer wait than
        ``execution.ahead``; what is pending counts as known (``Prediction.given``).
        """
        for proposed in open_rounds:
            feed.start(state, proposed)
            stuck = not feed.running and self.purse.objection(SCREENING)
            screened = stuck or not feed.lacking(state, proposed)
            if screened and not self.climb.busy(proposed.round):
                self._close(proposed)
        events = self.ledger.events()
        execution = self.config.execution
        full = len(feed.running) > execution.workers + execution.ahead - self._step()
        if (
            full
            or self.interrupt.asked.is_set()
            or (allowed is not None and _proposed(events) >= allowed)
            or not self._can_learn(state)
            or self._left(state) == 0
            or self.purse.objection(SCREENING)
            or len(state.available) == 0
            or self.reason_to_stop(state, events)
            or self._advised == len(state.evaluations)
        ):
            self.climb.collect(0.0 if feed.running else 0.2)
            if feed.running:
                with self._preloading():
                    feed.collect(0.2)
            return
        if not self._grow(state, events) and self._propose(state, events, self._step()):
            # it goes on only if an answer that is awaited changes the surrogate's mind
            self._advised = len(state.evaluations)

    def _step(self) -> int:
        """How many are proposed at a time in the continuous mode."""
        batch, ahead = self.config.acquisition.batch_size, self.config.execution.ahead
        return min(batch, ahead)

    def _can_learn(self, state: State) -> bool:
        if isinstance(self.config.acquisition, RandomChoice):
            return True
        hull = isinstance(self.config.objective, HullObjective)
        # half of the start is enough to begin learning, with every element's reference
        enough = 2 * len(state.evaluations) >= len(state.proposed)
        return enough and len(state.answered) > 1 and (not hull or bool(state.hull))

    def _left(self, state: State) -> int:
        spent = len(state.evaluations) + len(state.pending)
        return max(0, self.config.budget.evaluations - spent)

    def reason_to_stop(self, state: State, events: list[Event]) -> str | None:
        """Say why the campaign is over, or None."""
        return reason_to_stop(self.config, state, events, self.climb, self.purse)

    def _grow(self, state: State, events: list[Event]) -> bool:
        """Add candidates to the pool where that is due; tell whether it was."""
        number = _proposed(events)
        if not is_due(self.config, events, number):
            return False
        payload = grow(self.config, state, number)
        self.ledger.append("grown", payload, round=number)
        self.display.grown(number, payload)
        return True

    @contextmanager
    def _preloading(self) -> Iterator[None]:
        """Import what choosing needs (BoTorch, seconds) while evaluations run."""
        choosing = "campaigns.acquisition.select"
        if choosing in sys.modules or isinstance(self.config.acquisition, RandomChoice):
            yield
            return
        loader = threading.Thread(target=import_module, args=(choosing,))
        loader.start()
        try:
            yield
        finally:
            loader.join()

    @staticmethod
    def _open_rounds(events: list[Event]) -> list[Event]:
        closed = {e.round for e in events if e.kind == "closed"}
        return [e for e in events if e.kind == "proposed" and e.round not in closed]

    def _propose(
        self, state: State, events: list[Event], batch: int | None = None
    ) -> str | None:
        """Put the next round on record; return a reason to stop instead, if any."""
        number = _proposed(events)
        left = self.purse.affordable(SCREENING, self._left(state))
        payload: dict[str, Any]
        if number == 0:
            payload = {
                "proposals": first_round(self.config, state)[:left],
                VOLATILE: {"seconds": {}},
            }
        else:
            size = min(
                max(batch or self.config.acquisition.batch_size, len(state.pins)),
                left,
                len(state.available),
            )
            with self.display.learning(number):
                payload = next_round(
                    self.config,
                    state,
                    events,
                    self.folder,
                    number,
                    size,
                    self.display.training,
                    self.climb.affordable(),
                )
            if stop := payload.get("stop"):
                return str(stop)
        if sentence := payload.get("unlearnt"):
            self.display.say(f"round {number}: drawn at random, {sentence}")
        if sentence := payload.get("unrelated"):
            self.display.say(f"round {number}: no fidelity is chosen yet, {sentence}")
        if sentence := payload.pop("refuted", None):
            if not any(e.kind == "gated" and e.round == number for e in events):
                fact = {**payload["gate"], "sentence": sentence}
                self.ledger.append("gated", fact, round=number)
            self.display.say(f"round {number}: {sentence}")
        self.ledger.append("proposed", payload, round=number)
        self.display.proposed(number, payload)
        return None

    def _close(self, proposed: Event) -> None:
        number, events = proposed.round, self.ledger.events()
        state = State.of(self.pool, self.config.objective, events)
        before = State.of(self.pool, self.config.objective, events, until=number - 1)
        confirmed = self.climb.results()
        payload = closing(proposed, events, before, state, self.purse, confirmed)
        if isinstance(self.config.acquisition, FidelityRule):
            payload["improved"] |= self.climb.risen(number)
        self.ledger.append("closed", payload, round=number)
        self.display.closed(number, state, payload)
        self.on_close(number)

    def _finish(self, state: State, events: list[Event], reason: str) -> None:
        """Confirm the last, leave the final ranking; neither where too much failed."""
        number, ranking, scale = _proposed(events), list[dict[str, Any]](), None
        if not reason.startswith(FAILING):
            self.climb.settle(number - 1, last=True)
            ranking, scale = final_ranking(
                self.config, state, events, self.folder, number, self.display
            )
        self.ledger.append(
            "finished", {"reason": reason, "ranking": ranking, "scale": scale}
        )


def _proposed(events: list[Event]) -> int:
    """Return how many rounds were proposed: the number of the next one."""
    return sum(e.kind == "proposed" for e in events)
