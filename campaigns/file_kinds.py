"""Telling one kind of configuration from another, where a command got the wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from matdisco.errors import ConfigError
from matdisco.recipe import Recipe
from matdisco.recipe_file import load, mapping

Kind = Literal[
    "campaign",
    "replay",
    "training",
    "labelling",
    "curation",
    "assessment",
    "column map",
]
Made = TypeVar("Made", bound=Recipe)

_COMMANDS = {
    "replay": (frozenset({"pool", "targets", "strategies"}), "replay {path}"),
    "campaign": (frozenset({"candidates", "evaluator", "surrogate"}), "run {path}"),
    "training": (frozenset({"dataset", "target", "surrogate"}),
                 "surrogate train {path}"),
    "labelling": (frozenset({"candidates", "evaluator"}), "label {path} --to FOLDER"),
    "curation": (frozenset({"rules"}), "data curate FILES --to DATASET --rules {path}"),
    "assessment": (frozenset({"sections"}),
                   "surrogate assess MODEL DATASET --suite {path}"),
    "column map": (frozenset({"labels"}),
                   "data curate TABLE --to DATASET --columns {path}"),
}  # fmt: skip
"""Kind of file to keys that each of it has, and the command that takes it. The first
that fits counts: what a labelling file needs a campaign has, too."""
_NEVER = {"labelling": frozenset({"budget", "acquisition", "objective", "start"})}
"""Keys that a kind never has: a campaign that lacks one of its own is still one."""


def load_kind(made: type[Made], path: str | Path, expected: Kind) -> Made:
    """Read and validate a YAML file of one kind.

    Raises:
        ConfigError: one line per mistake, each with file, line and key; one sentence
            where it is a file for another command.
    """
    try:
        return load(made, path)
    except ConfigError:
        refuse_others(path, expected)
        raise


def refuse_others(path: str | Path, expected: Kind) -> None:
    """Refuse a file that is plainly of another kind, with the command that takes it.

    Args:
        path: a YAML file that is not valid as ``expected``.
        expected: what the command takes.

    Raises:
        ConfigError: the file is of another kind, or is no YAML.
    """
    data = mapping(path)
    keys = set(data)
    barred = keys & _NEVER.get(expected, frozenset())
    if keys >= _COMMANDS[expected][0] and not barred:
        return
    wanted = f"expected {_a(expected)} file"
    for kind, (needed, command) in _COMMANDS.items():
        if kind != expected and keys >= needed and not keys & _NEVER.get(kind, set()):
            raise ConfigError(
                f"{path}: this is {_a(kind)} file, {wanted}: "
                f"matdisco {command.format(path=path)}"
            )
    if "$schema" in keys:
        raise ConfigError(
            f"{path}: this is a JSON Schema, which tells editors what a campaign file "
            f"may hold, {wanted}"
        )
    if isinstance(data.get("kind"), str):
        raise ConfigError(
            f"{path}: this is one block (kind: {data['kind']}), {wanted}, which holds "
            "such a block under a key, for example surrogate:"
        )


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
