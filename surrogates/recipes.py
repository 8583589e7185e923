"""What a configuration may ask for. Importing this file does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from matdisco.recipe import Recipe
from surrogates.networks.recipes import NetworkEnsembleRecipe

if TYPE_CHECKING:
    from surrogates.base import Surrogate


class GaussianProcessRecipe(Recipe):
    """Exact Gaussian process, isotropic Matérn-5/2 on standardised features."""

    unhashed: ClassVar[frozenset[str]] = frozenset({"threads"})

    kind: Literal["gaussian_process"] = "gaussian_process"
    """Selects this surrogate."""
    features: Literal["composition", "chgnet"] = "composition"
    """Site-averaged elemental properties, or frozen latents of CHGNet (needs the extra
    ``chgnet``; leaks if CHGNet is also the simulator)."""
    max_records: int = Field(4000, ge=2, le=10_000)
    """More labelled records than this are refused: cost grows with the cube."""
    calibration_prior: float = Field(20.0, ge=0)
    """Records that a scale of 1 counts for against leave-one-out errors."""
    threads: int = Field(2, ge=1)
    """Torch threads of the latents; does not change the Gaussian process."""

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; it has no randomness and keeps no files."""
        from surrogates.gaussian_process import GaussianProcess

        return GaussianProcess(self)


class RandomForestRecipe(Recipe):
    """Random forest on composition features, the honest baseline (Breiman 2001)."""

    unhashed: ClassVar[frozenset[str]] = frozenset({"threads"})

    kind: Literal["random_forest"] = "random_forest"
    """Selects this surrogate."""
    features: Literal["composition", "chgnet"] = "composition"
    """As for the Gaussian process."""
    trees: int = Field(200, ge=10, le=5000)
    """Trees; their spread is the uncertainty."""
    min_leaf: int = Field(1, ge=1)
    """Least records in a leaf."""
    max_features: float = Field(0.5, gt=0, le=1)
    """Fraction of the features that each split may use."""
    calibration_prior: float = Field(20.0, ge=0)
    """Records that the raw tree spread counts for against out-of-bag errors."""
    threads: int = Field(2, ge=1)
    """Processes' worth of threads in scikit-learn; does not change the result."""

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; it keeps no files."""
        from surrogates.random_forest import RandomForest

        return RandomForest(self, seed)


AnySurrogate = Annotated[
    NetworkEnsembleRecipe | GaussianProcessRecipe | RandomForestRecipe,
    Field(discriminator="kind"),
]
"""Any surrogate block of a configuration, chosen by its ``kind``."""
