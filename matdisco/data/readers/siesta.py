"""SIESTA: fdf input, STRUCT_OUT, XV, and the main output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import cell_from_parameters, structure
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import (
    BOHR,
    decode,
    is_number,
    number,
    numbers,
    rows,
)


def _key(text: str) -> str:
    return re.sub(r"[-_.]", "", text).lower()


class _Fdf:
    """Keys and blocks; names ignore letter case, ``-``, ``_`` and ``.``."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, list[str]] = {}
        self.blocks: dict[str, list[str]] = {}
        block: str | None = None
        for raw in text.split("\n"):
            line = re.split(r"[#!;]", raw)[0].strip()
            words = line.split()
            if not words:
                continue
            if words[0].lower() == "%block" and len(words) > 1:
                block = _key(words[1])
                self.blocks.setdefault(block, [])
            elif words[0].lower() == "%endblock":
                block = None
            elif block is not None:
                self.blocks[block].append(line)
            else:
                self.values.setdefault(_key(words[0]), words[1:])

    def species(self) -> dict[int, int]:
        """Return index -> atomic number."""
        lines = self.blocks.get("chemicalspecieslabel") or []
        pairs = [x.split()[:2] for x in lines]
        # ghosts have negative, synthetic atoms have large numbers
        return {
            int(a): int(b) % 200
            for a, b in pairs
            if a.isdigit() and b.lstrip("-").isdigit() and int(b) > 0
        }

    def method(self) -> dict[str, Any]:
        """Describe code and functional."""
        authors = " ".join(self.values.get("xcauthors", []))
        kind = " ".join(self.values.get("xcfunctional", []))
        names = {"CA": "LDA", "PZ": "LDA", "PW92": "LDA"}
        return {"code": "SIESTA", "functional": names.get(authors, authors or kind)}


def _length(words: list[str]) -> float:
    """Return a length in Å; SIESTA's default unit is bohr."""
    unit = words[1].lower() if len(words) > 1 else "bohr"
    return number(words[0]) * (1.0 if unit.startswith("ang") else BOHR)


def _is_fdf(text: str, _: bytes) -> bool:
    return bool(
        re.search(r"(?im)^\s*%block\s+chemical_?-?\.?species_?-?\.?label", text)
        and re.search(r"(?im)^\s*number_?-?\.?of_?-?\.?(species|atoms)", text)
        and "Welcome to" not in text
        and not re.search(r"Siesta Version", text)
    )


