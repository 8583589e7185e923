"""``matdisco label``: compute a dataset from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def label(
    config: Annotated[Path, typer.Argument(help="Labelling YAML file.")],
    to: Annotated[Path, typer.Option(help="Parquet file to write.")],
    work: Annotated[
        Path | None,
        typer.Option(help="Working folder; beside the file when not given."),
    ] = None,
) -> None:
    """Evaluate every candidate of a recipe and keep the answers as a dataset."""
    from campaigns.labelling import LabellingConfig, compute

    loaded = LabellingConfig.load(config)
    folder = work or to.with_suffix(".work")
    dataset = compute(loaded, folder)
    dataset.save(to)
    print(dataset)
    print(f"written to {to} ({to.stat().st_size / 1e3:.0f} kB)")
