"""LAMMPS data files and text dumps; and ATAT's mcsqs, PWmat's atom.config."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.geometry import by_mass, structure, symbol_of, unnamed
from matdisco.data.readers.text import decode, is_number, number, numbers, rows

_UNITS = Finding(
    "unit-assumed", "note", "LAMMPS files state no units; lengths are taken as Å"
)
_UNNAMED = Finding(
    "unnamed-species", "quarantine", "LAMMPS numbers its atom types; nothing names them"
)
# where the type and the coordinates stand, by atom style
_STYLES = {"atomic": (1, 2), "charge": (1, 3), "molecular": (2, 3), "full": (2, 4),
           "sphere": (1, 4), "bond": (2, 3), "angle": (2, 3)}  # fmt: skip


def _is_data(text: str, _: bytes) -> bool:
    return bool(
        re.search(r"(?m)^\s*\d+\s+atoms\s*$", text)
        and re.search(r"(?m)^\s*\S+\s+\S+\s+xlo\s+xhi", text)
    )


def _is_dump(text: str, _: bytes) -> bool:
    return "ITEM: TIMESTEP" in text and "ITEM: ATOMS" in text


def read_data(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read one structure; masses or type labels name the elements."""
    text = decode(blob.data)
    lines = [x.split("#")[0] if "Atoms" not in x else x for x in text.split("\n")]
    header = {}
    for axis in "xyz":
        match = re.search(rf"(?m)^\s*(\S+)\s+(\S+)\s+{axis}lo\s+{axis}hi", text)
        if match is None:
            raise Unreadable("no-cell", f"no {axis}lo {axis}hi")
        header[axis] = numbers(match.groups(), 2)
    tilt = re.search(r"(?m)^\s*(\S+)\s+(\S+)\s+(\S+)\s+xy\s+xz\s+yz", text)
    xy, xz, yz = numbers(tilt.groups(), 3) if tilt else (0.0, 0.0, 0.0)
    (xlo, xhi), (ylo, yhi), (zlo, zhi) = header["x"], header["y"], header["z"]
    cell = np.array([[xhi - xlo, 0, 0], [xy, yhi - ylo, 0], [xz, yz, zhi - zlo]])
    count = re.search(r"(?m)^\s*(\d+)\s+atoms\s*$", text)
    n = int(count[1]) if count else 0
    start = next(
        (i for i, x in enumerate(lines) if x.strip().startswith("Atoms")), None
    )
    if start is None:
        raise Unreadable("truncated", "the file ends before its atoms")
    hint = re.search(r"#\s*(\w+)", lines[start])
    body = [x.split() for x in lines[start + 1 :] if x.strip()][
        : min(n, options.limits.sites + 1)
    ]
    good = [w for w in body if w[0].isdigit()]
    if len(good) < min(n, options.limits.sites + 1):
        raise Unreadable("truncated", f"{n} atoms stated, {len(good)} found")
    if not good:
        raise Unreadable("no-structure", "the file has no atoms")
    kind, at = _columns(hint[1] if hint else "", good[0])
    good.sort(key=lambda w: int(w[0]))
    sites = np.array([numbers(w[at : at + 3], 3) for w in good]) - [xlo, ylo, zlo]
    names = _names(lines)
    types = [w[kind] for w in good]
    named = all(t in names for t in types)
    species: list[Any] = [
        names[t] if named else unnamed(int(t) if t.isdigit() else 1) for t in types
    ]
    made = structure(cell, species, sites, cartesian=True, limit=options.limits.sites)
    findings = (_UNITS,) if named else (_UNITS, _UNNAMED)
    yield Entry(made, {}, {"code": "LAMMPS"}, "", findings)


def _columns(style: str, words: list[str]) -> tuple[int, int]:
    if style in _STYLES:
        return _STYLES[style]
    images = len(words) > 7 and all(re.fullmatch(r"-?\d+", w) for w in words[-3:])
    width = len(words) - (3 if images else 0)
    if width == 5:
        return _STYLES["atomic"]
    if width == 7:
        return _STYLES["full"]
    if width == 6:
        return _STYLES["charge" if "." in words[2] else "molecular"]
    raise Unreadable(
        "unreadable", f"atom lines of {len(words)} columns without a style"
    )


def _names(lines: list[str]) -> dict[str, str]:
    """Type -> element, from ``Masses`` (u) or ``Atom Type Labels``."""
    out: dict[str, str] = {}
    section = ""
    for line in lines:
        words = line.split()
        if not words:
            continue
        if words[0][:1].isalpha():
            section = line.strip()
        elif section == "Masses" and len(words) >= 2 and is_number(words[1]):
            name = by_mass(number(words[1]))
            if name:
                out[words[0]] = name
        elif section == "Atom Type Labels" and len(words) >= 2:
            out[words[0]] = symbol_of(words[1])
    return out


