"""Quantum ESPRESSO: pw.x input, output, and data-file-schema.xml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from matdisco.data.readers.ase_formats import found, reader
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso_lattice import bravais
from matdisco.data.readers.geometry import structure, symbol_of
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import (
    BOHR,
    HARTREE,
    decode,
    is_number,
    number,
    numbers,
    parse_xml,
)

INPUT_ONLY = Finding(
    "input-only", "note", "an input: a structure to start from, no results"
)
_CARDS = ("ATOMIC_SPECIES", "ATOMIC_POSITIONS", "K_POINTS", "CELL_PARAMETERS",
          "CONSTRAINTS", "OCCUPATIONS", "ATOMIC_FORCES", "HUBBARD",
          "ATOMIC_VELOCITIES", "ADDITIONAL_K_POINTS", "SOLVENTS")  # fmt: skip


# -- input -------------------------------------------------------------------------


def _is_input(text: str, _: bytes) -> bool:
    return bool(
        re.search(r"(?im)^\s*&(control|system)\b", text)
        and (re.search(r"(?im)^\s*&system\b", text))
        and re.search(r"(?im)^\s*ATOMIC_(POSITIONS|SPECIES)", text)
    )


def _is_postprocessing(text: str, _: bytes) -> bool:
    head = re.match(r"(?is)\s*&(dos|projwfc|bands|inputpp|inputph|plot|pp)\b", text)
    return bool(head) or (
        "Program PWSCF" not in text[:4000]
        and bool(
            re.search(
                r"Program (?:DOS|PROJWFC|BANDS|POST-PROC|PHONON)\s+v\.", text[:4000]
            )
        )
    )


def _post(blob: Blob, _: Options) -> Iterator[Entry]:
    raise Unreadable(
        "unsupported",
        "input or log of a Quantum ESPRESSO tool that prints no structure",
    )
    yield Entry()


class _Input:
    """The namelists and cards of a pw.x input."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, str] = {}
        self.cards: dict[str, tuple[str, list[str]]] = {}
        card, inside = "", False
        for raw in text.split("\n"):
            line = re.split(r"[!#]", raw)[0].strip()
            if not line:
                continue
            if line.startswith("&"):
                inside, card = True, ""
                line = re.sub(r"^&\w+", "", line)
            name = line.split()[0].upper() if line.split() else ""
            if inside:
                for key, value in re.findall(
                    r"([\w()%, ]+?)\s*=\s*('[^']*'|\"[^\"]*\"|[^\s,/]+)", line
                ):
                    self.values[key.strip(" ,").lower()] = value.strip("'\"")
                inside = not line.endswith("/") and line != "/"
            elif name in _CARDS:
                card = name
                unit = re.sub(r"[{}()]", " ", line[len(name) :]).split()
                self.cards[card] = (unit[0].lower() if unit else "", [])
            elif card:
                self.cards[card][1].append(line)

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        return number(value) if value is not None and is_number(value) else None


