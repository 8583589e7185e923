"""Polarizable atom interaction network: vectors that turn with the crystal.

Schütt, Unke and Gastegger: Equivariant message passing for the prediction of tensorial
properties and molecular spectra. ICML 2021, arXiv:2102.03150. Every atom carries
scalars and as many vectors; vectors are only added, scaled by scalars and combined
linearly, so a rotation of the crystal rotates them and leaves the scalars alone. Bond
angles and the handedness-free shape of a neighbourhood reach the scalars through dot
products, with edges only.

Differences from the paper: Gaussians of the distance and of the distance over the
atomic radii in place of sine waves, and sums divided by a typical number of neighbours,
as in the other networks here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from typing_extensions import override

from surrogates.networks.base import CrystalNetwork, Shape
from surrogates.networks.layers import SILU_GAIN, MemberLinear
from surrogates.networks.segments import GraphBatch

_TINY = 1e-6
"""Under the root of a squared length, which has no slope at zero without it: far below
the square of any length that carries information."""


class PaiNNMessage(nn.Module):
    r"""What neighbours say (equations 7 and 8 of the paper).

    .. math::
        \Delta s_i &= \tfrac1k \sum_j w_{ij}\, \phi_s(s_j) \odot W_s(d_{ij}) \\
        \Delta v_i &= \tfrac1k \sum_j w_{ij} \left( v_j \odot \phi_{vv}(s_j) \odot
            W_{vv}(d_{ij}) + \phi_{vs}(s_j) \odot W_{vs}(d_{ij})\, \hat r_{ij} \right)

    Shapes: s [S, n, F], v [S, n, 3, F], u [1, edges, R], toward [edges, 3].
    """

    def __init__(self, shape: Shape, distances: int) -> None:
        super().__init__()
        s, f, draw = shape.members, shape.width, shape.generator
        self.bonds = shape.bonds
        self.inner = MemberLinear(s, f, f, draw)
        self.sender = MemberLinear(s, f, 3 * f, draw, gain=SILU_GAIN)
        self.filter = MemberLinear(s, distances, 3 * f, draw)

    @override
    def forward(
        self, s: Tensor, v: Tensor, u: Tensor, toward: Tensor, batch: GraphBatch
    ) -> tuple[Tensor, Tensor]:
        members, n, width = s.shape
        said = self.sender(silu(self.inner(s)))  # [S, n, 3F]
        heard = batch.senders.gather(torch.cat([said, v.flatten(2)], dim=-1))
        phi, far = heard.chunk(2, dim=-1)  # [S, edges, 3F] each
        scalar, scaled, along = (phi * self.filter(u)).chunk(3, dim=-1)
        far = far.view(members, -1, 3, width)  # [S, edges, 3, F]
        vector = far * scaled[:, :, None] + toward[None, :, :, None] * along[:, :, None]
        both = torch.cat([scalar, vector.flatten(2)], dim=-1)  # [S, edges, 4F]
        summed = batch.receivers.sum(both, batch.weight) / self.bonds  # [S, n, 4F]
        by_four = summed.view(members, n, 4, width)
        return s + by_four[:, :, 0], v + by_four[:, :, 1:]


class PaiNNUpdate(nn.Module):
    r"""What an atom makes of it (equations 9 and 10 of the paper).

    .. math::
        \Delta s &= a_{ss} + a_{sv} \odot \langle U v, V v \rangle \\
        \Delta v &= a_{vv} \odot U v, \quad a = a(s, \lVert V v \rVert)
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s, f, draw = shape.members, shape.width, shape.generator
        # no constant vector may be added: it would not turn with the crystal
        self.mix = MemberLinear(s, f, 2 * f, draw, bias=False)
        self.inner = MemberLinear(s, 2 * f, f, draw)
        self.out = MemberLinear(s, f, 3 * f, draw, gain=0.7)

    @override
    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        members, n, _, width = v.shape
        mixed = self.mix(v.view(members, 3 * n, width)).view(members, n, 3, 2 * width)
        one, two = mixed.chunk(2, dim=-1)  # U v and V v, [S, n, 3, F]
        length = (two.square().sum(dim=2) + _TINY).sqrt()  # [S, n, F]
        a = self.out(silu(self.inner(torch.cat([s, length], dim=-1))))
        keep, turn, scale = a.chunk(3, dim=-1)  # [S, n, F] each
        return s + keep + turn * (one * two).sum(dim=2), v + scale[:, :, None] * one


class PaiNNBlock(nn.Module):
    """A message, then an update."""

    def __init__(self, shape: Shape, distances: int) -> None:
        super().__init__()
        self.message = PaiNNMessage(shape, distances)
        self.update = PaiNNUpdate(shape)

    @override
    def forward(
        self, s: Tensor, v: Tensor, u: Tensor, toward: Tensor, batch: GraphBatch
    ) -> tuple[Tensor, Tensor]:
        scalars, vectors = self.update(*self.message(s, v, u, toward, batch))
        return scalars, vectors


class PaiNN(CrystalNetwork):
    """The network for S members; needs graphs with bond vectors of every atom.

    Args:
        shape: all sizes.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.finish(shape, lambda: PaiNNBlock(shape, self.distances.width))

    @override
    def nodes(self, batch: GraphBatch) -> Tensor:
        """Return the scalars after all blocks, [S, n, F]."""
        s: Tensor = self.atoms(batch.numbers)  # [S, n, F]
        v = s.new_zeros(*s.shape[:2], 3, s.shape[2])  # [S, n, 3, F]
        u = self.distances(batch)  # [1, edges, R]
        toward = batch.bonds() / batch.distance[:, None]  # [edges, 3]
        for block in self.blocks:
            s, v = block(s, v, u, toward, batch)
        return s
