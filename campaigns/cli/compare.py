"""``matdisco compare``: campaigns beside each other."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    to: Annotated[
        Path | None,
        typer.Option(help="Also write: .html (table and plot), .png, .svg, .csv, .md."),
    ] = None,
) -> None:
    """Put campaigns beside each other: what each spent and what it found."""
    from campaigns.campaign import Campaign
    from campaigns.side_by_side import table, text, write

    with ExitStack() as stack:
        opened = [stack.enter_context(Campaign.open(run)) for run in runs]
        rows = table(opened)
        print(text(rows))
        if len(set(rows["pool"])) > 1:
            print("note: the pools differ in size", file=sys.stderr)
        if to is not None:
            write(opened, to)
            print(f"written to {to}")
