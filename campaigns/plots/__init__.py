"""Plots of a campaign: matplotlib figures, made without pyplot's global state."""

from campaigns.plots.elements import elements
from campaigns.plots.hull import hull
from campaigns.plots.progress import progress
from campaigns.plots.surrogate import calibration, parity
from matdisco.plot_style import to_png, to_svg

ALL = ("progress", "hull", "parity", "calibration", "elements")
"""Plots that every report and every MLflow run has."""
__all__ = [
    "ALL",
    "calibration",
    "elements",
    "hull",
    "parity",
    "progress",
    "to_png",
    "to_svg",
]
