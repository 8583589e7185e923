"""What a table's cell says: a value with its uncertainty, a limit, nothing, or text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from matdisco.data.readers.columns import ColumnMap
from matdisco.data.readers.text import NUMBER

_LIMIT = re.compile(rf"(<=|>=|[<>≤≥])\s*({NUMBER})")
_PLUS_MINUS = re.compile(rf"({NUMBER})\s*(?:±|\+/-|\+-)\s*({NUMBER})")
_BRACKETS = re.compile(r"([-+]?\d*\.?(\d*))\((\d+)\)((?:[eE][-+]?\d+)?)")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that is not empty."""

    value: float | None = None
    """The number, or the number of a limit; None where the cell holds text."""
    sigma: float | None = None
    """The uncertainty written beside it (``2.31(4)``, ``2.31 ± 0.04``)."""
    limit: str = ""
    """``<`` or ``>`` where the cell states a limit instead of a value."""
    text: str = ""
    """What it says, where that is no number."""


def read_cell(value: Any, columns: ColumnMap | None) -> Cell | None:
    """Read a cell; None where it is empty or says *missing*.

    >>> read_cell("1.23(4)E-5", None)
    Cell(value=1.23e-05, sigma=4e-07, limit='', text='')
    >>> read_cell("<1E-10", None)
    Cell(value=1e-10, sigma=None, limit='<', text='')
    """
    if value is None or isinstance(value, bool):
        return None
    missing = columns.missing if columns else ()
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in {str(m).lower() for m in missing}:
            return None
        if columns and columns.decimal == ",":
            text = text.replace(".", "").replace(",", ".")
        if not re.fullmatch(NUMBER, text):
            return _not_plain(text)
        value = float(text)
    if isinstance(value, (int, float)):
        if any(isinstance(m, (int, float)) and m == value for m in missing):
            return None
        return None if value != value else Cell(float(value))
    return Cell(text=str(value))


def _not_plain(text: str) -> Cell:
    if found := _LIMIT.fullmatch(text):
        sign = "<" if found[1] in ("<", "<=", "≤") else ">"
        return Cell(float(found[2]), limit=sign)
    if found := _PLUS_MINUS.fullmatch(text):
        return Cell(float(found[1]), abs(float(found[2])))
    found = _BRACKETS.fullmatch(text)
    if found and any(c.isdigit() for c in found[1]):
        digits, power = found[3], found[4]  # the bracket counts in the last digits
        # in decimals, so that 0.00(4)E-5 is the float nearest to 4e-7
        sigma = Decimal(f"{digits}e-{len(found[2])}") * Decimal(f"1{power}")
        return Cell(float(found[1] + power), float(sigma))
    return Cell(text=text)
