"""The report: one HTML file that works offline, made from the ledger alone."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from matdisco.evaluators.results import write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from campaigns.campaign import Campaign

FILE = "report.html"
HERE = Path(__file__).parent


def write_report(campaign: Campaign) -> Path:
    """Write ``report.html`` into the run folder, whole or not at all."""
    path = campaign.folder / FILE
    write_atomically(path, render_report(campaign))
    return path


def render_report(campaign: Campaign) -> str:
    """Return the report as one HTML page that fetches nothing."""
    from campaigns.report.gather import gather

    return template("report.html.j2").render(
        **gather(campaign),
        **style_and_script(),
        interactive_js=(HERE / "interactive.js").read_text(encoding="utf-8"),
    )


def head_of(html: str) -> str | None:
    """Return the hash of the ledger's last event that a report was made from."""
    match = re.search(r'<meta name="matdisco-head" content="([0-9a-f]{64})">', html)
    return match.group(1) if match else None


def style_and_script() -> dict[str, str]:
    """Return what every page embeds."""
    return {
        "css": (HERE / "report.css").read_text(encoding="utf-8"),
        "js": (HERE / "report.js").read_text(encoding="utf-8"),
    }


def template(name: str) -> Template:
    """Return one of the templates beside this file."""
    return _environment().get_template(name)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from campaigns.report import formats

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formats.number,
        "formula": formats.formula,
        "seconds": formats.seconds,
        "percent": formats.percent,
        "day": formats.day,
        "data_uri": formats.data_uri,
    }
    return environment
