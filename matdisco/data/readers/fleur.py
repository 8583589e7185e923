"""FLEUR: inp.xml, and the fixed-form inp of older versions. Lengths in bohr."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import structure
from matdisco.data.readers.text import (
    BOHR,
    decode,
    is_number,
    number,
    numbers,
    parse_xml,
)


def read_xml(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure of an inp.xml; each atom of a group is written out there."""
    root, _ = parse_xml(blob.data)
    kinds = {
        k.get("name", ""): int(number(k.get("atomicNumber") or "0"))
        for k in root.iter("species")
    }
    matrix = next(root.iter("bravaisMatrix"), None)
    lattice = next(root.iter("bulkLattice"), None)
    if lattice is None:
        film = next(root.iter("filmLattice"), None)
        raise Unreadable(
            "unsupported",
            "a FLEUR film (two-dimensional) input"
            if film is not None
            else "no <bulkLattice>",
        )
    if matrix is None:
        raise Unreadable(
            "unsupported", "a FLEUR lattice by name; only a bravaisMatrix is read"
        )
    scale = number(lattice.get("scale") or "1") * BOHR
    cell = np.array([numbers(matrix.findtext(f"row-{i}") or "", 3) for i in (1, 2, 3)])
    species: list[int] = []
    sites: list[list[float]] = []
    for group in root.iter("atomGroup"):
        for place in group.findall("relPos"):
            species.append(kinds.get(group.get("species", ""), 0))
            sites.append([_fraction(w) for w in (place.text or "").split()[:3]])
        if group.find("absPos") is not None or group.find("filmPos") is not None:
            raise Unreadable("unsupported", "FLEUR positions that are not relative")
    made = structure(cell * scale, species, sites, limit=options.limits.sites)
    node = next(root.iter("xcFunctional"), None)
    name = "" if node is None else node.get("name", "").upper()
    yield Entry(made, {}, {"code": "FLEUR", "functional": name}, "", (INPUT_ONLY,))


def _fraction(word: str) -> float:
    top, slash, below = word.partition("/")
    return number(top) / (number(below) or 1.0) if slash else number(top)


def _is_inp(text: str, _: bytes) -> bool:
    return text.startswith("strho=") and "film=" in text[:60]


def read_inp(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the fixed-form input: one representative per atom type.

    Its last number on a position line divides the fractions; further atoms of a
    type follow from symmetry that stands in another file, so only inputs where each
    type has one atom are complete.
    """
    lines = decode(blob.data).split("\n")
    if "film=T" in lines[0]:
        raise Unreadable("unsupported", "a FLEUR film (two-dimensional) input")
    vectors, at = [], None
    for i, line in enumerate(lines[:12]):
        words = line.split()
        if len(words) >= 3 and all(map(is_number, words[:3])):
            vectors.append(numbers(words, 3))
            if len(vectors) == 3:
                last = words
                at = i
                break
    if at is None:
        raise Unreadable(
            "no-cell", "no three lattice vectors; a lattice by name is not read"
        )
    scale = number(last[4]) if len(last) > 4 and is_number(last[4]) else 1.0
    species: list[int] = []
    sites: list[list[float]] = []
    shared = False
    for i, line in enumerate(lines):
        if not line.startswith("*****"):
            continue
        words = lines[i + 1].split() if i + 1 < len(lines) else []
        if len(words) < 5 or not words[1].isdigit():
            continue
        block = lines[i + 2 : i + 12]
        flags = next((k for k, x in enumerate(block) if "force" in x), None)
        if flags is None:
            continue
        count = re.match(r"\s*(\d+)", block[flags])
        shared |= count is not None and int(count[1]) > 1
        for row in block[flags + 1 :]:
            values = row.split()
            if len(values) < 4 or not all(map(is_number, values[:4])):
                break
            share = number(values[3]) or 1.0
            sites.append([number(v) / share for v in values[:3]])
            species.append(int(words[1]))
    cell = np.array(vectors) * scale * BOHR
    made = structure(cell, species, sites, limit=options.limits.sites)
    findings: tuple[Finding, ...] = (INPUT_ONLY,)
    if shared:
        findings += (
            Finding(
                "count-mismatch",
                "quarantine",
                "a type has several atoms; symmetry elsewhere may complete the list",
            ),
        )
    yield Entry(made, {}, {"code": "FLEUR"}, "", findings)


FORMATS: tuple[Format, ...] = (
    Format("fleur-xml", lambda t, _: "<fleurInput" in t[:2000], read_xml),
    Format("fleur-inp", _is_inp, read_inp),
)
