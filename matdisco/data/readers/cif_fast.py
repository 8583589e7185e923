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
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:\(\d+\))?"
_PLAIN_NUMBERS = re.compile(rf"(?:\s*{_NUMBER}(?:\s+{_NUMBER})*\s*)?")
_UNCERTAINTY = re.compile(r"\(\d+\)")
_PAIRWISE = 400  # sites up to which all pairs are compared in one array
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
        not all(Element.is_valid_symbol(s) for s in set(symbols))
        or not ((shares > 0) & (shares <= 1)).all()
    ):
        return None
    sites = np.array(columns, float).T
    made = _expanded(sites, [_operation(o) for o in operations])
    if made is None:
        return None
    species: list[Any] = []
    amounts: dict[str, float] = {}
    for members, images in made:
        mixed: dict[str, float] = {}
        for i in members:
            mixed[symbols[i]] = mixed.get(symbols[i], 0.0) + float(shares[i])
        if sum(mixed.values()) > 1:
            return None
        for symbol, share in mixed.items():
            amounts[symbol] = amounts.get(symbol, 0.0) + share * len(images)
        whole = len(mixed) == 1 and mixed[symbols[members[0]]] == 1
        species.append(Element(symbols[members[0]]) if whole else mixed)
    if not _as_declared(amounts, data.get("_chemical_formula_sum")):
        return None
    order = sorted(range(len(made)), key=lambda k: Element(symbols[made[k][0][0]]).X)
    positions = np.concatenate([made[k][1] for k in order])
    kinds = [species[k] for k in order for _ in made[k][1]]
    return Structure(Lattice.from_parameters(*cell, *angles), kinds, positions)


def _numbers(words: Any) -> np.ndarray | None:
    """Numbers without their standard uncertainty: ``0.31404(17)``."""
    if not isinstance(words, list):
        return None
    text = " ".join(words)
    if _PLAIN_NUMBERS.fullmatch(text) is None or len(text.split()) != len(words):
        return None
    values = np.array(_UNCERTAINTY.sub("", text).split(), dtype=float)
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
    if len(operations) > 1:
        apart = [_images(site, rotations, shifts) for site in sites]
    else:
        moved = np.mod(sites @ rotations[0].T + shifts[0], 1)
        apart = [moved[i : i + 1] for i in range(len(moved))]
    total = sum(map(len, apart))
    if total > _MOST:
        return None
    if total <= _PAIRWISE:  # nearly always no two orbits meet: seen at once
        places = np.concatenate(apart)
        owner = np.repeat(np.arange(len(apart)), [len(x) for x in apart])
        near = _close(places, places)
        if not (near & (owner[:, None] != owner)).any():
            return [([i], images) for i, images in enumerate(apart)]
    orbits: list[tuple[list[int], np.ndarray]] = []
    for i, images in enumerate(apart):
        meeting = next((o for o in orbits if _close(o[1], images).any()), None)
        if meeting is None:
            orbits.append(([i], images))
        elif (
            len(meeting[1])
            == len(images)
            == np.count_nonzero(_close(meeting[1], images))
        ):
            meeting[0].append(i)
        else:
            return None  # two orbits that only touch: pymatgen decides
    return orbits


def _images(site: np.ndarray, rotations: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return the distinct images of a site, shape (n, 3)."""
    images: np.ndarray = np.mod(rotations @ site + shifts, 1)
    near = _close(images, images)
    # the first image of each group of equal ones
    first: np.ndarray = images[np.argmax(near, axis=1) == np.arange(len(images))]
    return first


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tell which pairs are the same place in the cell, shape (len(a), len(b))."""
    out = np.ones((len(a), len(b)), bool)
    for axis in range(3):
        apart = a[:, None, axis] - b[None, :, axis]
        out &= np.abs(apart - np.round(apart)) < _TOLERANCE
    return out


def _as_declared(found: Mapping[str, float], declared: Any) -> bool:
    """Tell whether the atoms found have the stated proportions, as pymatgen does."""
    if not isinstance(declared, str):
        return True
    want = _fractions(declared)
    if want is None:
        return False
    total = sum(found.values())
    for symbol in {*want, *found}:
        a, b = want.get(symbol, 0.0), found.get(symbol, 0.0) / total
        if abs(a - b) > 1e-3 + 0.01 * (a + b) / 2:
            return False
    return True


@lru_cache(4096)
def _fractions(formula: str) -> Mapping[str, float] | None:
    try:
        composition = Composition(formula).fractional_composition
    except ValueError:
        return None
    return {e.symbol: float(x) for e, x in composition.items()}
