"""Plots of a campaign: matplotlib figures, made without pyplot's global state."""

from campaigns.plots.hull import hull
from campaigns.plots.progress import progress
from campaigns.plots.style import to_png, to_svg
from campaigns.plots.surrogate import calibration, parity

__all__ = ["calibration", "hull", "parity", "progress", "to_png", "to_svg"]
