"""The periodic table of a search: where it looked, and what that brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from pymatgen.core import Element

from campaigns.objectives import HullObjective
from matdisco.plot_style import GREY, INK, PALE, SEQUENTIAL, STYLE, figure, note
from matdisco.properties import get

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from campaigns.campaign import Campaign

LAST = 96
"""Curium: heavier elements have no evaluator."""


def elements(campaign: Campaign) -> Figure:
    """Plot, for every element, the evaluations that contain it.

    Colour: how many. Under the symbol: the best answer of a candidate with the
    element (of compounds, where the objective is the hull), in the objective's unit.
    """
    state = campaign.state
    if len(state.answered) == 0:
        return note("No answer yet: nothing to plot.")
    hull = isinstance(state.objective, HullObjective)
    if hull and state.hull is None:
        return note("No hull yet: not every pure element has an answer.")
    counts: dict[str, int] = dict.fromkeys(campaign.pool.elements, 0)
    for name in set(state.evaluations) & set(state.position):
        for symbol in state.pool[state.position[name]].elements:
            counts[symbol] = counts.get(symbol, 0) + 1
    best: dict[str, float] = {}
    merit = state.merit(np.asarray(state.headline))
    if state.front is not None:
        merit = np.where(state.front.useful, merit, -np.inf)
    for row in np.argsort(merit):  # the best comes last and stays
        crystal = state.pool[int(state.answered[row])]
        if not (hull and len(crystal.elements) == 1):
            best |= dict.fromkeys(crystal.elements, float(state.headline[row]))
    prop = get(state.objective.headline)
    scale = Normalize(0, max(counts.values()) or 1)
    colours = mpl.colormaps[SEQUENTIAL]
    with rc_context(STYLE):
        made = figure(9.0, 4.6)
        axes = made.subplots()
        for z in range(1, LAST + 1):
            element = Element.from_Z(z)
            x, y = _place(element)
            count = counts.get(element.symbol)
            fill = "none" if count is None else colours(scale(count))
            dark = count is not None and scale(count) < 0.55
            ink = GREY if count is None else "white" if dark else INK
            axes.add_patch(
                Rectangle((x, y), 0.94, 0.94, facecolor=fill, edgecolor=PALE, lw=0.7)
            )
            axes.text(
                x + 0.47, y + 0.4, element.symbol, ha="center", va="center", color=ink,
                fontsize=9, fontweight="normal" if count is None else "bold",
            )  # fmt: skip
            if element.symbol in best:
                axes.text(
                    x + 0.47, y + 0.77, f"{best[element.symbol]:.3g}", ha="center",
                    va="center", color=ink, fontsize=6.5,
                )  # fmt: skip
        axes.set_xlim(-0.1, 18.1)
        axes.set_ylim(9.4, -0.1)
        axes.set_aspect("equal")
        axes.axis("off")
        made.colorbar(
            ScalarMappable(scale, colours), ax=axes, shrink=0.6,
            label="Evaluations with the element",
        )  # fmt: skip
        of, axis = (
            "compound" if hull else "candidate",
            prop.axis[0].lower() + prop.axis[1:],
        )
        axes.text(
            2.2, 0.5, f"Under the symbol: best {of} with it,\n{axis}",
            fontsize=8.5, color=INK, va="center",
        )  # fmt: skip
    return made


def _place(element: Element) -> tuple[float, float]:
    """Return column and row on the page; the f block stands below."""
    if element.is_lanthanoid:
        return element.Z - 57 + 3.0, 7.4
    if element.is_actinoid:
        return element.Z - 89 + 3.0, 8.4
    return element.group - 1.0, element.row - 1.0
