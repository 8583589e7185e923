"""``matdisco data``: from scattered files to a trusted, documented dataset."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.cli.grow import grow
from campaigns.cli.rules import RulesPath, Workers, rules_of

if TYPE_CHECKING:
    from matdisco.data.dataset import Dataset
    from matdisco.data.readers import ColumnMap

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Read, curate, describe, split and export datasets.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Frames(StrEnum):
    """Which frames of a trajectory to read."""

    last = "last"
    all = "all"


DatasetPath = Annotated[Path, typer.Argument(help="Dataset folder or Parquet file.")]


@app.command()
def curate(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, archives, datasets; optimade:URL?filter=... for a "
            "provider."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Dataset folder to write.")],
    rules: RulesPath = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Column map YAML of tables, or PATTERN=FILE; repeatable."),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(help="YAML with licence, citation, description, sources."),
    ] = None,
    frames: Annotated[
        Frames, typer.Option(help="Last frame of a trajectory, or all.")
    ] = Frames.last,
    workers: Workers = 0,
) -> None:
    """Curate files into a dataset; say for every record what became of it.

    Interrupted, the same command continues where it stopped.
    """
    from matdisco.data.curation.files import curate_files
    from matdisco.data.publish import FILES
    from matdisco.data.workers import cores
    from matdisco.errors import ConfigError
    from matdisco.recipe_file import mapping

    if to.suffix == ".parquet":
        raise ConfigError(
            f"--to: expected the folder of a dataset, got {to}; curation leaves more "
            f"than one file, and {to.with_suffix('')}/data.parquet is the dataset"
        )
    judging, maps = rules_of(rules), _columns(columns or [])
    print(f"writes {to}/ with:")
    for name, meaning in FILES.items():
        print(f"  {name:<20} {meaning}")
    dataset, report = curate_files(
        sources,
        to,
        judging,
        frames="all" if frames is Frames.all else "last",
        columns=maps,
        card=mapping(card) if card else None,
        workers=workers or cores(),
    )
    print(report)
    print(dataset)


@app.command()
def show(
    dataset: DatasetPath,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Print these records in full.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Print the card.")] = False,
) -> None:
    """Print what a dataset holds."""
    from matdisco.data.card import card_text
    from matdisco.errors import DataError

    data = _open(dataset)
    if card:
        print(card_text(data))
        return
    if not ids:
        print(data)
        return
    rows = {name: i for i, name in enumerate(data.ids)}
    for name in ids:
        if name not in rows:
            raise DataError(f"{dataset}: no record is called {name!r}")
        crystal = data[rows[name]]
        print(crystal)
        print(crystal.structure)
        for key, value in crystal.source.items():
            print(f"  {key}: {value}")


@app.command("list")
def list_sets() -> None:
    """List the public datasets that matdisco knows by name."""
    from matdisco.data.catalog import catalog

    for name, public in catalog().items():
        print(f"{name:<22} {public.title}")
        print(f"{'':<22} {public.licence}; {public.url}")
        if public.tables:
            print(f"{'':<22} tables, no structures; read by {public.read_by}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="As in `matdisco data list`.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="File or folder that holds it.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Dataset folder; datasets/NAME if not given.")
    ] = None,
    curated: Annotated[
        bool, typer.Option("--curate", help="Curate it; else as published.")
    ] = False,
    rules: RulesPath = None,
    workers: Workers = 0,
) -> None:
    """Make a dataset of a named public one that you have downloaded."""
    from matdisco.data.catalog import given, load, lookup
    from matdisco.data.catalog.tables import load_tables, write_tables
    from matdisco.data.curation import curate as curate_records
    from matdisco.data.publish import publish, with_card
    from matdisco.data.workers import cores

    key, public = lookup(name)
    target = to or Path("datasets") / key
    if public.tables:
        tables = load_tables(key, public, given(key, public, source))
        for path in write_tables(key, public, tables, target):
            print(path)
        print(f"tables without structures; read by {public.read_by}")
        return
    dataset = load(name, source, progress=True)
    report = None
    if curated:
        published = dataset.card
        dataset, report = curate_records(
            dataset, rules_of(rules), name=dataset.name, workers=workers or cores()
        )
        dataset = with_card(dataset, published)
        print(report)
    publish(dataset, target, report=report)
    print(dataset)
    print(f"written to {target}/")


@app.command()
def split(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    kind: Annotated[
        str,
        typer.Option(
            help="random, formula, chemical_system, prototype, space_group, cluster, "
            "time or element."
        ),
    ] = "random",
    parts: Annotated[
        str, typer.Option(help="Names and shares that add up to 1.")
    ] = "train=0.8,validation=0.1,test=0.1",
    folds: Annotated[int, typer.Option(help="This many equal parts instead.")] = 0,
    elements: Annotated[
        str, typer.Option(help="For kind element: what the test part holds: Li,Na.")
    ] = "",
    latents: Annotated[
        str,
        typer.Option(
            help="For kind cluster: features to cluster by, such as chgnet, sevennet, "
            "environments; composition if not given."
        ),
    ] = "",
    name: Annotated[
        str | None, typer.Option(help="Name of the split; its kind if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random in it.")] = 0,
    workers: Workers = 0,
) -> None:
    """Split a dataset without leaks; the split is stored beside the data."""
    from matdisco.data.splits import SplitRecipe, save_split
    from matdisco.data.workers import cores

    data = _open(dataset)
    recipe = SplitRecipe.from_mapping(
        {
            "kind": kind,
            "parts": _shares(parts),
            "folds": folds,
            "elements": [e.strip() for e in elements.split(",") if e.strip()],
            "seed": seed,
        },
        source="matdisco data split",
    )
    rows = None
    if latents:
        from surrogates.featurizers.table import features

        rows = features(latents, list(data), n_threads=workers or cores())
    found = recipe.build(data, workers=workers or cores(), latents=rows)
    folder = dataset if dataset.is_dir() else dataset.parent
    path = save_split(folder, name or kind, data, recipe, found)
    for part, own in found.items():
        print(f"{part:<16}{len(own):>8,} records  {len(own) / len(data):6.1%}")
    print(f"stored as {name or kind!r} in {path}")


@app.command()
def export(
    dataset: DatasetPath,
    to: Annotated[
        Path,
        typer.Option(help="NAME.extxyz, .db, .csv, .parquet, .cif, or a folder."),
    ],
) -> None:
    """Write a dataset for other programs; the name decides the format."""
    from matdisco.data.export import export as write

    print(f"written to {write(_open(dataset), to)}")


def _open(path: Path) -> Dataset:
    from matdisco.data.dataset import Dataset

    return Dataset.open(path)


def _columns(given: list[str]) -> dict[str, ColumnMap]:
    from campaigns.file_kinds import load_kind
    from matdisco.data.readers import ColumnMap

    pairs = (g.rpartition("=") for g in given)
    return {
        pattern or "*": load_kind(ColumnMap, file, "column map")
        for pattern, _, file in pairs
    }


def _shares(text: str) -> dict[str, float]:
    from matdisco.errors import ConfigError

    try:
        pairs = (part.split("=") for part in text.split(","))
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise ConfigError(
            f"--parts: expected NAME=SHARE,..., for example train=0.8,test=0.2; "
            f"got {text!r}"
        ) from None


app.command()(grow)
