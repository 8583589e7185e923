"""Options that several ``matdisco data`` commands take: rules, YAML files, workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matdisco.data.curation import CurationRecipe

RulesPath = Annotated[
    Path | None, typer.Option(help="YAML with rules, as configs/curation.yaml.")
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes; 0 uses all cores of this machine.")
]


def rules_of(path: Path | None) -> CurationRecipe:
    """Return the rules of a file, or all with their defaults.

    Raises:
        ConfigError: see :func:`campaigns.file_kinds.load_kind`.
    """
    from campaigns.file_kinds import load_kind
    from matdisco.data.curation import CurationRecipe

    if path is None:
        return CurationRecipe()
    return load_kind(CurationRecipe, path, "curation")
