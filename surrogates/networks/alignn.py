"""Atomistic line graph network: bonds hear of the angles they make.

Choudhary and DeCost: Atomistic Line Graph Neural Network for improved materials
property predictions. npj Computational Materials 7, 185 (2021). Each block passes
messages among bonds that share an atom, with the cosine of their angle as the edge
feature, and then among atoms with the bonds as edges; both by the same edge-gated
convolution.

Differences from the paper: two bonds meet at the atom that receives both, so a
nearest-neighbour list need not hold every bond in both directions and the asymmetric
unit is exact; a bond counts as much as its smooth membership; sums are divided by one
plus the gates' sum, so that nothing jumps when the last neighbour leaves; and there is
no batch normalisation (see :mod:`surrogates.networks.cgcnn`).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from typing_extensions import override

from surrogates.networks.base import CrystalNetwork, Shape
from surrogates.networks.corners import Corners
from surrogates.networks.layers import MemberLinear, gaussians
from surrogates.networks.segments import GraphBatch, Segments


class EdgeGated(nn.Module):
    r"""The edge-gated convolution (equations 2 to 4 of the paper).

    .. math::
        y'_{ij} &= y_{ij} + \mathrm{silu}(A x_i + B x_j + C y_{ij}) \\
        x'_i &= x_i + \mathrm{silu}\left(U x_i +
            \frac{\sum_j w_{j} \sigma(y'_{ij}) \odot V x_j}
                 {1 + \sum_j w_{j} \sigma(y'_{ij})}\right)

    Shapes: x [S, n, F], y [S, m, F], w [m]; receivers and senders group the m edges.
    """

    def __init__(self, members: int, width: int, draw: torch.Generator) -> None:
        super().__init__()
        # both maps of a node in one product
        self.receiver = MemberLinear(members, width, 2 * width, draw)
        self.sender = MemberLinear(members, width, 2 * width, draw)
        self.edge = MemberLinear(members, width, width, draw)

    @override
    def forward(
        self,
        x: Tensor,
        y: Tensor,
        receivers: Segments,
        senders: Segments,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        near, own = self.receiver(x).chunk(2, dim=-1)  # [S, n, F]
        far, said = senders.gather(self.sender(x)).chunk(2, dim=-1)  # [S, m, F]
        y = y + silu(receivers.gather(near.contiguous()) + far + self.edge(y))
        gate = torch.sigmoid(y)
        both = receivers.sum(torch.cat([gate * said, gate], dim=-1), weight)
        message, total = both.chunk(2, dim=-1)  # [S, n, F]
        return x + silu(own + message / (1.0 + total)), y


class ALIGNNBlock(nn.Module):
    """One convolution on the line graph, one on the graph."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.line = EdgeGated(shape.members, shape.width, shape.generator)
        self.atom = EdgeGated(shape.members, shape.width, shape.generator)

    @override
    def forward(
        self, h: Tensor, e: Tensor, t: Tensor, batch: GraphBatch, corners: Corners
    ) -> tuple[Tensor, Tensor, Tensor]:
        e, t = self.line(e, t, corners.of, corners.other, corners.weight)
        h, e = self.atom(h, e, batch.receivers, batch.senders, batch.weight)
        return h, e, t


class ALIGNN(CrystalNetwork):
    """The network for S members; needs graphs with bond vectors.

    Args:
        shape: all sizes.
        plain_blocks: convolutions on the graph alone, after the blocks.
        angle_bins: Gaussians of the cosine of an angle.
    """

    angles: ClassVar[bool] = True
    cosines: Tensor

    def __init__(self, shape: Shape, *, plain_blocks: int, angle_bins: int) -> None:
        super().__init__(shape)
        members, width, draw = shape.members, shape.width, shape.generator
        self.register_buffer("cosines", torch.linspace(-1.0, 1.0, angle_bins))
        # few Gaussians of a value are not zero; their squares sum to √π a kind
        bonds, angles = (
            math.sqrt(n / math.sqrt(math.pi)) for n in (shape.bins, angle_bins)
        )
        self.bond = MemberLinear(members, self.distances.width, width, draw, gain=bonds)
        self.angle = MemberLinear(members, angle_bins, width, draw, gain=angles)
        self.plain = nn.ModuleList(
            EdgeGated(members, width, draw) for _ in range(plain_blocks)
        )
        self.finish(shape, lambda: ALIGNNBlock(shape))

    @override
    def nodes(self, batch: GraphBatch) -> Tensor:
        """Return node features after all blocks, [S, n, F]."""
        corners = Corners.between(batch, len(self.atoms.own))
        h: Tensor = self.atoms(batch.numbers)  # [S, n, F]
        e = silu(self.bond(self.distances(batch)))  # [S, edges, F]
        t = silu(self.angle(gaussians(corners.cosine, self.cosines)[None]))
        for block in self.blocks:
            h, e, t = block(h, e, t, batch, corners)  # t [S, corners, F]
        for plain in self.plain:
            h, e = plain(h, e, batch.receivers, batch.senders, batch.weight)
        return h
