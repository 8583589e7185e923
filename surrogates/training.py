"""One training loop for all members of an ensemble at once.

AdamW (Loshchilov and Hutter, ICLR 2019), one-cycle learning rate (Smith and Topin,
arXiv:1708.07120) or cosine, clipped gradients and an exponential moving average of the
weights. Randomness comes from the seed alone: the same seed, data and thread count give
the same bits, also when the process was killed on the way.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow, Progress
from surrogates.compute import Precision, products_in
from surrogates.graphs import PackedGraphs
from surrogates.losses import LOSSES
from surrogates.networks import corners
from surrogates.networks.base import CrystalNetwork
from surrogates.networks.recipes import LossName, RateShape
from surrogates.networks.segments import GraphBatch
from surrogates.training_state import Resume, Running

_WARM = 0.2  # fraction of the steps in which the learning rate rises
_CLIP = 1.0  # largest gradient norm of one member
_CHUNK = 512  # graphs in one prediction batch
_CHUNK_ROWS = 2_000_000  # rows of features in it, a quarter GB each at 32 channels
_PATIENCE_ROWS = 5  # the held-out loss is looked at every epochs / 20 epochs


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: int
    """Passes over the data."""
    learning_rate: float
    """Peak of the one-cycle schedule."""
    batch_size: int
    """Crystals in a step."""
    weight_decay: float = 1e-3
    """AdamW's decoupled decay."""
    average: float = 0.99
    """Decay of the moving average of the weights, per step."""
    patience: float = 1.0
    """Stop after this fraction of the epochs without a better held-out loss."""
    loss: LossName = "beta_nll"
    """What is minimised (:mod:`surrogates.losses`)."""
    shape: RateShape = "one_cycle"
    """How the learning rate rises and falls."""
    precision: Precision = "float32"
    """Of the products, on a CUDA card."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Graphs with standardised labels and a weight for each member and record."""

    graphs: PackedGraphs
    """n graphs."""
    labels: np.ndarray
    """Standardised labels, shape (n, T); NaN where a record lacks one."""
    weights: np.ndarray
    """How often each member sees each record, shape (S, n)."""


