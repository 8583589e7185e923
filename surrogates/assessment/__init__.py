"""The independent test battery: any surrogate, potential or table of predictions.

Start at :func:`surrogates.assessment.battery.assess`; ``matdisco surrogate assess`` is
the same from the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surrogates.assessment.battery import assess
    from surrogates.assessment.card import Card
    from surrogates.assessment.doors import open_subject
    from surrogates.assessment.predictions import read_predictions
    from surrogates.assessment.suite import SuiteRecipe

__all__ = ["Card", "SuiteRecipe", "assess", "open_subject", "read_predictions"]

_HOMES = {
    "Card": "card",
    "SuiteRecipe": "suite",
    "assess": "battery",
    "open_subject": "doors",
    "read_predictions": "predictions",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        home = import_module(f"surrogates.assessment.{_HOMES[name]}")
        return getattr(home, name)
    raise AttributeError(f"module 'surrogates.assessment' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
