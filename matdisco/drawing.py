"""Crystals as pictures: static SVG and a small table for Jupyter and reports."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


def crystal_html(crystal: Crystal) -> str:
    """Return HTML that shows the crystal in a notebook."""
    return f"<b>{escape(crystal.formula)}</b>"
