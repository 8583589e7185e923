"""YAML files that hold a recipe: read strictly, each mistake with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from typing_extensions import override

from matdisco.errors import ConfigError
from matdisco.recipe import Path as KeyPath
from matdisco.recipe import Recipe, explain

R = TypeVar("R", bound=Recipe)


def load(model: type[R], path: str | Path) -> R:
    """Read and validate a YAML file.

    Raises:
        ConfigError: one line per mistake, each ``file:line: key: what is wrong``.
    """
    return parse(model, _text(path), source=str(path))


def parse(model: type[R], text: str, *, source: str) -> R:
    """Validate the text of a YAML file.

    Args:
        model: the recipe that it should hold.
        text: of the file.
        source: its name, for messages.

    Raises:
        ConfigError: as :func:`load`.
    """
    data = _mapping(text, source)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        raise ConfigError(
            "\n".join(
                f"{source}:{_line(tree, where)}: {sentence}"
                for where, sentence in explain(error, model)
            )
        ) from None


def mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds keys and values, whatever they are.

    Raises:
        ConfigError: it cannot be read, is not YAML, or holds something else.
    """
    return _mapping(_text(path), str(path))


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _mapping(text: str, source: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, Loader=_Strict)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {_where(error)}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected keys such as 'name:', got {data!r}")
    return data


class _Strict(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    @override
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return where + str(getattr(error, "problem", None) or error)


def _line(tree: Any, where: KeyPath) -> int:
    """Return the 1-based line of a key, or of the deepest parent that exists."""
    node, line = tree, 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(v, v) for v in node.value[part : part + 1]]
        else:
            found = []
        if not found:
            break
        key, node = found[0]
        line = key.start_mark.line + 1
    return line
