"""Names of the feature tables of a pool (no heavy imports)."""

from __future__ import annotations

from typing import Literal

Features = Literal[
    "columns", "composition", "environments", "sites", "chgnet", "chgnet_layers",
    "sevennet", "zero_shot",
]  # fmt: skip
