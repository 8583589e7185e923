"""``matdisco surrogate assess``, ``compare``, ``verify``: the independent battery."""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matdisco.data.dataset import Dataset
    from surrogates.assessment.predictions import Table
    from surrogates.assessment.subject import Subject

app = typer.Typer(pretty_exceptions_enable=False)


def _models(incomplete: str) -> list[str]:
    """Complete a calculator's name; files and folders are the shell's own."""
    from matdisco.evaluators.backends import BACKENDS

    return [name for name in BACKENDS if name.startswith(incomplete)]


def _datasets(incomplete: str) -> list[str]:
    from matdisco.data.shipped import names

    return [name for name in names() if name.startswith(incomplete)]


class Required(StrEnum):
    """The least verdict that is good enough."""

    passed = "pass"
    warn = "warn"


Require = Annotated[
    Required | None,
    typer.Option(help="Exit with 1 where the verdict is worse than this."),
]


@app.command()
def assess(
    model: Annotated[
        str,
        typer.Argument(
            help="Checkpoint folder, calculator (chgnet, emt), module:name, MLflow URI "
            "(models:/...), or a table of predictions (.csv, .parquet).",
            autocompletion=_models,
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="Labelled test records: dataset folder, Parquet file or shipped:NAME. "
            "Not needed for a table with its own column of true values.",
            autocompletion=_datasets,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Label to judge; the model's own by default.")
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(help="Suite YAML as in configs/assessments; standard 2."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder of the card; assessments/NAME.")
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option(
            help="Dataset it learned from, to look for leaks.", autocompletion=_datasets
        ),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            help="Dataset of candidates it is to choose from.", autocompletion=_datasets
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of predictions in the table.")
    ] = None,
    sigma: Annotated[
        str | None, typer.Option(help="Column of standard deviations in the table.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Second table with the true values of the first, by id; Matbench "
            "Discovery's files are read as they are."
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Run the code of an MLflow model of others."),
    ] = False,
    track: Annotated[bool, typer.Option(help="Log the card to MLflow.")] = True,
    uri: Annotated[
        str | None, typer.Option(help="MLflow store; ./mlflow.db when not given.")
    ] = None,
    require: Require = None,
) -> None:
    """Run the battery on a model; leave a sealed card (JSON, HTML, Markdown)."""
    from campaigns.file_kinds import load_kind
    from surrogates.assessment.battery import assess as run
    from surrogates.assessment.suite import SuiteRecipe

    chosen = (
        load_kind(SuiteRecipe, suite, "assessment") if suite else SuiteRecipe.standard()
    )
    records = _dataset(dataset)
    known, candidates = _dataset(trained_on), _dataset(pool)
    store = uri or f"sqlite:///{Path('mlflow.db').resolve()}"
    with ExitStack() as stack:
        subject, table = _open(model, column, sigma, truth, store, trust, stack)
        home = to or Path("assessments") / _safe(subject.name)
        print(
            f"suite {chosen.label}; writes {home}/ with card.json, card.html, card.md, "
            "predictions.csv",
            file=sys.stderr,
        )
        card, text = run(
            subject, records, chosen, table=table, target=target, training=known,
            pool=candidates, tell=lambda line: print(f"  {line}", file=sys.stderr),
        )  # fmt: skip
    card.save(home, text)
    print(card)
    for line in card.failures():
        print(f"  fail  {line}")
    print(f"card: {home / 'card.html'}")
    if track:
        from campaigns.tracking.cards import log_card

        print(f"MLflow run {log_card(home, store)}")
    _gate(card.verdict, require)


@app.command()
def compare(
    cards: Annotated[
        list[Path], typer.Argument(help="Two or more card folders, one dataset.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="Also write the table: .csv or .md.")
    ] = None,
) -> None:
    """Rank assessed models; say which differences are more than luck."""
    from matdisco.errors import ConfigError
    from surrogates.assessment.compare import leaderboard, read_entry, to_text

    if to is not None and to.suffix not in (".csv", ".md"):
        raise ConfigError(f"--to: expected a .csv or .md file, got {to}")
    table = leaderboard([read_entry(path) for path in cards])
    text = to_text(table)
    print(text)
    if to is not None:
        to.write_text(
            table.to_csv(index=False) if to.suffix == ".csv" else text + "\n",
            encoding="utf-8",
        )


@app.command()
def verify(
    card: Annotated[Path, typer.Argument(help="Card folder or card.json.")],
    require: Require = None,
) -> None:
    """Check a card: its hash, its verdicts, its errors from its predictions."""
    from matdisco.errors import DataError
    from surrogates.assessment.card import Card, problems

    found = problems(card)
    if found:
        raise DataError("\n".join(f"{card}: {line}" for line in found))
    read = Card.read(card)
    print(f"verified: {read}")
    _gate(read.verdict, require)


def _gate(verdict: str, require: Required | None) -> None:
    good = {None: ("pass", "warn", "fail", "info"), "pass": ("pass",),
            "warn": ("pass", "warn")}  # fmt: skip
    if verdict not in good[require.value if require else None]:
        raise typer.Exit(1)


def _open(
    model: str, column: str | None, sigma: str | None, truth: Path | None, store: str,
    trust: bool, stack: ExitStack,
) -> tuple[Subject, Table | None]:  # fmt: skip
    from matdisco.errors import ConfigError
    from surrogates.assessment.doors import open_subject
    from surrogates.assessment.predictions import read_predictions

    if model.startswith(("models:/", "runs:/", "mlflow-artifacts:/")):
        from campaigns.tracking.cards import open_model

        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return open_model(model, store, place, trust=trust), None
    path = Path(model)
    if path.is_file() and path.name.endswith((".csv", ".csv.gz", ".parquet")):
        table = read_predictions(path, column=column, sigma=sigma, truth=truth)
        return table.subject(), table
    if truth is not None:
        raise ConfigError(f"--truth goes with a table of predictions; {model} is none")
    return open_subject(model), None


def _dataset(name: str | None) -> Dataset | None:
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

    return None if name is None else Dataset.open(resolve(name))


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
