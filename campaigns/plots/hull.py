"""The hull: what is stable, what nearly is, and where nobody has looked."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.patheffects import withStroke
from scipy.spatial import ConvexHull

from campaigns.objectives import HullObjective, PropertyObjective, target_range
from campaigns.plots.front import panels
from matdisco.plot_style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    SEQUENTIAL,
    STYLE,
    figure,
    grid,
    note,
    subscripted,
)
from matdisco.properties import get

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from campaigns.campaign import Campaign
    from campaigns.state import State
    from matdisco.thermo import Hull

SHOWN = 0.2
"""eV/atom above the hull at which the colour scale ends."""
LISTED = 25
"""Phases in the bar chart of four and more elements."""
SQRT3_2 = 3**0.5 / 2


def hull(campaign: Campaign) -> Figure:
    """Plot the convex hull of everything evaluated.

    Two elements: formation energy over composition. Three: a triangle with tie
    lines. More: the phases nearest to the hull as bars. For other objectives: the
    front, or how the answers are spread.
    """
    state = campaign.state
    if len(state.answered) == 0:
        return note("No answer yet: nothing to plot.")
    with rc_context(STYLE):
        if state.front is not None:
            return panels(state, state.front)
        if not isinstance(state.objective, HullObjective):
            return _spread(state)
        if state.hull is None:
            return note("No hull yet: not every pure element has an answer.")
        if len(state.elements) == 2:
            return _binary(state, state.hull)
        if len(state.elements) == 3:
            return _ternary(state, state.hull)
        return _bars(state)


def _binary(state: State, phases: Hull) -> Figure:
    made = figure(6.0, 4.2)
    axes = made.subplots()
    x, energy = phases.x[:, 1], phases.formation
    lowest = float(energy.min())
    top = max(0.04, -0.5 * lowest)
    shown = energy <= top
    corners = phases.stable & (np.abs(energy - phases.height(phases.x)) < 1e-6)
    line = sorted(
        {
            (round(float(a), 9), float(e))
            for a, e in zip(x[corners], energy[corners], strict=True)
        }
    )
    axes.plot(*zip(*line, strict=True), color=INK, lw=1.4, zorder=2)
    above = phases.energies_above
    dots = axes.scatter(
        x[shown & ~corners],
        energy[shown & ~corners],
        c=above[shown & ~corners],
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=SHOWN,
        s=24,
        edgecolor="white",
        linewidth=0.4,
        zorder=3,
    )
    axes.scatter(x[corners], energy[corners], color=GREEN, s=52, zorder=4, ec=INK)
    labelled = set()
    for row in np.flatnonzero(corners):
        crystal = state.pool[int(state.answered[row])]
        if crystal.formula in labelled or len(crystal.elements) == 1:
            continue
        labelled.add(crystal.formula)
        axes.annotate(
            subscripted(crystal.formula),
            (x[row], energy[row]),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            va="top",
            fontweight="bold",
        )
    hidden = int((~shown).sum())
    if hidden:
        axes.text(
            0.99, 0.99, f"{hidden} phases lie higher up", ha="right", va="top",
            transform=axes.transAxes, color=GREY, fontsize=9,
        )  # fmt: skip
    a, b = (subscripted(e) for e in state.elements)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(lowest - 0.16 * (top - lowest), top)
    axes.set_xlabel(f"Atomic fraction of {b} in {a}–{b}")
    axes.set_ylabel(get("formation_energy_per_atom").axis)
    made.colorbar(dots, ax=axes, label=get("energy_above_hull").axis, extend="max")
    grid(axes)
    return made


def _ternary(state: State, phases: Hull) -> Figure:
    made = figure(6.6, 4.8)
    axes = made.subplots()
    axes.set_aspect("equal")
    axes.axis("off")
    corners = _flat(np.eye(3))
    axes.fill(corners[:, 0], corners[:, 1], facecolor="none", edgecolor=INK, lw=1.2)
    unseen = np.unique(np.round(state.x[state.available], 6), axis=0)
    axes.scatter(*_xy(unseen), s=5, color=PALE, label="not evaluated", zorder=1)
    for a, b in tie_lines(phases):
        axes.plot(*_xy(np.array([a, b])), color=INK, lw=0.9, zorder=2)
    best = _lowest_per_composition(phases)
    near = [i for i in best if not phases.stable[i]]
    order = sorted(near, key=lambda i: -phases.energies_above[i])
    dots = axes.scatter(
        *_xy(phases.x[order]),
        c=phases.energies_above[order],
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=SHOWN,
        s=34,
        edgecolor="white",
        linewidth=0.5,
        zorder=3,
        label="evaluated, lowest there",
    )
    stable = [i for i in best if phases.stable[i]]
    axes.scatter(
        *_xy(phases.x[stable]),
        s=64,
        color=GREEN,
        edgecolor=INK,
        zorder=4,
        label="stable",
    )
    formulas = [state.pool[int(state.answered[i])].formula for i in stable]
    _label_phases(axes, _flat(phases.x[stable]), formulas)
    axes.margins(0.12)
    made.colorbar(
        dots, ax=axes, label=get("energy_above_hull").axis, extend="max", shrink=0.7
    )
    axes.legend(loc="upper left", bbox_to_anchor=(-0.05, 1.05))
    return made


def _label_phases(axes: Axes, spots: np.ndarray, formulas: list[str]) -> None:
    """Write formulas beside their points, outwards, without covering each other."""
    middle = np.array([0.5, SQRT3_2 / 3])
    taken = [(spot, np.array([0.016, 0.016])) for spot in spots]
    turns = np.radians([0, 45, -45, 90, -90, 135, -135, 180])
    for spot, formula in zip(spots, formulas, strict=True):
        pure = formula.isalpha() and np.linalg.norm(spot - middle) > 0.55
        half = np.array([0.0125 * len(formula), 0.021]) * (1.25 if pure else 1.0)
        away = spot - middle
        angle = float(np.arctan2(away[1], away[0])) if np.linalg.norm(away) else 1.57
        for reach, turn in ((r, t) for r in (1.0, 1.8, 2.6) for t in turns):
            way = np.array([np.cos(angle + turn), np.sin(angle + turn)])
            place = spot + way * (reach * (0.012 + half))
            if all((np.abs(place - p) > half + h).any() for p, h in taken):
                break
        taken.append((place, half))
        if reach > 1:
            axes.plot(*np.array([spot, place]).T.tolist(), color=GREY, lw=0.6, zorder=3)
        axes.text(
            float(place[0]),
            float(place[1]),
            subscripted(formula),
            ha="center",
            va="center",
            fontsize=12 if pure else 9.5,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=5,
        )


def tie_lines(phases: Hull) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of compositions that are in equilibrium, of a ternary hull."""
    rows = [i for i in _lowest_per_composition(phases) if phases.stable[i]]
    x, energy = phases.x[rows], phases.formation[rows]
    top = np.append(np.full(2, 1 / 3), 1.0 - energy.min())
    body = ConvexHull(np.vstack([np.column_stack([x[:, 1:], energy]), top]))
    edges = set()
    for simplex, equation in zip(body.simplices, body.equations, strict=True):
        if len(rows) in simplex or equation[2] > -1e-12:
            continue
        edges |= {tuple(sorted(pair)) for pair in combinations(simplex.tolist(), 2)}
    return [(x[a], x[b]) for a, b in sorted(edges)]


