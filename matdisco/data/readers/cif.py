"""CIF and magnetic CIF: each data block is a record; shared sites stay shared."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

from pymatgen.core import Structure

from matdisco.data.readers import cif_fast
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.text import decode, shorten

_LOOSE = 1.1  # refined occupancies may exceed 1 by their error; scaled down, and said
_FIELDS = {
    "declared_formula": "_chemical_formula_sum",
    "space_group": "_symmetry_space_group_name_H-M",
    "space_group_alt": "_space_group_name_H-M_alt",
    "temperature_K": "_cell_measurement_temperature",
    "pressure_kPa": "_cell_measurement_pressure",
    "cod_id": "_cod_database_code",
    "icsd_id": "_database_code_ICSD",
    "doi": "_journal_paper_doi",
    "z": "_cell_formula_units_Z",
    "volume_A3": "_cell_volume",
}
_HEADER = re.compile(r"\s*data_(\S*)", re.IGNORECASE)
_KEYS = {tag.lower(): key for key, tag in _FIELDS.items()}
_FIELD = re.compile(
    rf"(?mi)^[ \t]*({'|'.join(map(re.escape, _KEYS))})[ \t]+(\S(?:.*\S)?)[ \t]*$"
)
_PARAMETER = re.compile(r"(?m)^[ \t]*_cell_(length_[abc]|angle_\w+)\s+(\S+)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def sniff(text: str, _: bytes) -> bool:
    """Look for a data block and a data name, and for nothing else before them."""
    first = next(
        (x for x in text.split("\n") if x.strip() and x.lstrip()[0] != "#"), ""
    )
    if not re.match(r"\s*(?:data_|global_|loop_|_[A-Za-z])", first, re.IGNORECASE):
        return False
    return bool(
        re.search(r"(?mi)^\s*data_", text)
        and re.search(r"(?m)^\s*_[A-Za-z]\w+[.\w/\[\]-]*", text)
    )


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each data block; ``data_`` inside text fields is text."""
    lines: list[str] = []
    name, inside, found = "", False, False
    for line in text.split("\n"):
        if line.startswith(";"):
            inside = not inside
        match = None if inside or "data_" not in line.lower() else _HEADER.match(line)
        if match:
            if found:
                yield name, "\n".join(lines)
            name, lines, found = match[1], [], True
        lines.append(line)
    if found:
        yield name, "\n".join(lines)


def read(blob: Blob, _: Options) -> Iterator[Entry]:
    """Yield one entry per block that describes a cell."""
    skipped = 0
    count = 0
    for name, text in blocks(decode(blob.data)):
        if "_cell_length_a" not in text and "_atom_site" not in text:
            skipped += 1  # a header block (global, publication)
            continue
        count += 1
        try:
            yield _entry(name, text)
        except Unreadable as error:
            yield Entry(
                name=name,
                findings=(Finding(error.rule, "reject", str(error)),),
                fields=_fields(text),
            )
    if not count:
        raise Unreadable(
            "no-structure", f"{skipped} CIF blocks, none with a cell and atoms"
        )


def _entry(name: str, text: str) -> Entry:
    findings: tuple[Finding, ...] = ()
    _check_parameters(text)
    try:
        structure, said = _plain(text) or _parse(text, 1.0)
    except Unreadable:
        raise
    except (ZeroDivisionError, IndexError) as error:
        mended = _without_empty_loops(text)
        if mended == text:
            raise Unreadable("unreadable", _reason(error)) from error
        structure, said = _parse(mended, 1.0)
        findings += (Finding("repaired", "mend", "a loop without values was left out"),)
    except Exception as error:
        if "ccupanc" not in f"{error}":
            raise _translated(error, text) from error
        try:
            structure, said = _parse(text, _LOOSE)
        except Exception:
            raise Unreadable("occupancy", _reason(error)) from error
        findings += (
            Finding(
                "occupancy",
                "quarantine",
                f"occupancies up to {_LOOSE:g} on one site were scaled down to 1",
            ),
        )
    findings += tuple(Finding("parser-warning", "note", s) for s in said)
    return Entry(structure, {}, {}, name, findings, _fields(text))


def _plain(text: str) -> tuple[Structure, list[str]] | None:
    """Read the common kind of block quickly; None leaves it to pymatgen."""
    try:
        structure = cif_fast.read(text)
    except Unreadable:
        raise
    except Exception:  # pymatgen then says what is wrong
        return None
    return None if structure is None else (structure, [])


def _check_parameters(text: str) -> None:
    """Refuse cell parameters that pymatgen would turn into some cell or other."""
    for kind, name in _PARAMETER.findall(text):
        match = _NUMBER.match(name)
        if match is None:
            raise Unreadable("bad-number", f"_cell_{kind} is {name[:40]!r}, no number")
        value = float(match.group())
        if value <= 0 or (kind.startswith("angle") and value >= 180):
            raise Unreadable("flat-cell", f"_cell_{kind} is {name}")


def _parse(text: str, tolerance: float) -> tuple[Structure, list[str]]:
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parser = CifParser.from_str(text, occupancy_tolerance=tolerance)
        found: list[Any] = parser.parse_structures(primitive=False, on_error="raise")
    said = [
        shorten(w.message, 200)
        for w in caught
        if issubclass(w.category, UserWarning) and "default value" not in str(w.message)
    ]
    if not found:
        raise ValueError("no structure")
    return found[0], list(dict.fromkeys(s for s in said if s))[:5]


def _translated(error: Exception, text: str) -> Unreadable:
    """Turn pymatgen's complaint into a rule and a reason."""
    message = _reason(error)
    if "ncommensurate" in message:
        return Unreadable(
            "unsupported", "an incommensurately modulated structure has no finite cell"
        )
    if "thickness" in message or "volume" in message.lower():
        return Unreadable("flat-cell", f"the cell has next to no volume ({message})")
    if isinstance(error, KeyError):
        return Unreadable("unreadable", f"the CIF lacks {message}")
    if "not a valid Element" in message or "can't parse" in message.lower():
        return Unreadable("unknown-species", message)
    if "_atom_site" not in text:
        return Unreadable("no-structure", "the block has a cell, but no atoms")
    return Unreadable("unreadable", f"{type(error).__name__}: {message}")


def _reason(error: Exception) -> str:
    """Return the last line; pymatgen's first one only says: no structure."""
    lines = [x for x in str(error).splitlines() if x.strip()]
    return shorten(lines[-1], 200) if lines else type(error).__name__


def _without_empty_loops(text: str) -> str:
    lines = text.rstrip().split("\n")
    out: list[str] = []
    i = 0
    while i < len(lines):
        if lines[i].strip().lower() == "loop_":
            end = i + 1
            while end < len(lines) and lines[end].lstrip().startswith("_"):
                end += 1
            rest = lines[end].strip() if end < len(lines) else ""
            if not rest or rest.lower() == "loop_":
                i = end
                continue
        out.append(lines[i])
        i += 1
    return "\n".join(out) + "\n" if len(out) < len(lines) else text


def _fields(text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for match in _FIELD.finditer(text):
        key = _KEYS[match[1].lower()]
        if match[2] not in ("?", "."):
            out.setdefault(key, match[2].strip("'\"")[:200])
    return {key: out[key] for key in _FIELDS if key in out}


FORMAT = Format("cif", sniff, read)
