"""Real rounds without worker processes: real proposals, answers made up here."""

from __future__ import annotations

from typing import Any

from recorded_campaign import Recording

from campaigns.answers import write_evaluation
from campaigns.driver import _proposed
from campaigns.state import State
from matdisco.crystal import Crystal


class Playing(Recording):
    """Proposes as the driver does and answers at once."""

    shift = 0.0
    """Added to every answer from now on, in its unit."""

    def play(self, batch: int = 4) -> str | None:
        """Play one round; return the reason to stop instead, if there is one."""
        events = self.ledger.events()
        state = State.of(self.pool, self.config.objective, events)
        if reason := self.driver.reason_to_stop(state, events):
            return reason
        if reason := self.driver._propose(state, events, batch):
            return reason
        event = self.ledger.events("proposed", round=_proposed(events))[0]
        for proposal in event.payload["proposals"]:
            body = write_evaluation(
                proposal["rank"], self._answer(proposal, failed=False)
            )
            self.ledger.append("evaluated", body, round=event.round)
        self.driver._close(event)
        return None

    def payloads(self, kind: str = "proposed") -> list[Any]:
        """Return the payloads of one kind of event."""
        return [e.payload for e in self.ledger.events(kind)]

    def _value(self, crystal: Crystal) -> float:
        return super()._value(crystal) + self.shift