def read_fdf(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure of an input; a lone atom may stand without coordinates."""
    data = _Fdf(decode(blob.data))
    kinds = data.species()
    block = data.blocks.get("atomiccoordinatesandatomicspecies")
    if block:
        words = [x.split() for x in block]
        sites = np.array([numbers(w[:3], 3) for w in words]).reshape(-1, 3)
        species = [
            kinds.get(int(w[3]) if len(w) > 3 and w[3].isdigit() else 0, 0)
            for w in words
        ]
    elif data.values.get("numberofatoms", [""])[:1] == ["1"] and len(kinds) == 1:
        sites, species = np.zeros((1, 3)), list(kinds.values())
    else:
        raise Unreadable(
            "no-structure",
            "the input has no coordinates of its own (Z-matrix, include)",
        )
    yield _fdf_entry(data, species, sites, options)


def _fdf_entry(
    data: _Fdf, species: list[int], sites: np.ndarray, options: Options
) -> Entry:
    constant = data.values.get("latticeconstant")
    alat = _length(constant) if constant else None
    vectors = data.blocks.get("latticevectors")
    parameters = data.blocks.get("latticeparameters")
    cell = np.zeros((3, 3))
    if alat is not None:
        cell = np.eye(3) * alat
        if vectors:
            cell = rows(vectors[:3]) * alat
        elif parameters:
            v = numbers(parameters[0], 6)
            cell = cell_from_parameters([v[0] * alat, v[1] * alat, v[2] * alat, *v[3:]])
    mode = _key((data.values.get("atomiccoordinatesformat") or ["bohr"])[0])
    if mode in ("fractional", "scaledbylatticevectors"):
        cart = sites @ cell
    elif mode in ("ang", "notscaledcartesianang"):
        cart = sites
    elif mode in ("scaledcartesian",):
        cart = sites * (alat or 1.0)
    else:
        cart = sites * BOHR
    made, findings = from_atoms(species, cart, cell, [True] * 3, options.limits.sites)
    return Entry(made, {}, data.method(), "", (INPUT_ONLY, *findings))


# -- STRUCT_OUT and XV -------------------------------------------------------------


def _shape(text: str, width: int) -> bool:
    lines = text.split("\n", 6)
    if len(lines) < 5 or not lines[3].strip().isdigit():
        return False
    for line in lines[:3]:
        words = line.split()
        if len(words) != width or not all(map(is_number, words)):
            return False
    words = lines[4].split()
    return len(words) == width + 2 and words[0].isdigit() and words[1].isdigit()


def _read_columns(blob: Blob, options: Options, *, bohr: bool) -> Iterator[Entry]:
    lines = decode(blob.data).split("\n")
    cell = rows(lines[:3])
    n = int(lines[3])
    body = [x for x in lines[4 : 4 + min(n, options.limits.sites + 1)] if x.strip()]
    if len(body) < min(n, options.limits.sites + 1):
        raise Unreadable("truncated", f"{n} atoms stated, {len(body)} found")
    species = [int(x.split()[1]) % 200 for x in body]
    scale = BOHR if bohr else 1.0
    made = structure(
        cell * scale,
        species,
        rows(body, 2) * scale,
        cartesian=bohr,
        limit=options.limits.sites,
    )
    yield Entry(made, {}, {"code": "SIESTA"})


def read_struct_out(blob: Blob, options: Options) -> Iterator[Entry]:
    """Cell in Å, fractional positions."""
    yield from _read_columns(blob, options, bohr=False)


def read_xv(blob: Blob, options: Options) -> Iterator[Entry]:
    """Cell, positions and velocities in bohr."""
    yield from _read_columns(blob, options, bohr=True)


# -- output ------------------------------------------------------------------------


def _is_output(text: str, _: bytes) -> bool:
    return bool(
        re.search(r"Siesta Version|WELCOME TO SIESTA|SIESTA (?:v|\d)", text)
        and ("reinit:" in text or "siesta:" in text or "Dump of input data" in text)
    ) or ("siesta: Atomic coordinates" in text and "reinit:" in text)


def read_output(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per geometry with an energy."""
    text = decode(blob.data)
    lines = text.split("\n")
    data = _Fdf(
        text[: text.find("End of input data file")] if "End of input" in text else text
    )
    version = re.search(r"Siesta Version\s*:?\s*(?:siesta-)?v?(\S+)", text)
    method = {**data.method(), "version": version[1] if version else ""}
    kinds = data.species()
    cell: np.ndarray | None = None
    sites: np.ndarray | None = None
    species: list[int] = []
    count = 0
    pending: Entry | None = None
    for i, line in enumerate(lines):
        if line.startswith("outcell: Unit cell vectors (Ang)"):
            cell = rows(lines[i + 1 : i + 4])
        elif line.startswith(
            ("outcoor: Atomic coordinates", "outcoor: Relaxed atomic coordinates")
        ):
            block = _coordinates(lines, i + 1)
            found = [x.split() for x in block]
            species = [
                kinds.get(int(w[3]), 0) for w in found if len(w) > 3 and w[3].isdigit()
            ]
            unit = BOHR if "Bohr" in line else 1.0
            sites = rows(block) * unit
            if "fractional" in line and cell is not None:
                sites = sites / unit @ cell
        elif (
            "E_KS(eV) =" in line and cell is not None and sites is not None and species
        ):
            energy = number(line.split("=")[1].split()[0])
            made = structure(
                cell, species, sites, cartesian=True, limit=options.limits.sites
            )
            labels = results(method, len(made), energy=energy)
            if pending is not None:
                yield pending
            pending = Entry(made, labels, method)
            count += 1
    done = "Job completed" in text or ">> End of run" in text
    if pending is not None:
        note = (
            ()
            if done
            else (Finding("unfinished", "note", "the run stopped before its end"),)
        )
        yield Entry(pending.structure, pending.labels, method, "", note)
    elif cell is not None and sites is not None and species:
        made = structure(
            cell, species, sites, cartesian=True, limit=options.limits.sites
        )
        note = (Finding("unfinished", "note", "no energy: the initial structure only"),)
        yield Entry(made, {}, method, "", note)
    else:
        raise Unreadable("truncated", "the output ends before its structure")


def _coordinates(lines: list[str], start: int) -> list[str]:
    out = []
    for line in lines[start:]:
        words = line.split()
        if len(words) < 4 or not all(map(is_number, words[:3])):
            break
        out.append(line)
    return out


FORMATS: tuple[Format, ...] = (
    Format("siesta-out", _is_output, read_output, trajectory=True),
    Format("siesta-fdf", _is_fdf, read_fdf),
    Format("siesta-struct-out", lambda t, _: _shape(t, 3), read_struct_out),
    Format("siesta-xv", lambda t, _: _shape(t, 6), read_xv),
)
