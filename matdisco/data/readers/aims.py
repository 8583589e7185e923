"""FHI-aims: geometry.in and the main output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.ase_formats import found
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import symbol_of
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import decode, number, numbers

_XC = {"pbe": "PBE", "pw-lda": "LDA", "pbesol": "PBEsol", "hse06": "HSE06",
       "pbe0": "PBE0", "b3lyp": "B3LYP", "scan": "SCAN", "rpbe": "RPBE"}  # fmt: skip


def _is_geometry(text: str, _: bytes) -> bool:
    return (
        bool(
            re.search(
                r"(?m)^\s*atom(?:_frac)?\s+[-+\d.]+\s+[-+\d.]+\s+[-+\d.]+\s+[A-Z]", text
            )
        )
        and "Invoking FHI-aims" not in text
        and not text.lstrip().startswith("begin")  # RuNNer's data look alike
    )


def _is_bands(text: str, _: bytes) -> bool:
    """``band1001.out``: k-point number, k-point, then occupation and energy pairs."""
    words = text.split("\n", 1)[0].split()
    if len(words) < 8 or words[0] != "1" or len(words) % 2:
        return False
    shares = words[4::2]
    return all(re.fullmatch(r"-?\d+\.\d+", w) for w in words[1:]) and all(
        0 <= float(w) <= 2 for w in shares
    )


def _bands(_: Blob, __: Options) -> Iterator[Entry]:
    raise Unreadable(
        "unsupported", "an FHI-aims band file: eigenvalues along a line, no atoms"
    )
    yield Entry()


def _atoms(
    lines: list[str], options: Options
) -> tuple[Any, tuple[Finding, ...]] | None:
    """Read ``lattice_vector`` and ``atom`` lines (Å)."""
    cell: list[list[float]] = []
    cartesian: list[tuple[bool, list[float]]] = []
    species: list[str] = []
    for line in lines:
        words = line.split("#")[0].replace("|", " ").split()
        if not words:
            continue
        if words[0] == "lattice_vector":
            cell.append(numbers(words[1:4], 3))
        elif words[0] in ("atom", "atom_frac") and len(words) > 4:
            cartesian.append((words[0] == "atom", numbers(words[1:4], 3)))
            species.append(symbol_of(words[4]))
    if not species:
        return None
    matrix = np.zeros((3, 3))
    matrix[: len(cell[:3])] = np.array(cell[:3]).reshape(-1, 3)
    sites = np.array(
        [p if straight else np.array(p) @ matrix for straight, p in cartesian]
    )
    return from_atoms(species, sites, matrix, [True] * 3, options.limits.sites)


def read_geometry(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read one structure."""
    made = _atoms(decode(blob.data).split("\n"), options)
    if made is None:
        raise Unreadable("no-structure", "no atom lines")
    yield Entry(made[0], {}, {"code": "FHI-aims"}, "", (INPUT_ONLY, *made[1]))


def read_output(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per finished step, with the energy at zero smearing."""
    text = decode(blob.data)
    lines = text.split("\n")
    name = found(r"(?m)^\s*xc\s+(\S+)", text).lower()
    method = {
        "code": "FHI-aims",
        "version": found(r"(?:FHI-aims version\s*:|Version)\s*(\S+)", text),
        "functional": _XC.get(name, name),
    }
    geometry = _first_geometry(lines, options)
    if geometry is None:
        raise Unreadable("truncated", "the output ends before its structure")
    done = "Have a nice day" in text
    steps: list[Entry] = []
    energy: float | None = None
    forces: np.ndarray | None = None
    bad = False
    n = len(geometry[0])

    def finish() -> None:
        nonlocal energy, forces, bad
        if energy is not None and geometry is not None:
            labels = results(method, n, energy=energy, forces=forces)
            more = (
                (Finding("unconverged", "quarantine", "SCF did not converge"),)
                if bad
                else ()
            )
            steps.append(Entry(geometry[0], labels, method, "", (*geometry[1], *more)))
        energy, forces, bad = None, None, False

    for i, line in enumerate(lines):
        if line.startswith("  | Total energy corrected        :"):
            energy = number(line.split(":")[1].split()[0])
        elif "Total atomic forces" in line and len(lines) > i + n:
            rows_ = [x.replace("|", " ").split() for x in lines[i + 1 : i + 1 + n]]
            if all(len(r) >= 4 for r in rows_):
                forces = np.array([numbers(r[1:4], 3) for r in rows_])
        elif "Self-consistency cycle not converged" in line:
            bad = True
        elif "tructure (and velocities) as used in the preceding" in line:  # MD: after
            geometry = _moved(lines, i, geometry, n, options)
            finish()
        elif "Updated atomic structure:" in line:  # relaxation: before the next energy
            finish()
            geometry = _moved(lines, i, geometry, n, options)
    finish()
    if not steps:
        note = Finding(
            "unfinished", "note", "no finished step: the initial structure only"
        )
        yield Entry(geometry[0], {}, method, "", (*geometry[1], note))
        return
    last = steps[-1]
    if not done:
        note = Finding("unfinished", "note", "the run stopped before its end")
        last = Entry(last.structure, last.labels, method, "", (*last.findings, note))
    yield from [*steps[:-1], last]


def _moved(lines: list[str], i: int, geometry: Any, n: int, options: Options) -> Any:
    """Read a printed structure; without lattice vectors it keeps the cell it had."""
    from pymatgen.core import Structure

    block = _block(lines, i + 1)
    found_ = _atoms(block, options)
    if found_ is None or len(found_[0]) != n:
        return geometry
    if any("lattice_vector" in x for x in block):
        return found_
    cart = [numbers(x.split()[1:4], 3) for x in block if x.split()[0] == "atom"]
    species = [s.species for s in found_[0]]
    made = Structure(geometry[0].lattice, species, cart, coords_are_cartesian=True)
    return made, geometry[1]


def _block(lines: list[str], start: int) -> list[str]:
    """Return the lines of a printed structure."""
    out: list[str] = []
    for line in lines[start : start + 100_000]:
        words = line.replace("|", " ").split()
        if words and words[0] in ("lattice_vector", "atom", "atom_frac"):
            out.append(line)
        elif out and words and words[0] not in ("velocity", "x", "#"):
            break
    return out


def _first_geometry(lines: list[str], options: Options) -> Any:
    """Read the parsed input structure: ``Input geometry:`` with its own layout (Å)."""
    for i, line in enumerate(lines):
        if "Input geometry:" not in line:
            continue
        cell: list[list[float]] = []
        species: list[str] = []
        sites: list[list[float]] = []
        inside = False
        for row in lines[i + 1 : i + 100_000]:
            words = row.replace("|", " ").split()
            if "Unit cell" in row:
                inside = True
            elif "Atomic structure" in row:
                inside = False
            elif inside and len(words) == 3 and len(cell) < 3:
                cell.append(numbers(words, 3))
            elif "Species" in row and len(words) >= 6:
                at = words.index("Species")
                species.append(symbol_of(words[at + 1]))
                sites.append(numbers(words[at + 2 : at + 5], 3))
            elif species:
                break
        if species:
            matrix = np.zeros((3, 3))
            matrix[: len(cell)] = np.array(cell).reshape(-1, 3)
            return from_atoms(
                species, np.array(sites), matrix, [True] * 3, options.limits.sites
            )
    return None


FORMATS: tuple[Format, ...] = (
    Format(
        "aims-out", lambda t, _: "Invoking FHI-aims" in t, read_output, trajectory=True
    ),
    Format("aims-geometry", _is_geometry, read_geometry),
    Format("aims-bands", _is_bands, _bands),
)
