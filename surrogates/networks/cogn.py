"""Edge-updating crystal graph network on nearest-neighbour graphs ("coGN-lite").

Ruff, Reiser, Stühmer, Friederich: Connectivity optimized nested line graph networks for
crystal structures. Digital Discovery 3, 594 (2024), doi 10.1039/D4DD00018H. As there,
edges carry a state that every block updates, messages are the edge states, and the
readout is a mean. Smaller than there, and by default on graphs of merged equivalent
atoms (:mod:`surrogates.graphs`) in place of the asymmetric unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from typing_extensions import override

from surrogates.networks.base import CrystalNetwork, Shape
from surrogates.networks.layers import SILU_GAIN, MemberLinear, MemberPassing
from surrogates.networks.segments import GraphBatch


class CoGNBlock(MemberPassing):
    r"""One update of edges, then of nodes.

    .. math::
        e'_{ij} &= e_{ij} + D\,\mathrm{silu}(\ldots\mathrm{silu}(A h_i + B h_j
                   + C e_{ij})) \\
        h'_i &= h_i + V\,\mathrm{silu}(U [h_i, \tfrac1k \sum_j w_{ij} e'_{ij}])

    Shapes: h [S, n, F], e [S, edges, F].
    """

    def __init__(self, shape: Shape, edge_layers: int) -> None:
        super().__init__()
        members, width, generator = shape.members, shape.width, shape.generator
        self.bonds = shape.bonds
        self.receiver = MemberLinear(members, width, width, generator)
        self.sender = MemberLinear(members, width, width, generator)
        self.edge = MemberLinear(members, width, width, generator)
        self.edge_inner = nn.ModuleList(
            MemberLinear(members, width, width, generator, gain=SILU_GAIN)
            for _ in range(edge_layers - 2)
        )
        self.edge_out = MemberLinear(members, width, width, generator, gain=0.7)
        self.node = MemberLinear(members, 2 * width, width, generator)
        self.node_out = MemberLinear(members, width, width, generator, gain=0.7)

    @override
    def forward(self, h: Tensor, e: Tensor, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        near = batch.receivers.gather(self.receiver(h))  # [S, edges, F]
        far = batch.senders.gather(self.sender(h))  # [S, edges, F]
        inner = silu(near + far + self.edge(e))  # [S, edges, F]
        for layer in self.edge_inner:
            inner = silu(layer(inner))
        e = e + self.edge_out(inner)
        summed = self.pass_messages(batch, edge=e) / self.bonds  # [S, n, F]
        update = self.node(torch.cat([h, summed], dim=-1))
        return h + self.node_out(silu(update)), e

    @override
    def message(self, edge: Tensor) -> Tensor:
        return edge


class CoGN(CrystalNetwork):
    """The network for S members.

    Args:
        shape: all sizes.
        edge_layers: layers of each block's edge map, 2 or more.
    """

    def __init__(self, shape: Shape, *, edge_layers: int) -> None:
        super().__init__(shape)
        self.bond = MemberLinear(
            shape.members, self.distances.width, shape.width, shape.generator
        )
        self.finish(shape, lambda: CoGNBlock(shape, edge_layers))

    @override
    def nodes(self, batch: GraphBatch) -> Tensor:
        """Return node features after all blocks, [S, n, F]."""
        h: Tensor = self.atoms(batch.numbers)  # [S, n, F]
        e = silu(self.bond(self.distances(batch)))  # [S, edges, F]
        for block in self.blocks:
            h, e = block(h, e, batch)
        return h
