"""Write a dataset folder: data, card, Croissant description, report, coverage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.data.card import versions, write_card
from matdisco.data.coverage import write_coverage
from matdisco.data.croissant import write_croissant
from matdisco.data.dataset import Dataset
from matdisco.data.packed import described

if TYPE_CHECKING:
    from matdisco.data.curation.report import CurationReport

FILES = {
    "data.parquet": "all records; OPTIMADE-compatible columns",
    "card.md": "what a reader must know",
    "croissant.json": "the same for machines (Croissant 1.1, RAI 1.0)",
    "coverage.png": "elements, sizes, targets",
    "report.csv": "what became of every input record, and why",
    "quarantine.parquet": "records set aside, for a person to decide",
}
"""What a dataset folder holds."""


def publish(
    dataset: Dataset,
    folder: str | Path,
    *,
    report: CurationReport | None = None,
    date: str | None = None,
) -> Dataset:
    """Write everything that belongs to a dataset.

    Args:
        dataset: what to publish.
        folder: made if missing; files of the same names are replaced.
        report: of the curation that made it, if any.
        date: ISO date for the card; today if None.

    Returns:
        The dataset as written, software versions and date on its card.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    today = date or dt.datetime.now(dt.UTC).date().isoformat()
    dataset = with_card(dataset, {"versions": versions(), "date": today})
    if report is not None:
        report.to_csv(target / "report.csv")
        aside = quarantined(report, dataset.name)
        if len(aside):
            aside.save(target / "quarantine.parquet")
    parquet = dataset.save(target)
    write_coverage(dataset, target / "coverage.png")
    write_card(dataset, target / "card.md")
    write_croissant(dataset, parquet, target / "croissant.json")
    return dataset


def with_card(dataset: Dataset, card: Mapping[str, Any]) -> Dataset:
    """Return the dataset with more on its card; what it says already stays.

    The content hash does not change.
    """
    return replace(dataset, card={**card, **dataset.card})


def quarantined(report: CurationReport, name: str) -> Dataset:
    """Return the records set aside, with the evidence in their source."""
    crystals = []
    for line in report:
        if line.outcome != "quarantined" or line.entry.crystal is None:
            continue
        crystal = line.entry.final_crystal(line.entry.id)
        source = {**crystal.source, "quarantine": line.reasons}
        crystals.append(described(crystal, source=source))
    return Dataset(f"{name}-quarantine", tuple(crystals))
