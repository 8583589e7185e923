"""``matdisco replay``: simulated campaigns on labelled data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def replay(
    config: Annotated[Path, typer.Argument(help="Replay YAML file.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder; replays/NAME when not given.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; all cores when not given.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Another number of seeds.")
    ] = None,
    first_seed: Annotated[
        int | None, typer.Option(min=0, help="Another first seed.")
    ] = None,
) -> None:
    """Replay strategies x seeds on labelled data; the same command continues."""
    from campaigns.replay.card import judge, write
    from campaigns.replay.pools import load
    from campaigns.replay.recipes import ReplayConfig
    from campaigns.replay.runner import run

    loaded = ReplayConfig.load(config)
    asked = {"seeds": seeds, "first_seed": first_seed}
    loaded = loaded.model_copy(update={k: v for k, v in asked.items() if v is not None})
    folder = to if to is not None else Path("replays") / loaded.name
    traces = run(loaded, folder, workers=workers or os.cpu_count() or 1)
    card = judge(loaded, load(loaded, folder / "features"), traces)
    print(write(card, folder))
