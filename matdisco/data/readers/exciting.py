"""exciting: input.xml, INFO.OUT and info.xml. Atomic units throughout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element as Node

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import structure, symbol_of
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import BOHR, HARTREE, decode, number, numbers, parse_xml

# Exchange-correlation types of the exciting input reference
_XC = {"3": "LDA", "20": "PBE", "21": "revPBE", "22": "PBEsol", "26": "WC",
       "406": "PBE0", "408": "HSE06"}  # fmt: skip


def _method(functional: str, version: str = "") -> dict[str, Any]:
    names = {"GGA_PBE": "PBE", "GGA_PBE_SOL": "PBEsol", "LDA_PW": "LDA"}
    return {
        "code": "exciting",
        "version": version,
        "functional": names.get(functional, functional),
    }


def read_input(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the structure of an input."""
    root, _ = parse_xml(blob.data)
    block = root.find("structure")
    crystal = None if block is None else block.find("crystal")
    if block is None or crystal is None:
        raise Unreadable("truncated", "the input has no <structure> with a <crystal>")
    vectors = np.array([numbers(v.text or "", 3) for v in crystal.findall("basevect")])
    scale = number(crystal.get("scale") or "1")
    stretch = numbers(crystal.get("stretch") or "1 1 1", 3)
    cell = vectors.reshape(-1, 3) * scale * np.array(stretch[: len(vectors)])[:, None]
    species: list[str] = []
    sites: list[list[float]] = []
    for kind in block.findall("species"):
        name = (
            kind.get("chemicalSymbol") or (kind.get("speciesfile") or "").split(".")[0]
        )
        for atom in kind.findall("atom"):
            species.append(symbol_of(name))
            sites.append(numbers(atom.get("coord") or "", 3))
    cartesian = block.get("cartesian") == "true"
    made = structure(
        cell * BOHR,
        species,
        np.array(sites).reshape(-1, 3) * (BOHR if cartesian else 1),
        cartesian=cartesian,
        limit=options.limits.sites,
    )
    ground = root.find("groundstate")
    functional = "" if ground is None else ground.get("xctype", "")
    yield Entry(made, {}, _method(functional), "", (INPUT_ONLY,))


def read_info_xml(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield each structure with the energy of the iteration before it."""
    root, complete = parse_xml(blob.data)
    ground = root.find("groundstate")
    if ground is None:
        raise Unreadable("truncated", "no <groundstate>")
    energy: float | None = None
    entries: list[Entry] = []
    for node in ground.iter():
        if node.tag == "energies":
            energy = number(node.get("totalEnergy") or "nan") * HARTREE
        elif node.tag == "structure":
            entries.append(_structure(node, energy, options))
    if not entries:
        raise Unreadable("truncated", "the file ends before its structure")
    if not complete:
        last = entries[-1]
        note = Finding("truncated", "quarantine", "the file stops before its end")
        entries[-1] = Entry(last.structure, last.labels, last.method, "", (note,))
    yield from entries


def _structure(node: Node, energy: float | None, options: Options) -> Entry:
    cell = np.array(
        [numbers(v.text or "", 3) for v in node.findall("crystal/basevect")]
    )
    species: list[str] = []
    sites: list[list[float]] = []
    forces: list[list[float]] = []
    for kind in node.findall("species"):
        for atom in kind.findall("atom"):
            species.append(symbol_of(kind.get("chemicalSymbol") or ""))
            sites.append([number(atom.get(k) or "nan") for k in "xyz"])
            force = atom.find("forces/totalforce")
            if force is not None:
                forces.append([number(force.get(k) or "nan") for k in "xyz"])
    made = structure(cell * BOHR, species, sites, limit=options.limits.sites)
    method = _method("")
    force_array = np.array(forces) * HARTREE / BOHR if forces else None
    return Entry(
        made, results(method, len(made), energy=energy, forces=force_array), method
    )


def read_info_out(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the initial structure, and each relaxed one, with its energy."""
    text = decode(blob.data)
    lines = text.split("\n")
    start = next(
        (i for i, x in enumerate(lines) if "Lattice vectors (cartesian)" in x), None
    )
    if start is None:
        raise Unreadable("truncated", "the output ends before its structure")
    cell = np.array([numbers(x, 3) for x in lines[start + 1 : start + 4]]) * BOHR
    species, sites = _initial(lines)
    code = re.search(r"Exchange-correlation type\s*:\s*(\S+)", text)
    version = re.search(r"EXCITING\s+(\S+)\s+started", text)
    method = _method(
        _XC.get(code[1], "") if code else "", version[1] if version else ""
    )
    energy: float | None = None
    entries: list[Entry] = []

    def add() -> None:
        made = structure(cell, species, sites, limit=options.limits.sites)
        entries.append(Entry(made, results(method, len(made), energy=energy), method))

    for i, line in enumerate(lines):
        if re.match(r"\s*Total energy\s+:", line):
            energy = number(line.split(":")[1].split()[0]) * HARTREE
        elif line.strip() == "Atomic positions (lattice) :" and energy is not None:
            found = [x.split() for x in lines[i + 1 : i + 1 + len(species)]]
            sites = np.array(
                [numbers(w[w.index(":") + 1 :], 3) for w in found if ":" in w]
            )
            add()
    if not entries:
        add()
    if "EXCITING" in text and not re.search(r"EXCITING\s+\S+\s+stopped", text):
        last = entries[-1]
        note = Finding("unfinished", "note", "the run stopped before its end")
        entries[-1] = Entry(last.structure, last.labels, method, "", (note,))
    yield from entries


def _initial(lines: list[str]) -> tuple[list[str], np.ndarray]:
    species: list[str] = []
    sites: list[list[float]] = []
    symbol, inside = "", False
    for line in lines:
        match = re.match(r"\s*Species\s*:\s*\d+\s*\((\w+)\)", line)
        if match:
            symbol, inside = symbol_of(match[1]), False
        elif "atomic positions (lattice)" in line and symbol:
            inside = True
        elif inside and (row := re.match(r"\s*\d+\s*:\s*(.+)", line)):
            species.append(symbol)
            sites.append(numbers(row[1], 3))
        elif "Total number of atoms per unit cell" in line:
            break
        elif line.strip():
            inside = False
    return species, np.array(sites).reshape(-1, 3)


FORMATS: tuple[Format, ...] = (
    Format(
        "exciting-input",
        lambda t, _: "<input" in t[:2000] and "<crystal" in t,
        read_input,
    ),
    Format(
        "exciting-info-xml",
        lambda t, _: "<info" in t[:1000] and "<groundstate" in t,
        read_info_xml,
        trajectory=True,
    ),
    Format(
        "exciting-info",
        lambda t, _: bool(re.search(r"\| EXCITING .*started", t[:2000])),
        read_info_out,
        trajectory=True,
    ),
)
