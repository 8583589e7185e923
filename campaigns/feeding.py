"""Feeding the workers: proposals out, evaluations in, each at once on record."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from campaigns.config import CampaignConfig
from campaigns.interrupt import Interrupt
from campaigns.ledger import Event, Ledger
from campaigns.progress import Display
from campaigns.state import State, write_evaluation
from matdisco.evaluators.base import Evaluation
from matdisco.evaluators.execution import Workers, open_workers


@dataclass
class Feed(AbstractContextManager["Feed"]):
    """The workers of one campaign and what they are doing."""

    config: CampaignConfig
    """The campaign."""
    folder: Path
    """Its run folder."""
    ledger: Ledger
    """Open for writing."""
    display: Display
    """Where progress goes."""
    interrupt: Interrupt
    """Whether to stop early."""
    workers: Workers | None = field(default=None, init=False)
    """Started when there is something to evaluate."""
    running: dict[Future[Evaluation], tuple[Event, dict[str, Any]]] = field(
        default_factory=dict, init=False
    )
    """Continuous mode: what has been submitted and not been recorded."""

    def evaluate(self, state: State, proposed: Event) -> None:
        """Evaluate what a round still lacks; every answer is an event when it comes.

        Raises:
            Interrupted: the user asked to stop; what ran is recorded.
        """
        proposals = proposed.payload["proposals"]
        todo = [
            p
            for p in proposals
            if p["candidate"] not in state.evaluations
            and p["candidate"] not in state.vetoed
        ]
        futures = self._submit(state, todo)
        with self.display.evaluating(
            proposed.round, len(proposals) - len(todo), len(futures)
        ) as bar:
            waiting = set(futures)
            while waiting:
                # The short timeout lets a signal through between answers.
                ready, waiting = wait(waiting, 0.2, return_when=FIRST_COMPLETED)
                if self.interrupt.asked.is_set():
                    dropped = {f for f in waiting if f.cancel()}
                    waiting -= dropped
                for future in ready:
                    if future.cancelled():
                        continue
                    bar(self._record(proposed, futures[future], future.result()))
        self.interrupt.check()

    def start(self, state: State, proposed: Event) -> None:
        """Submit what a round still lacks and is not on its way, without waiting."""
        on_the_way = {p["candidate"] for _, p in self.running.values()}
        todo = [
            p
            for p in proposed.payload["proposals"]
            if p["candidate"] not in state.evaluations
            and p["candidate"] not in state.vetoed
            and p["candidate"] not in on_the_way
        ]
        for future, proposal in self._submit(state, todo).items():
            self.running[future] = (proposed, proposal)

    def collect(self, seconds: float) -> int:
        """Record the answers that have come, waiting up to ``seconds`` for the first.

        Raises:
            Interrupted: the user asked to stop and nothing runs any more.
        """
        ready, _ = wait(self.running, seconds, return_when=FIRST_COMPLETED)
        if self.interrupt.asked.is_set():
            ready |= {f for f in self.running if f.cancel()}
        for future in ready:
            proposed, proposal = self.running.pop(future)
            if not future.cancelled():
                self._record(proposed, proposal, future.result())
        if not self.running:
            self.interrupt.check()
        return len(ready)

    def _record(
        self, proposed: Event, proposal: dict[str, Any], answer: Evaluation
    ) -> Evaluation:
        evaluation = replace(answer, crystal_id=proposal["candidate"])
        self.ledger.append(
            "evaluated",
            write_evaluation(proposal["rank"], evaluation),
            round=proposed.round,
        )
        return evaluation

    def _submit(
        self, state: State, proposals: Sequence[dict[str, Any]]
    ) -> dict[Future[Evaluation], dict[str, Any]]:
        workers = self.workers or self._open()
        futures = {}
        for proposal in proposals:
            crystal = state.pool[state.position[proposal["candidate"]]]
            home = self.folder / "evaluations" / proposal["key"][:16]
            futures[workers.submit(crystal, proposal["key"], home)] = proposal
        return futures

    def _open(self) -> Workers:
        self.workers = open_workers(
            self.config.evaluator, self.config.execution, self.folder / "logs"
        )
        return self.workers

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
        if self.workers is not None:
            self.workers.shutdown(kill=kind is not None)