def read_input(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure of an input, with ``ibrav`` or a space group."""
    data = _Input(decode(blob.data))
    if "ATOMIC_POSITIONS" not in data.cards:
        raise Unreadable("truncated", "the input ends before ATOMIC_POSITIONS")
    unit, lines = data.cards["ATOMIC_POSITIONS"]
    words = [x.split() for x in lines]
    nat = data.number("nat")
    if nat is not None and len(words) < nat:
        raise Unreadable("truncated", f"{nat:g} atoms stated, {len(words)} found")
    words = words[: int(nat)] if nat else words
    species = [symbol_of(w[0]) for w in words]
    positions = np.array([numbers(w[1:4], 3) for w in words]).reshape(-1, 3)
    group = data.number("space_group")
    if group or unit == "crystal_sg":
        made = _from_group(data, int(group or 0), species, positions)
    else:
        cell, alat = _cell(data)
        scale = {"bohr": BOHR, "angstrom": 1.0, "crystal": None}.get(unit, alat)
        made = structure(
            cell,
            species,
            positions if scale is None else positions * scale,
            cartesian=scale is not None,
            limit=options.limits.sites,
        )
    functional = data.values.get("input_dft", "")
    method = {"code": "Quantum ESPRESSO", "functional": functional}
    yield Entry(made, {}, method, findings=(INPUT_ONLY,))


def _parameters(data: _Input) -> tuple[float, float, float, float, float, float]:
    """Return a, b, c in Å and the cosines of alpha, beta, gamma."""
    d = [0.0] + [data.number(f"celldm({i})") or 0.0 for i in range(1, 7)]
    a = data.number("a")
    if a is not None:
        b, c = data.number("b") or a, data.number("c") or a
        cosines = [data.number(k) or 0.0 for k in ("cosbc", "cosac", "cosab")]
        return a, b, c, cosines[0], cosines[1], cosines[2]
    a = d[1] * BOHR
    b, c = a * (d[2] or 1), a * (d[3] or 1)
    ibrav = int(data.number("ibrav") or 0)
    if ibrav == 14:
        return a, b, c, d[4], d[5], d[6]
    if ibrav in (-12, -13):  # unique axis b: celldm(5) is the cosine of beta
        return a, b, c, 0.0, d[5], 0.0
    if abs(ibrav) == 5:
        return a, a, a, d[4], d[4], d[4]
    return a, b, c, 0.0, 0.0, d[4]


def _cell(data: _Input) -> tuple[np.ndarray, float]:
    """Cell vectors and alat in Å."""
    a = _parameters(data)[0]
    ibrav = data.number("ibrav")
    if ibrav is None:
        raise Unreadable("no-cell", "neither ibrav nor a space group is given")
    if ibrav:
        return bravais(int(ibrav), *_parameters(data)), a
    if "CELL_PARAMETERS" not in data.cards:
        raise Unreadable("truncated", "the input ends before CELL_PARAMETERS")
    unit, lines = data.cards["CELL_PARAMETERS"]
    vectors = np.array([numbers(x, 3) for x in lines[:3]]).reshape(-1, 3)
    scale = {"bohr": BOHR, "angstrom": 1.0}.get(unit, a or BOHR)
    alat = a or float(np.linalg.norm(vectors[0]) * scale)
    return vectors * scale, alat


def _from_group(
    data: _Input, group: int, species: list[str], positions: np.ndarray
) -> Structure:
    if not 1 <= group <= 230:
        raise Unreadable("no-cell", "crystal_sg positions without a space group")
    a, b, c, bc, ac, ab = _parameters(data)
    if 75 <= group <= 194:
        b = a
    if group >= 195:
        b = c = a
    if 143 <= group <= 194:
        ab = -0.5
    angles = [float(np.degrees(np.arccos(np.clip(x, -1, 1)))) for x in (bc, ac, ab)]
    return Structure.from_spacegroup(
        group, Lattice.from_parameters(a, b, c, *angles), species, positions.tolist()
    )


# -- output ------------------------------------------------------------------------


def _method(text: str) -> dict[str, Any]:
    cutoff = found(r"kinetic-energy cutoff\s*=\s*([\d.]+)\s*Ry", text)
    return {
        "code": "Quantum ESPRESSO",
        "version": found(r"Program PWSCF v\.?\s*(\S+)", text),
        "functional": found(r"Exchange-correlation\s*=\s*(.+?)(?:\s*\(|\n)", text),
        "pseudopotentials": re.findall(  # the name, not where somebody kept it
            r"([^\s/]+\.(?:UPF|upf|RRKJ3|psl\S*))\s*$", text, re.MULTILINE
        )[:20],
        "settings": {"encut_eV": round(float(cutoff) * HARTREE / 2, 4)}
        if cutoff
        else {},
    }


def _notes(text: str) -> tuple[Finding, ...]:
    out: tuple[Finding, ...] = ()
    if "convergence NOT achieved" in text:
        out += (Finding("unconverged", "quarantine", "'convergence NOT achieved'"),)
    if "JOB DONE" not in text:
        out += (Finding("unfinished", "note", "the run stopped before its end"),)
    return out


# -- XML ---------------------------------------------------------------------------


def read_xml(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the steps and the final structure, in Hartree atomic units."""
    root, complete = parse_xml(blob.data)
    creator = root.find("general_info/creator")
    output = root.find("output")
    nodes = [*root.findall("step"), *([output] if output is not None else [])]
    if not nodes and (start := root.find("input")) is not None:
        nodes = [start]
    method = {
        "code": "Quantum ESPRESSO",
        "version": creator.get("VERSION", "") if creator is not None else "",
        "functional": root.findtext("input/dft/functional") or "",
        "dispersion": root.findtext("input/dft/vdW/vdw_corr") or "",
    }
    for node in nodes:
        block = node.find("atomic_structure")
        if block is None:
            continue
        cell = np.array(
            [numbers(block.findtext(f"cell/a{i}") or "", 3) for i in (1, 2, 3)]
        )
        atoms = block.findall("atomic_positions/atom")
        made = structure(
            cell * BOHR,
            [symbol_of(a.get("name", "")) for a in atoms],
            np.array([numbers(a.text or "", 3) for a in atoms]).reshape(-1, 3) * BOHR,
            cartesian=True,
            limit=options.limits.sites,
        )
        total = node.findtext("total_energy/etot")
        force = node.findtext("forces")
        forces = (
            np.array(numbers(force)).reshape(-1, 3) * HARTREE / BOHR if force else None
        )
        labels = results(
            method,
            len(made),
            energy=number(total) * HARTREE if total else None,
            forces=forces,
        )
        findings: tuple[Finding, ...] = ()
        if node.findtext("convergence_info/scf_conv/convergence_achieved") == "false":
            findings += (Finding("unconverged", "quarantine", "SCF not converged"),)
        if not complete:
            findings += (Finding("truncated", "quarantine", "the file stops early"),)
        yield Entry(made, labels, method, findings=findings)


FORMATS: tuple[Format, ...] = (
    Format(
        "espresso-xml",
        lambda t, _: "<qes:espresso" in t[:3000],
        read_xml,
        trajectory=True,
    ),
    Format(
        "espresso-out",
        lambda t, _: "Program PWSCF" in t,
        reader("espresso-out", _method, notes=_notes),
        trajectory=True,
    ),
    Format("espresso-tool", _is_postprocessing, _post),
    Format("espresso-in", _is_input, read_input),
)
