"""Corners: all ordered pairs of bonds that one atom receives, with their angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from surrogates.graphs import PackedGraphs
from surrogates.networks.segments import GraphBatch, Segments


@dataclass(frozen=True, eq=False)
class Corners:
    """c corners of a batch; the line graph's edges."""

    of: Segments
    """Corners by the bond they tell something."""
    other: Segments
    """Corners by the bond they tell it about."""
    weight: Tensor
    """Smooth membership of the other bond, shape (c,)."""
    cosine: Tensor
    """Cosine of the angle between the two bonds, shape (c,)."""

    @classmethod
    def between(cls, batch: GraphBatch, members: int) -> Corners:
        """List the corners of ``batch``, whose edges are sorted by receiver."""
        device = batch.distance.device
        of, other = pairs(batch.receivers.index.cpu().numpy())
        count = len(batch.distance)
        unit = batch.bonds() / batch.distance[:, None]
        made = (
            Segments.of(of, count, members, device),
            Segments.of(other, count, members, device),
        )
        cosine = (unit[made[0].index] * unit[made[1].index]).sum(dim=1)
        return cls(*made, batch.weight[made[1].index], cosine.clamp(-1.0, 1.0))


def pairs(receiver: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every ordered pair of different edges with the same receiver.

    Args:
        receiver: of each edge, ascending, shape (e,).

    >>> [x.tolist() for x in pairs(np.array([0, 0, 1, 2, 2]))]
    [[0, 1, 3, 4], [1, 0, 4, 3]]
    """
    first = np.searchsorted(receiver, receiver)
    degree = np.searchsorted(receiver, receiver, side="right") - first
    of = np.repeat(np.arange(len(receiver)), degree)
    rank = np.arange(len(of)) - np.repeat(np.cumsum(degree) - degree, degree)
    other = first[of] + rank
    apart = of != other
    return of[apart], other[apart]


def count(graphs: PackedGraphs) -> np.ndarray:
    """Return how many corners each graph has, shape (g,)."""
    first = np.repeat(graphs.node_offsets[:-1], np.diff(graphs.edge_offsets))
    degree = np.bincount(graphs.target + first, minlength=len(graphs.numbers))
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(degree * (degree - 1))])
    number: np.ndarray = np.diff(total[graphs.node_offsets])
    return number
