"""Crystal graph convolutional network.

Xie and Grossman: Crystal Graph Convolutional Neural Networks for an Accurate and
Interpretable Prediction of Material Properties. Phys. Rev. Lett. 120, 145301 (2018).
Gated sums over neighbours; edges keep their distance features and are not updated.
Batch normalisation is left out: it would make a crystal's prediction depend on its
batch during training, and the gates are kept in range by the initial weights instead.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus
from typing_extensions import override

from surrogates.networks.base import CrystalNetwork, Shape
from surrogates.networks.layers import MemberLinear, MemberPassing
from surrogates.networks.segments import GraphBatch


class CGCNNBlock(MemberPassing):
    r"""One convolution (equation 5 of the paper).

    .. math::
        h'_i = h_i + \tfrac1k \sum_j w_{ij}\,
               \sigma(z_{ij} W_f) \odot \mathrm{softplus}(z_{ij} W_s),
        \quad z_{ij} = [h_i, h_j, u_{ij}]

    Shapes: h [S, n, F], u [1, edges, R]. The product with z is split in three, so that
    nodes are multiplied before they are copied to edges.
    """

    def __init__(self, shape: Shape, distances: int) -> None:
        super().__init__()
        members, width, generator = shape.members, shape.width, shape.generator
        self.bonds = shape.bonds
        self.receiver = MemberLinear(members, width, 2 * width, generator, gain=0.5)
        self.sender = MemberLinear(members, width, 2 * width, generator, gain=0.5)
        self.edge = MemberLinear(members, distances, 2 * width, generator)

    @override
    def forward(self, h: Tensor, u: Tensor, batch: GraphBatch) -> Tensor:
        near = batch.receivers.gather(self.receiver(h))  # [S, edges, 2F]
        far = batch.senders.gather(self.sender(h))  # [S, edges, 2F]
        z = near + far + self.edge(u)  # [S, edges, 2F]
        return h + self.pass_messages(batch, z=z) / self.bonds

    @override
    def message(self, z: Tensor) -> Tensor:
        gate, core = z.chunk(2, dim=-1)
        return torch.sigmoid(gate) * softplus(core)


class CGCNN(CrystalNetwork):
    """The network for S members.

    Args:
        shape: all sizes.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.finish(shape, lambda: CGCNNBlock(shape, self.distances.width))

    @override
    def nodes(self, batch: GraphBatch) -> Tensor:
        """Return node features after all blocks, [S, n, F]."""
        h: Tensor = self.atoms(batch.numbers)  # [S, n, F]
        u = self.distances(batch)  # [1, edges, R]
        for block in self.blocks:
            h = block(h, u, batch)
        return h
