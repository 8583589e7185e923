"""CP2K: input files and the main output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.ase_formats import found
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import cell_from_parameters, structure, symbol_of
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import BOHR, HARTREE, decode, is_number, number, numbers


def _is_output(text: str, _: bytes) -> bool:
    return "CP2K| version string" in text or "CP2K| " in text


def _is_input(text: str, _: bytes) -> bool:
    return bool(
        re.search(r"(?im)^\s*&FORCE_EVAL\b", text)
        and re.search(r"(?im)^\s*&SUBSYS\b", text)
    )


def _section(text: str, name: str) -> list[list[str]] | None:
    """Return the words of a section's lines, without its subsections."""
    match = re.search(rf"(?ims)^\s*&{name}\b[^\n]*\n(.*?)^\s*&END\b", text)
    if not match:
        return None
    lines = (re.split(r"[!#]", x)[0].split() for x in match[1].split("\n"))
    return [w for w in lines if w]


def read_input(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure of an input, when its coordinates stand in it."""
    text = decode(blob.data)
    cell_lines, coordinates = _section(text, "CELL"), _section(text, "COORD")
    if cell_lines is None:
        raise Unreadable("no-cell", "the input has no &CELL of its own")
    if not coordinates:
        raise Unreadable(
            "no-structure", "the coordinates stand in another file (COORD_FILE_NAME)"
        )
    cell = _cell(cell_lines)
    kinds = dict(re.findall(r"(?im)^\s*&KIND\s+(\S+)[^&]*?^\s*ELEMENT\s+(\S+)", text))
    scaled = any(w[0].upper() == "SCALED" for w in coordinates)
    unit = next(
        (w[1].lower() for w in coordinates if w[0].upper() == "UNIT"), "angstrom"
    )
    atoms = [w for w in coordinates if len(w) >= 4 and is_number(w[1])]
    species = [symbol_of(kinds.get(w[0], w[0])) for w in atoms]
    sites = np.array([numbers(w[1:4], 3) for w in atoms]).reshape(-1, 3)
    if not scaled and unit == "bohr":
        sites = sites * BOHR
    made = structure(
        cell, species, sites, cartesian=not scaled, limit=options.limits.sites
    )
    name = found(r"(?im)^\s*&XC_FUNCTIONAL\s+(\w+)", text) or found(
        r"(?ims)&XC_FUNCTIONAL\s*\n\s*&(\w+)", text
    )
    method = {"code": "CP2K", "functional": name.upper()}
    yield Entry(made, {}, method, "", (INPUT_ONLY,))


def _cell(lines: list[list[str]]) -> np.ndarray:
    """Cell in Å; a unit may stand in brackets."""
    values: dict[str, list[float]] = {}
    for words in lines:
        scale = BOHR if any("bohr" in w.lower() for w in words) else 1.0
        found_ = [number(w) * scale for w in words[1:] if is_number(w)]
        if found_:
            values[words[0].upper()] = found_
    if all(len(values.get(k, [])) >= 3 for k in "ABC"):
        return np.array([values[k][:3] for k in "ABC"])
    if len(values.get("ABC", [])) >= 3:
        angles = values.get("ALPHA_BETA_GAMMA", [90.0] * 3)
        return cell_from_parameters([*values["ABC"][:3], *angles[:3]])
    raise Unreadable("no-cell", "&CELL gives neither A, B, C nor ABC")


def read_output(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the printed structure with its energy.

    CP2K prints coordinates once; later steps go to other files, so their energies
    have no structure here and become no labels.
    """
    text = decode(blob.data)
    lines = text.split("\n")
    cell = np.array(
        [
            numbers(line.split(":")[1].split()[:3], 3)
            for line in lines
            if re.match(r"\s*CELL\|\s+Vector [abc] \[angstrom", line)
        ][:3]
    )
    if cell.shape != (3, 3):
        raise Unreadable("truncated", "the output ends before its cell")
    method = {
        "code": "CP2K",
        "version": found(r"CP2K\| version string:\s*CP2K version (\S+)", text),
        "functional": found(r"FUNCTIONAL\|\s+(\w+):", text),
    }
    start = next((i for i, x in enumerate(lines) if "ATOMIC COORDINATES IN" in x), None)
    if start is None:
        raise Unreadable(
            "no-structure",
            "the output does not print its coordinates (PRINT_LEVEL LOW)",
        )
    scale = 1.0 if "ngstrom" in lines[start].lower() else BOHR
    species, sites = _atoms(lines[start + 1 :])
    made, findings = from_atoms(
        species, sites * scale, cell, [True] * 3, options.limits.sites
    )
    energies = [
        number(x.split(":")[-1].split()[0]) * HARTREE
        for x in lines
        if "ENERGY| Total FORCE_EVAL" in x and x.split(":")[-1].strip()
    ]
    forces = _forces(lines, len(made))
    labels = results(
        method, len(made), energy=energies[0] if energies else None, forces=forces
    )
    more: tuple[Finding, ...] = ()
    if len(energies) > 1:
        more += (
            Finding(
                "frames-skipped",
                "note",
                f"the first of {len(energies)} steps; other files have the others",
            ),
        )
    if "SCF run NOT converged" in text:
        more += (Finding("unconverged", "quarantine", "'SCF run NOT converged'"),)
    if "PROGRAM ENDED AT" not in text:
        more += (Finding("unfinished", "note", "the run stopped before its end"),)
    yield Entry(made, labels, method, "", (*findings, *more))


def _atoms(lines: list[str]) -> tuple[list[Any], np.ndarray]:
    species: list[Any] = []
    sites: list[list[float]] = []
    for line in lines:
        words = line.split()
        if len(words) >= 7 and words[0].isdigit() and words[1].isdigit():
            shift = 0 if words[3].isdigit() else -1
            species.append(int(words[3]) if not shift else symbol_of(words[2]))
            sites.append(numbers(words[4 + shift : 7 + shift], 3))
        elif species:
            break
    return species, np.array(sites).reshape(-1, 3)


def _forces(lines: list[str], n: int) -> np.ndarray | None:
    start = next(
        (i for i, x in enumerate(lines) if "ATOMIC FORCES in [a.u.]" in x), None
    )
    if start is None:
        return None
    found_ = []
    for line in lines[start + 1 : start + 6 + n]:
        words = line.split()
        if len(words) == 6 and words[0].isdigit():
            found_.append(numbers(words[3:6], 3))
    return np.array(found_) * HARTREE / BOHR if len(found_) == n else None


FORMATS: tuple[Format, ...] = (
    Format("cp2k-out", _is_output, read_output),
    Format("cp2k-in", _is_input, read_input),
)
