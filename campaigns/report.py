"""The report: one HTML file that works offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matdisco.evaluators.results import write_atomically

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


def write_report(campaign: Campaign) -> Path:
    """Write ``report.html`` into the run folder and return its path."""
    path = campaign.folder / "report.html"
    write_atomically(path, "<!doctype html><title>report</title>")
    return path


def render_report(campaign: Campaign) -> str:
    """Return the report as HTML."""
    return "<!doctype html><title>report</title>"


def head_of(html: str) -> str | None:
    """Return the ledger head that a report was made from."""
    return None
