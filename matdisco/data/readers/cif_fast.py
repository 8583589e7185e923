"""The common CIF, read several times faster: whole orbits at once.

pymatgen expands a cell point by point, which is most of the time that reading
takes. Here one array holds all images of a site. Whatever is not plain (magnetic,
shared sites, attached hydrogens, charges, doubts about formula or occupancy) is
left to pymatgen, so that its judgement and its warnings stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure

from matdisco.data.readers.base import Unreadable

_TOLERANCE = 1e-4  # of fractions: pymatgen's site_tolerance and frac_tolerance
_THIRDS = np.array([1 / 3, 2 / 3])
_OPERATIONS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
)
_NOT_PLAIN = ("_atom_site_moment", "_space_group_magn", "_space_group_symop_magn",
              "_atom_type_oxidation_number", "_atom_site_attached_hydrogens",
              "_atom_site_calc_flag", "_cell_modulation")  # fmt: skip
_LARGEST = 1e6  # Å, degrees or fractions: anything above is a slip
_MOST = 5000  # sites; the comparison of all pairs would take too much memory


def read(text: str) -> Structure | None:
    """Return the structure of a data block, or None where pymatgen must decide."""
    from pymatgen.io.cif import CifBlock

    if any(mark in text for mark in _NOT_PLAIN):
        return None
    data: Mapping[str, Any] = CifBlock.from_str(text).data
    operations = next((data[k] for k in _OPERATIONS if k in data), None)
    symbols = data.get("_atom_site_type_symbol", data.get("_atom_site_label"))
    if operations is None or not isinstance(symbols, list):
        return None
    if isinstance(operations, str):
        operations = [operations]
    cell = _numbers([data.get(f"_cell_length_{x}", "") for x in "abc"])
    angles = _numbers(
        [data.get(f"_cell_angle_{x}", "") for x in ("alpha", "beta", "gamma")]
    )
    columns = [_numbers(data.get(f"_atom_site_fract_{x}", [])) for x in "xyz"]
    shares = _numbers(data.get("_atom_site_occupancy", ["1"] * len(symbols)))
    if cell is None or angles is None or shares is None:
        return None
    if any(c is None or len(c) != len(symbols) for c in columns) or len(shares) != len(
        symbols
    ):
        return None
    if (
        not all(Element.is_valid_symbol(s) for s in symbols)
        or not ((shares > 0) & (shares <= 1)).all()
    ):
        return None
    sites = np.array(columns, float).T
    made = _expanded(sites, [_operation(o) for o in operations])
    if made is None:
        return None
    species: list[Any] = []
    for members, _ in made:
        mixed: dict[str, float] = {}
        for i in members:
            mixed[symbols[i]] = mixed.get(symbols[i], 0.0) + float(shares[i])
        if sum(mixed.values()) > 1:
            return None
        whole = len(mixed) == 1 and mixed[symbols[members[0]]] == 1
        species.append(symbols[members[0]] if whole else mixed)
    order = sorted(range(len(made)), key=lambda k: Element(symbols[made[k][0][0]]).X)
    positions = np.concatenate([made[k][1] for k in order])
    kinds = [species[k] for k in order for _ in made[k][1]]
    lattice = Lattice.from_parameters(*cell, *angles)
    structure = Structure(lattice, kinds, positions)
    return structure if _as_declared(structure, data) else None


def _numbers(words: Any) -> np.ndarray | None:
    """Numbers without their standard uncertainty: ``0.31404(17)``."""
    if not isinstance(words, list):
        return None
    out = []
    for word in words:
        match = re.fullmatch(
            r"([-+]?(?:\d+\.?\d*|\.\d+))(?:\(\d+\))?", str(word).strip()
        )
        if match is None:
            return None
        out.append(float(match[1]))
    values = np.array(out)
    if not (np.abs(values) < _LARGEST).all():
        raise Unreadable(
            "bad-number", f"a length, fraction or occupancy above {_LARGEST:g}"
        )
    return values


@lru_cache(4096)
def _operation(text: str) -> tuple[np.ndarray, np.ndarray]:
    from pymatgen.core.operations import SymmOp

    operation = SymmOp.from_xyz_str(text)
    return operation.rotation_matrix, operation.translation_vector


def _expanded(
    sites: np.ndarray, operations: list[tuple[np.ndarray, np.ndarray]]
) -> list[tuple[list[int], np.ndarray]] | None:
    """Return the orbits: which listed sites share each, and its fractions (n, 3)."""
    rotations = np.array([r for r, _ in operations])  # (m, 3, 3)
    shifts = np.array([t for _, t in operations])  # (m, 3)
    if len(operations) > 1:
        for third in _THIRDS:
            sites = np.where(np.abs(sites - third) < _TOLERANCE, third, sites)
    orbits: list[tuple[list[int], np.ndarray]] = []
    total = 0
    for i, site in enumerate(sites):
        images = np.mod(rotations @ site + shifts, 1)
        near = _close(images, images)
        # the first image of each group of equal ones
        images = images[np.argmax(near, axis=1) == np.arange(len(images))]
        meeting = next((o for o in orbits if _close(o[1], images).any()), None)
        if meeting is None:
            orbits.append(([i], images))
            total += len(images)
        elif (
            len(meeting[1])
            == len(images)
            == np.count_nonzero(_close(meeting[1], images))
        ):
            meeting[0].append(i)
        else:
            return None  # two orbits that only touch: pymatgen decides
        if total > _MOST:
            return None
    return orbits


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tell which pairs are the same place in the cell, shape (len(a), len(b))."""
    out = np.ones((len(a), len(b)), bool)
    for axis in range(3):
        apart = a[:, None, axis] - b[None, :, axis]
        out &= np.abs(apart - np.round(apart)) < _TOLERANCE
    return out


def _as_declared(structure: Structure, data: Mapping[str, Any]) -> bool:
    declared = data.get("_chemical_formula_sum")
    if not isinstance(declared, str):
        return True
    try:
        want = Composition(declared).fractional_composition
    except ValueError:
        return False
    return bool(
        want.almost_equals(
            structure.composition.fractional_composition, rtol=0.01, atol=1e-3
        )
    )
