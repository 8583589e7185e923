"""What a configuration may ask for. Importing this file does not import torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.tabular.recipes import (
    DeepKernelRecipe,
    GaussianProcessRecipe,
    LastLayerRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
)

__all__ = [
    "AnySurrogate",
    "DeepKernelRecipe",
    "GaussianProcessRecipe",
    "LastLayerRecipe",
    "NetworkEnsembleRecipe",
    "RandomForestRecipe",
    "ZeroShotRecipe",
]

AnySurrogate = Annotated[
    NetworkEnsembleRecipe
    | GaussianProcessRecipe
    | RandomForestRecipe
    | ZeroShotRecipe
    | LastLayerRecipe
    | DeepKernelRecipe,
    Field(discriminator="kind"),
]
"""Any surrogate block of a configuration, chosen by its ``kind``."""
