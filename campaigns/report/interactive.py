"""Figures that answer a pointer: plotly specifications, and plotly to embed.

The vector figures stay in the page, for print and for browsers that cannot draw
these. Plotly comes from its Python package, compressed, once per page.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.objectives import HullObjective
from campaigns.plots.hull import SHOWN, tie_lines
from campaigns.plots.progress import posterior_band
from campaigns.plots.surrogate import predictions
from matdisco.plot_style import BLUE, GREEN, GREY, INK, ORANGE, PALE
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.comparison import Comparison
    from campaigns.state import State
    from matdisco.thermo import Hull

MOST_POINTS = 5000
"""Points of one figure; above this the vector figure stays alone."""
Spec = dict[str, Any]


@lru_cache(maxsize=1)
def plotly_packed() -> str:
    """Return plotly.js (MIT licence) as base64 of gzip, the same bytes every time."""
    source = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 9, mtime=0)).decode("ascii")


def interactive(campaign: Campaign, comparison: Comparison | None) -> dict[str, Spec]:
    """Return plotly figures by name, for those that gain from it."""
    state = campaign.state
    if not 0 < len(state.answered) <= MOST_POINTS:
        return {}
    made: dict[str, Spec] = {}
    if isinstance(state.objective, HullObjective):
        if state.hull is not None and len(state.elements) == 2:
            made["hull"] = _binary(state, state.hull)
        elif state.hull is not None and len(state.elements) == 3:
            made["hull"] = _ternary(state, state.hull)
    if comparison is not None:
        made["progress"] = _progress(campaign, comparison)
    table = predictions(campaign)
    if len(table):
        made["parity"] = _parity(campaign)
    return made


def _binary(state: State, phases: Hull) -> Spec:
    x, y = phases.x[:, 1], phases.formation
    stable = phases.stable & (np.abs(y - phases.height(phases.x)) < 1e-6)
    corners = sorted(
        {
            (round(float(a), 9), float(e))
            for a, e in zip(x[stable], y[stable], strict=True)
        }
    )
    line = {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip", "name": "hull",
        "x": [a for a, _ in corners], "y": [e for _, e in corners],
        "line": {"color": INK, "width": 1.5},
    }  # fmt: skip
    above, on = np.flatnonzero(~stable), np.flatnonzero(stable)
    names = _names(state)
    a, b = state.elements
    lowest = float(y.min())
    top = max(0.04, -0.5 * lowest)
    layout = _layout(
        f"Atomic fraction of {b} in {a}–{b}",
        get("formation_energy_per_atom").axis,
        {"range": [-0.02, 1.02]},
        {"range": [lowest - 0.16 * (top - lowest), top]},
    )
    others = _dots(x[above], y[above], [names[i] for i in above])
    others |= {"name": "evaluated", "marker": _distance(phases, above)}
    found = _dots(x[on], y[on], [names[i] for i in on]) | {"name": "stable"}
    return {"data": [line, others, found | _GREEN], "layout": layout}


def _ternary(state: State, phases: Hull) -> Spec:
    names = _names(state)
    lines: dict[str, list[float | None]] = {"a": [], "b": [], "c": []}
    for one, other in tie_lines(phases):
        for axis, k in (("a", 0), ("b", 1), ("c", 2)):
            lines[axis] += [float(one[k]), float(other[k]), None]
    tie = {
        "type": "scatterternary", "mode": "lines", "hoverinfo": "skip",
        "name": "tie lines", "line": {"color": INK, "width": 1}, **lines,
    }  # fmt: skip
    # the lowest at a composition is drawn last, on top
    order = np.argsort(-phases.energies_above, kind="stable")
    above = [int(i) for i in order if not phases.stable[i]]
    on = np.flatnonzero(phases.stable).tolist()

    def at(rows: Sequence[int]) -> Spec:
        part = phases.x[list(rows)]
        return {
            "type": "scatterternary",
            "mode": "markers",
            "cliponaxis": False,
            "text": [names[i] for i in rows],
            "hovertemplate": "%{text}<extra></extra>",
            **{axis: _floats(part[:, k]) for k, axis in enumerate("abc")},
        }

    axes = {
        f"{axis}axis": {"title": {"text": ""}, "showticklabels": False, "ticks": "",
                        "gridcolor": PALE, "linecolor": INK}
        for axis in "abc"
    }  # fmt: skip
    # plotly's own titles would lie under the dots at the corners
    corners = {
        "type": "scatterternary", "mode": "markers+text", "cliponaxis": False,
        "a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1], "hoverinfo": "skip",
        "text": [f"<b>{e}</b>" for e in state.elements], "showlegend": False,
        "textposition": ["top center", "bottom center", "bottom center"],
        "marker": {"size": 16, "opacity": 0}, "textfont": {"size": 13},
    }  # fmt: skip
    layout = {**_layout("", "", {}, {}), "ternary": {"sum": 1, **axes}, "height": 520}
    others = at(above) | {"name": "evaluated", "marker": _distance(phases, above)}
    stable = at(on) | {"name": "stable"} | _GREEN
    return {"data": [tie, corners, others, stable], "layout": layout}


def _progress(campaign: Campaign, comparison: Comparison) -> Spec:
    n = list(range(comparison.evaluations + 1))
    total = len(comparison.targets)
    step = {"shape": "hv"}
    found_by: dict[int, list[str]] = {}
    for target, at in zip(comparison.targets, comparison.found_at, strict=True):
        if at is not None:
            found_by.setdefault(at, []).append(target.name)
    text = [", ".join(found_by.get(i, [])) for i in n]

    def trace(y: np.ndarray, **more: Any) -> Spec:
        return {"type": "scatter", "mode": "lines", "x": n, "y": _floats(y), **more}

    band = {"line": {"width": 0, **step}, "hoverinfo": "skip"}
    data = [
        trace(comparison.low, showlegend=False, **band),
        trace(comparison.high, fill="tonexty", fillcolor=PALE,
              name="random choice, 90 % band", **band),
        trace(comparison.expected[: len(n)], name="random choice, expected",
              line={"color": GREY, "dash": "dash"}),
        trace(comparison.found, name="this campaign", text=text,
              line={"color": BLUE, "width": 2.5, **step},
              hovertemplate="%{y:.0f} after %{x}<br>%{text}<extra></extra>"),
    ]  # fmt: skip
    believed = posterior_band(campaign)
    hull = isinstance(campaign.state.objective, HullObjective)
    if hull and believed["n"]:
        data[:0] = _believed(believed)
    # a wild early belief would flatten what was found
    top = min(max([total, *(believed["high"] if hull else [])]), 2 * total)
    layout = _layout(
        "Evaluations, failures included", f"Found (of {total})", {},
        {"range": [0, 1.05 * top], **({"dtick": 1} if top <= 8 else {})},
    )  # fmt: skip
    layout["shapes"] = [
        {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
         "x0": e.payload["evaluated"], "x1": e.payload["evaluated"],
         "line": {"color": PALE, "width": 1}, "layer": "below"}
        for e in campaign.ledger.events("closed")
    ]  # fmt: skip
    return {"data": data, "layout": layout}


def _believed(band: dict[str, list[float]]) -> list[Spec]:
    """Return the posterior band of the number of stable compounds in the pool."""
    step: Spec = {"width": 0, "shape": "hv"}
    name = "in all, as the surrogate believes (90 %)"

    def trace(key: str, **more: Any) -> Spec:
        return {"type": "scatter", "mode": "lines", "x": band["n"], "y": band[key],
                "line": step, "hoverinfo": "skip", **more}  # fmt: skip

    middle = {**step, "width": 1.2, "color": ORANGE, "dash": "dot"}
    return [
        trace("low", showlegend=False),
        trace("high", fill="tonexty", fillcolor=f"{ORANGE}40", name=name),
        trace("median", line=middle, showlegend=False, hoverinfo="y"),
    ]


def _parity(campaign: Campaign) -> Spec:
    table = predictions(campaign)
    prop = get(campaign.config.objective.target)
    both = table[["mean", "truth"]].to_numpy()
    margin = 0.06 * max(float(np.ptp(both)), 1e-6)
    ends = [float(both.min() - margin), float(both.max() + margin)]
    texts = [
        f"<b>{formula}</b> {candidate}<br>round {number}: {mean:.3f} ± {std:.3f}, "
        f"then {truth:.3f} {prop.unit}"
        for number, candidate, formula, mean, std, truth in zip(
            *(table[k] for k in ("round", "candidate", "formula", "mean", "std",
                                 "truth")), strict=True)
    ]  # fmt: skip
    dots = _dots(table["truth"].to_numpy(), table["mean"].to_numpy(), texts)
    dots |= {
        "name": "proposals",
        "error_y": {"type": "data", "array": _floats(table["std"].to_numpy()),
                    "color": PALE, "thickness": 1, "width": 0},
        "marker": {"color": table["round"].tolist(), "colorscale": "Cividis", "size": 8,
                   "line": {"color": "#fff", "width": 0.5},
                   "colorbar": {"title": {"text": "Round"}, "thickness": 12,
                                "dtick": max(1, int(table["round"].max()) // 6)}},
    }  # fmt: skip
    ideal = {"type": "scatter", "mode": "lines", "x": ends, "y": ends, "name": "equal",
             "hoverinfo": "skip", "line": {"color": GREY, "width": 1}}  # fmt: skip
    layout = _layout(
        f"Evaluated: {prop.axis}", f"Predicted before:<br>{prop.axis}",
        {"range": ends, "constrain": "domain"},
        {"range": ends, "constrain": "domain", "scaleanchor": "x"},
    )  # fmt: skip
    layout["showlegend"] = False
    return {"data": [ideal, dots], "layout": layout}


_GREEN: Spec = {
    "marker": {"color": GREEN, "size": 12, "line": {"color": INK, "width": 1}}
}


def _names(state: State) -> list[str]:
    unit = get("energy_above_hull").unit
    out = []
    for row, above in zip(state.answered, state.headline, strict=True):
        crystal = state.pool[int(row)]
        out.append(
            f"<b>{crystal.formula}</b><br>{crystal.id}<br>{above:.4f} {unit} above hull"
        )
    return out


def _dots(x: np.ndarray, y: np.ndarray, texts: list[str]) -> Spec:
    return {
        "type": "scatter", "mode": "markers", "x": _floats(x), "y": _floats(y),
        "cliponaxis": False, "text": texts, "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _distance(phases: Hull, rows: Any) -> Spec:
    return {
        "color": _floats(phases.energies_above[list(rows)]), "colorscale": "Cividis",
        "cmin": 0, "cmax": SHOWN, "size": 7, "line": {"color": "#fff", "width": 0.5},
        "colorbar": {"title": {"text": "above hull (eV/atom)", "side": "right"},
                     "thickness": 12},
    }  # fmt: skip


def _layout(x: str, y: str, of_x: Spec, of_y: Spec) -> Spec:
    axis = {"gridcolor": "#eceff3", "zeroline": False, "linecolor": GREY,
            "automargin": True}  # fmt: skip
    return {
        "xaxis": {"title": {"text": x}, **axis, **of_x},
        "yaxis": {"title": {"text": y}, **axis, **of_y},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": INK},
        "height": 430, "margin": {"l": 65, "r": 20, "t": 30, "b": 55},
        "legend": {"orientation": "h", "y": 1.12, "x": 0},
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "color": INK, "size": 12},
        "hoverlabel": {"align": "left", "bgcolor": "#fff", "bordercolor": ORANGE,
                       "font": {"color": INK}},
        "colorway": [BLUE, ORANGE, GREEN],
    }  # fmt: skip


def _floats(values: np.ndarray) -> list[float]:
    return [round(float(v), 6) for v in values]
