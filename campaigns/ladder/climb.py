"""Climbing the ladder: promote what deserves it, have it evaluated, again higher up.

Safe to lose at every step, like the loop around it: a promotion is in the ledger before
anything is spent on it, and holds the structure that is evaluated.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from campaigns.acquisition.recipes import FidelityRule
from campaigns.config import CampaignConfig
from campaigns.feeding import Feed
from campaigns.interrupt import Interrupt
from campaigns.ladder.promotion import promotions
from campaigns.ladder.recipe import RungRecipe
from campaigns.ledger import Event, Ledger
from campaigns.progress import Display
from campaigns.spending import Purse
from campaigns.state import State
from campaigns.stopping import failing_too_often
from matdisco.data.dataset import Dataset


@dataclass
class Climb(AbstractContextManager["Climb"]):
    """The rungs of one campaign's ladder, each with workers of its own."""

    config: CampaignConfig
    """The campaign."""
    folder: Path
    """Its run folder."""
    ledger: Ledger
    """Open for writing."""
    pool: Dataset
    """The candidates at the start."""
    display: Display
    """Where progress goes."""
    interrupt: Interrupt
    """Whether to stop early."""
    purse: Purse
    """What may still be spent."""
    feeds: dict[str, Feed] = field(default_factory=dict, init=False)
    """Rung to its workers."""
    _stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __post_init__(self) -> None:
        for rung in self.config.ladder:
            feed = Feed(
                rung.evaluator, rung.execution or self.config.execution, self.folder,
                self.ledger, self.display, self.interrupt, self.purse, rung.name,
                labelled=True,
            )  # fmt: skip
            self.feeds[rung.name] = self._stack.enter_context(feed)

    @property
    def running(self) -> int:
        """How many confirmations are on their way."""
        return sum(len(feed.running) for feed in self.feeds.values())

    def settle(self, number: int, *, last: bool = False) -> None:
        """Promote after a round and wait until everything promoted is answered.

        Args:
            number: the round.
            last: the campaign ends with it.

        Raises:
            Interrupted: the user asked to stop; what ran is recorded.
        """
        for rung in self.config.ladder:
            event = self._promoted(rung, number, last=last)
            if event is not None:
                self.feeds[rung.name].evaluate(self._state(rung.name), event)

    def busy(self, number: int) -> bool:
        """Do the same without waiting; tell whether there is still something to do."""
        for rung in self.config.ladder:
            event = self._promoted(rung, number, last=False)
            if event is None:
                continue
            state, feed = self._state(rung.name), self.feeds[rung.name]
            feed.start(state, event)
            if feed.lacking(state, event) and (
                feed.running or self.purse.objection(rung.name) is None
            ):
                return True
        return False

    def collect(self, seconds: float) -> None:
        """Record the confirmations that have come."""
        for feed in self.feeds.values():
            if feed.running:
                feed.collect(seconds)

    def results(self, *, until: int | None = None) -> dict[str, dict[str, Any]]:
        """Return what each rung has found, for the ``closed`` event."""
        found = {}
        for rung in self.config.ladder:
            state = self._state(rung.name, until=until)
            found[rung.name] = {
                "evaluated": len(state.evaluations),
                "failed": len(state.failed),
                "best": None if state.best != state.best else state.best,
                "found": [state.pool[int(i)].id for i in state.found],
            }
        return found

    def risen(self, number: int) -> bool:
        """Tell whether a rung knows something better since the round before."""
        before = self.results(until=number - 1)
        return any(
            set(found["found"]) - set(before[name]["found"])
            for name, found in self.results().items()
        )

    def reason_to_stop(self) -> str | None:
        """Say that a rung fails too often to go on spending, or None."""
        for rung in self.config.ladder:
            execution = self.feeds[rung.name].execution
            state = self._state(rung.name)
            n, failed = len(state.evaluations), len(state.failed)
            if reason := failing_too_often(execution, n, failed, rung.name):
                return reason
        return None

    @property
    def chosen(self) -> bool:
        """Whether the acquisition chooses who climbs, and can: all are related."""
        if not isinstance(self.config.acquisition, FidelityRule):
            return False
        from campaigns.ladder.known import Known

        known = Known.of(self.config, self._state(None), self.ledger.events())
        return known.unready is None

    def spent(self) -> str | None:
        """Say that the dearest fidelity, which is searched, can answer no more."""
        if not isinstance(self.config.acquisition, FidelityRule):
            return None
        top = self.config.ladder[-1]
        if len(self._state(top.name).proposed) >= top.evaluations:
            return f"budget: the {top.evaluations} evaluations by {top.name} are spent"
        if objection := self.purse.objection(top.name):
            return f"budget: {objection}"
        return None

    def affordable(self) -> dict[str, int]:
        """Return how many evaluations by each rung its limit and the budget allow."""
        found = {}
        for rung in self.config.ladder:
            left = rung.evaluations - len(self._state(rung.name).proposed)
            found[rung.name] = self.purse.affordable(rung.name, max(0, left))
        return found

    def _asked(self, rung: RungRecipe, number: int) -> list[tuple[str, str]] | None:
        """Return who is asked by the acquisition; None where the best are promoted."""
        for event in self.ledger.events("proposed", round=number):
            climbs = event.payload.get("climbs")
            if climbs is not None:
                return [
                    (c["candidate"], c["asked_because"])
                    for c in climbs
                    if c["fidelity"] == rung.name
                ]
        return None

    def _promoted(self, rung: RungRecipe, number: int, *, last: bool) -> Event | None:
        """Return the round's promotions to a rung, made now where there are none."""
        for event in self.ledger.events("promoted", round=number):
            same = event.payload["fidelity"] == rung.name
            if same and event.payload["last"] == last:
                return event
        if last and any("climbs" in e.payload for e in self.ledger.events("proposed")):
            return None  # what the acquisition has left is left
        below = self._state(self._below(rung))
        chosen = promotions(
            rung, below, self._state(rung.name), last=last,
            execution=self.feeds[rung.name].execution,
            asked=self._asked(rung, number),
        )  # fmt: skip
        if not chosen:
            return None
        payload = {"fidelity": rung.name, "last": last, "proposals": chosen}
        event = self.ledger.append("promoted", payload, round=number)
        self.display.promoted(number, rung.name, chosen)
        return event

    def _below(self, rung: RungRecipe) -> str | None:
        place = self.config.ladder.index(rung)
        return self.config.ladder[place - 1].name if place else None

    def _state(self, rung: str | None, *, until: int | None = None) -> State:
        return State.of(
            self.pool, self.config.objective, self.ledger.events(),
            until=until, rung=rung,
        )  # fmt: skip

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
