"""VASP's OUTCAR: every ionic step with energy, forces and method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.geometry import structure, symbol_of
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import NUMBER, decode, rows
from matdisco.data.readers.vasp_method import method

_TAG = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*$")
_SIGMA0 = re.compile(rf"energy\s*\(sigma->0\)\s*=\s*({NUMBER})")
_TAGS = {"ENCUT", "GGA", "METAGGA", "LHFCALC", "AEXX", "HFSCREEN", "ISPIN", "LDAU",
         "LDAUU", "LDAUJ", "IVDW", "LSORBIT", "NELM", "NSW", "IBRION"}  # fmt: skip


def sniff(text: str, _: bytes) -> bool:
    """Look for VASP's version line in front, or its list of potentials."""
    first = text.lstrip()[:200]
    return first.startswith("vasp.") or (
        "POTCAR:" in text[:5000] and "INCAR:" in text[:5000]
    )


def read(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per finished ionic step, or the initial structure."""
    lines = decode(blob.data).split("\n")
    titles = [m.split("=", 1)[1].strip() for m in lines if "TITEL  =" in m]
    elements = [
        symbol_of(m.split("=", 1)[1].strip()) for m in lines if "VRHFIN =" in m
    ] or [symbol_of(t.split()[1]) for t in titles if len(t.split()) > 1]
    if (
        not elements
    ):  # VASP repeats the list of potentials; a name may occur twice in it
        named = [m.split(":", 1)[1].split() for m in lines if m.startswith(" POTCAR:")]
        titles = [" ".join(w) for w in named]
        elements = [symbol_of(w[1]) for w in named if len(w) > 1]
    counts: list[int] = []
    for line in lines:
        if "ions per type =" in line:
            counts = [int(w) for w in line.split("=")[1].split()]
            break
    if not counts or not elements:
        raise Unreadable("truncated", "the file ends before its list of atoms")
    if len(elements) < len(counts):
        raise Unreadable(
            "count-mismatch",
            f"{len(counts)} kinds of atoms, {len(elements)} potentials",
        )
    elements = elements[: len(counts)]
    if sum(counts) > options.limits.sites:
        raise Unreadable("too-many-sites", f"{sum(counts):,} atoms")
    species = [e for e, n in zip(elements, counts, strict=True) for _ in range(n)]
    tags = _tags(lines)
    version = lines[0].split()[0].removeprefix("vasp.") if lines[0].split() else ""
    block = method(tags, titles[: len(counts)], elements, version)
    frames = list(_frames(lines, len(species)))
    done = any("General timing and accounting" in x for x in lines[-200:])
    for i, (cell, positions, forces, energy, moment, converged) in enumerate(frames):
        made = structure(
            cell, species, positions, cartesian=True, limit=options.limits.sites
        )
        labels = results(block, len(made), energy=energy, forces=forces, moment=moment)
        findings: tuple[Finding, ...] = ()
        if not converged:
            findings += (
                Finding(
                    "unconverged",
                    "quarantine",
                    "no 'EDIFF is reached' before this step",
                ),
            )
        if i == len(frames) - 1 and not done:
            findings += (
                Finding("unfinished", "note", "the run stopped before its end"),
            )
        yield Entry(made, labels, block, findings=findings)
    if not frames:
        yield _initial(lines, species, block, options)


def _tags(lines: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for line in lines:
        match = _TAG.match(line)
        if match and match[1] in _TAGS and match[2]:
            words = match[2].split()
            out[match[1]] = words if match[1].startswith("LDAU") else words[0]
        elif "energy  without entropy" in line:
            break
        elif line.lstrip().startswith("LDAUU") or "U (eV)" in line:
            out["LDAUU"] = line.split("=")[-1].split()
        elif "J (eV)" in line:
            out["LDAUJ"] = line.split("=")[-1].split()
    if out.get("LDAUU") and "LDAU" not in out:
        out["LDAU"] = "T"
    if isinstance(out.get("LDAU"), list):
        out["LDAU"] = out["LDAU"][0]
    return out


def _frames(lines: list[str], n: int) -> Iterator[tuple[Any, ...]]:
    cell = positions = forces = moment = None
    converged = False
    for i, line in enumerate(lines):
        if "direct lattice vectors" in line:
            cell = _cell(lines, i)
        elif "EDIFF is reached" in line:
            converged = True
        elif "number of electron" in line and "magnetization" in line:
            words = line.split("magnetization")[1].split()
            moment = float(words[0]) if len(words) == 1 else None
        elif "TOTAL-FORCE" in line and "POSITION" in line and "(ML)" not in line:
            body = lines[i + 2 : i + 2 + n]
            if len(body) < n or len(body[-1].split()) < 6:
                return
            positions, forces = rows(body), rows(body, 3)
        elif "energy  without entropy" in line and "ML" not in line:
            match = _SIGMA0.search(line)
            if match and cell is not None and positions is not None:
                yield cell, positions, forces, float(match[1]), moment, converged
                positions, forces, converged = None, None, False


def _cell(lines: list[str], i: int) -> np.ndarray | None:
    # columns can run into each other: -5.123-5.123
    found = [
        [float(x) for x in re.findall(r"-?\d+\.\d+", line)][:3]
        for line in lines[i + 1 : i + 4]
    ]
    return (
        np.array(found) if len(found) == 3 and all(len(r) == 3 for r in found) else None
    )


def _initial(
    lines: list[str], species: list[str], block: dict[str, Any], options: Options
) -> Entry:
    cell = None
    for i, line in enumerate(lines):
        if "direct lattice vectors" in line:
            cell = _cell(lines, i)
        if "position of ions in fractional coordinates" in line and cell is not None:
            body = lines[i + 1 : i + 1 + len(species)]
            if len(body) == len(species) and all(len(x.split()) >= 3 for x in body):
                made = structure(cell, species, rows(body), limit=options.limits.sites)
                finding = Finding(
                    "unfinished",
                    "note",
                    "no finished ionic step: the initial structure only",
                )
                return Entry(made, {}, block, findings=(finding,))
    raise Unreadable("truncated", "the file ends before its first structure")


FORMAT = Format("vasp-outcar", sniff, read, trajectory=True)
