"""Feeding the workers: proposals out, evaluations in, each at once on record."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from campaigns.answers import ASKED, write_evaluation
from campaigns.interrupt import Interrupt
from campaigns.ladder.recipe import SCREENING
from campaigns.ledger import Event, Ledger
from campaigns.progress import Display
from campaigns.spending import Purse
from campaigns.state import State
from matdisco.evaluators.base import Evaluation, EvaluatorRecipe
from matdisco.evaluators.execution import Workers, open_workers
from matdisco.evaluators.execution_recipe import ExecutionRecipe

Proposal = dict[str, Any]


@dataclass
class Feed(AbstractContextManager["Feed"]):
    """The workers of one fidelity and what they are doing."""

    evaluator: EvaluatorRecipe
    """What answers."""
    execution: ExecutionRecipe
    """How it is run."""
    folder: Path
    """The run folder."""
    ledger: Ledger
    """Open for writing."""
    display: Display
    """Where progress goes."""
    interrupt: Interrupt
    """Whether to stop early."""
    purse: Purse
    """What may still be spent."""
    fidelity: str = SCREENING
    """Name of the fidelity; one of a rung, or the campaign's own evaluator."""
    labelled: bool = False
    """Whether the campaign has several fidelities, so that answers name theirs."""
    workers: Workers | None = field(default=None, init=False)
    """Started when there is something to evaluate."""
    running: dict[Future[Evaluation], tuple[Event, Proposal]] = field(
        default_factory=dict, init=False
    )
    """What has been submitted and not been recorded."""

    def evaluate(self, state: State, proposed: Event) -> None:
        """Evaluate what a round still lacks; every answer is an event when it comes.

        Returns with some unanswered where the budget is not enough for them.

        Raises:
            Interrupted: the user asked to stop; what ran is recorded.
        """
        lacking = self.lacking(state, proposed)
        done = len(proposed.payload["proposals"]) - len(lacking)
        name = "" if self.fidelity == SCREENING else self.fidelity
        with self.display.evaluating(proposed.round, done, len(lacking), name) as bar:
            queue = deque(lacking)
            while queue or self.running:
                self._submit(state, proposed, queue)
                if not self.running:
                    break
                # The short timeout lets a signal through between answers.
                for answer in self.collect(0.2):
                    bar(answer)
        self.interrupt.check()

    def start(self, state: State, proposed: Event) -> None:
        """Submit what a round still lacks and is not on its way, without waiting."""
        on_the_way = {p["candidate"] for _, p in self.running.values()}
        lacking = self.lacking(state, proposed)
        queue = deque(p for p in lacking if p["candidate"] not in on_the_way)
        self._submit(state, proposed, queue)

    def collect(self, seconds: float) -> list[Evaluation]:
        """Record the answers that have come, waiting up to ``seconds`` for the first.

        Once the user has asked to stop, what nobody has begun is dropped.
        """
        ready, _ = wait(self.running, seconds, return_when=FIRST_COMPLETED)
        if self.interrupt.asked.is_set():
            ready |= {f for f in self.running if f.cancel()}
        answers = []
        for future in ready:
            proposed, proposal = self.running.pop(future)
            self._count()
            if not future.cancelled():
                answers.append(self._record(proposed, proposal, future.result()))
        return answers

    @staticmethod
    def lacking(state: State, proposed: Event) -> list[Proposal]:
        """Return the proposals of a round that have no answer and no veto."""
        over = {*state.evaluations, *state.vetoed}
        proposals = proposed.payload["proposals"]
        return [p for p in proposals if p["candidate"] not in over]

    def _submit(self, state: State, proposed: Event, queue: deque[Proposal]) -> None:
        """Submit from the queue as much as there are workers and money for.

        Without a budget of core-hours or money everything is submitted at once.
        """
        while queue and not self.interrupt.asked.is_set():
            if self.purse.limited:
                full = len(self.running) >= self.execution.workers
                if full or self.purse.objection(self.fidelity):
                    return
            proposal = queue.popleft()
            workers = self.workers or self._open()
            crystal = state.structure(proposal["candidate"])
            home = self.folder / "evaluations" / proposal["key"][:16]
            future = workers.submit(crystal, proposal["key"], home)
            self.running[future] = (proposed, proposal)
            self._count()

    def _count(self) -> None:
        self.purse.running[self.fidelity] = len(self.running)

    def _record(
        self, proposed: Event, proposal: Proposal, answer: Evaluation
    ) -> Evaluation:
        evaluation = replace(answer, crystal_id=proposal["candidate"])
        payload = write_evaluation(proposal["rank"], evaluation)
        if self.labelled:
            payload["fidelity"] = self.fidelity
        kind = ASKED[self.fidelity != SCREENING][1]
        self.ledger.append(kind, payload, round=proposed.round)
        self.purse.accounts[self.fidelity].add(evaluation.spent)
        return evaluation

    def _open(self) -> Workers:
        logs = self.folder / "logs"
        if self.fidelity != SCREENING:
            logs /= self.fidelity
        self.workers = open_workers(self.evaluator, self.execution, logs)
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
