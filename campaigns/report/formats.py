"""How values are written in the report."""

from __future__ import annotations

import math
from datetime import datetime
from urllib.parse import quote

from markupsafe import Markup

from matdisco.drawing import formula_html

NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many decimals; a dash for none.

    >>> number(-0.0004), number(None), number(12345.678, 1)
    ('0.000', '–', '12,345.7')
    """
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{abs(value):,.{digits}f}"
    negative = value < 0 and float(text.replace(",", "")) != 0
    return "\N{MINUS SIGN}" + text if negative else text


def formula(text: str) -> Markup:
    """Write a formula with subscripts."""
    return Markup(formula_html(text))


def percent(value: float | None) -> str:
    """Write a share as a percentage."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.0%}"


def seconds(value: float | None) -> str:
    """Write a duration as a person would.

    >>> seconds(0.25), seconds(75), seconds(7300)
    ('0.2 s', '1 min 15 s', '2 h 1 min')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def day(time: str) -> str:
    """Write an event's time."""
    return datetime.fromisoformat(time).strftime("%-d %B %Y, %H:%M UTC")


def data_uri(text: str, kind: str = "chemical/x-cif") -> str:
    """Return ``text`` as a link that downloads it without a server."""
    return f"data:{kind};charset=utf-8,{quote(text)}"
