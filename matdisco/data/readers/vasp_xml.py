"""VASP's vasprun.xml: every ionic step with energy, forces and method.

The energy is the one extrapolated to zero smearing (``energy(sigma->0)``). VASP
writes a wrong one into the ionic step of some versions, so it is computed as
free energy of the step + (E0 - free energy) of its last electronic step
(https://www.vasp.at/forum/viewtopic.php?f=3&t=16942).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element as Node

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.geometry import by_mass, structure, symbol_of
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import is_number, numbers, parse_xml
from matdisco.data.readers.vasp_method import method

_OCCUPIED = 1e-8  # as pymatgen's Vasprun.eigenvalue_band_properties


def sniff(text: str, _: bytes) -> bool:
    """Look for the root element."""
    return "<modeling>" in text


def _rows(node: Node | None) -> np.ndarray:
    if node is None:
        raise Unreadable("truncated", "a cell or position block is missing")
    return np.array([numbers(v.text or "", 3) for v in node.findall("v")]).reshape(
        -1, 3
    )


def _tags(root: Node) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for block in ("parameters", "incar"):
        node = root.find(block)
        for item in node.iter() if node is not None else ():
            if item.tag in ("i", "v") and item.get("name"):
                words = (item.text or "").split()
                out[item.get("name", "")] = (
                    words if item.tag == "v" else " ".join(words)
                )
    return out


class _Atoms:
    """The atominfo block: species of each site, potentials, valence electrons."""

    def __init__(self, root: Node) -> None:
        types = root.findall("atominfo/array[@name='atomtypes']/set/rc")
        cells = [[(c.text or "").strip() for c in rc.findall("c")] for rc in types]
        if not cells or any(len(c) < 5 for c in cells):
            raise Unreadable("truncated", "the file ends before its list of atoms")
        self.titles = [c[4] for c in cells]
        self.counts = [int(c[0]) for c in cells]
        self.valence = sum(
            int(c[0]) * float(c[3]) for c in cells if c[3].replace(".", "").isdigit()
        )
        self.findings: tuple[Finding, ...] = ()
        self.elements = [self._element(c[1], c[4], c[2]) for c in cells]
        self.species = [
            e for e, n in zip(self.elements, self.counts, strict=True) for _ in range(n)
        ]

    def _element(self, name: str, title: str, mass: str) -> str:
        """VASP cuts some names to two letters; the potential has the whole one."""
        words = title.split()
        try:
            true, why = symbol_of(words[1] if len(words) > 1 else name), "potential"
        except Unreadable:
            known = by_mass(float(mass)) if is_number(mass) else None
            if known is None:
                raise
            true, why = known, f"atomic mass {mass}"
        if name.strip() != true:
            self.findings = (
                Finding(
                    "repaired", "mend", f"species {name!r} is {true}, by its {why}"
                ),
            )
        return true


def read(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per ionic step, or the initial structure when there is none."""
    root, complete = parse_xml(blob.data)
    atoms = _Atoms(root)
    tags = _tags(root)
    version = (root.findtext("generator/i[@name='version']") or "").strip()
    block = method(tags, atoms.titles, atoms.elements, version)
    shared = (*atoms.findings, *_charge(tags, atoms.valence))
    steps = [c for c in root.findall("calculation") if c.find("structure") is not None]

    def built(node: Node) -> Any:
        return structure(
            _rows(node.find("crystal/varray[@name='basis']")),
            atoms.species,
            _rows(node.find("varray[@name='positions']")),
            limit=options.limits.sites,
        )

    if not steps:
        names = ("finalpos", "initialpos", "primitive_cell")
        places = (root.find(f"structure[@name='{n}']") for n in names)
        start = next((p for p in places if p is not None), None)
        if start is None:
            raise Unreadable("truncated", "the file ends before its first structure")
        finding = Finding(
            "unfinished", "note", "no finished ionic step: a structure without energy"
        )
        yield Entry(built(start), {}, block, findings=(*shared, finding))
        return
    gap = _band_gap(root)
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        made = built(step.find("structure"))  # type: ignore[arg-type]
        forces = step.find("varray[@name='forces']")
        labels = results(
            block,
            len(made),
            energy=_energy(step),
            forces=None if forces is None else _rows(forces),
            band_gap=gap if last else None,
        )
        findings = shared + (
            _convergence(tags, steps, complete) if last else _scf(tags, step)
        )
        yield Entry(made, labels, block, findings=findings)


def _energy(step: Node) -> float | None:
    """Total energy at zero smearing, eV."""

    def value(node: Node | None, name: str) -> float | None:
        text = None if node is None else node.findtext(f"i[@name='{name}']")
        try:
            found = float(text) if text else float("nan")
        except ValueError:
            return None  # VASP prints stars when a number does not fit
        return found if abs(found) < 1e7 else None

    electronic = step.findall("scstep")
    total = step.find("energy")
    free, zero = value(total, "e_fr_energy"), value(total, "e_0_energy")
    if electronic:
        last = electronic[-1].find("energy")
        free_e, zero_e = value(last, "e_fr_energy"), value(last, "e_0_energy")
        if free is not None and free_e is not None and zero_e is not None:
            return round(free + zero_e - free_e, 8)
    return zero if zero is not None else free


def _scf(tags: dict[str, Any], step: Node) -> tuple[Finding, ...]:
    limit = int(float(str(tags.get("NELM") or 60)))
    n = len(step.findall("scstep"))
    if n < limit or limit <= 1:
        return ()
    return (
        Finding(
            "unconverged", "quarantine", f"all {n} electronic steps used (NELM {limit})"
        ),
    )


def _convergence(
    tags: dict[str, Any], steps: list[Node], complete: bool
) -> tuple[Finding, ...]:
    out = _scf(tags, steps[-1])
    limit, mode = (
        int(float(str(tags.get(k) or d))) for k, d in (("NSW", 0), ("IBRION", -1))
    )
    if limit > 1 and mode in (1, 2, 3) and len(steps) >= limit:
        out += (
            Finding(
                "unconverged",
                "quarantine",
                f"all {limit} ionic steps used (NSW {limit})",
            ),
        )
    if not complete:
        out += (Finding("truncated", "quarantine", "the file stops before its end"),)
    return out


def _charge(tags: dict[str, Any], valence: float) -> tuple[Finding, ...]:
    try:
        electrons = float(str(tags.get("NELECT") or valence))
    except ValueError:
        return ()
    charge = valence - electrons
    if not valence or abs(charge) < 1e-3:
        return ()
    return (
        Finding(
            "charged-cell",
            "quarantine",
            f"the cell has a net charge of {charge:+g} e; its energy is not comparable",
        ),
    )


def _band_gap(root: Node) -> float | None:
    """Lowest empty minus highest occupied eigenvalue, eV; 0 for a metal."""
    sets = root.findall("calculation/eigenvalues/array/set/set")
    top, bottom = -np.inf, np.inf
    for spin in sets:
        pairs = np.array(
            [[float(x) for x in (r.text or "").split()[:2]] for r in spin.iter("r")]
        )
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
            return None
        filled = pairs[:, 1] > _OCCUPIED
        top = max(top, pairs[filled, 0].max(initial=-np.inf))
        bottom = min(bottom, pairs[~filled, 0].min(initial=np.inf))
    return float(max(bottom - top, 0.0)) if np.isfinite([top, bottom]).all() else None


FORMAT = Format("vasp-xml", sniff, read, trajectory=True)
