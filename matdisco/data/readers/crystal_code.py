"""The CRYSTAL program's output, and that of its properties step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import HARTREE, decode, is_number, number, numbers, rows

_NAMES = {
    "PERDEW-BURKE-ERNZERHOF": "PBE", "BECKE 88": "B88", "LEE-YANG-PARR": "LYP",
    "PERDEW-ZUNGER": "PZ", "VOSKO-WILK-NUSAIR": "VWN", "PERDEW-WANG GGA": "PW91",
    "PERDEW-WANG LSD": "PWLSD", "DIRAC-SLATER LDA": "LDA",
}  # fmt: skip


def sniff(text: str, _: bytes) -> bool:
    """Look for the banner, which names the program and its home."""
    return "CRYSTAL.UNITO.IT" in text.upper() or bool(
        re.search(r"\*\s+CRYSTAL(?:0\d|1\d|2\d)\s+\*", text)
    )


def _method(text: str) -> dict[str, Any]:
    version = re.search(r"\*\s+CRYSTAL(\d\d)\s+\*", text)
    pair = re.search(r"\(EXCHANGE\)\[CORRELATION\] FUNCTIONAL:\((.+?)\)\[(.+?)\]", text)
    share = re.search(r"HYBRID EXCHANGE - PERCENTAGE OF FOCK EXCHANGE\s+([\d.]+)", text)
    names = [_NAMES.get(n.strip(), n.strip()) for n in pair.groups()] if pair else []
    name = names[0] if len(set(names)) == 1 else "+".join(names)
    if share and number(share[1]) > 0:
        fraction = number(share[1])
        pbe0 = name == "PBE" and abs(fraction - 25) < 1e-6
        name = "PBE0" if pbe0 else f"{name} hybrid ({fraction:g} % exact exchange)"
    if not name and "HARTREE-FOCK HAMILTONIAN" in text:
        name = "Hartree-Fock"
    return {
        "code": "CRYSTAL",
        "version": version[1] if version else "",
        "functional": name,
        "dispersion": "D3" if re.search(r"\bDFT-?D3|D3 DISPERSION", text) else "",
    }


def read(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the final structure and its energy."""
    text = decode(blob.data)
    lines = text.split("\n")
    method = _method(text)
    if any("CRYSTAL - PROPERTIES" in x for x in lines) and not _last(
        lines, "GEOMETRY FOR WAVE"
    ):
        yield _properties(lines, method, options)
        return
    dimension = _dimension(lines)
    cell = np.zeros((3, 3))
    at = _last(lines, "DIRECT LATTICE VECTORS CARTESIAN COMPONENTS (ANGSTROM)")
    if at is not None:
        cell = rows(lines[at + 2 : at + 5])
    cell[dimension:] = 0.0  # CRYSTAL writes 500 Å where it is not periodic
    table = _last(lines, "CARTESIAN COORDINATES - PRIMITIVE CELL")
    if table is None and dimension == 0:
        table = _last(lines, "ATOMS IN THE ASYMMETRIC UNIT")
    if table is None or (dimension and at is None):
        raise Unreadable("truncated", "the output ends before its structure")
    species, sites = _atoms(lines[table + 1 :])
    made, findings = from_atoms(species, sites, cell, [True] * 3, options.limits.sites)
    energy, more = _energy(lines, text)
    labels = results(method, len(made), energy=energy)
    yield Entry(made, labels, method, "", (*findings, *more))


def _dimension(lines: list[str]) -> int:
    for line in reversed(lines):
        match = re.search(r"DIMENSIONALITY OF THE SYSTEM\s+(\d)", line)
        if match:
            return min(int(match[1]), 3)
    raise Unreadable("truncated", "the output ends before its structure")


def _last(lines: list[str], mark: str) -> int | None:
    for i in range(len(lines) - 1, -1, -1):
        if mark in lines[i]:
            return i
    return None


def _atoms(lines: list[str]) -> tuple[list[int], np.ndarray]:
    species: list[int] = []
    sites: list[list[float]] = []
    for line in lines:
        words = [w for w in line.split() if w not in ("T", "F")]
        if len(words) >= 6 and words[0].isdigit() and words[1].isdigit():
            species.append(int(words[1]) % 100)  # 2xx is element xx with its own basis
            sites.append(numbers(words[3:6], 3))
        elif species:
            break
    return species, np.array(sites).reshape(-1, 3)


def _energy(lines: list[str], text: str) -> tuple[float | None, tuple[Finding, ...]]:
    """Energy of the printed structure, eV."""
    found = [
        number(m[1]) * HARTREE
        for x in lines
        if (
            m := re.search(
                r"TOTAL ENERGY\((?:DFT|HF)\)\(AU\)\(\s*\d+\)\s*(\S+?)(?:\s|DE|$)", x
            )
        )
        and is_number(m[1])
    ]
    findings: tuple[Finding, ...] = ()
    if "SCF ENDED - TOO MANY CYCLES" in text:
        findings += (
            Finding("unconverged", "quarantine", "'SCF ENDED - TOO MANY CYCLES'"),
        )
    if "OPTIMIZATION - POINT" in text:
        if "FINAL OPTIMIZED GEOMETRY" not in text:
            note = "the optimisation did not end: the first structure, without energy"
            return None, (*findings, Finding("unfinished", "note", note))
        return (found[-1] if found else None), findings
    if not found:
        findings += (Finding("unfinished", "note", "no final energy"),)
    return (found[0] if found else None), findings


def _properties(lines: list[str], method: dict[str, Any], options: Options) -> Entry:
    at = _last(lines, "DIRECT LATTICE VECTOR COMPONENTS (ANGSTROM)")
    table = _last(lines, "N.AT.  SHELL    X(A)")
    if at is None or table is None:
        raise Unreadable("truncated", "the output ends before its structure")
    cell = rows(lines[at + 1 : at + 4])
    species: list[int] = []
    sites: list[list[float]] = []
    for line in lines[table + 2 :]:
        words = line.split()
        if len(words) < 7 or not words[0].isdigit():
            break
        species.append(int(words[1]) % 100)
        sites.append(numbers(words[4:7], 3))
    made, findings = from_atoms(
        species, np.array(sites).reshape(-1, 3), cell, [True] * 3, options.limits.sites
    )
    energy = None
    for line in lines:
        match = re.match(r"\s*TOTAL ENERGY\s+(\S+)\s+CONVERGENCE", line)
        if match and is_number(match[1]):
            energy = number(match[1]) * HARTREE
    note = Finding(
        "parser-warning", "note", "the program prints positions to 0.001 Å here"
    )
    labels = results(method, len(made), energy=energy)
    return Entry(made, labels, method, "", (*findings, note))


FORMAT = Format("crystal-out", sniff, read)
