"""Pictures of reports: drawn where a test looks at them, left blank elsewhere.

Drawing takes two thirds of what a small campaign computes. All else of a report (what
it gathers, the figures, the page) is made in every test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from matplotlib.figure import Figure

from campaigns import plots
from matdisco.plot_style import to_svg


@contextmanager
def blank() -> Iterator[None]:
    """Figures of reports are made, and not drawn."""

    def undrawn(figure: Figure, salt: str) -> str:
        assert isinstance(figure, Figure)
        return f"<svg><!-- {salt} --></svg>"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "to_svg", undrawn)
        yield


@contextmanager
def drawing() -> Iterator[None]:
    """They are drawn as for people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "to_svg", to_svg)
        yield
