"""Measurements from CSV: every row taken or refused with a reason, none lost.

Columns: ``candidate``; one per property with its unit, ``band_gap [eV]``, and beside
it, where known, ``band_gap sigma [eV]`` (one standard deviation); ``replicate``,
``batch``, ``made`` (what was made instead: a candidate id, a CIF file or a formula),
``failure`` (why there is no value), ``by``, ``date``, ``note``. Only ``candidate`` and
a property or ``failure`` are needed.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from matdisco.errors import DataError
from matdisco.properties import convert, get
from matdisco.recipe import nearest

TEXT = ("candidate", "replicate", "batch", "made", "failure", "by", "date", "note")
_HEADER = re.compile(
    r"^(?P<key>\w+)(?P<sigma>\s+sigma)?(?:\s*[\[(](?P<unit>.*)[\])])?$"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One numeric column of a results file."""

    key: str
    """Property key."""
    unit: str
    """Unit of the numbers in the file."""
    sigma: bool
    """Whether it holds standard deviations."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured sample, in the properties' own units."""

    line: int
    """Line of the file, the header being 1."""
    candidate: str
    """What was asked for."""
    values: dict[str, tuple[float, float | None]]
    """Property key to (value, standard deviation or None)."""
    replicate: str = "1"
    """Which repetition."""
    batch: str = ""
    """Which synthesis or session."""
    made: str = ""
    """What was made instead of what was asked; empty when it is the same."""
    failure: str = ""
    """Why there is no value."""
    remarks: dict[str, str] = field(default_factory=dict)
    """Other text columns: by, date, note."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the ledger."""
        return {
            "line": self.line,
            "candidate": self.candidate,
            "values": {k: list(v) for k, v in self.values.items()},
            "replicate": self.replicate,
            "batch": self.batch,
            "made": self.made,
            "failure": self.failure,
            "remarks": self.remarks,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not taken."""

    line: int
    """Line of the file."""
    reason: str
    """What was expected, what was found, what to do."""
    text: str
    """The row as it stands in the file."""
    harmless: bool = False
    """Whether nothing needs mending: a repeated row, or one not filled in yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the ledger."""
        return {
            "line": self.line,
            "reason": self.reason,
            "text": self.text,
            "harmless": self.harmless,
        }


class Unfilled(DataError):
    """A row of the template that nobody has filled in."""


def parse(
    text: str, returns: Sequence[str], *, source: str
) -> tuple[list[Row], list[Refusal]]:
    """Read a results file; a wrong header refuses all of it, a wrong row itself.

    Args:
        text: the file's content.
        returns: the properties that the campaign measures.
        source: the file's name, for messages.

    Raises:
        DataError: no header, an unknown column, a unit missing or of another kind.
    """
    lines = text.lstrip("\ufeff")
    header = lines.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets of some countries use ;
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter)
    table = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    if not table:
        raise DataError(f"{source}: empty; expected a header line with 'candidate'")
    columns = _columns([c.strip() for c in table[0][1]], returns, source)
    rows, refused = [], []
    for line, cells in table[1:]:
        try:
            rows.append(_row(line, cells, columns))
        except DataError as error:
            text_of_row, harmless = ",".join(cells), isinstance(error, Unfilled)
            refused.append(Refusal(line, str(error), text_of_row, harmless))
    kept = list(_first_of_each(rows, refused))
    return kept, sorted(refused, key=lambda r: r.line)


def _columns(
    names: list[str], returns: Sequence[str], source: str
) -> list[str | Column]:
    columns: list[str | Column] = []
    units: dict[str, str] = {}
    for name in names:
        if name.lower() in TEXT:
            columns.append(name.lower())
            continue
        found = _HEADER.match(name)
        if not found or found["key"] not in returns:
            raise DataError(
                f"{source}:1: unknown column {name!r}"
                + nearest(found["key"] if found else name, [*TEXT, *returns])
                + "; nothing was taken"
            )
        key, own = found["key"], get(found["key"]).unit
        unit = found["unit"].strip() if found["unit"] is not None else None
        if unit is None and found["sigma"]:
            unit = units.get(key)
        if unit is None and own:
            raise DataError(
                f"{source}:1: column {name!r} has no unit; write it as "
                f"'{name} [{own}]'; nothing was taken"
            )
        try:
            convert(1.0, unit or "", own)
        except DataError as error:
            raise DataError(
                f"{source}:1: column {name!r}: {error}; nothing was taken"
            ) from None
        units.setdefault(key, unit or "")
        columns.append(Column(key, unit or "", bool(found["sigma"])))
    if "candidate" not in columns:
        raise DataError(f"{source}:1: no column 'candidate'; nothing was taken")
    double = {str(c) for c in columns if columns.count(c) > 1}
    if double:
        raise DataError(f"{source}:1: a column comes twice; nothing was taken")
    return columns


def _row(line: int, cells: list[str], columns: list[str | Column]) -> Row:
    if len(cells) > len(columns) and any(c.strip() for c in cells[len(columns) :]):
        raise DataError(
            f"{len(cells)} fields under {len(columns)} column names (a comma in a "
            "number or an unquoted text?)"
        )
    texts: dict[str, str] = {}
    numbers: dict[tuple[str, bool], float] = {}
    for column, cell in zip(columns, (c.strip() for c in cells), strict=False):
        if isinstance(column, str):
            texts[column] = cell
        elif cell:
            number = _number(cell, column)
            numbers[column.key, column.sigma] = convert(
                number, column.unit, get(column.key).unit
            )
    values = {
        key: (number, numbers.get((key, True)))
        for (key, sigma), number in numbers.items()
        if not sigma
    }
    name, failure = texts.pop("candidate", ""), texts.pop("failure", "")
    if not name:
        raise DataError("no candidate named")
    for key, (_, sigma) in values.items():
        if sigma is not None and sigma <= 0:
            raise DataError(f"{key} sigma: expected more than 0, got {sigma:g}")
    if values and failure:
        raise DataError(
            f"has both a value and the failure {failure!r}; give one of them (remarks "
            "go into the column note)"
        )
    if not values and not failure:
        raise Unfilled(
            "no value and no failure: still waited for (say in the column failure if "
            "there will be none)"
        )
    return Row(
        line,
        name,
        values,
        texts.pop("replicate", "") or "1",
        texts.pop("batch", ""),
        texts.pop("made", ""),
        failure,
        {k: v for k, v in texts.items() if v},
    )


def _number(cell: str, column: Column) -> float:
    name = f"{column.key}{' sigma' if column.sigma else ''}"
    try:
        number = float(cell)
    except ValueError:
        raise DataError(
            f"{name}: expected a number in {column.unit or 'no unit'}, got {cell!r}"
        ) from None
    if not math.isfinite(number):
        raise DataError(f"{name}: expected a finite number, got {cell}")
    return number


def _first_of_each(rows: list[Row], refused: list[Refusal]) -> Iterator[Row]:
    """Keep the first of equal rows; of contradicting rows keep none."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.candidate, row.batch, row.replicate), []).append(row)
    for (name, _, replicate), group in groups.items():
        same = all(
            (r.values, r.made, r.failure) == (group[0].values, group[0].made,
                                              group[0].failure)
            for r in group
        )  # fmt: skip
        others = ", ".join(str(r.line) for r in group)
        if same:
            yield group[0]
            refused += [
                Refusal(r.line, f"the same as line {group[0].line}", name, True)
                for r in group[1:]
            ]
            continue
        refused += [
            Refusal(
                r.line,
                f"lines {others} give different values for replicate {replicate} of "
                f"{name}; number them in the column replicate",
                name,
            )
            for r in group
        ]
