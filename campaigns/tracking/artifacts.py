"""The files that MLflow keeps of a campaign, written into one folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns import plots
from campaigns.explain import explained_round
from campaigns.report import head_of, render_report
from campaigns.report.structures import structure_page
from campaigns.tracking.notes import is_hull

if TYPE_CHECKING:
    import pandas as pd

    from campaigns.campaign import Campaign

TABLES = ("proposals.json", "evaluations.json")
"""Tables that the MLflow page shows as such."""
STRUCTURES = "structures"
PAGE = "structures.html"
"""MLflow has no view of a CIF: what stands in for one."""
FIRST = (
    "round", "candidate", "formula", "status", "reason", "mean", "std", "low", "high",
    "exploration", "why", "before_next", "neighbours", "screening",
)  # fmt: skip
"""Columns of the proposals' table that come first."""


def write_artifacts(
    campaign: Campaign, folder: Path, tell: Callable[[str], None]
) -> None:
    """Write what the campaign's run shows: tables, plots, structures, report.

    Args:
        campaign: open for reading.
        folder: an empty folder.
        tell: called after each slow step.
    """
    (folder / "config.yaml").write_text(campaign.config.dump(), encoding="utf-8")
    write_table(_in_order(campaign.proposals()), folder / "proposals")
    write_table(campaign.evaluations(), folder / "evaluations")
    if not campaign.failures().empty:
        write_table(campaign.failures(), folder / "failures")
    if not campaign.ranking().empty:
        write_table(campaign.ranking(), folder / "ranking")
    drawn = folder / "plots"
    drawn.mkdir()
    for name in plots.ALL:
        figure = getattr(plots, name)(campaign)
        (drawn / f"{name}.png").write_bytes(plots.to_png(figure))
        (drawn / f"{name}.svg").write_text(plots.to_svg(figure, name), encoding="utf-8")
        tell(f"{name} plotted")
    _write_structures(campaign, folder / STRUCTURES)
    _write_page(campaign, None, folder)
    tell("structures drawn")
    (folder / "report.html").write_text(_report(campaign), encoding="utf-8")


def write_round(campaign: Campaign, number: int, folder: Path) -> None:
    """Write what one round's run shows: proposals, their structures, the answers."""
    table = _in_order(campaign.proposals())
    write_table(table[table["round"] == number], folder / "proposals")
    text = explained_round(campaign, number)
    (folder / "explained.txt").write_text(text + "\n", encoding="utf-8")
    _write_page(campaign, number, folder)


def write_table(table: pd.DataFrame, stem: Path) -> None:
    """Write a table as CSV, as HTML, and as the JSON that MLflow shows as a table."""
    stem.with_suffix(".csv").write_text(table.to_csv(index=False), encoding="utf-8")
    stem.with_suffix(".json").write_text(
        table.to_json(orient="split", index=False), encoding="utf-8"
    )
    body = table.to_html(
        index=False, border=0, na_rep="", float_format=lambda v: f"{v:.4f}"
    )
    stem.with_suffix(".html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{stem.name}'
        f"</title><style>{_TABLE_STYLE}</style>{body}</html>",
        encoding="utf-8",
    )


def _in_order(proposals: pd.DataFrame) -> pd.DataFrame:
    """Put what a person looks for first."""
    first = [c for c in FIRST if c in proposals]
    return proposals[first + [c for c in proposals if c not in first]]


def logged_tables() -> str:
    """Return the value of the tag by which MLflow knows which files are tables."""
    return json.dumps([{"path": name, "type": "table"} for name in TABLES])


def _write_structures(campaign: Campaign, folder: Path) -> None:
    state = campaign.state
    if is_hull(campaign) and state.hull is None:
        return
    folder.mkdir()
    for crystal in campaign.found():
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in crystal.id)
        (folder / f"{safe}.cif").write_text(crystal.to_cif(), encoding="utf-8")


def _write_page(campaign: Campaign, number: int | None, folder: Path) -> None:
    page = structure_page(campaign, number)
    if page is not None:
        (folder / PAGE).write_text(page, encoding="utf-8")


def _report(campaign: Campaign) -> str:
    """Return the report in the run folder where it is of today, or make it anew."""
    path = campaign.folder / "report.html"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        if head_of(text) == campaign.ledger.head()[1]:
            return text
    return render_report(campaign)


_TABLE_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:1em;color:#1a202c}"
    "table{border-collapse:collapse}th,td{padding:.3em .7em;text-align:left;"
    "border-bottom:1px solid #d1d5db}th{position:sticky;top:0;background:#f3f4f6}"
)
