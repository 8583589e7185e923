"""The loop: propose, evaluate, close; again, until a reason to stop.

Every step is safe to lose. A proposal is in the ledger before anything is spent on
it; an answer is a file before it is an event; an event is on disk before the loop
goes on. Starting again picks up at the first step whose event is missing.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from campaigns.acquisition.recipes import RandomChoice
from campaigns.config import CampaignConfig
from campaigns.growth import grow, is_due
from campaigns.ledger import VOLATILE, Event, Ledger
from campaigns.progress import Display
from campaigns.propose import first_round, learn, next_round, past_errors
from campaigns.state import State, grown_pool, read_evaluation, write_evaluation
from matdisco.data.dataset import Dataset
from matdisco.evaluators.base import Evaluation
from matdisco.evaluators.execution import WorkerPool

RESERVED = 20
"""Rows of the final ranking kept in the ledger; the whole of it is a file."""


class Interrupted(Exception):
    """The user asked to stop; everything finished so far is on record."""


class Interrupt:
    """Ctrl-C: the first asks to finish what runs, the second stops at once."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    @contextmanager
    def armed(self, display: Display) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the block (main thread only)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.asked.is_set():
                raise KeyboardInterrupt
            self.asked.set()
            display.say(
                "stopping: running evaluations finish and are recorded first; "
                "Ctrl-C again stops at once"
            )

        old = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise where it is a good moment to stop.

        Raises:
            Interrupted: the user has asked.
        """
        if self.asked.is_set():
            raise Interrupted


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

    def run(self, rounds: int | None = None) -> str:
        """Go on until a reason to stop; return that reason.

        Args:
            rounds: close at most this many rounds now; no limit when None.

        Raises:
            Interrupted: the user asked to stop; nothing is lost.
        """
        closed_now = 0
        with self._workers() as workers:
            while True:
                self.interrupt.check()
                events = self.ledger.events()
                if finished := [e for e in events if e.kind == "finished"]:
                    return str(finished[-1].payload["reason"])
                open_round = self._open_round(events)
                if open_round is None:
                    state = State.of(self.pool, self.config.objective, events)
                    reason = self.reason_to_stop(state, events)
                    if reason:
                        self._finish(state, events, reason)
                        continue
                    if rounds is not None and closed_now >= rounds:
                        return f"{rounds} rounds were asked for"
                    if self._grow(state, events):
                        continue
                    open_round = self._propose(state, events)
                with self._preloading():
                    self._evaluate(open_round, workers)
                self._close(open_round)
                closed_now += 1

    def reason_to_stop(self, state: State, events: list[Event]) -> str | None:
        """Say why the campaign is over, or None."""
        config, n = self.config, len(state.evaluations)
        closed = [e for e in events if e.kind == "closed"]
        execution = config.execution
        if (
            n >= execution.failures_before_stop
            and len(state.failed) > execution.tolerated_failure_rate * n
        ):
            return (
                f"failure rate: {len(state.failed)} of {n} evaluations failed, more "
                f"than execution.tolerated_failure_rate "
                f"{execution.tolerated_failure_rate:g} allows"
            )
        if not closed:
            return None
        if n >= config.budget.evaluations:
            return f"budget: {n} evaluations are spent"
        if len(state.available) == 0 and not is_due(config, events, _proposed(events)):
            return "every candidate has been evaluated"
        if config.budget.rounds is not None and len(closed) - 1 >= config.budget.rounds:
            return f"budget: {config.budget.rounds} rounds are done"
        patience = config.budget.patience
        if patience is not None and len(closed) > patience:
            recent = closed[-patience:]
            if not any(e.payload["improved"] for e in recent):
                return f"patience: nothing better in {patience} rounds"
        return None

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

    def _workers(self) -> WorkerPool:
        return WorkerPool(
            self.config.evaluator, self.config.execution, self.folder / "logs"
        )

    @staticmethod
    def _open_round(events: list[Event]) -> Event | None:
        closed = {e.round for e in events if e.kind == "closed"}
        pending = [e for e in events if e.kind == "proposed" and e.round not in closed]
        return pending[-1] if pending else None

    def _propose(self, state: State, events: list[Event]) -> Event:
        number = _proposed(events)
        left = self.config.budget.evaluations - len(state.evaluations)
        payload: Mapping[str, Any]
        if number == 0:
            payload = {
                "proposals": first_round(self.config, state)[:left],
                VOLATILE: {"seconds": {}},
            }
        else:
            size = min(self.config.acquisition.batch_size, left, len(state.available))
            with self.display.learning(number):
                payload = next_round(
                    self.config,
                    state,
                    events,
                    self.folder,
                    number,
                    size,
                    self.display.training,
                )
        event = self.ledger.append("proposed", payload, round=number)
        self.display.proposed(number, payload)
        return event

    def _evaluate(self, proposed: Event, workers: WorkerPool) -> None:
        number = proposed.round
        done = {
            e.payload["evaluation"]["crystal_id"]
            for e in self.ledger.events("evaluated", round=number)
        }
        todo = [p for p in proposed.payload["proposals"] if p["candidate"] not in done]
        pool = grown_pool(self.pool, self.ledger.events("grown"))
        position = {c.id: i for i, c in enumerate(pool)}
        futures: dict[Future[Evaluation], dict[str, Any]] = {}
        for proposal in todo:
            crystal = pool[position[proposal["candidate"]]]
            home = self.folder / "evaluations" / proposal["key"][:16]
            futures[workers.submit(crystal, proposal["key"], home)] = proposal
        with self.display.evaluating(number, len(done), len(futures)) as bar:
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
                    proposal = futures[future]
                    evaluation = replace(
                        future.result(), crystal_id=proposal["candidate"]
                    )
                    self.ledger.append(
                        "evaluated",
                        write_evaluation(proposal["rank"], evaluation),
                        round=number,
                    )
                    bar(evaluation)
        self.interrupt.check()

    def _close(self, proposed: Event) -> None:
        clock = time.perf_counter()
        number, events = proposed.round, self.ledger.events()
        state = State.of(self.pool, self.config.objective, events)
        before = State.of(self.pool, self.config.objective, events, until=number - 1)
        new = [e for e in events if e.kind == "evaluated" and e.round == number]
        answers = [read_evaluation(e.payload) for e in new]
        found = [state.pool[int(i)].id for i in state.found]
        known = {before.pool[int(i)].id for i in before.found}
        payload = {
            "evaluated": len(state.evaluations),
            "failed": len(state.failed),
            "best": None if state.best != state.best else state.best,
            "found": found,
            "improved": any(f not in known for f in found),
            "error": self._batch_error(state, proposed),
            VOLATILE: {
                "seconds": {
                    "evaluate": round(sum(a.seconds for a in answers), 3),
                    "wall": round(_wall(proposed, new), 3),
                    "close": round(time.perf_counter() - clock, 3),
                }
            },
        }
        self.ledger.append("closed", payload, round=number)
        self.display.closed(number, state, payload)
        self.on_close(number)

    def _batch_error(self, state: State, proposed: Event) -> dict[str, float] | None:
        if len(state.answered) == 0:
            return None
        if any(p["mean"] is None for p in proposed.payload["proposals"]):
            return None
        errors = past_errors(state, [proposed])
        if len(errors) == 0:
            return None
        z = errors[:, 2] / proposed.payload["surrogate"]["scale"]
        return {
            "mae": float(abs(errors[:, 1] - errors[:, 0]).mean()),
            "bias": float((errors[:, 0] - errors[:, 1]).mean()),
            # two-sided 90 % interval of a normal distribution
            "coverage_90": float((abs(z) < 1.6448536269514722).mean()),
            "rms_z": float((z**2).mean() ** 0.5),
        }

    def _finish(self, state: State, events: list[Event], reason: str) -> None:
        """Learn from everything once more and leave the final ranking."""
        ranking: list[dict[str, Any]] = []
        scale = None
        asks = not isinstance(self.config.acquisition, RandomChoice)
        stopped = reason.startswith("failure rate")
        if asks and not stopped and len(state.available) and len(state.answered):
            number = _proposed(events)
            with self.display.learning(number, final=True):
                learned = learn(
                    self.config,
                    state,
                    events,
                    self.folder,
                    number,
                    self.display.training,
                )
            from campaigns.ranking import rank_remaining

            table = rank_remaining(state, learned.prediction)
            table.to_csv(self.folder / "ranking.csv", index=False)
            ranking = [
                {str(k): v for k, v in row.items()}
                for row in table.head(RESERVED).to_dict("records")
            ]
            scale = learned.scale
        self.ledger.append(
            "finished", {"reason": reason, "ranking": ranking, "scale": scale}
        )


def _proposed(events: list[Event]) -> int:
    """Return how many rounds were proposed: the number of the next one."""
    return sum(e.kind == "proposed" for e in events)


def _wall(proposed: Event, evaluated: list[Event]) -> float:
    from datetime import datetime

    if not evaluated:
        return 0.0
    begun = datetime.fromisoformat(proposed.time)
    return (datetime.fromisoformat(evaluated[-1].time) - begun).total_seconds()
