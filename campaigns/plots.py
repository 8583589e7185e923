"""Plots of a campaign, as matplotlib figures without global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


def progress(campaign: Campaign) -> Figure:
    """Plot what was found against evaluations spent."""
    return Figure()


def hull(campaign: Campaign) -> Figure:
    """Plot the convex hull of everything evaluated."""
    return Figure()


def parity(campaign: Campaign) -> Figure:
    """Plot predictions made before evaluation against the answers."""
    return Figure()


def calibration(campaign: Campaign) -> Figure:
    """Plot how often the answers fell inside the predicted intervals."""
    return Figure()
