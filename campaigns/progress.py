"""What a person sees while a campaign runs: bars on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from campaigns.fronts.words import standing
from campaigns.objectives import HullObjective
from campaigns.state import State
from matdisco.data.workers import terminal
from matdisco.evaluators.base import Evaluation
from matdisco.properties import get

LINE_EVERY = 15.0  # s between progress lines in a log


class Display:
    """Prints progress to ``stream``; with ``quiet`` nothing at all."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.terminal = terminal(self.stream)
        self._last = 0.0
        self._bar: Any = None

    def say(self, text: str) -> None:
        """Print one line."""
        if not self.quiet:
            if self._bar is not None:
                self._bar.write(text, file=self.stream)
            else:
                print(text, file=self.stream, flush=True)

    @contextmanager
    def learning(self, number: int, *, final: bool = False) -> Iterator[None]:
        """Announce the learning phase of a round and how long it took."""
        name = "final fit" if final else f"round {number}"
        clock = time.perf_counter()
        yield
        self._clear()
        if final or time.perf_counter() - clock > 1.0:
            self.say(f"{name}: learned in {time.perf_counter() - clock:.1f} s")

    def training(self, row: Mapping[str, Any]) -> None:
        """Show one line of the training history."""
        if self.quiet:
            return
        parts = [
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
            for k, v in row.items()
        ]
        if self.terminal:
            print(f"\r\033[K  {'  '.join(parts)}", end="", file=self.stream, flush=True)
        elif time.monotonic() - self._last > LINE_EVERY:
            self._last = time.monotonic()
            self.say("  " + "  ".join(parts))

    def grown(self, number: int, payload: Mapping[str, Any]) -> None:
        """Say what was bred for a round."""
        from matdisco.screening.screen import describe

        self.say(
            f"round {number}: {len(payload['crystals'])} new candidates bred "
            f"({describe(payload['screening'])})"
        )

    def proposed(self, number: int, payload: Mapping[str, Any]) -> None:
        """Say what a round will evaluate."""
        proposals = payload["proposals"]
        shown = ", ".join(p["formula"] for p in proposals[:8])
        more = f" and {len(proposals) - 8} more" if len(proposals) > 8 else ""
        named = f": {shown}{more}" if proposals else ""
        self.say(f"round {number}: {len(proposals)} proposals{named}")
        if climbs := payload.get("climbs"):
            said = ", ".join(f"{c['formula']} by {c['fidelity']}" for c in climbs)
            self.say(f"round {number}: {len(climbs)} asked of the ladder: {said}")
        failed = payload.get("assessment", {}).get("failed", [])
        if failed:
            self.say(f"round {number}: the surrogate failed {', '.join(failed)}")

    def promoted(
        self, number: int, fidelity: str, proposals: Sequence[Mapping[str, Any]]
    ) -> None:
        """Say what goes up a rung of the ladder."""
        shown = ", ".join(p["formula"] for p in proposals)
        self.say(f"round {number}: {len(proposals)} promoted to {fidelity}: {shown}")

    @contextmanager
    def evaluating(
        self, number: int, done: int, todo: int, name: str = ""
    ) -> Iterator[Callable[[Evaluation], None]]:
        """Show the answers as they come; yields a function to call with each."""
        total, count = done + todo, done
        clock = time.monotonic()
        if self.terminal and not self.quiet:
            self._bar = tqdm(
                total=total,
                initial=done,
                desc=f"round {number} {name}".rstrip(),
                unit="evaluation",
                file=self.stream,
                leave=False,
                dynamic_ncols=True,
            )

        def answered(evaluation: Evaluation) -> None:
            nonlocal count
            count += 1
            if evaluation.failure is not None:
                self.say(
                    f"  {evaluation.crystal_id}: failed ({evaluation.failure.kind}): "
                    f"{evaluation.failure.message}"
                )
            if self._bar is not None:
                self._bar.update()
            elif time.monotonic() - self._last > LINE_EVERY:
                self._last = time.monotonic()
                spent = time.monotonic() - clock
                self.say(f"  {count} of {total} evaluations, {spent:.0f} s")

        try:
            yield answered
        finally:
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def closed(self, number: int, state: State, payload: Mapping[str, Any]) -> None:
        """Say where the campaign stands after a round."""
        failed = f", {payload['failed']} failed" if payload["failed"] else ""
        error = payload["error"]
        quality = ""
        if error is not None:
            unit = get(state.objective.target).unit
            quality = f"; prediction error {error['mae']:.3f} {unit}".rstrip()
        self.say(
            f"round {number}: {payload['evaluated']} evaluated{failed}; "
            f"{headline(state)}{quality}"
        )

    def _clear(self) -> None:
        if self.terminal and not self.quiet:
            print("\r\033[K", end="", file=self.stream, flush=True)


def headline(state: State) -> str:
    """Say in a few words what has been found."""
    if isinstance(state.objective, HullObjective):
        formulas = sorted({state.pool[int(i)].formula for i in state.found})
        if not formulas:
            return "no stable compound yet"
        return f"{len(formulas)} stable: {' '.join(formulas)}"
    if state.front is not None:
        order = np.argsort(-state.merit(state.headline), kind="stable")
        members = [int(i) for i in order if state.front.members[i]]
        formulas = [state.pool[int(state.answered[i])].formula for i in members]
        return standing(state.front, formulas)
    prop = get(state.objective.headline)
    if len(state.answered) == 0:
        return "no answer yet"
    best = state.pool[int(state.found[0])].formula
    return f"best {prop.label.lower()} {state.best:.4g} {prop.unit} ({best})".strip()
