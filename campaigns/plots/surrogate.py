"""Parity and calibration of the predictions made before the answers were known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.ticker import MaxNLocator
from scipy.stats import beta, norm

from matdisco.plot_style import (
    BLUE,
    GREY,
    INK,
    PALE,
    SEQUENTIAL,
    SKY,
    STYLE,
    figure,
    grid,
    note,
)
from matdisco.properties import get

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from campaigns.campaign import Campaign
    from campaigns.ledger import Event
    from campaigns.state import State

NOTHING = "No prediction has been answered yet: nothing to plot."
LEVELS = np.linspace(0.02, 0.98, 49)


def predictions(campaign: Campaign) -> pd.DataFrame:
    """Return every answered prediction, in the order of rounds and ranks.

    Columns: round, candidate, formula, mean, std (as used in the choice, that is
    recalibrated), truth (by today's references) and z = (truth - mean) / std.
    """
    return prediction_table(campaign.state, campaign.ledger.events("proposed"))


def prediction_table(state: State, proposed: Sequence[Event]) -> pd.DataFrame:
    """Return the same of a state and its ``proposed`` events."""
    truth = (
        dict(zip((int(i) for i in state.answered), state.targets, strict=True))
        if len(state.answered) and (state.hull is not None or not _is_hull(state))
        else {}
    )
    rows = [
        {
            "round": event.round,
            "candidate": p["candidate"],
            "formula": p["formula"],
            "mean": p["mean"],
            "std": p["std"],
            "truth": truth[state.position[p["candidate"]]],
        }
        for event in proposed
        for p in event.payload["proposals"]
        if p["mean"] is not None and state.position[p["candidate"]] in truth
    ]
    names = ["round", "candidate", "formula", "mean", "std", "truth"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(z=(frame["truth"] - frame["mean"]) / frame["std"])


def parity(campaign: Campaign) -> Figure:
    """Plot predictions made before evaluation against the answers."""
    table = predictions(campaign)
    if table.empty:
        return note(NOTHING)
    prop = get(campaign.config.objective.target)
    error = table["mean"] - table["truth"]
    with rc_context(STYLE):
        made = figure(5.6, 4.6)
        axes = made.subplots()
        both = table[["mean", "truth"]].to_numpy()
        margin = 0.06 * max(float(np.ptp(both)), 1e-6)
        ends = np.array([both.min() - margin, both.max() + margin])
        axes.plot(ends, ends, color=GREY, lw=1)
        axes.errorbar(
            table["truth"],
            table["mean"],
            yerr=table["std"],
            fmt="none",
            ecolor=PALE,
            elinewidth=1,
            zorder=1,
        )
        dots = axes.scatter(
            table["truth"],
            table["mean"],
            c=table["round"],
            cmap=SEQUENTIAL,
            s=26,
            edgecolor="white",
            linewidth=0.5,
            zorder=2,
        )
        bar = made.colorbar(dots, ax=axes, label="Round")
        bar.locator = _whole_numbers(int(table["round"].max() - table["round"].min()))
        bar.update_ticks()
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_aspect("equal")
        axes.set_xlabel(f"Evaluated: {prop.axis}")
        axes.set_ylabel(f"Predicted before: {prop.axis}")
        axes.text(
            0.03,
            0.97,
            f"mean absolute error {abs(error).mean():.3f} {prop.unit}\n"
            f"bias {error.mean():+.3f} {prop.unit}\nn = {len(table)}; bars: 1 σ",
            transform=axes.transAxes,
            va="top",
            fontsize=9,
        )
        grid(axes)
    return made


def calibration(campaign: Campaign) -> Figure:
    """Plot how often the answers fell inside the predicted intervals."""
    table = predictions(campaign)
    if table.empty:
        return note(NOTHING)
    with rc_context(STYLE):
        made = figure(7.2, 3.6)
        left, right = made.subplots(1, 2)
        _reliability(left, table)
        _by_round(right, table)
    return made


def observed_coverage(z: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the share of |z| inside each central interval of a normal distribution."""
    half_width = norm.ppf(0.5 + levels / 2)
    result: np.ndarray = (np.abs(z)[:, None] <= half_width).mean(axis=0)
    return result


def _reliability(axes: Axes, table: pd.DataFrame) -> None:
    z = table["z"].to_numpy()
    n = len(z)
    observed = observed_coverage(z, LEVELS)
    # where a perfectly calibrated surrogate would be in 90 % of such samples
    k = LEVELS * n
    low = beta.ppf(0.05, k + 0.5, n - k + 0.5)
    high = beta.ppf(0.95, k + 0.5, n - k + 0.5)
    percent = 100 * LEVELS
    axes.fill_between(
        percent,
        100 * low,
        100 * high,
        color=PALE,
        lw=0,
        label=f"chance at n = {n} (90 %)",
    )
    axes.plot([0, 100], [0, 100], color=GREY, lw=1, ls="--", label="ideal")
    axes.plot(percent, 100 * observed, color=BLUE, lw=2.2, label="all proposals")
    area = float(np.trapezoid(np.abs(observed - LEVELS), LEVELS))
    axes.set_title(f"Intervals (miscalibration area {area:.2f})")
    axes.set_xlabel("Expected inside (%)")
    axes.set_ylabel("Observed inside (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend(loc="upper left")
    grid(axes)


def _by_round(axes: Axes, table: pd.DataFrame) -> None:
    groups = table.groupby("round")["z"]
    rounds = np.unique(table["round"].to_numpy())
    inside = np.array(
        [(np.abs(groups.get_group(r)) < norm.ppf(0.95)).sum() for r in rounds]
    )
    counts = groups.size().to_numpy()
    share = inside / counts
    # Jeffreys interval: L. D. Brown et al., Stat. Sci. 16, 101 (2001)
    low = beta.ppf(0.16, inside + 0.5, counts - inside + 0.5)
    high = beta.ppf(0.84, inside + 0.5, counts - inside + 0.5)
    bars = np.clip(np.array([share - low, high - share]), 0, None)
    axes.axhline(90, color=GREY, lw=1, ls="--")
    axes.errorbar(
        rounds, 100 * share, yerr=100 * bars, fmt="o", color=INK, ecolor=SKY, ms=5
    )
    axes.text(
        0.98, 90.5, "ideal", color=GREY, ha="right", va="bottom", fontsize=9,
        transform=axes.get_yaxis_transform(),
    )  # fmt: skip
    axes.set_title("90 % interval, by round")
    axes.set_xlabel("Round")
    axes.set_ylabel("Observed inside (%)")
    axes.set_ylim(0, 104)
    axes.xaxis.set_major_locator(_whole_numbers(len(rounds)))
    grid(axes)


def _whole_numbers(span: int) -> MaxNLocator:
    return MaxNLocator(nbins=min(max(span, 1), 8), integer=True)


def _is_hull(state: State) -> bool:
    from campaigns.objectives import HullObjective

    return isinstance(state.objective, HullObjective)
