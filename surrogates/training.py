"""The one training loop: graph networks, last layers and deep kernels learn by it.

AdamW (Loshchilov and Hutter, ICLR 2019), a rate that rises and falls, clipped
gradients, an exponential moving average of the weights and early stopping. Randomness
comes from the seed alone: batches are a function of seed and epoch, so the same seed,
data and thread count give the same bits, also when the process was killed on the way.
What is learnt, from which batches, and who judges, is a :class:`Task`.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow, Progress
from surrogates.rates import RATES, RateShape
from surrogates.training_state import Resume, Running

BLOCK = 100
"""Steps between two rows of the history where a pass over the data says nothing."""
_JUDGED = 20  # times that a training is judged by records held out

B = TypeVar("B")


class Settings(Protocol):
    """What every recipe of something trained says of its training."""

    @property
    def learning_rate(self) -> float:
        """Peak of the schedule."""

    @property
    def weight_decay(self) -> float:
        """AdamW's decoupled decay."""

    @property
    def average(self) -> float:
        """Decay of the moving average of the weights, per step."""

    @property
    def schedule(self) -> RateShape:
        """How the learning rate rises and falls."""

    @property
    def clip(self) -> float:
        """Largest norm of one member's gradient."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: int
    """Passes over the data, or blocks of steps; each gives a row of the history."""
    learning_rate: float
    """Peak of the schedule."""
    weight_decay: float = 1e-3
    """AdamW's decoupled decay."""
    average: float = 0.99
    """Decay of the moving average of the weights, per step; 0 keeps the last ones."""
    patience: float = 1.0
    """Stop after this fraction of the epochs without a better held-out error."""
    shape: RateShape = "one_cycle"
    """How the learning rate rises and falls."""
    clip: float = 1.0
    """Largest norm of one member's gradient."""

    @classmethod
    def of(cls, settings: Settings, epochs: int, *, patience: float = 1.0) -> Self:
        """Return what the settings of a recipe mean for so many epochs."""
        return cls(
            epochs,
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            average=settings.average,
            patience=patience,
            shape=settings.schedule,
            clip=settings.clip,
        )


class Task(ABC, Generic[B]):
    """What differs from one training to the next.

    Args:
        modules: what is trained, in place.
        members: S, networks in one; with several, axis 0 of every parameter.
        steps: optimiser steps of all epochs.
    """

    judged = False
    """Whether :meth:`judge` says when to stop."""

    def __init__(self, modules: Sequence[nn.Module], members: int, steps: int) -> None:
        every = [p for module in modules for p in module.parameters()]
        self.parameters: list[Tensor] = [p for p in every if p.requires_grad]
        self.members, self.steps = members, steps

    @abstractmethod
    def batches(self, epoch: int) -> Iterable[B]:
        """Return the batches of an epoch, from 0: the same whenever they are asked."""

    @abstractmethod
    def loss(self, batch: B) -> Tensor:
        """Return what is minimised, the sum over members."""

    def judge(self) -> float:
        """Return the error on records that no member learns, with the weights as set.

        Standardised units; may leave the modules in evaluation mode.
        """
        raise NotImplementedError

    @abstractmethod
    def facts(self) -> tuple[object, Iterable[np.ndarray]]:
        """Return settings and data that decide the result, beside the first weights."""


