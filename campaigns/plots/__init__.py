"""Plots of a campaign: matplotlib figures, made without pyplot's global state."""

from campaigns.plots.hull import hull
from campaigns.plots.progress import progress
from campaigns.plots.surrogate import calibration, parity
from matdisco.plot_style import to_png, to_svg

__all__ = ["calibration", "hull", "parity", "progress", "to_png", "to_svg"]
