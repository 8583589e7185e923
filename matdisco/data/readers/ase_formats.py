"""Formats that ASE reads well: CASTEP, WIEN2k, Qbox, GPAW's log and more.

Only named formats are given to ASE. Those that evaluate expressions or unpickle
(old trajectories, bundles, FHI-aims constraints) are never among them.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import decode, parse_xml

Describe = Callable[[str], dict[str, Any]]


def entry(
    atoms: Any, method: Mapping[str, Any], options: Options, *more: Finding
) -> Entry:
    """Make an entry of ASE atoms; ASE's results are eV, eV/Å and μB."""
    made, findings = from_atoms(
        atoms.get_chemical_symbols(),
        np.asarray(atoms.positions, float),
        np.asarray(atoms.cell, float),
        [bool(p) for p in atoms.pbc],
        options.limits.sites,
    )
    found = atoms.calc.results if atoms.calc is not None else {}
    energy = found.get("energy", found.get("free_energy"))
    forces, moment = found.get("forces"), found.get("magmom")
    labels = results(
        method,
        len(made),
        energy=None if energy is None else float(energy),
        forces=None if forces is None else np.asarray(forces, float),
        moment=float(moment) if isinstance(moment, (int, float)) else None,
    )
    return Entry(made, labels, method, "", (*findings, *more))


def reader(
    ase_name: str,
    describe: Describe | None = None,
    *,
    by_file: bool = False,
    notes: Callable[[str], tuple[Finding, ...]] | None = None,
) -> Callable[[Blob, Options], Iterator[Entry]]:
    """Return a parser that lets ASE read the format ``ase_name``.

    Args:
        ase_name: ASE's name of the format.
        describe: finds the method in the text.
        by_file: ASE wants a file name; the bytes go to a temporary folder.
        notes: findings for the last frame, from the text.
    """

    def parse(blob: Blob, options: Options) -> Iterator[Entry]:
        from ase.io import read

        if ase_name == "xsd":
            parse_xml(blob.data)  # refuses entities
        text = decode(blob.data)
        method = describe(text) if describe else {}
        if by_file:
            with tempfile.TemporaryDirectory(prefix="matdisco-") as folder:
                path = Path(folder) / "input"
                path.write_bytes(blob.data)
                frames = read(path, index=":", format=ase_name)
        else:
            frames = read(io.StringIO(text), index=":", format=ase_name)
        images = frames if isinstance(frames, list) else [frames]
        last = notes(text) if notes else ()
        for i, atoms in enumerate(images):
            yield entry(atoms, method, options, *(last if i == len(images) - 1 else ()))

    return parse


def _has(*marks: str) -> Callable[[str, bytes], bool]:
    def sniff(text: str, _: bytes) -> bool:
        return all(m in text for m in marks)

    return sniff


def _matches(pattern: str) -> Callable[[str, bytes], bool]:
    compiled = re.compile(pattern)

    def sniff(text: str, _: bytes) -> bool:
        return compiled.search(text) is not None

    return sniff


def found(pattern: str, text: str) -> str:
    """Return the first group of a pattern, or nothing."""
    match = re.search(pattern, text)
    return match[1].strip() if match else ""


_CASTEP_XC = {
    "Perdew Burke Ernzerhof": "PBE",
    "Local Density Approximation": "LDA",
    "PBE for solids (2008)": "PBEsol",
    "Perdew Wang (1991)": "PW91",
}


def _castep(text: str) -> dict[str, Any]:
    name = found(r"using functional\s*:\s*(.+)", text)
    cutoff = found(r"plane wave basis set cut-off\s*:\s*([\d.]+)", text)
    return {
        "code": "CASTEP",
        "version": found(r"CASTEP version\s+([\d.]+)", text),
        "functional": _CASTEP_XC.get(name, name),
        "settings": {"encut_eV": float(cutoff)} if cutoff else {},
    }


def _castep_notes(text: str) -> tuple[Finding, ...]:
    if "SCF cycles performed but system has not reached the groundstate" in text:
        return (Finding("unconverged", "quarantine", "an SCF cycle did not converge"),)
    if "Total time          =" not in text:
        return (Finding("unfinished", "note", "the run stopped before its end"),)
    return ()


def _qbox(text: str) -> dict[str, Any]:
    return {
        "code": "Qbox",
        "version": found(r"<release>\s*(\S+)", text) or found(r"I qbox ([\d.]+)", text),
        "functional": found(r"(?:xc|xc =|set xc)\s+(PBE0?|LDA|BLYP|B3LYP|HSE)", text),
    }


