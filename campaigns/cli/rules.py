"""Options that several ``matdisco data`` commands take: rules, YAML files, workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    """Return the rules of a file, or all with their defaults."""
    from matdisco.data.curation import CurationRecipe

    if path is None:
        return CurationRecipe()
    return CurationRecipe.from_mapping(mapping(path), source=str(path))


def mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds keys and values.

    Raises:
        ConfigError: it does not.
    """
    import yaml

    from matdisco.errors import ConfigError

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: expected keys and values, found {type(data).__name__}"
        )
    return data
