"""How all plots look: one set of colours and sizes, and ways out as SVG and PNG."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# M. Okabe and K. Ito, "Color Universal Design" (2008): told apart by everybody
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
RED, SKY, PURPLE = "#D55E00", "#56B4E9", "#CC79A7"
INK, GREY, PALE = "#1a202c", "#6b7280", "#d1d5db"
SEQUENTIAL = "cividis"
"""Colour map for magnitudes: even in lightness, also for the colour-blind."""

STYLE: Any = {
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
}


class Plot(Figure):
    """A figure that shows itself in Jupyter without pyplot."""

    def _repr_png_(self) -> bytes:
        return to_png(self, 110)


def figure(width: float = 6.0, height: float = 4.0) -> Figure:
    """Return an empty figure of so many inches that keeps its parts apart."""
    return Plot(figsize=(width, height), dpi=110, layout="constrained")


def note(text: str) -> Figure:
    """Return a figure that says why there is nothing to plot."""
    made = figure(6.0, 1.6)
    made.text(0.5, 0.5, text, ha="center", va="center", color=GREY, wrap=True)
    return made


def grid(axes: Axes) -> None:
    """Draw a faint grid."""
    axes.grid(visible=True, color=PALE, linewidth=0.6, alpha=0.7)


def subscripted(formula: str) -> str:
    """Return a formula with its numbers as subscripts, for any font.

    >>> subscripted("Al12Mo")
    'Al₁₂Mo'
    """
    return formula.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def to_svg(made: Figure, salt: str) -> str:
    """Return a figure as an ``<svg>`` element for a page.

    Args:
        made: the figure.
        salt: something unique in the page, so that ids do not clash.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        made.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # ids such as figure_1 are the same in every figure; only those in use may stay
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(
        r' id="([^"]*)"', lambda m: m.group(0) if m.group(1) in used else "", text
    )
    return re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", text, count=1)


def to_png(made: Figure, dpi: int = 150) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
