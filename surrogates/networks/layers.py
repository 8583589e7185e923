"""Layers that hold the weights of all ensemble members in one tensor.

Members are the first axis, S, of every feature tensor: [S, nodes or edges, F]. One
batched matrix product then serves all members, and an epoch of eight costs little more
than an epoch of one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from typing_extensions import override

from surrogates.featurizers.elements import radii, standard_table
from surrogates.graphs import MAX_Z
from surrogates.networks.segments import GraphBatch, Segments

SILU_GAIN = 1.68
"""Keeps the variance through a deep stack: silu of a unit normal has mean square
0.356, and 1.68 is one over its root."""


class MemberLinear(nn.Module):
    """S affine maps at once: [S, n, inputs] → [S, n, outputs].

    Args:
        members: S.
        inputs: width in.
        outputs: width out.
        generator: source of the initial weights, uniform in ± gain · sqrt(3 / inputs).
        gain: standard deviation of an output for inputs of variance 1.
        bias: whether a constant is added.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        members: int,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        *,
        gain: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        weight = torch.rand(members, inputs, outputs, generator=generator) * 2 - 1
        self.weight = nn.Parameter(weight * (gain * math.sqrt(3 / inputs)))
        zeros = torch.zeros(members, 1, outputs)
        self.register_parameter("bias", nn.Parameter(zeros) if bias else None)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` [S, n, inputs], or [1, n, inputs] that all members share."""
        if x.shape[0] != self.weight.shape[0]:
            x = x.expand(self.weight.shape[0], -1, -1)
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)


class Atoms(nn.Module):
    """Initial node features: a map of elemental properties plus a learnt vector.

    The properties carry over to pairs of elements never seen together; the learnt part
    starts at zero.
    """

    table: Tensor

    def __init__(self, members: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        table = torch.from_numpy(standard_table().copy())
        self.register_buffer("table", table)
        self.map = MemberLinear(members, table.shape[1], width, generator)
        self.own = nn.Parameter(torch.zeros(members, MAX_Z + 1, width))

    @override
    def forward(self, numbers: Tensor) -> Tensor:
        """Return [S, n, F] for atomic numbers [n]."""
        features: Tensor = self.map(self.table[None]) + self.own  # [S, Z, F]
        return features.index_select(1, numbers)


class Distances(nn.Module):
    """Gaussians of the distance and of the distance over the sum of atomic radii.

    The second kind says whether a bond is stretched for its two elements, which is what
    an unrelaxed structure needs. Centres are spaced by one width; values beyond the
    last centre stay on it.
    """

    centres: Tensor
    relative_centres: Tensor
    radius: Tensor

    def __init__(self, bins: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(1.0, cutoff, bins))
        self.register_buffer("relative_centres", torch.linspace(0.5, 2.5, bins))
        self.register_buffer("radius", torch.from_numpy(radii().astype(np.float32)))

    @property
    def width(self) -> int:
        """Number of features."""
        return 2 * len(self.centres)

    @override
    def forward(self, batch: GraphBatch) -> Tensor:
        """Return [1, e, width], the same for all members."""
        radius = self.radius[batch.numbers]
        touching = radius[batch.senders.index] + radius[batch.receivers.index]
        both = [
            gaussians(batch.distance, self.centres),
            gaussians(batch.distance / touching, self.relative_centres),
        ]
        return torch.cat(both, dim=-1)[None]


def gaussians(x: Tensor, centres: Tensor) -> Tensor:
    """Return Gaussians of ``x`` [m] around evenly spaced ``centres`` [b], [m, b]."""
    width = centres[1] - centres[0]
    clamped = x.clamp(max=float(centres[-1]))
    return torch.exp(-0.5 * ((clamped[:, None] - centres) / width) ** 2)


class MemberPassing(MessagePassing):  # type: ignore[misc]
    """PyG message passing with members in front and a fast weighted sum.

    Edge tensors go in already gathered (:meth:`Segments.gather` has the fast backward
    pass), so ``message`` only combines them.
    """

    def __init__(self) -> None:
        super().__init__(aggr="sum", node_dim=-2)

    def pass_messages(self, batch: GraphBatch, **edges: Tensor) -> Tensor:
        """Return [S, n, F]: the bond-weighted sum of ``message(**edges)``."""
        result: Tensor = self.propagate(
            batch.edge_index,
            size=(len(batch.numbers), len(batch.numbers)),
            segments=batch.receivers,
            bonds=batch.weight,
            **edges,
        )
        return result

    @override
    def aggregate(
        self, inputs: Tensor, segments: Segments, bonds: Tensor, **_: Any
    ) -> Tensor:
        return segments.sum(inputs, bonds)


class MeanVarianceHead(nn.Module):
    """Pool nodes to crystals by their share of atoms, then means and log variances.

    The pooled feature is intensive: a supercell gives the same. (Nix and Weigend, IEEE
    ICNN 1994, for the second output.)
    """

    def __init__(
        self,
        members: int,
        width: int,
        generator: torch.Generator,
        *,
        targets: int = 1,
    ) -> None:
        super().__init__()
        self.atom = MemberLinear(members, width, width, generator)
        self.hidden = MemberLinear(members, width, width, generator)
        self.out = MemberLinear(members, 2 * width, 2 * targets, generator, gain=0.3)

    @override
    def forward(self, nodes: Tensor, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        atoms = nn.functional.silu(self.atom(nodes))  # [S, n, F]
        pooled = batch.graphs.sum(atoms, batch.share)  # [S, g, F]
        hidden = nn.functional.silu(self.hidden(pooled))  # [S, g, F]
        out = self.out(torch.cat([pooled, hidden], dim=-1))  # [S, g, 2T]
        mean, log_variance = out.unflatten(-1, (-1, 2)).unbind(dim=-1)  # [S, g, T]
        return mean, log_variance.clamp(-12.0, 6.0)
