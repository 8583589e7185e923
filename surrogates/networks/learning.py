"""What graph networks learn from, and what they answer, all members at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from surrogates.compute import Precision, products_in
from surrogates.graphs import PackedGraphs
from surrogates.losses import LOSSES
from surrogates.networks import corners
from surrogates.networks.base import CrystalNetwork
from surrogates.networks.recipes import LossName
from surrogates.networks.segments import GraphBatch
from surrogates.training import Task

_CHUNK = 512  # graphs in one prediction batch
_CHUNK_ROWS = 2_000_000  # rows of features in it, a quarter GB each at 32 channels


@dataclass(frozen=True, eq=False)
class Examples:
    """Graphs with standardised labels and a weight for each member and record."""

    graphs: PackedGraphs
    """n graphs."""
    labels: np.ndarray
    """Standardised labels, shape (n, T); NaN where a record lacks one."""
    weights: np.ndarray
    """How often each member sees each record, shape (S, n)."""


class GraphTask(Task[np.ndarray]):
    """Members learn examples by a likelihood, each record once per epoch.

    Args:
        network: all S members.
        data: what to learn.
        epochs: passes over it.
        batch_size: crystals in a step.
        seed: of the order of the records.
        loss: what is minimised (:mod:`surrogates.losses`).
        precision: of the products, on a CUDA card.
        held_out: graphs and standardised labels (m,) of the first target for early
            stopping; no gradient.
    """

    def __init__(
        self,
        network: CrystalNetwork,
        data: Examples,
        *,
        epochs: int,
        batch_size: int,
        seed: int,
        loss: LossName = "beta_nll",
        precision: Precision = "float32",
        held_out: tuple[PackedGraphs, np.ndarray] | None = None,
    ) -> None:
        members, n = data.weights.shape
        self.per_epoch = math.ceil(n / batch_size)
        super().__init__([network], members, self.per_epoch * epochs)
        self.network, self.data, self.held_out = network, data, held_out
        self.settings = seed, batch_size, loss, precision
        self.judged = held_out is not None

    @override
    def batches(self, epoch: int) -> Iterator[np.ndarray]:
        """Return sorted rows: a new order of the records for every epoch."""
        self.network.train()
        n = self.data.weights.shape[1]
        order = np.random.default_rng([self.settings[0], epoch + 1]).permutation(n)
        return (np.sort(rows) for rows in np.array_split(order, self.per_epoch))

    @override
    def loss(self, batch: np.ndarray) -> Tensor:
        """Return the loss of the records at these rows."""
        data, (_, _, loss, precision) = self.data, self.settings
        device = self.parameters[0].device
        graphs = GraphBatch.of(data.graphs.take(batch), self.members, device)
        known = np.isfinite(data.labels[batch])  # [g, T]
        seen = data.weights[:, batch, None] * known  # [S, g, T]
        labels = torch.from_numpy(
            np.where(known, data.labels[batch], 0.0).astype(np.float32)
        ).to(device)
        weights = torch.from_numpy(seen.astype(np.float32)).to(device)
        with products_in(precision, device):
            mean, log_variance = self.network(graphs)
        return LOSSES[loss](mean.float(), log_variance.float(), labels, weights)

    @override
    def judge(self) -> float:
        """Return the mean absolute error of the members' mean, first target."""
        assert self.held_out is not None
        graphs, labels = self.held_out
        mean, _ = evaluate(self.network, graphs, self.members)
        return float(np.abs(mean[..., 0].mean(axis=0) - labels).mean())

    @override
    def facts(self) -> tuple[object, Iterator[np.ndarray]]:
        """Return settings, graphs, labels and weights."""
        return self.settings, self._arrays()

    def _arrays(self) -> Iterator[np.ndarray]:
        yield from (self.data.labels, self.data.weights)
        graphs = [self.data.graphs]
        if self.held_out is not None:
            graphs.append(self.held_out[0])
            yield self.held_out[1]
        for pack in graphs:
            yield from (a for a in vars(pack).values() if isinstance(a, np.ndarray))


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