def read_dump(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the frames of a text dump."""
    lines = decode(blob.data).split("\n")
    starts = [i for i, x in enumerate(lines) if x.startswith("ITEM: TIMESTEP")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield _frame(lines[start:end], options)


def _frame(lines: list[str], options: Options) -> Entry:
    items = {
        x.split(":", 1)[1].strip(): i
        for i, x in enumerate(lines)
        if x.startswith("ITEM:")
    }
    bounds = next((k for k in items if k.startswith("BOX BOUNDS")), None)
    atoms = next((k for k in items if k.startswith("ATOMS")), None)
    if bounds is None or atoms is None or "NUMBER OF ATOMS" not in items:
        return Entry(findings=(Finding("truncated", "reject", "the frame is cut off"),))
    box = [numbers(x) for x in lines[items[bounds] + 1 : items[bounds] + 4]]
    n = int(number(lines[items["NUMBER OF ATOMS"] + 1].split()[0]))
    names = atoms.split()[1:]
    body = [x.split() for x in lines[items[atoms] + 1 :] if x.strip()][:n]
    if len(body) < n or len(box) < 3 or any(len(w) < len(names) for w in body):
        return Entry(findings=(Finding("truncated", "reject", "the frame is cut off"),))
    cell, origin = _box(box)
    if "id" in names:
        body.sort(key=lambda w: int(number(w[names.index("id")])))
    columns = {k: [w[i] for w in body] for i, k in enumerate(names)}
    for suffix in ("", "u", "s", "su"):
        if all(f"{a}{suffix}" in columns for a in "xyz"):
            sites = np.array(
                [[number(v) for v in columns[f"{a}{suffix}"]] for a in "xyz"]
            ).T
            break
    else:
        raise Unreadable("unreadable", "the dump has no coordinates")
    scaled = suffix.startswith("s")
    named = "element" in columns
    species: list[Any] = (
        [symbol_of(e) for e in columns["element"]]
        if named
        else [unnamed(int(number(t))) for t in columns.get("type", ["1"] * n)]
    )
    made = structure(
        cell,
        species,
        sites if scaled else sites - origin,
        cartesian=not scaled,
        limit=options.limits.sites,
    )
    return Entry(
        made, {}, {"code": "LAMMPS"}, "", (_UNITS,) if named else (_UNITS, _UNNAMED)
    )


def _box(box: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Cell and origin; the bounds of a tilted box enclose it (LAMMPS manual, Howto)."""
    xy, xz, yz = (b[2] if len(b) > 2 else 0.0 for b in box)
    xlo = box[0][0] - min(0.0, xy, xz, xy + xz)
    xhi = box[0][1] - max(0.0, xy, xz, xy + xz)
    ylo, yhi = box[1][0] - min(0.0, yz), box[1][1] - max(0.0, yz)
    zlo, zhi = box[2][0], box[2][1]
    cell = np.array([[xhi - xlo, 0, 0], [xy, yhi - ylo, 0], [xz, yz, zhi - zlo]])
    return cell, np.array([xlo, ylo, zlo])


# -- ATAT and PWmat ----------------------------------------------------------------


def _is_mcsqs(text: str, _: bytes) -> bool:
    """Three axes, three cell vectors, then positions with a symbol."""
    lines = [x.split() for x in text.split("\n")[:8]]
    return (
        len(lines) >= 7
        and all(len(w) == 3 and all(map(is_number, w)) for w in lines[:6])
        and len(lines[6]) == 4
        and all(map(is_number, lines[6][:3]))
        and lines[6][3][:1].isalpha()
    )


def read_mcsqs(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read ATAT's bestsqs.out: cell and positions in units of the axes (Å)."""
    lines = [x for x in decode(blob.data).split("\n") if x.strip()]
    axes = rows(lines[:3])
    made = structure(
        rows(lines[3:6]) @ axes,
        [symbol_of(x.split()[3]) for x in lines[6:] if len(x.split()) > 3],
        rows(lines[6:]) @ axes,
        cartesian=True,
        limit=options.limits.sites,
    )
    yield Entry(made, {}, {"code": "ATAT"})


def _is_pwmat(text: str, _: bytes) -> bool:
    head = text[:4000].lower()
    return (
        bool(re.match(r"\s*\d+\s+atoms", head))
        and "lattice" in head
        and "position" in head
    )


def read_pwmat(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read PWmat's atom.config: cell in Å, atomic numbers, fractions."""
    lines = decode(blob.data).split("\n")
    low = [x.strip().lower() for x in lines]
    n = int(lines[0].split()[0])
    cell_at = next(i for i, x in enumerate(low) if x.startswith("lattice"))
    start = next((i for i, x in enumerate(low) if x.startswith("position")), None)
    if start is None or len(lines) < start + 1 + n:
        raise Unreadable("truncated", f"{n} atoms stated, the file ends before them")
    body = lines[start + 1 : start + 1 + min(n, options.limits.sites + 1)]
    made = structure(
        rows(lines[cell_at + 1 : cell_at + 4]),
        [int(number(x.split()[0])) for x in body],
        rows(body, 1),
        limit=options.limits.sites,
    )
    yield Entry(made, {}, {"code": "PWmat"})


FORMATS: tuple[Format, ...] = (
    Format("lammps-dump", _is_dump, read_dump, trajectory=True),
    Format("lammps-data", _is_data, read_data),
    Format("pwmat-config", _is_pwmat, read_pwmat),
    Format("atat-mcsqs", _is_mcsqs, read_mcsqs),
)
