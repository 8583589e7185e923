"""``matdisco surrogate train``, ``predict``, ``audit``: without a campaign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from matdisco.crystal import Crystal
    from matdisco.data.dataset import Dataset

app = typer.Typer(pretty_exceptions_enable=False)

Checkpoint = Annotated[Path, typer.Argument(help="Checkpoint folder of a surrogate.")]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML as in configs/surrogates.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder to write; surrogates/NAME if not given.")
    ] = None,
    tracking: Annotated[
        bool, typer.Option(help="Record the training in MLflow.")
    ] = True,
) -> None:
    """Fit a surrogate on a dataset, judge it on a split, keep a checkpoint."""
    from campaigns.progress import Display
    from campaigns.training import FILES, TrainingConfig, train
    from campaigns.training_parts import parts_of, require_all

    loaded = TrainingConfig.load(config)
    require_all(loaded)
    parts = parts_of(loaded)
    folder = to or Path("surrogates") / config.stem
    print(f"writes {folder}/ with:")
    for name, meaning in FILES.items():
        print(f"  {name:<16} {meaning}")
    display = Display()
    with display.learning(0, final=True):
        outcome = train(loaded, folder, parts=parts, progress=display.training)
    print(outcome)
    if tracking:
        from campaigns.tracking.training import log_training

        print(f"MLflow: {log_training(loaded, outcome, folder)}")


@app.command()
def predict(
    checkpoint: Checkpoint,
    files: Annotated[
        list[Path], typer.Argument(help="Structure files, folders, datasets.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="CSV file; standard output if not given.")
    ] = None,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Coverage of the interval.")
    ] = 0.9,
    interval: Annotated[
        Literal["conformal", "chemistry", "adaptive", "gaussian"],
        typer.Option(
            help="conformal: one width; chemistry: one for each class of anions; "
            "adaptive: labelled records are a stream in their order, and every answer "
            "moves the width of what follows; gaussian: from sigma alone."
        ),
    ] = "conformal",
) -> None:
    """Predict structures: a CSV with mean, sigma and an interval.

    Conformal intervals need enough predictions of records that the surrogate did not
    learn, as its checkpoint keeps them; without, the interval is Gaussian. The column
    ``interval`` says which it is.
    """
    from campaigns.predicting import predictions, seen_by
    from surrogates import load

    surrogate = load(checkpoint)
    crystals, notes = _crystals(files)
    for note in notes:
        print(f"left out: {note}", file=sys.stderr)
    table = predictions(
        surrogate,
        crystals,
        level,
        interval=interval,
        seen=seen_by(checkpoint, surrogate),
    )
    if to is None:
        print(table.to_csv(index=False), end="")
    else:
        table.to_csv(to, index=False)
        print(f"{len(table):,} predictions written to {to}")


@app.command()
def audit(
    checkpoint: Checkpoint,
    pool: Annotated[str, typer.Argument(help="Dataset file or shipped:NAME to check.")],
    training: Annotated[
        list[str] | None,
        typer.Option(
            "--trained-on",
            help="Dataset it was fitted on, to compare structures and not only what "
            "the checkpoint keeps of them; repeatable.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    clean: Annotated[
        Path | None,
        typer.Option(help="Write the pool without known prototypes to this file."),
    ] = None,
) -> None:
    """Tell which crystals of a pool the surrogate was trained on.

    Exits with 1 if it was trained on some of them, with 2 if nothing is known of what
    it was trained on.
    """
    from campaigns.predicting import seen_by
    from matdisco.errors import ConfigError, DataError
    from surrogates import load
    from surrogates.audit import audit, overlap_free

    surrogate = load(checkpoint)
    target = surrogate.describe().get("target")
    known = [_open(name) for name in training or ()]
    for data in known:
        if target and target not in data.properties:
            raise DataError(
                f"{data.name}: no label {target!r}, which this surrogate learnt; it "
                f"has: {', '.join(data.properties) or 'none'}"
            )
    candidates = _open(pool)
    report = audit(
        candidates, known, surrogate=surrogate, target=target,
        seen=seen_by(checkpoint, surrogate), workers=workers,
    )  # fmt: skip
    print(report)
    if not report.compared:
        raise ConfigError(
            f"{checkpoint}: does not list its training records (it was made before "
            "they were kept); expected the dataset that it "
            "was fitted on as --trained-on"
        )
    if clean is not None:
        left = overlap_free(candidates, report, "prototype")
        left.save(clean)
        print(f"{len(left):,} crystals that were not learnt written to {clean}")
    if report.leaks:
        raise typer.Exit(1)


def _open(name: str) -> Dataset:
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

    return Dataset.open(resolve(name))


def _crystals(files: list[Path]) -> tuple[list[Crystal], list[str]]:
    """Return the crystals of files, folders and datasets, and why others are none."""
    from dataclasses import replace

    from matdisco.data.readers import read
    from matdisco.errors import DataError

    crystals: list[Crystal] = []
    notes = []
    for path in files:
        if path.suffix == ".parquet":
            crystals += _open(str(path)).crystals
            continue
        for record in read(path):
            if record.crystal is None or record.rejected:
                reasons = "; ".join(f.message for f in record.findings)
                notes.append(f"{record.path} (record {record.record}): {reasons}")
            else:
                crystals.append(record.crystal)
    if not crystals:
        names = ", ".join(map(str, files))
        raise DataError(
            f"{names}: no structure in it" + (f" ({notes[0]})" if notes else "")
        )
    seen: dict[str, int] = {}
    unique = []
    for crystal in crystals:  # ids of different files may be the same
        n = seen[crystal.id] = seen.get(crystal.id, 0) + 1
        unique.append(crystal if n == 1 else replace(crystal, id=f"{crystal.id}#{n}"))
    return unique, notes