def train(
    task: Task[Any],
    schedule: Schedule,
    *,
    stage: str,
    progress: Progress | None = None,
    resume: Resume | None = None,
) -> tuple[HistoryRow, ...]:
    """Train in place; weights end averaged, or as they were when they judged best.

    Args:
        task: what to learn.
        schedule: how long and how fast.
        stage: a word for the history, ``base``, ``round`` or ``fit``.
        progress: called with each history row, those of a former life included.
        resume: where states are left, to go on from after a kill.

    Returns:
        One row per epoch.

    Raises:
        SurrogateError: the loss, or a weight, is no longer a number.
    """
    optimizer = torch.optim.AdamW(
        task.parameters, lr=1.0, weight_decay=schedule.weight_decay, fused=True
    )
    now = Running.of(task.parameters, optimizer, averaged=schedule.average > 0)
    print_ = "" if resume is None else _fingerprint(task, schedule)
    if resume is not None:
        resume.load(now, print_)
        for former in now.history:
            _tell(progress, former)
    found = now.epoch
    every = max(1, schedule.epochs // _JUDGED)
    wait = max(schedule.patience * schedule.epochs, every)
    shape = RATES[schedule.shape]
    while now.epoch < schedule.epochs and not (
        task.judged and now.epoch - now.best_epoch >= wait
    ):
        losses = []
        for batch in task.batches(now.epoch):
            rate = shape(now.step / task.steps)
            optimizer.param_groups[0]["lr"] = rate * schedule.learning_rate
            losses.append(_step(task, now, batch, schedule))
        now.epoch += 1
        row: dict[str, float | str] = {
            "stage": stage,
            "epoch": now.epoch,
            "epochs": schedule.epochs,
            "loss": float(np.mean(losses)),
        }
        _require_numbers(now, float(row["loss"]))
        last = now.epoch == schedule.epochs
        if task.judged and (now.epoch % every == 0 or last):
            row["held_out_mae"] = _judge(task, now)
        now.history.append(row)
        if resume is not None:
            resume.save(now, print_)
        _tell(progress, row)
    with torch.no_grad():
        torch._foreach_copy_(task.parameters, now.best_weights or now.average)
    if not all(bool(p.isfinite().all()) for p in task.parameters):
        _require_numbers(now, float("nan"))
    if resume is not None and now.epoch > found:
        resume.save(now, print_, done=True)
    return tuple(now.history)


def blocks(steps: int) -> int:
    """Return how many blocks of :data:`BLOCK` steps hold all of them.

    >>> blocks(100), blocks(101)
    (1, 2)
    """
    return math.ceil(steps / BLOCK)


def block(epoch: int, steps: int) -> range:
    """Return the steps of one block, the last of which may be short.

    >>> block(1, 150)
    range(100, 150)
    """
    return range(epoch * BLOCK, min((epoch + 1) * BLOCK, steps))


def _tell(progress: Progress | None, row: HistoryRow) -> None:
    if progress is not None:
        progress(row)


def _require_numbers(now: Running, value: float) -> None:
    if not math.isfinite(value):
        raise SurrogateError(
            f"training diverged in epoch {now.epoch} (loss {value}); "
            "lower learning_rate or look for broken labels"
        )


def _step(task: Task[B], now: Running, batch: B, schedule: Schedule) -> float:
    """Make one step; return its loss per member."""
    loss = task.loss(batch)
    now.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    _clip_members(now.parameters, task.members, schedule.clip)
    now.optimizer.step()
    now.step += 1
    if schedule.average > 0:
        decay = min(schedule.average, now.step / (now.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(now.average, now.parameters, 1 - decay)
    return loss.item() / task.members


def _clip_members(parameters: list[Tensor], members: int, most: float) -> None:
    """Scale each member's gradient to norm ``most`` at most (axis 0 is the member)."""
    grads = [p.grad for p in parameters if p.grad is not None]
    rows = [g.reshape(members, -1) for g in grads]
    squares = torch.stack([r.square().sum(dim=1) for r in rows]).sum(dim=0)
    factor = (most / (squares.sqrt() + 1e-12)).clamp(max=1.0)  # [S]
    for g in grads:
        g.mul_(factor.view(-1, *[1] * (g.dim() - 1)) if g.dim() else factor[0])


def _judge(task: Task[B], now: Running) -> float:
    """Return the held-out error of the averaged weights; remember the best ones."""
    with _swapped(now.parameters, now.average):
        error = task.judge()
    _require_numbers(now, error)
    if error < now.best:
        now.best, now.best_epoch = error, now.epoch
        now.best_weights = [w.detach().clone() for w in now.average]
    return error


def _fingerprint(task: Task[B], schedule: Schedule) -> str:
    """Hash all that a training's result depends on."""
    settings, arrays = task.facts()
    words = type(task).__name__, settings, task.steps, schedule, torch.__version__
    seal = hashlib.sha256(repr(words).encode())
    for array in (*arrays, *(p.detach().cpu().numpy() for p in task.parameters)):
        seal.update(repr((array.shape, array.dtype)).encode())
        seal.update(np.ascontiguousarray(array).data)
    return seal.hexdigest()


@contextmanager
def _swapped(parameters: list[Tensor], other: list[Tensor]) -> Iterator[None]:
    kept = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        torch._foreach_copy_(parameters, other)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, kept)