def _bars(state: State) -> Figure:
    table = state.to_frame()
    table = table[table["formula"].map(len) > 0].drop_duplicates("formula")
    table = table.head(LISTED).iloc[::-1]
    made = figure(6.0, 1.2 + 0.24 * len(table))
    axes = made.subplots()
    values = 1000 * table["energy_above_hull"].to_numpy()
    names = [subscripted(f) for f in table["formula"]]
    colours = [GREEN if v < 1e-3 else BLUE for v in values]
    axes.barh(names, np.maximum(values, 0.4), color=colours)
    for i, v in enumerate(values):
        text = " stable" if v < 1e-3 else f" {v:.0f}"
        axes.text(v, i, text, va="center", fontsize=9)
    axes.set_xlabel("Energy above hull (meV/atom)")
    axes.margins(x=0.12)
    return made


def _spread(state: State) -> Figure:
    prop = get(state.objective.headline)
    made = figure(6.0, 3.6)
    axes = made.subplots()
    rounds = np.array([state.rounds[state.pool[int(i)].id] for i in state.answered])
    values = state.headline
    edges = np.histogram_bin_edges(values, bins="auto" if len(values) > 4 else 5)
    axes.hist(
        [values[rounds == 0], values[rounds > 0]],
        bins=edges.tolist(),
        stacked=True,
        color=[ORANGE, BLUE],
        label=["first round", "chosen by the campaign"],
    )
    objective = state.objective
    if isinstance(objective, PropertyObjective) and objective.goal == "target":
        axes.axvspan(*target_range(objective), color=PALE, zorder=0, label="wanted")
    else:
        axes.axvline(state.best, color=INK, ls="--", lw=1.2, label="best")
    axes.set_xlabel(prop.axis)
    axes.set_ylabel("Evaluated candidates")
    axes.legend()
    return made


def _lowest_per_composition(phases: Hull) -> list[int]:
    best: dict[tuple[float, ...], int] = {}
    for i in np.argsort(phases.energies, kind="stable"):
        best.setdefault(tuple(np.round(phases.x[i], 6).tolist()), int(i))
    return sorted(best.values())


def _flat(x: np.ndarray) -> np.ndarray:
    """Return positions in the triangle of fractions (n, 3), shape (n, 2)."""
    x = np.atleast_2d(x)
    return np.column_stack([x[:, 1] + 0.5 * x[:, 2], SQRT3_2 * x[:, 2]])


def _xy(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = _flat(x)
    return flat[:, 0], flat[:, 1]
