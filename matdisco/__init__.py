"""matdisco: crystals, data and physics (the bottom layer of the workbench).

Public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matdisco.crystal import Crystal, Label
    from matdisco.data.dataset import Dataset
    from matdisco.errors import MatdiscoError
    from matdisco.evaluators.base import Evaluation
    from matdisco.properties import Property
    from matdisco.thermo import Hull

__version__ = "0.1.0"

__all__ = [
    "Crystal",
    "Dataset",
    "Evaluation",
    "Hull",
    "Label",
    "MatdiscoError",
    "Property",
]

_HOMES = {
    "Crystal": "matdisco.crystal",
    "Dataset": "matdisco.data.dataset",
    "Evaluation": "matdisco.evaluators.base",
    "Hull": "matdisco.thermo",
    "Label": "matdisco.crystal",
    "MatdiscoError": "matdisco.errors",
    "Property": "matdisco.properties",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'matdisco' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