def train(
    network: CrystalNetwork,
    data: Examples,
    schedule: Schedule,
    *,
    seed: int,
    stage: str,
    held_out: tuple[PackedGraphs, np.ndarray] | None = None,
    progress: Progress | None = None,
    resume: Resume | None = None,
) -> tuple[HistoryRow, ...]:
    """Train ``network`` in place; it ends with its averaged weights.

    Args:
        network: all S members.
        data: what to learn.
        schedule: how long and how fast.
        seed: of the order of the records.
        stage: a word for the history, ``base`` or ``round``.
        held_out: graphs and standardised labels (m,) of the first target for early
            stopping; no gradient.
        progress: called with each history row, those of a former life included.
        resume: where states are left, to go on from after a kill.

    Returns:
        One row per epoch.

    Raises:
        SurrogateError: the loss is no longer a number.
    """
    parameters: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
    members, n = data.weights.shape
    per_epoch = math.ceil(n / schedule.batch_size)
    optimizer = torch.optim.AdamW(
        parameters, lr=1.0, weight_decay=schedule.weight_decay, fused=True
    )
    now = Running(parameters, optimizer, [p.detach().clone() for p in parameters])
    print_ = "" if resume is None else _fingerprint(now, data, schedule, seed, held_out)
    if resume is not None:
        resume.load(now, print_)
        for former in now.history:
            _tell(progress, former)
    every = max(1, schedule.epochs // (4 * _PATIENCE_ROWS))
    shape = RATES[schedule.shape]
    while now.epoch < schedule.epochs and not _tired(now, schedule, held_out):
        order = np.random.default_rng([seed, now.epoch + 1]).permutation(n)
        losses = []
        network.train()
        for rows in np.array_split(order, per_epoch):
            rate = shape(now.step / (per_epoch * schedule.epochs))
            optimizer.param_groups[0]["lr"] = rate * schedule.learning_rate
            losses.append(_step(network, now, data, np.sort(rows), schedule))
        now.epoch += 1
        row: dict[str, float | str] = {
            "stage": stage,
            "epoch": now.epoch,
            "epochs": schedule.epochs,
            "loss": float(np.mean(losses)),
        }
        if not math.isfinite(float(row["loss"])):
            raise SurrogateError(
                f"training diverged in epoch {now.epoch} (loss {row['loss']}); "
                "lower learning_rate or look for broken labels"
            )
        last = now.epoch == schedule.epochs
        if held_out is not None and (now.epoch % every == 0 or last):
            row["held_out_mae"] = _judge(network, now, held_out, members)
        now.history.append(row)
        if resume is not None:
            resume.save(now, print_)
        _tell(progress, row)
    with torch.no_grad():
        torch._foreach_copy_(parameters, now.best_weights or now.average)
    return tuple(now.history)


def _tell(progress: Progress | None, row: HistoryRow) -> None:
    if progress is not None:
        progress(row)


def _tired(now: Running, schedule: Schedule, held_out: object) -> bool:
    """Say whether the held-out error has not improved for too long."""
    waited = now.epoch - now.best_epoch
    return held_out is not None and waited >= schedule.patience * schedule.epochs


def _judge(
    network: CrystalNetwork,
    now: Running,
    held_out: tuple[PackedGraphs, np.ndarray],
    members: int,
) -> float:
    """Return the held-out error of the averaged weights; remember the best ones."""
    with _swapped(now.parameters, now.average):
        mean, _ = evaluate(network, held_out[0], members)
    error = float(np.abs(mean[..., 0].mean(axis=0) - held_out[1]).mean())
    if error < now.best:
        now.best, now.best_epoch = error, now.epoch
        now.best_weights = [w.clone() for w in now.average]
    return error


def _fingerprint(
    now: Running,
    data: Examples,
    schedule: Schedule,
    seed: int,
    held_out: tuple[PackedGraphs, np.ndarray] | None,
) -> str:
    """Hash all that a training's result depends on."""
    seal = hashlib.sha256(repr((schedule, seed, torch.__version__)).encode())
    packs = [data.graphs, *([held_out[0]] if held_out else [])]
    arrays = [data.labels, data.weights, *([held_out[1]] if held_out else [])]
    arrays += [a for p in packs for a in vars(p).values() if isinstance(a, np.ndarray)]
    arrays += [p.detach().cpu().numpy() for p in now.parameters]
    for array in arrays:
        seal.update(repr((array.shape, array.dtype)).encode())
        seal.update(np.ascontiguousarray(array).data)
    return seal.hexdigest()


def one_cycle(progress: float) -> float:
    """Return the learning rate as a fraction of its peak, ``progress`` in [0, 1].

    >>> [round(one_cycle(p), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.05, 0.525, 1.0, 0.5, 0.0]
    """
    return _rise_and_fall(progress, _WARM)


def cosine(progress: float) -> float:
    """Return the rate as a fraction of its peak: a short rise, then half a cosine.

    >>> [round(cosine(p), 3) for p in (0.0, 0.01, 0.02, 0.51, 1.0)]
    [0.05, 0.525, 1.0, 0.5, 0.0]
    """
    return _rise_and_fall(progress, 0.02)


def _rise_and_fall(progress: float, warm: float) -> float:
    if progress < warm:
        return 0.05 + 0.95 * progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


RATES = {"one_cycle": one_cycle, "cosine": cosine}


def evaluate(
    network: CrystalNetwork, graphs: PackedGraphs, members: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and log variance of every member, each (S, n, T), float64."""
    network.eval()
    device = next(network.parameters()).device
    made = []
    with torch.inference_mode():
        for rows in _chunks(graphs, members, angles=network.angles):
            both = network(GraphBatch.of(graphs.take(rows), members, device))
            made.append(torch.stack(both).double().cpu().numpy())
    mean, log_variance = np.concatenate(made, axis=2)
    return mean, log_variance


def _chunks(graphs: PackedGraphs, members: int, *, angles: bool) -> list[np.ndarray]:
    """Split all rows into runs that fit the memory; one empty run for no graphs."""
    rows_of = np.diff(graphs.edge_offsets) + (corners.count(graphs) if angles else 0)
    cost = members * rows_of
    run = np.zeros(len(graphs), dtype=np.int64)
    number, used, first = 0, 0, 0
    for row, rows in enumerate(cost):
        if used and (used + rows > _CHUNK_ROWS or row - first >= _CHUNK):
            number, used, first = number + 1, 0, row
        run[row], used = number, used + int(rows)
    return [np.flatnonzero(run == k) for k in range(number + 1)]


def _step(
    network: CrystalNetwork,
    now: Running,
    data: Examples,
    rows: np.ndarray,
    schedule: Schedule,
) -> float:
    members = int(data.weights.shape[0])
    device = now.parameters[0].device
    batch = GraphBatch.of(data.graphs.take(rows), members, device)
    known = np.isfinite(data.labels[rows])  # [g, T]
    seen = data.weights[:, rows, None] * known  # [S, g, T]
    labels = torch.from_numpy(
        np.where(known, data.labels[rows], 0.0).astype(np.float32)
    ).to(device)
    weights = torch.from_numpy(seen.astype(np.float32)).to(device)
    with products_in(schedule.precision, device):
        mean, log_variance = network(batch)
    loss = LOSSES[schedule.loss](mean.float(), log_variance.float(), labels, weights)
    now.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    _clip_members(now.parameters)
    now.optimizer.step()
    now.step += 1
    decay = min(schedule.average, now.step / (now.step + 10))
    with torch.no_grad():
        torch._foreach_lerp_(now.average, now.parameters, 1 - decay)
    return loss.item() / members


def _clip_members(parameters: list[Tensor]) -> None:
    """Scale each member's gradient to norm ``_CLIP`` at most (axis 0 is the member)."""
    grads = [p.grad for p in parameters if p.grad is not None]
    squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in grads]).sum(dim=0)
    factor = (_CLIP / (squares.sqrt() + 1e-12)).clamp(max=1.0)  # [S]
    for g in grads:
        g.mul_(factor.view(-1, *[1] * (g.dim() - 1)))


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
