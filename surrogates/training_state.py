"""A training that was killed goes on where it was, to the same bits.

Every so often the loop leaves its whole state in a fresh folder (safetensors and JSON,
one rename, see :mod:`surrogates.checkpoint`), and only then removes the one before: at
any moment at least one whole state is on disk. States lie in a folder named by a
fingerprint of data, schedule, seed and initial weights, so that a training never goes
on from another's, and a fit that trains several things one after the other finds each
as it left it, the finished ones finished.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow
from surrogates.checkpoint import Checkpoint, read, write

SAVE_SECONDS = 30.0
"""s between two saved states: a kill costs no more than this."""
_WORTH = 1.0
"""s behind a finished training that make it worth a state: others may follow it in the
same fit, and a fit of a moment is to write nothing."""
_NAMED = 16
"""Digits of the fingerprint in a folder's name; the state holds all of them."""


@dataclass(eq=False)
class Running:
    """What changes while a training runs."""

    parameters: list[Tensor]
    """Trained in place."""
    optimizer: torch.optim.Optimizer
    """Holds two moments and a step count for each parameter."""
    average: list[Tensor]
    """Moving average of the parameters; they themselves where none is wanted."""
    best_weights: list[Tensor] | None = None
    """The average at the best held-out error so far."""
    best: float = float("inf")
    """That error, standardised units."""
    best_epoch: int = 0
    """When that was."""
    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Optimiser steps done."""
    history: list[HistoryRow] = field(default_factory=list)
    """One row per epoch done."""

    @classmethod
    def of(
        cls,
        parameters: list[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        averaged: bool = True,
    ) -> Self:
        """Return a training that has not begun."""
        average = [p.detach().clone() for p in parameters] if averaged else parameters
        return cls(parameters, optimizer, average)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all tensors by name."""
        named: dict[str, Tensor] = {}
        for i, parameter in enumerate(self.parameters):
            named[f"parameter.{i}"] = parameter
            if self.average is not self.parameters:
                named[f"average.{i}"] = self.average[i]
            if self.best_weights is not None:
                named[f"best.{i}"] = self.best_weights[i]
            for key, value in self.optimizer.state[parameter].items():
                named[f"{key}.{i}"] = value
        return {k: v.detach().cpu().numpy().copy() for k, v in named.items()}

    def restore(self, saved: Checkpoint) -> None:
        """Take over a saved state."""
        state, arrays = saved.state, saved.arrays
        moments = {k.rpartition(".")[0] for k in arrays}
        moments -= {"parameter", "average", "best"}

        def tensor(name: str, like: Tensor) -> Tensor:
            # a file has no scalars: they come back as arrays of one
            shape = () if name.startswith("step.") else like.shape
            found = torch.from_numpy(arrays[name].copy()).to(like.device)
            return found.reshape(shape)

        with torch.no_grad():
            for i, parameter in enumerate(self.parameters):
                parameter.copy_(tensor(f"parameter.{i}", parameter))
                if self.average is not self.parameters:
                    self.average[i].copy_(tensor(f"average.{i}", parameter))
                # a parameter that no loss depends on has no moments
                own = [m for m in sorted(moments) if f"{m}.{i}" in arrays]
                if own:
                    self.optimizer.state[parameter] = {
                        m: tensor(f"{m}.{i}", parameter) for m in own
                    }
        if "best.0" in arrays:
            self.best_weights = [
                tensor(f"best.{i}", p) for i, p in enumerate(self.parameters)
            ]
            self.best = float(state["best"])
        self.best_epoch, self.epoch = int(state["best_epoch"]), int(state["epoch"])
        self.step, self.history = int(state["step"]), list(state["history"])


class Resume:
    """Where the trainings of a fit leave their states.

    Args:
        folder: of the states; made when the first is written.
        seconds: least time between two states.
    """

    def __init__(self, folder: Path, *, seconds: float = SAVE_SECONDS) -> None:
        self.folder, self.seconds = Path(folder), seconds
        self._last = time.monotonic()

    def load(self, running: Running, fingerprint: str) -> None:
        """Bring ``running`` to the newest whole state of this training, if any."""
        for folder in reversed(self._states(fingerprint)):
            try:
                saved = read(folder)
            except SurrogateError:  # damaged: the one before may be whole
                continue
            if saved.recipe.get("training") == fingerprint:
                running.restore(saved)
                return

    def save(self, running: Running, fingerprint: str, *, done: bool = False) -> None:
        """Leave a state, unless the last one is younger than ``seconds``.

        Args:
            running: what to keep.
            fingerprint: of the training.
            done: it is finished; then a second is enough.
        """
        waited = time.monotonic() - self._last
        if waited < (min(_WORTH, self.seconds) if done else self.seconds):
            return
        before = self._states(fingerprint)
        state = {
            "best": running.best if running.best_weights is not None else None,
            "best_epoch": running.best_epoch,
            "epoch": running.epoch,
            "step": running.step,
            "history": [dict(row) for row in running.history],
        }
        fresh = self._home(fingerprint) / f"epoch-{running.epoch:06d}"
        write(fresh, Checkpoint({"training": fingerprint}, state, running.arrays()))
        for folder in before:
            if folder != fresh:
                shutil.rmtree(folder)
        self._last = time.monotonic()

    def clear(self) -> None:
        """Remove all states: the fit is done and its result is kept elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _home(self, fingerprint: str) -> Path:
        return self.folder / fingerprint[:_NAMED]

    def _states(self, fingerprint: str) -> list[Path]:
        return sorted(self._home(fingerprint).glob("epoch-*"))
