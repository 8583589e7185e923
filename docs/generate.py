"""References that cannot be out of date: written when the site is built."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import click
import typer
from mkdocs.structure.files import File, Files
from pydantic.fields import FieldInfo

from campaigns.cli.app import app
from campaigns.config import CampaignConfig
from matdisco.recipe import Recipe


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {"configuration.md": configuration(), "commands.md": commands()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def configuration() -> str:
    """Return every block that a campaign's file may hold, with its keys."""
    lines = [
        "# Configuration",
        "",
        "Every block of a campaign's YAML file. Where several kinds may stand, `kind:` "
        "chooses. Unknown keys are errors that name the nearest known one. "
        "`configs/every-option.yaml` shows all of them in place.",
        "",
    ]
    done: set[type[Recipe]] = set()
    for recipe in _recipes(CampaignConfig, done):
        lines += _block(recipe)
    return "\n".join(lines)


def commands() -> str:
    """Return every command with its arguments and options."""
    root = typer.main.get_command(app)
    lines = ["# Commands", "", "Exit codes: 0 done, 1 failed with a message, 2 wrong "
             "usage or configuration, 130 stopped by Ctrl-C.", ""]  # fmt: skip
    for name, command in _commands(root, "matdisco"):
        lines += [f"## `{name}`", "", (command.help or "").strip(), ""]
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        usage = " ".join([name, *(str(a.human_readable_name) for a in arguments)])
        options = [p for p in command.params if isinstance(p, click.Option)]
        lines += ["```", usage + (" [OPTIONS]" if options else ""), "```", ""]
        if command.params:
            lines += ["| | meaning | default |", "|---|---|---|"]
        for parameter in command.params:
            shown = ", ".join(f"`{o}`" for o in parameter.opts)
            if isinstance(parameter, click.Argument):
                shown = f"`{parameter.human_readable_name}`"
            default = parameter.default
            plain = isinstance(default, (str, int, float)) and default is not False
            text = getattr(parameter, "help", None) or ""
            lines.append(
                f"| {shown} | {_cell(text)} | {f'`{default}`' if plain else ''} |"
            )
        lines.append("")
    return "\n".join(lines)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield name, command
        return
    for key in sorted(inner):
        yield from _commands(inner[key], f"{name} {key}")


def _recipes(recipe: type[Recipe], done: set[type[Recipe]]) -> Iterator[type[Recipe]]:
    if recipe in done:
        return
    done.add(recipe)
    yield recipe
    for field in recipe.model_fields.values():
        for inner in _inside(field.annotation):
            yield from _recipes(inner, done)


def _inside(annotation: Any) -> Iterator[type[Recipe]]:
    if isinstance(annotation, type) and issubclass(annotation, Recipe):
        yield annotation
    for part in get_args(annotation):
        yield from _inside(part)


def _block(recipe: type[Recipe]) -> list[str]:
    kind = recipe.model_fields.get("kind")
    title = f"kind: {kind.default}" if kind is not None else recipe.__name__
    anchor = recipe.__name__.lower()
    lines = [f"## {title} {{#{anchor}}}", "", _text(recipe.__doc__ or ""), ""]
    rows = [(k, f) for k, f in recipe.model_fields.items() if k != "kind"]
    if rows:
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in rows:
        meaning = _cell(field.description or "")
        lines.append(
            f"| `{key}` | {_cell(_type(field.annotation))} | {_default(field)} "
            f"| {meaning} |"
        )
    return [*lines, ""]


def _type(annotation: Any) -> str:
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, Recipe):
        kind = annotation.model_fields.get("kind")
        name = kind.default if kind is not None else annotation.__name__
        return f"[{name}](#{annotation.__name__.lower()})"
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(p) for p in parts)
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _type(parts[0])
    if str(origin) == "typing.Literal":
        return " or ".join(f"`{p}`" for p in parts)
    if parts:
        inner = ", ".join(_type(p) for p in parts if p is not Ellipsis)
        name = getattr(origin, "__name__", str(origin)).lower()
        return f"{'list' if name == 'tuple' else name} of {inner}"
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "its own"
    default = field.default
    if isinstance(default, Recipe):
        return "its own"
    return f"`{_cell(str('null' if default is None else default))}`"


def _cell(text: str) -> str:
    return " ".join(_text(text).replace("|", "\\|").split())


def _text(text: str) -> str:
    """Return a docstring without the marks that another tool would follow."""
    for role in (":class:", ":func:", ":mod:", ":data:", ":meth:"):
        text = text.replace(role, "")
    lines = [line.strip() for line in text.replace("``", "`").splitlines()]
    return "\n".join(lines).strip().replace("<", "&lt;")
