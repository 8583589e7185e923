"""surrogates: networks and other learners that stand in for an evaluator.

Public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surrogates.base import FitReport, Prediction, Surrogate
    from surrogates.checkpoint import load
    from surrogates.networks.recipes import NetworkEnsembleRecipe
    from surrogates.recipes import (
        AnySurrogate,
        DeepKernelRecipe,
        GaussianProcessRecipe,
        LastLayerRecipe,
        RandomForestRecipe,
        ZeroShotRecipe,
    )

__all__ = [
    "AnySurrogate",
    "DeepKernelRecipe",
    "FitReport",
    "GaussianProcessRecipe",
    "LastLayerRecipe",
    "NetworkEnsembleRecipe",
    "Prediction",
    "RandomForestRecipe",
    "Surrogate",
    "ZeroShotRecipe",
    "load",
]

_HOMES = {
    "AnySurrogate": "surrogates.recipes",
    "DeepKernelRecipe": "surrogates.recipes",
    "FitReport": "surrogates.base",
    "GaussianProcessRecipe": "surrogates.recipes",
    "LastLayerRecipe": "surrogates.recipes",
    "NetworkEnsembleRecipe": "surrogates.networks.recipes",
    "Prediction": "surrogates.base",
    "RandomForestRecipe": "surrogates.recipes",
    "Surrogate": "surrogates.base",
    "ZeroShotRecipe": "surrogates.recipes",
    "load": "surrogates.checkpoint",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'surrogates' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
