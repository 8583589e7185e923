"""Campaigns beside each other: one table, one plot."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import AnyObjective, HullObjective
from matdisco.errors import CampaignError, ConfigError
from matdisco.properties import get

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from campaigns.campaign import Campaign

FORMATS = (".csv", ".md", ".png", ".svg", ".html")
_STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:1080px;margin:2em auto;"
    "padding:0 1em}"
    "table{border-collapse:collapse}th,td{padding:.3em .7em;text-align:left;"
    "border-bottom:1px solid #d1d5db}svg{max-width:100%;height:auto}"
)


def table(campaigns: Sequence[Campaign]) -> pd.DataFrame:
    """Return one row per campaign: what it is, what it spent, what it found.

    Raises:
        CampaignError: fewer than two, or different objectives, whose results cannot be
            put in one column.
    """
    import pandas as pd

    _comparable(campaigns)
    return pd.DataFrame([_row(c) for c in campaigns])


def _comparable(campaigns: Sequence[Campaign]) -> None:
    if len(campaigns) < 2:
        raise CampaignError(
            f"expected two or more runs to compare, got {len(campaigns)}"
        )
    wanted = campaigns[0].config.objective
    for other in campaigns[1:]:
        if other.config.objective != wanted:
            raise CampaignError(
                f"{campaigns[0].folder} wants {wanted.kind} ({wanted.target}), "
                f"{other.folder} wants {other.config.objective.kind} "
                f"({other.config.objective.target}): expected one objective"
            )


def _row(campaign: Campaign) -> dict[str, Any]:
    from campaigns.comparison import compare

    config, state, rounds = campaign.config, campaign.state, campaign.rounds()
    seconds = sum(e.seconds for e in state.evaluations.values())
    row: dict[str, Any] = {
        "run": campaign.folder.name,
        "surrogate": config.surrogate.kind,
        "acquisition": config.acquisition.kind,
        "seed": config.seed,
        "pool": len(state.pool),
        "evaluated": len(state.evaluations),
        "failed": len(state.failed),
    }
    if isinstance(config.objective, HullObjective):
        row["stable_found"] = len(state.found)
    elif state.front is not None and state.front.goals > 1:
        row["on_front"], row["hypervolume"] = len(state.found), state.best
    else:
        row["best"] = state.best
    row["last_improved_at"] = _last_improvement(campaign)
    beside = compare(campaign)
    if beside is not None:
        row["of_all"] = f"{int(beside.found[-1])} of {len(beside.targets)}"
        row["by_chance"] = round(float(beside.expected[beside.evaluations]), 1)
        factor = beside.acceleration()
        row["acceleration"] = None if factor is None else round(factor, 1)
    for name in ("mae", "coverage_90"):
        if name in rounds and rounds[name].notna().any():
            row[name] = float(np.nanmean(rounds[name].astype(float)))
    row["evaluation_hours"] = seconds / 3600
    row["state"] = campaign.finished or "not finished"
    return row


def _last_improvement(campaign: Campaign) -> int | None:
    """Return after how many evaluations something better was last found."""
    closed = campaign.ledger.events("closed")
    better = [e.payload["evaluated"] for e in closed if e.payload["improved"]]
    return int(better[-1]) if better else None


def plot(campaigns: Sequence[Campaign]) -> Figure:
    """Draw what each campaign had found against what it had spent.

    Raises:
        CampaignError: as for :func:`table`.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    from matdisco.plot_style import (
        BLUE,
        GREEN,
        ORANGE,
        PURPLE,
        RED,
        SKY,
        STYLE,
        figure,
        grid,
    )

    _comparable(campaigns)
    hull = isinstance(campaigns[0].config.objective, HullObjective)
    colours = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
    with rc_context(STYLE):
        made = figure(7.0, 4.2)
        axes = made.subplots()
        for i, campaign in enumerate(campaigns):
            rounds = campaign.rounds()
            if rounds.empty:
                continue
            axes.step(
                rounds["evaluated"],
                rounds["found"] if hull else rounds["best"].astype(float),
                where="post",
                color=colours[i % len(colours)],
                ls=("-", "--", ":")[i // len(colours) % 3],
                lw=2,
                marker="o",
                ms=3,
                label=campaign.folder.name,
            )
        axes.set_xlabel("Evaluations, failures included")
        axes.set_ylabel(
            "Stable compounds known" if hull else _best(campaigns[0].config.objective)
        )
        if hull:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        grid(axes)
    return made


def _best(objective: AnyObjective) -> str:
    """Return the title of an axis of the best so far."""
    if isinstance(objective, FrontObjective) and len(objective.goals) > 1:
        unit = objective.volume_unit
        return f"Hypervolume ({unit})" if unit else "Hypervolume"
    return f"Best {get(objective.target).axis}"


def text(rows: pd.DataFrame) -> str:
    """Return the table for a terminal."""
    return rows.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.4g}")


def write(campaigns: Sequence[Campaign], path: Path) -> None:
    """Write the comparison in the format that the file's name asks for.

    Raises:
        ConfigError: no format of that name.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"--to: expected a name in {', '.join(FORMATS)}, got {path}")
    from matdisco.plot_style import to_png, to_svg

    rows = table(campaigns)
    if path.suffix == ".png":
        path.write_bytes(to_png(plot(campaigns)))
        return
    if path.suffix == ".csv":
        content = rows.to_csv(index=False)
    elif path.suffix == ".md":
        content = _markdown(rows)
    else:
        content = to_svg(plot(campaigns), "compare")
    if path.suffix == ".html":
        body = rows.to_html(
            index=False, border=0, na_rep="", float_format=lambda v: f"{v:.4g}"
        )
        names = escape(", ".join(c.folder.name for c in campaigns))
        content = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{names}'
            f"</title><style>{_STYLE}</style><h1>{names}</h1>{content}{body}</html>"
        )
    path.write_text(content, encoding="utf-8")


def _markdown(rows: pd.DataFrame) -> str:
    head = "| " + " | ".join(rows.columns) + " |"
    lines = [head, "|" + " --- |" * len(rows.columns)]
    for record in rows.itertuples(index=False):
        cells = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in record]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
