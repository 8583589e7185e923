"""One training loop for all members of an ensemble at once.

AdamW (Loshchilov and Hutter, ICLR 2019), one-cycle learning rate (Smith and Topin,
arXiv:1708.07120), clipped gradients, an exponential moving average of the weights, and
the β-NLL loss (Seitzer et al., ICLR 2022, arXiv:2203.09168). Randomness comes from the
seed alone: the same seed, data and thread count give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow, Progress
from surrogates.graphs import PackedGraphs
from surrogates.networks.segments import GraphBatch

BETA = 0.5
"""Exponent of the variance weight in the β-NLL: between the likelihood (0), which
gives up on hard crystals, and squared error (1); the value its authors recommend."""
_WARM = 0.2  # fraction of the steps in which the learning rate rises
_CLIP = 1.0  # largest gradient norm of one member
_CHUNK = 512  # graphs in one prediction batch
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


@dataclass(frozen=True, eq=False)
class Examples:
    """Graphs with standardised labels and a weight for each member and record."""

    graphs: PackedGraphs
    """n graphs."""
    labels: np.ndarray
    """Standardised labels, shape (n,)."""
    weights: np.ndarray
    """How often each member sees each record, shape (S, n)."""


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run torch with ``n`` intra-op threads, then restore the former number."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    network: nn.Module,
    data: Examples,
    schedule: Schedule,
    *,
    seed: int,
    stage: str,
    held_out: tuple[PackedGraphs, np.ndarray] | None = None,
    progress: Progress | None = None,
) -> tuple[HistoryRow, ...]:
    """Train ``network`` in place; it ends with its averaged weights.

    Args:
        network: all S members.
        data: what to learn.
        schedule: how long and how fast.
        seed: of the order of the records.
        stage: a word for the history, ``base`` or ``round``.
        held_out: graphs and standardised labels for early stopping; no gradient.
        progress: called with each history row.

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
    average = [p.detach().clone() for p in parameters]
    history: list[HistoryRow] = []
    best, best_epoch, best_weights = math.inf, 0, None
    every = max(1, schedule.epochs // (4 * _PATIENCE_ROWS))
    step = 0
    for epoch in range(1, schedule.epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        losses = []
        network.train()
        for rows in np.array_split(order, per_epoch):
            rate = one_cycle(step / (per_epoch * schedule.epochs))
            optimizer.param_groups[0]["lr"] = rate * schedule.learning_rate
            losses.append(_step(network, parameters, optimizer, data, np.sort(rows)))
            step += 1
            decay = min(schedule.average, step / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1 - decay)
        row: dict[str, float | str] = {
            "stage": stage,
            "epoch": epoch,
            "epochs": schedule.epochs,
            "loss": float(np.mean(losses)),
        }
        if not math.isfinite(float(row["loss"])):
            raise SurrogateError(
                f"training diverged in epoch {epoch} (loss {row['loss']}); "
                "lower learning_rate or look for broken labels"
            )
        if held_out is not None and (epoch % every == 0 or epoch == schedule.epochs):
            with _swapped(parameters, average):
                mean, _ = evaluate(network, held_out[0], members)
            error = float(np.abs(mean.mean(axis=0) - held_out[1]).mean())
            row["held_out_mae"] = error
            if error < best:
                best, best_epoch = error, epoch
                best_weights = [w.clone() for w in average]
        history.append(row)
        if progress is not None:
            progress(row)
        if held_out and epoch - best_epoch >= schedule.patience * schedule.epochs:
            break
    with torch.no_grad():
        torch._foreach_copy_(parameters, best_weights or average)
    return tuple(history)


def one_cycle(progress: float) -> float:
    """Return the learning rate as a fraction of its peak, ``progress`` in [0, 1].

    >>> [round(one_cycle(p), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.05, 0.525, 1.0, 0.5, 0.0]
    """
    if progress < _WARM:
        return 0.05 + 0.95 * progress / _WARM
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM) / (1 - _WARM)))


def beta_nll(
    mean: Tensor, log_variance: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    """Return the weighted β-NLL: mean over records, sum over members.

    Args:
        mean: [S, g].
        log_variance: [S, g].
        labels: [g].
        weights: [S, g].
    """
    variance = log_variance.exp()
    nll = 0.5 * (log_variance + (labels - mean) ** 2 / variance)
    weighted = weights * variance.detach() ** BETA * nll
    return weighted.sum() / labels.shape[0]


def evaluate(
    network: nn.Module, graphs: PackedGraphs, members: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and log variance of every member, each (S, n), float64."""
    network.eval()
    means, logs = [np.zeros((members, 0))], [np.zeros((members, 0))]
    with torch.inference_mode():
        for first in range(0, len(graphs), _CHUNK):
            rows = np.arange(first, min(first + _CHUNK, len(graphs)))
            mean, log = network(GraphBatch.of(graphs.take(rows), members))
            means.append(mean.double().numpy())
            logs.append(log.double().numpy())
    return np.concatenate(means, axis=1), np.concatenate(logs, axis=1)


def _step(
    network: nn.Module,
    parameters: list[Tensor],
    optimizer: torch.optim.Optimizer,
    data: Examples,
    rows: np.ndarray,
) -> float:
    members = int(data.weights.shape[0])
    batch = GraphBatch.of(data.graphs.take(rows), members)
    mean, log_variance = network(batch)
    labels = torch.from_numpy(data.labels[rows].astype(np.float32))
    weights = torch.from_numpy(data.weights[:, rows].astype(np.float32))
    loss = beta_nll(mean, log_variance, labels, weights)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    _clip_members(parameters)
    optimizer.step()
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
