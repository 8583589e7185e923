"""``matdisco init``: a first configuration, from a few questions."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer


def _evaluators(incomplete: str) -> list[str]:
    from campaigns.template import ANSWERING

    return [name for name in ANSWERING if name.startswith(incomplete)]


def _properties(incomplete: str) -> list[str]:
    from matdisco.properties import PROPERTIES

    return [key for key in PROPERTIES if key.startswith(incomplete)]


def init(
    to: Annotated[Path, typer.Argument(help="File to write.")] = Path("campaign.yaml"),
    elements: Annotated[
        str | None, typer.Option(help="Chemical space, such as Al,Ni,Ti.")
    ] = None,
    candidates: Annotated[
        str | None, typer.Option(help="Own candidates: dataset, folder, zip or file.")
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            help="emt, chgnet, sevennet, dft or laboratory.", autocompletion=_evaluators
        ),
    ] = None,
    property: Annotated[  # noqa: A002 - the name of the option
        str | None,
        typer.Option(
            help="Property to optimise; stability if not given.",
            autocompletion=_properties,
        ),
    ] = None,
    goal: Annotated[str, typer.Option(help="maximise or minimise.")] = "maximise",
    evaluations: Annotated[
        int | None, typer.Option(min=2, help="Evaluations that may be spent.")
    ] = None,
    max_atoms: Annotated[int, typer.Option(min=1, max=16)] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Evaluations at a time.")] = 2,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take defaults.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Write a commented configuration, after a few questions."""
    from campaigns.template import ANSWERING, Answers, template
    from matdisco.errors import ConfigError
    from matdisco.evaluators.results import write_atomically

    if to.exists() and not force:
        raise ConfigError(f"{to} is there already; give another name, or --force")
    usual = Answers()
    asking = not yes and sys.stdin.isatty()

    def answer(given: str | None, question: str, default: str) -> str:
        if given is not None or not asking:
            return given if given is not None else default
        return str(typer.prompt(question, default=default))

    if candidates is None and elements is None and asking:
        own = typer.prompt(
            "Your own candidates (file or folder; empty: make them from elements)",
            default="", show_default=False,
        )  # fmt: skip
        candidates = own or None
    symbols = usual.elements
    if candidates is None:
        text = answer(elements, "Elements", ",".join(usual.elements))
        symbols = tuple(s for s in re.split(r"[,\s]+", text.strip()) if s)
    source = answer(
        evaluator, f"What answers ({', '.join(ANSWERING)})", usual.evaluator
    )
    wanted = answer(property, "Property to optimise (empty: stable phases)", "")
    spent = answer(
        None if evaluations is None else str(evaluations),
        "Evaluations to spend", str(usual.evaluations),
    )  # fmt: skip
    if not spent.isdigit():
        raise ConfigError(f"evaluations: expected a whole number, got {spent!r}")
    answers = Answers(
        name=re.sub(r"[^A-Za-z0-9._-]", "-", to.stem).lstrip("._-") or usual.name,
        elements=symbols,
        candidates=candidates,
        evaluator=source,
        property=wanted or None,
        goal=goal,
        evaluations=int(spent),
        max_atoms=max_atoms,
        workers=workers,
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(to, template(answers))
    print(f"written to {to}; next: matdisco validate {to}")
