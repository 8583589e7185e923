"""A training that was killed goes on where it was, to the same bits.

Every so often the loop leaves its whole state in a fresh folder (safetensors and JSON,
one rename, see :mod:`surrogates.checkpoint`), and only then removes the one before: at
any moment at least one whole state is on disk. A state names the training that it
belongs to by a fingerprint of data, schedule, seed and initial weights, so that a
training never goes on from another's.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow
from surrogates.checkpoint import Checkpoint, read, write

SAVE_SECONDS = 30.0
"""s between two saved states: a kill costs no more than this, and a fit of a few
seconds writes nothing."""


@dataclass(eq=False)
class Running:
    """What changes while a training runs."""

    parameters: list[Tensor]
    """Trained in place."""
    optimizer: torch.optim.Optimizer
    """Holds two moments and a step count for each parameter."""
    average: list[Tensor]
    """Moving average of the parameters."""
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

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all tensors by name."""
        named: dict[str, Tensor] = {}
        for i, parameter in enumerate(self.parameters):
            named[f"parameter.{i}"] = parameter
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
            return torch.from_numpy(arrays[name].copy()).to(like.device)

        with torch.no_grad():
            for i, parameter in enumerate(self.parameters):
                parameter.copy_(tensor(f"parameter.{i}", parameter))
                self.average[i].copy_(tensor(f"average.{i}", parameter))
                self.optimizer.state[parameter] = {
                    m: tensor(f"{m}.{i}", parameter) for m in sorted(moments)
                }
        if "best.0" in arrays:
            self.best_weights = [
                tensor(f"best.{i}", p) for i, p in enumerate(self.parameters)
            ]
            self.best = float(state["best"])
        self.best_epoch, self.epoch = int(state["best_epoch"]), int(state["epoch"])
        self.step, self.history = int(state["step"]), list(state["history"])


class Resume:
    """Where a training leaves its states.

    Args:
        folder: of the states of one training; made when the first is written.
        seconds: least time between two states.
    """

    def __init__(self, folder: Path, *, seconds: float = SAVE_SECONDS) -> None:
        self.folder, self.seconds = Path(folder), seconds
        self._last = time.monotonic()

    def load(self, running: Running, fingerprint: str) -> None:
        """Bring ``running`` to the newest whole state of this training, if any."""
        for folder in reversed(self._states()):
            try:
                saved = read(folder)
            except SurrogateError:  # damaged: the one before may be whole
                continue
            if saved.recipe.get("training") == fingerprint:
                running.restore(saved)
                return

    def save(self, running: Running, fingerprint: str) -> None:
        """Leave a state, unless the last one is younger than ``seconds``."""
        if time.monotonic() - self._last < self.seconds:
            return
        before = self._states()
        state = {
            "best": running.best if running.best_weights is not None else None,
            "best_epoch": running.best_epoch,
            "epoch": running.epoch,
            "step": running.step,
            "history": [dict(row) for row in running.history],
        }
        write(
            self.folder / f"epoch-{running.epoch:06d}",
            Checkpoint({"training": fingerprint}, state, running.arrays()),
        )
        for folder in before:
            if folder.name != f"epoch-{running.epoch:06d}":
                shutil.rmtree(folder)
        self._last = time.monotonic()

    def clear(self) -> None:
        """Remove all states: the training is done and its result is kept elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*"))
