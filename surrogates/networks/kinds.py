"""The network architectures a configuration may choose. Does not import torch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from surrogates.networks.base import CrystalNetwork, Shape

GraphForm = Literal["merged", "asymmetric_unit", "full"]
"""What a graph keeps of a cell (:mod:`surrogates.graphs`): atoms that are alike to a
network once, atoms that a symmetry operation maps onto each other once, or every atom.
"""


class NetworkRecipe(Recipe):
    """What all architectures have in common."""

    forms: ClassVar[tuple[GraphForm, ...]] = ("merged", "asymmetric_unit", "full")
    """Graphs on which the network is exact; the first is the default."""

    width: int = Field(32, ge=4, le=512)
    """Channels of each node and edge."""
    blocks: int = Field(3, ge=1, le=8)
    """Rounds of message passing; each widens what an atom feels by one shell."""
    distance_bins: int = Field(24, ge=4, le=128)
    """Gaussians per kind of distance (absolute and relative to atomic radii)."""

    def build(
        self,
        *,
        members: int,
        cutoff: float,
        bonds: float,
        generator: torch.Generator,
        targets: int = 1,
    ) -> CrystalNetwork:
        """Return the network with fresh weights.

        Args:
            members: networks in one.
            cutoff: last distance Gaussian, Å.
            bonds: typical number of neighbours; divides the sums.
            generator: source of the initial weights.
            targets: quantities predicted at once.
        """
        from surrogates.networks.base import Shape

        return self._network(
            Shape(
                members, self.width, self.blocks, self.distance_bins, cutoff, bonds,
                targets, generator,
            )
        )  # fmt: skip

    @abstractmethod
    def _network(self, shape: Shape) -> CrystalNetwork:
        """Return the architecture in this shape."""


class CoGNRecipe(NetworkRecipe):
    """Edge-updating network on nearest-neighbour graphs (Ruff et al. 2024)."""

    kind: Literal["cogn"] = "cogn"
    """Selects this network."""
    edge_layers: int = Field(2, ge=2, le=8)
    """Layers of the map that updates an edge; the paper has 5."""

    @override
    def _network(self, shape: Shape) -> CrystalNetwork:
        from surrogates.networks.cogn import CoGN

        return CoGN(shape, edge_layers=self.edge_layers)


class CGCNNRecipe(NetworkRecipe):
    """Crystal graph convolutional network (Xie and Grossman 2018)."""

    kind: Literal["cgcnn"] = "cgcnn"
    """Selects this network."""

    @override
    def _network(self, shape: Shape) -> CrystalNetwork:
        from surrogates.networks.cgcnn import CGCNN

        return CGCNN(shape)


class PaiNNRecipe(NetworkRecipe):
    """Equivariant network with vector features (Schütt et al. 2021)."""

    forms: ClassVar[tuple[GraphForm, ...]] = ("full",)

    kind: Literal["painn"] = "painn"
    """Selects this network."""

    @override
    def _network(self, shape: Shape) -> CrystalNetwork:
        from surrogates.networks.painn import PaiNN

        return PaiNN(shape)


class ALIGNNRecipe(NetworkRecipe):
    """Line-graph network that sees bond angles (Choudhary and DeCost 2021)."""

    forms: ClassVar[tuple[GraphForm, ...]] = ("asymmetric_unit", "full")

    kind: Literal["alignn"] = "alignn"
    """Selects this network."""
    blocks: int = Field(2, ge=1, le=8)
    """Rounds on the line graph and then on the graph; the paper has 4."""
    plain_blocks: int = Field(2, ge=0, le=8)
    """Rounds on the graph alone that follow; the paper has 4."""
    angle_bins: int = Field(16, ge=4, le=128)
    """Gaussians of the cosine of an angle."""

    @override
    def _network(self, shape: Shape) -> CrystalNetwork:
        from surrogates.networks.alignn import ALIGNN

        return ALIGNN(shape, plain_blocks=self.plain_blocks, angle_bins=self.angle_bins)


AnyNetwork = Annotated[
    CoGNRecipe | CGCNNRecipe | PaiNNRecipe | ALIGNNRecipe, Field(discriminator="kind")
]
"""Any architecture, chosen by its ``kind``."""
