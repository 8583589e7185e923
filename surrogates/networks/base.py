"""CrystalNetwork: the frame that all architectures share.

Atoms and distances come in, blocks of the paper's own kind follow, and one head reads a
mean and a variance for every target. An architecture says what its blocks are and how
node features flow through them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from surrogates.networks.layers import Atoms, Distances, MeanVarianceHead
from surrogates.networks.segments import GraphBatch


@dataclass(frozen=True, eq=False)
class Shape:
    """Sizes of a network, and where its first weights come from."""

    members: int
    """S, networks in one."""
    width: int
    """F, channels of nodes and edges."""
    blocks: int
    """Rounds of message passing."""
    bins: int
    """Distance Gaussians of each kind."""
    cutoff: float
    """Last distance Gaussian, Å."""
    bonds: float
    """Typical number of neighbours; divides the sums."""
    targets: int
    """T, quantities predicted at once."""
    generator: torch.Generator
    """Source of the initial weights."""


class CrystalNetwork(nn.Module):
    """Base of all architectures.

    A subclass makes its own first layers, calls :meth:`finish` with a maker of blocks,
    and says in :meth:`nodes` how features flow.

    Args:
        shape: all sizes.
    """

    angles: ClassVar[bool] = False
    """Whether it makes a row of features of every angle between two bonds."""
    blocks: nn.ModuleList
    head: MeanVarianceHead

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.atoms = Atoms(shape.members, shape.width, shape.generator)
        self.distances = Distances(shape.bins, shape.cutoff)

    def finish(self, shape: Shape, block: Callable[[], nn.Module]) -> None:
        """Make the blocks and the head, in this order."""
        self.blocks = nn.ModuleList(block() for _ in range(shape.blocks))
        self.head = MeanVarianceHead(
            shape.members, shape.width, shape.generator, targets=shape.targets
        )

    @abstractmethod
    def nodes(self, batch: GraphBatch) -> Tensor:
        """Return invariant node features after all blocks, [S, n, F]."""

    @override
    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Return mean and log variance in standardised units, each [S, g, T]."""
        mean, log_variance = self.head(self.nodes(batch), batch)
        return mean, log_variance
