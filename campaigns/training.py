"""Training a surrogate without a campaign: split, fit, judgement, checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import Field
from typing_extensions import override

from campaigns.file_kinds import load_kind
from campaigns.training_parts import Parts, parts_of
from matdisco.data.shipped import resolve
from matdisco.data.splits import SplitRecipe
from matdisco.errors import ConfigError, MissingExtra
from matdisco.properties import Property
from matdisco.recipe import Recipe
from surrogates.base import FitReport, HistoryRow, Prediction, Progress, Surrogate
from surrogates.recipes import AnySurrogate
from surrogates.seen import Seen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILES = {
    "checkpoint/": "the surrogate, and keys of its training records for audits",
    "config.yaml": "the configuration, all defaults written out",
    "history.csv": "training history, where the kind has one",
    "metrics.json": "how good it is on the test part",
    "test.csv": "every prediction of the test part",
    "parity.png": "the same as a plot",
}
"""What a training leaves."""


class TrainingConfig(Recipe):
    """A surrogate to be trained and judged."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the surrogate, as MLflow shows it."""
    dataset: str
    """Dataset folder, Parquet file or ``shipped:NAME``."""
    target: str
    """Label to learn."""
    surrogate: AnySurrogate = Field(discriminator="kind")
    """What learns."""
    split: SplitRecipe = Field(
        default_factory=lambda: SplitRecipe(
            kind="chemical_system", parts={"train": 0.8, "test": 0.2}
        )
    )
    """What judges: parts ``train`` and ``test``; any other part joins the training."""
    seed: int = Field(0, ge=0)
    """Of the fit."""
    tracking_uri: str | None = None
    """MLflow store; null is ``mlflow.db`` beside the folder of surrogates."""
    version: Literal[1] = 1
    """Version of this file's format."""

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        """Read and validate a YAML file, and look for what it names.

        Raises:
            ConfigError: one line per mistake.
        """
        from importlib.util import find_spec

        made = load_kind(cls, path, "training")
        if not resolve(made.dataset).exists():
            raise ConfigError(f"{path}: dataset: no such file: {made.dataset}")
        if "test" not in made.split.parts or made.split.folds:
            raise ConfigError(
                f"{path}: split.parts: expected a part called 'test' to judge on, got "
                f"{', '.join(made.split.parts)}"
            )
        for package, extra in getattr(made.surrogate, "packages", ()):
            if find_spec(package) is None:
                raise MissingExtra(package, extra)
        return made


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained surrogate and how good it is on what it did not learn."""

    surrogate: Surrogate
    """Fitted on all parts but ``test``."""
    report: FitReport
    """How the fit went."""
    quantity: Property
    """What was learnt, with the unit of its labels."""
    truth: np.ndarray
    """Labels of the test part, shape (n,)."""
    prediction: Prediction
    """Of the test part."""
    metrics: Mapping[str, float]
    """On the test part."""
    history: tuple[HistoryRow, ...] = field(default=())
    """What training reported."""
    note: str = ""
    """What was learnt beside the labelled records; empty if nothing."""

    @override
    def __str__(self) -> str:
        from surrogates.metrics import IN_UNIT

        unit = self.quantity.unit
        words = self.surrogate.describe()
        lines = [words.get("surrogate", "surrogate"), f"  {self.report}"]
        lines += [f"  {self.note}"] if self.note else []
        if "why" in words:
            lines += [f"  {part}" for part in words["why"].split("; ")]
        lines.append(f"  on {len(self.truth):,} test records:")
        for key, value in self.metrics.items():
            shown = unit if key in IN_UNIT else ""
            lines.append(f"    {key:<20} {value:.4g} {shown}".rstrip())
        return "\n".join(lines)


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    parts: Parts | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Fit, judge on the test part, and write :data:`FILES` into ``folder``.

    Args:
        config: what to train.
        folder: where the files go.
        parts: what :func:`~campaigns.training_parts.parts_of` made of it, if that is
            known already.
        progress: called with every row of the history.

    Raises:
        DataError: the dataset cannot be read or split.
        SurrogateError: the surrogate refuses the data.
    """
    from surrogates.metrics import evaluate

    parts = parts or parts_of(config)
    history: list[HistoryRow] = []

    def remember(row: HistoryRow) -> None:
        history.append(row)
        if progress is not None:
            progress(row)

    surrogate = config.surrogate.build(config.seed, folder / "work")
    report = surrogate.fit(parts.learn, config.target, progress=remember)
    found = surrogate.predict(parts.test.crystals)
    truth = parts.test.values(config.target)
    outcome = Outcome(
        surrogate, report, parts.quantity, truth, found, evaluate(truth, found),
        report.history or tuple(history), _note(parts),
    )  # fmt: skip
    _write(config, folder, outcome, parts)
    return outcome


def _note(parts: Parts) -> str:
    if not parts.n_auxiliary + parts.n_apart:
        return ""
    return (
        f"{parts.n_auxiliary:,} records with auxiliary labels alone were learnt as "
        f"well; {parts.n_apart:,} were not, being like records of the test part"
    )


def parity(outcome: Outcome) -> Figure:
    """Plot predictions of the test part against its labels."""
    from matplotlib import rc_context

    from matdisco.plot_style import BLUE, GREY, PALE, STYLE, figure, grid

    label = outcome.quantity
    mean, truth = outcome.prediction.mean, outcome.truth
    with rc_context(STYLE):
        made = figure(5.2, 4.6)
        axes = made.subplots()
        both = np.concatenate([mean, truth])
        margin = 0.05 * max(float(np.ptp(both)), 1e-6)
        ends = np.array([both.min() - margin, both.max() + margin])
        axes.plot(ends, ends, color=GREY, lw=1)
        axes.errorbar(
            truth, mean, yerr=outcome.prediction.std, fmt="o", ms=3, color=BLUE,
            ecolor=PALE, elinewidth=0.8,
        )  # fmt: skip
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_aspect("equal")
        axes.set_xlabel(f"Label: {label.axis}")
        axes.set_ylabel(f"Predicted: {label.axis}")
        axes.text(
            0.03, 0.97,
            f"mean absolute error {outcome.metrics['mae']:.3g} {label.unit}\n"
            f"n = {len(truth)}; bars: 1 σ",
            transform=axes.transAxes, va="top", fontsize=9,
        )  # fmt: skip
        grid(axes)
    return made


def _write(
    config: TrainingConfig, folder: Path, outcome: Outcome, parts: Parts
) -> None:
    from matdisco.plot_style import to_png

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint"
    outcome.surrogate.save(checkpoint)
    Seen.of(parts.learn, outcome.surrogate, config.target).save(checkpoint)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps(dict(outcome.metrics), indent=1))
    if outcome.history:
        keys = columns(outcome.history)
        with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, keys)
            writer.writeheader()
            writer.writerows([dict(row) for row in outcome.history])
    table: dict[str, Any] = {
        "id": list(parts.test.ids),
        "formula": [c.formula for c in parts.test.crystals],
        "label": outcome.truth,
        "mean": outcome.prediction.mean,
        "std": outcome.prediction.std,
    }
    pd.DataFrame(table).to_csv(folder / "test.csv", index=False)
    (folder / "parity.png").write_bytes(to_png(parity(outcome)))


def columns(history: Sequence[HistoryRow]) -> list[str]:
    """Return stage, epoch, then all others by name: the same after a resume."""
    every = {key for row in history for key in row}
    first = [key for key in ("stage", "epoch") if key in every]
    return first + sorted(every - set(first))
