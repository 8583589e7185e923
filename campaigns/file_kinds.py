"""Telling one kind of configuration from another, where a command got the wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from campaigns.ledger_file import FILE as LEDGER
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
    found = dict(_fitting(keys))
    if expected in found:
        return
    wanted = f"expected {_a(expected)} file"
    for kind, command in found.items():
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


def no_run_folder(path: str | Path) -> str:
    """Say what a path is where a campaign's run folder was expected.

    A file of some kind comes with the command that takes it, one from within a run
    folder with that folder.
    """
    path = Path(path)
    if not path.exists():
        return f"{path} is not a campaign's run folder: there is no such folder"
    if path.is_dir():
        return f"{path} is not a campaign's run folder: no {LEDGER} in it"
    if (path.parent / LEDGER).is_file():
        return f"{path}: this is a file of a run, expected its folder: {path.parent}"
    keys: set[str] = set()
    if path.suffix in (".yaml", ".yml"):
        try:
            keys = set(mapping(path))
        except ConfigError as error:
            return f"{path}: expected a campaign's run folder, found a file; {error}"
    kind, command = next(_fitting(keys), ("", ""))
    if kind == "campaign":
        return (
            f"{path}: this is a campaign's configuration, expected its run folder, "
            f"runs/{path.stem} unless --to named another; matdisco run {path} begins it"
        )
    if kind:
        return (
            f"{path}: this is {_a(kind)} file, expected a campaign's run folder: "
            f"matdisco {command.format(path=path)}"
        )
    return f"{path}: expected a campaign's run folder, found a file"


def _fitting(keys: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the kinds of file that have such keys, each with its command."""
    for kind, (needed, command) in _COMMANDS.items():
        if keys >= needed and not keys & _NEVER.get(kind, frozenset()):
            yield kind, command


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
