"""OpenMX input (.dat), with its defaults; and ABACUS STRU and running log."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import structure, symbol_of
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import BOHR, decode, is_number, number, numbers, rows

# -- OpenMX ------------------------------------------------------------------------


def _is_openmx(text: str, _: bytes) -> bool:
    return "<atoms.speciesandcoordinates" in text.lower()


def read_openmx(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure of an input."""
    text = decode(blob.data)
    keys = {
        m[1].lower(): m[2]
        for m in re.finditer(r"(?m)^\s*([A-Za-z][\w.]+)\s+([^\s#]+)", text)
    }

    def block(name: str) -> list[list[str]]:
        match = re.search(
            rf"(?is)<{re.escape(name)}[^\n]*\n(.*?){re.escape(name)}>", text
        )
        found = match[1].split("\n") if match else []
        return [w for w in (x.split("#")[0].split() for x in found) if w]

    kinds = {
        w[0]: w[2] if len(w) > 2 else w[0]
        for w in block("Definition.of.Atomic.Species")
    }
    atoms = block("Atoms.SpeciesAndCoordinates")
    stated = keys.get("atoms.number", "")
    if stated.isdigit() and len(atoms) < int(stated):
        raise Unreadable("truncated", f"{stated} atoms stated, {len(atoms)} found")
    species = [_openmx_symbol(w[1], kinds) for w in atoms]
    sites = np.array([numbers(w[2:5], 3) for w in atoms]).reshape(-1, 3)
    vectors = block("Atoms.UnitVectors")
    scale = BOHR if keys.get("atoms.unitvectors.unit", "ang").lower() == "au" else 1.0
    cell = (
        np.array([numbers(v[:3], 3) for v in vectors[:3]]) * scale
        if len(vectors) >= 3
        else np.zeros((3, 3))
    )
    unit = keys.get("atoms.speciesandcoordinates.unit", "ang").lower()
    method = {
        "code": "OpenMX",
        "functional": keys.get("scf.xctype", "").replace("GGA-", ""),
    }
    if unit == "frac":
        made = structure(cell, species, sites, limit=options.limits.sites)
        yield Entry(made, {}, method, "", (INPUT_ONLY,))
        return
    sites = sites * (BOHR if unit == "au" else 1.0)
    made, findings = from_atoms(species, sites, cell, [True] * 3, options.limits.sites)
    yield Entry(made, {}, method, "", (INPUT_ONLY, *findings))


def _openmx_symbol(name: str, kinds: dict[str, str]) -> str:
    """``C1`` may be a name for the potential ``C_PBE19``: the potential decides."""
    return symbol_of(re.split(r"[_\d]", kinds.get(name, name))[0] or name)


# -- ABACUS ------------------------------------------------------------------------


def _is_stru(text: str, _: bytes) -> bool:
    return "LATTICE_CONSTANT" in text and "ATOMIC_POSITIONS" in text


def read_stru(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read a STRU file; the lattice constant is in bohr."""
    lines = [re.split(r"//|#", x)[0].strip() for x in decode(blob.data).split("\n")]
    lines = [x for x in lines if x]

    def after(name: str) -> int:
        if name not in lines:
            raise Unreadable("truncated", f"the file ends before {name}")
        return lines.index(name) + 1

    scale = number(lines[after("LATTICE_CONSTANT")].split()[0]) * BOHR
    if "LATTICE_VECTORS" not in lines:
        raise Unreadable(
            "unsupported", "a lattice by name; only LATTICE_VECTORS are read"
        )
    at = after("LATTICE_VECTORS")
    cell = rows(lines[at : at + 3]) * scale
    at = after("ATOMIC_POSITIONS")
    mode = lines[at].split()[0].lower()
    at += 1
    species: list[str] = []
    sites: list[list[float]] = []
    while at + 2 < len(lines) and lines[at].split()[0][:1].isalpha():
        symbol = symbol_of(lines[at].split()[0])
        count = int(number(lines[at + 2].split()[0]))
        body = lines[at + 3 : at + 3 + count]
        if len(body) < count:
            raise Unreadable("truncated", f"{count} {symbol} stated, {len(body)} found")
        species += [symbol] * count
        sites += [numbers(x, 3) for x in body]
        at += 3 + count
    factor = {"direct": None, "cartesian": scale, "cartesian_angstrom": 1.0,
              "cartesian_au": BOHR}.get(mode, scale)  # fmt: skip
    array = np.array(sites).reshape(-1, 3)
    made = structure(
        cell,
        species,
        array if factor is None else array * factor,
        cartesian=factor is not None,
        limit=options.limits.sites,
    )
    yield Entry(made, {}, {"code": "ABACUS"}, "", (INPUT_ONLY,))


def _is_abacus_log(text: str, _: bytes) -> bool:
    return "WELCOME TO ABACUS" in text or "abacus.ustc.edu.cn" in text[:2000]


def _is_abacus_input(text: str, _: bytes) -> bool:
    return text.lstrip().startswith("INPUT_PARAMETERS")


def _abacus_input(_: Blob, __: Options) -> Iterator[Entry]:
    raise Unreadable(
        "unsupported", "an ABACUS INPUT file: parameters only, the atoms stand in STRU"
    )
    yield Entry()


def read_log(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure and the final energy of a running log."""
    text = decode(blob.data)
    lines = text.split("\n")

    def find(mark: str) -> int:
        for i, line in enumerate(lines):
            if mark in line:
                return i
        raise Unreadable("truncated", f"the log ends before {mark!r}")

    scale = (
        number(lines[find("lattice constant (Bohr)")].split("=")[1].split()[0]) * BOHR
    )
    at = find("Lattice vectors: (Cartesian coordinate")
    cell = rows(x.replace("+", " ") for x in lines[at + 1 : at + 4]) * scale
    cartesian = any("CARTESIAN COORDINATES" in x for x in lines)
    at = find("CARTESIAN COORDINATES" if cartesian else "DIRECT COORDINATES")
    species: list[str] = []
    sites: list[list[float]] = []
    for line in lines[at + 2 :]:
        words = line.split()
        if len(words) < 4 or not re.match(r"tau[cd]_", words[0]):
            break
        species.append(symbol_of(words[0][5:]))
        sites.append(numbers(words[1:4], 3))
    made = structure(
        cell,
        species,
        np.array(sites).reshape(-1, 3) * (scale if cartesian else 1.0),
        cartesian=cartesian,
        limit=options.limits.sites,
    )
    version = re.search(r"Version:.*?v?(\d[\w.]+)", text)
    functional = re.search(r"functional Ex = (\S+)", text)
    method = {
        "code": "ABACUS",
        "version": version[1] if version else "",
        "functional": functional[1] if functional else "",
    }
    total = re.search(r"!?\s*FINAL_ETOT_IS\s+(\S+)\s+eV", text)
    energy = number(total[1]) if total and is_number(total[1]) else None
    findings: tuple[Finding, ...] = ()
    if "convergence has NOT been achieved" in text:
        findings += (
            Finding("unconverged", "quarantine", "'convergence has NOT been achieved'"),
        )
    if energy is None:
        findings += (Finding("unfinished", "note", "no final energy"),)
    yield Entry(made, results(method, len(made), energy=energy), method, "", findings)


FORMATS: tuple[Format, ...] = (
    Format("openmx-in", _is_openmx, read_openmx),
    Format("abacus-log", _is_abacus_log, read_log),
    Format("abacus-input", _is_abacus_input, _abacus_input),
    Format("abacus-stru", _is_stru, read_stru),
)
