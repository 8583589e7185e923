"""Names of the feature tables of a pool (no heavy imports)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from surrogates.tabular.recipes import Potential

Features = Literal[
    "columns", "composition", "charges", "environments", "sites", "chgnet",
    "chgnet_layers", "chgnet_formation", "sevennet", "sevennet_formation",
]  # fmt: skip
FORMATION: Mapping[Potential, Features] = {
    "chgnet": "chgnet_formation",
    "sevennet": "sevennet_formation",
}
"""Potential → table of its energies over its own elements."""
