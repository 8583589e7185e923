"""Which pretrained base a recipe means, and the one that is kept in a folder."""

from __future__ import annotations

from pathlib import Path

from matdisco.errors import SurrogateError
from matdisco.recipe import digest
from surrogates.checkpoint import read
from surrogates.ensemble_state import State
from surrogates.networks.recipes import NetworkEnsembleRecipe

_NOT_BASE = frozenset(
    {
        "pretrain", "finetune_epochs", "finetune_learning_rate", "replay", "left_out",
        "calibration", "calibration_prior", "threads", "device",
    }
)  # fmt: skip
"""Recipe fields that do not change the pretrained base (its data has a hash)."""


def fingerprint(recipe: NetworkEnsembleRecipe, dataset: str, key: str) -> str:
    """Return a hash of all that a base depends on.

    Args:
        recipe: all settings.
        dataset: content hash of its records.
        key: the label it learns.
    """
    return digest(
        {
            "recipe": {
                k: v for k, v in recipe.deciding().items() if k not in _NOT_BASE
            },
            "dataset": dataset,
            "target": key,
        }
    )


def kept(home: Path) -> State | None:
    """Return the base in ``home``; None where it is absent or damaged (learn again)."""
    try:
        return State.restored(read(home))
    except (SurrogateError, KeyError, TypeError):
        return None
