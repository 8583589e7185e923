"""Progress: what was found against what was spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.ticker import MaxNLocator

from campaigns.comparison import Comparison, compare, evaluation_order
from campaigns.objectives import HullObjective, PropertyObjective, target_range
from campaigns.plots.front import volume_so_far
from matdisco.plot_style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    RED,
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
    from campaigns.state import State

_Scale = Callable[[Any], Any]


def progress(campaign: Campaign) -> Figure:
    """Plot what was found against evaluations spent.

    With ``review.truth``: how much of what there is to find, beside the expectation
    and the 90 % band of random choice at equal cost. Without: the stable compounds
    known after each round, the hypervolume, or the best value so far. Beside it, where
    each round's surrogate said so, its 90 % band for the whole pool
    (:func:`posterior_band`).
    """
    state = campaign.state
    if len(state.answered) == 0:
        return note("No answer yet: nothing to plot.")
    comparison = compare(campaign)
    with rc_context(STYLE):
        made = figure()
        axes = made.subplots()
        if comparison is not None:
            _against_chance(axes, comparison, state)
        elif isinstance(state.objective, HullObjective):
            _stable_by_round(axes, campaign)
        elif state.front is not None:
            volume_so_far(axes, state, state.front, evaluation_order(campaign))
        else:
            _best_so_far(axes, state, evaluation_order(campaign))
        # a property's band is in its unit: it has no place in a count
        if comparison is None or isinstance(state.objective, HullObjective):
            _believed(axes, campaign)
        _mark_rounds(axes, campaign)
        axes.set_xlabel("Evaluations, failures included")
        if comparison is not None or isinstance(state.objective, HullObjective):
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
        handles, labels = axes.get_legend_handles_labels()
        if len(handles) > 1:
            axes.legend(
                handles, labels, loc="best", frameon=True, framealpha=0.9,
                edgecolor="none",
            )  # fmt: skip
    return made


def _against_chance(axes: Axes, comparison: Comparison, state: State) -> None:
    n = np.arange(comparison.evaluations + 1)
    axes.fill_between(
        n,
        comparison.low,
        comparison.high,
        step="post",
        color=PALE,
        linewidth=0,
        label="random choice, 90 % band",
    )
    expected = comparison.expected[: len(n)]
    axes.plot(n, expected, color=GREY, ls="--", label="random choice, expected")
    axes.step(
        n, comparison.found, where="post", color=BLUE, lw=2.2, label="this campaign"
    )
    total = len(comparison.targets)
    what = (
        "Stable compounds found"
        if isinstance(state.objective, HullObjective)
        else "Best candidates found" if state.front is None
        else "Members of the pool's front found"
    )  # fmt: skip
    axes.set_ylabel(f"{what} (of {total})")
    axes.set_xlim(0, comparison.evaluations)
    axes.set_ylim(0, total * 1.06)
    share = axes.secondary_yaxis("right", functions=_percent(total))
    share.set_ylabel("Share of all (%)")


def posterior_band(campaign: Campaign) -> dict[str, list[float]]:
    """Return what each round's surrogate believed the whole pool to hold.

    For a hull the number of stable compounds, for a property the best value: ``low``
    and ``high`` (5 and 95 %) and ``median`` from ``n`` evaluations on, until the next
    round or the last evaluation. Empty where no round said so.
    """
    closed = {e.round: e.payload["evaluated"] for e in campaign.ledger.events("closed")}
    out: dict[str, list[float]] = {"n": [], "low": [], "median": [], "high": []}
    for event in campaign.ledger.events("proposed"):
        ahead = event.payload.get("outlook") or {}
        before = closed.get((event.round or 0) - 1)
        if "whole_low" not in ahead or before is None:
            continue
        out["n"].append(before)
        for key in ("low", "median", "high"):
            out[key].append(ahead[f"whole_{key}"])
    if out["n"]:
        out["n"].append(max(len(campaign.state.evaluations), out["n"][-1]))
        for key in ("low", "median", "high"):
            out[key].append(out[key][-1])
    return out


def _believed(axes: Axes, campaign: Campaign) -> None:
    """Draw the posterior band under what was found; a wild early one is cut off."""
    band = posterior_band(campaign)
    if not band["n"]:
        return
    low, high = axes.get_ylim()
    hull = isinstance(campaign.state.objective, HullObjective)
    what = "stable compounds in all" if hull else "best of the pool"
    axes.fill_between(
        band["n"], band["low"], band["high"], step="post", color=ORANGE, alpha=0.25,
        linewidth=0, zorder=0.5, label=f"{what}, as the surrogate believes (90 %)",
    )  # fmt: skip
    axes.step(band["n"], band["median"], where="post", color=ORANGE, lw=1, ls=":")
    span = high - low
    bottom = 0.0 if hull else max(min(low, min(band["low"])), low - span)
    axes.set_ylim(bottom, min(max(high, 1.05 * max(band["high"])), high + span))


def _stable_by_round(axes: Axes, campaign: Campaign) -> None:
    closed = campaign.ledger.events("closed")
    n = [0] + [e.payload["evaluated"] for e in closed]
    found = [0] + [len(e.payload["found"]) for e in closed]
    axes.step(n, found, where="post", color=BLUE, lw=2.2, label="known then")
    axes.plot(n, found, "o", color=BLUE, ms=4)
    axes.set_ylabel("Stable compounds on the hull known then")
    axes.set_xlim(0, max(n) or 1)
    axes.set_ylim(0, max(found) + 1)


def _best_so_far(axes: Axes, state: State, order: list[str]) -> None:
    prop = get(state.objective.headline)
    value = {
        state.pool[int(i)].id: v
        for i, v in zip(state.answered, state.headline, strict=True)
    }
    n = [i for i, name in enumerate(order, 1) if name in value]
    y = np.array([value[name] for name in order if name in value])
    merit = state.merit(y)
    best = np.array([y[int(merit[: i + 1].argmax())] for i in range(len(y))])
    axes.plot(n, y, "o", color=ORANGE, ms=4, alpha=0.8, label="each answer")
    axes.step(n, best, where="post", color=BLUE, lw=2.2, label="best so far")
    missing = [i for i, name in enumerate(order, 1) if name not in value]
    if missing:
        axes.plot(
            missing,
            np.full(len(missing), 0.02),
            "x",
            color=RED,
            ms=5,
            transform=axes.get_xaxis_transform(),
            label="failed",
        )
    objective = state.objective
    if isinstance(objective, PropertyObjective) and objective.goal == "target":
        low, high = target_range(objective)
        axes.axhspan(low, high, color=PALE, label="wanted range")
    axes.set_ylabel(prop.axis)


def _percent(total: int) -> tuple[_Scale, _Scale]:
    def there(count: Any) -> Any:
        return 100 * np.asarray(count) / total

    def back(share: Any) -> Any:
        return np.asarray(share) * total / 100

    return there, back


def _mark_rounds(axes: Axes, campaign: Campaign) -> None:
    """Put a fine line where a round ended."""
    for event in campaign.ledger.events("closed"):
        axes.axvline(event.payload["evaluated"], color=PALE, lw=0.8, zorder=0)
