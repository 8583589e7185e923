"""Gather and segment sum over sorted edges, with fast backward passes on the CPU.

Measured on 2 threads for 8 members, 1,200 edges, 32 channels: the segment sum as an
embedding bag takes 29 μs, ``index_add_`` 161 μs, ``scatter_add_`` 215 μs and
``segment_reduce`` 349 μs; the backward pass of a gather is the same sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from typing_extensions import override

from matdisco.errors import SurrogateError
from surrogates.graphs import PackedGraphs


@dataclass(frozen=True, eq=False)
class Segments:
    """Rows grouped into segments, for S members stacked along the first axis."""

    order: Tensor
    """Row ids of all members, segment by segment, shape (S * rows,)."""
    ends: Tensor
    """Where each segment starts, and the end, shape (S * segments + 1,)."""
    index: Tensor
    """Segment of each row, shape (rows,)."""
    n_segments: int
    """Number of segments per member."""

    @classmethod
    def of(
        cls,
        index: np.ndarray,
        n_segments: int,
        members: int,
        device: torch.device | str = "cpu",
    ) -> Segments:
        """Group rows by ``index`` (shape (rows,), any order)."""
        n = len(index)
        order = np.argsort(index, kind="stable")
        starts = np.searchsorted(index[order], np.arange(n_segments))
        member = np.arange(members)[:, None]
        ends = np.append((starts[None] + n * member).reshape(-1), n * members)
        return cls(
            torch.from_numpy((order[None] + n * member).reshape(-1)).to(device),
            torch.from_numpy(ends).to(device),
            torch.from_numpy(index).to(device),
            n_segments,
        )

    def sum(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Sum ``values`` [S, rows, F] times ``weights`` [rows]: [S, segments, F]."""
        result: Tensor = _SegmentSum.apply(values, weights, self)  # type: ignore[no-untyped-call]
        return result

    def gather(self, values: Tensor) -> Tensor:
        """Copy ``values`` [S, segments, F] to the rows, [S, rows, F]."""
        result: Tensor = _Gather.apply(values, self)  # type: ignore[no-untyped-call]
        return result


def _bag(values: Tensor, weights: Tensor | None, segments: Segments) -> Tensor:
    members, _, width = values.shape
    # sums are in float32, also of bfloat16 messages under mixed precision
    flat = values.reshape(-1, width).float()
    bag_weights = (
        None
        if weights is None
        else weights.repeat(members)[segments.order].contiguous()
    )
    summed = embedding_bag(
        segments.order,
        flat,
        segments.ends,
        mode="sum",
        per_sample_weights=bag_weights,
        include_last_offset=True,
    )
    return summed.view(members, segments.n_segments, width)


class _SegmentSum(torch.autograd.Function):
    @staticmethod
    @override
    def forward(
        ctx: Any, values: Tensor, weights: Tensor | None, segments: Segments
    ) -> Tensor:
        ctx.segments, ctx.weights, ctx.dtype = segments, weights, values.dtype
        return _bag(values, weights, segments)

    @staticmethod
    @override
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad = grads[0].index_select(1, ctx.segments.index)
        if ctx.weights is not None:
            grad = grad.mul_(ctx.weights[None, :, None])
        return grad.to(ctx.dtype), None, None


class _Gather(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, values: Tensor, segments: Segments) -> Tensor:
        ctx.segments, ctx.dtype = segments, values.dtype
        return values.index_select(1, segments.index)

    @staticmethod
    @override
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = _bag(grads[0].contiguous(), None, ctx.segments)
        return grad.to(ctx.dtype), None


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """What a network reads: n nodes, e edges, g graphs, for S members at once."""

    numbers: Tensor
    """Atomic numbers, shape (n,)."""
    distance: Tensor
    """Å, shape (e,)."""
    weight: Tensor
    """Bond multiplicity times smooth membership, shape (e,)."""
    share: Tensor
    """Fraction of the crystal's atoms, shape (n,); sums to 1 over a graph."""
    senders: Segments
    """Edges by sending node."""
    receivers: Segments
    """Edges by receiving node."""
    graphs: Segments
    """Nodes by graph."""
    vector: Tensor | None = None
    """From receiver to sender, Å, shape (e, 3); None where edges have no direction."""

    @classmethod
    def of(
        cls, pack: PackedGraphs, members: int, device: torch.device | str = "cpu"
    ) -> GraphBatch:
        """Turn packed graphs into tensors on ``device``."""
        n = len(pack.numbers)
        owner = np.repeat(np.arange(len(pack)), np.diff(pack.node_offsets))
        first = np.repeat(pack.node_offsets[:-1], np.diff(pack.edge_offsets))
        return cls(
            torch.from_numpy(pack.numbers).to(device),
            torch.from_numpy(pack.distance).to(device),
            torch.from_numpy(pack.weight).to(device),
            torch.from_numpy(pack.share).to(device),
            Segments.of(pack.source + first, n, members, device),
            Segments.of(pack.target + first, n, members, device),
            Segments.of(owner, len(pack), members, device),
            None if pack.vector is None else torch.from_numpy(pack.vector).to(device),
        )

    def bonds(self) -> Tensor:
        """Return the bond vectors, shape (e, 3).

        Raises:
            SurrogateError: these graphs merged bonds of several directions.
        """
        if self.vector is None:
            raise SurrogateError(
                "this network needs bond vectors, but its graphs are merged; expected "
                "graphs: full or asymmetric_unit"
            )
        return self.vector

    @property
    def edge_index(self) -> Tensor:
        """PyG's (2, e) pairs, sender first."""
        return torch.stack([self.senders.index, self.receivers.index])