def _gpaw(text: str) -> dict[str, Any]:
    return {
        "code": "GPAW",
        "version": found(r"\|___\|_\|\s*\|?\s*([\d.]+)", text),
        "functional": found(r"(?m)^\s*xc:\s*(\S+)", text),
    }


def _code(name: str) -> Describe:
    return lambda _: {"code": name}


# two lines of words, then the number of atoms and the axes, four numbers a line
_CUBE = (
    r"\A[^\n]*[A-Za-z][^\n]*\n[^\n]*[A-Za-z][^\n]*\n"
    r"(?:[ \t]*-?\d+(?:[ \t]+-?\d+\.\d+){3}[ \t]*\n){4}"
)
# a title, the number of atoms, then residue, atom, number and position
_GRO = r"\A[^\n]*\n\s*\d+\s*\n\s*\d+\w+\s+\w+\s+\d+(?:\s+-?\d+\.\d+){3}"

FORMATS: tuple[Format, ...] = (
    Format("gpaw-text", _has("___ ___ ___ _ _ _"), reader("gpaw-out", _gpaw),
           trajectory=True),
    Format("castep", _has("CCC   AA    SSS  TTTTT  EEEEE  PPPP"),
           reader("castep-castep", _castep, notes=_castep_notes), trajectory=True),
    Format("castep-cell", _matches(r"(?im)^\s*%block\s+lattice_(?:cart|abc)"),
           reader("castep-cell", _code("CASTEP"), by_file=True)),
    Format("qbox", _has("<fpmd:simulation"), reader("qbox", _qbox), trajectory=True),
    Format("wien2k-struct", _matches(r"LATTICE,NONEQUIV"),
           reader("struct", _code("WIEN2k"), by_file=True)),
    Format("elk-geometry", _matches(r"(?ms)^\s*avec\b.*^\s*atoms\b"),
           reader("elk", _code("Elk"))),
    Format("xsf", _matches(r"(?m)^\s*(?:CRYSTAL|ANIMSTEPS|SLAB|POLYMER|ATOMS)\s*$"),
           reader("xsf"), trajectory=True),
    Format("magres", _has("#$magres-abinitio"), reader("magres")),
    Format("shelx-res", _matches(r"(?ms)^TITL\b.*^CELL\s+[\d.]+\s+[\d.]+"),
           reader("res", by_file=True)),
    Format("atomeye-cfg", _matches(r"(?m)^Number of particles\s*="), reader("cfg")),
    Format("pdb", _matches(r"(?m)^CRYST1[\s\d.]+"), reader("proteindatabank"),
           trajectory=True),
    Format("gaussian-out", _has("Entering Gaussian System"),
           reader("gaussian-out", _code("Gaussian")), trajectory=True),
    Format("nwchem-out", _has("Northwest Computational Chemistry Package"),
           reader("nwchem-out", _code("NWChem")), trajectory=True),
    Format("onetep-out", _has("Linear-Scaling Ab Initio Total Energy Program"),
           reader("onetep-out", _code("ONETEP")), trajectory=True),
    Format("castep-geom", _matches(r"(?s)\A\s*BEGIN header.*<-- h"),
           reader("castep-geom", _code("CASTEP"), by_file=True), trajectory=True),
    Format("castep-md", _matches(r"(?s)\A\s*BEGIN header.*<-- E"),
           reader("castep-md", _code("CASTEP"), by_file=True), trajectory=True),
    Format("dftb-gen", _matches(r"\A\s*\d+\s+[SsFf]\s*\n(?:\s*[A-Z][a-z]?)+\s*\n"),
           reader("gen", _code("DFTB+"))),
    Format("dmol-archive", _has("!BIOSYM archive"),
           reader("dmol-arc", _code("DMol3"), by_file=True), trajectory=True),
    Format("dmol-incoor", _matches(r"\A\s*\$cell vectors"),
           reader("dmol-incoor", _code("DMol3"), by_file=True)),
    Format("gaussian-cube", _matches(_CUBE), reader("cube")),
    Format("gromos", _matches(r"(?sm)\ATITLE.*^POSITION"), reader("gromos")),
    Format("gromacs-gro", _matches(_GRO), reader("gromacs")),
    Format("rmc6f", _has("Version 6f format"), reader("rmc6f", by_file=True)),
    Format("runner", _matches(r"(?sm)\A\s*begin\b.*^\s*lattice\s.*^\s*atom\s"),
           reader("runnerdata")),
    Format("turbomole", _matches(r"(?m)^\$coord"),
           reader("turbomole", _code("TURBOMOLE"))),
    Format("v-sim", _has("v_sim"), reader("v-sim")),
    Format("materials-studio", _matches(r"<XSD\b|<XTD\b"), reader("xsd", by_file=True)),
)  # fmt: skip
"""The formats that ASE reads for us."""
