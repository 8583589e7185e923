"""Structures as JSON objects: pymatgen, JARVIS, OPTIMADE, ASE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure

from matdisco.data.readers.base import Finding, Unreadable
from matdisco.data.readers.geometry import boxed, cell_from_parameters, structure

Found = tuple[Structure, tuple[Finding, ...]]


def holds_structure(value: Any) -> bool:
    """Tell whether a JSON object is meant as a structure."""
    return isinstance(value, Mapping) and any(
        all(k in value for k in keys) for keys, _ in _KINDS
    )


def read_structure(value: Mapping[str, Any], limit: int) -> Found:
    """Make the structure that a JSON object describes.

    Raises:
        Unreadable: it is none, or an impossible one.
    """
    for keys, make in _KINDS:
        if all(k in value for k in keys):
            try:
                found: Found = make(value, limit)
                return found
            except (
                KeyError,
                TypeError,
                ValueError,
                IndexError,
                AttributeError,
            ) as error:
                raise Unreadable(
                    "unreadable",
                    f"the structure block breaks: {type(error).__name__}: {error}",
                ) from error
    raise Unreadable("no-structure", "the entry has no structure")


def _pymatgen(value: Mapping[str, Any], limit: int) -> Found:
    lattice = value["lattice"]
    matrix = lattice.get("matrix") if isinstance(lattice, Mapping) else lattice
    if matrix is None:
        keys = ("a", "b", "c", "alpha", "beta", "gamma")
        matrix = cell_from_parameters([float(lattice[k]) for k in keys])
    species, positions = [], []
    for site in value["sites"]:
        parts = {_with_charge(s): float(s.get("occu", 1)) for s in site["species"]}
        whole = len(parts) == 1 and next(iter(parts.values())) == 1
        species.append(next(iter(parts)) if whole else parts)
        positions.append(site["abc"])
    return structure(matrix, species, positions, limit=limit), ()


def _with_charge(part: Mapping[str, Any]) -> str:
    name, charge = str(part["element"]), part.get("oxidation_state")
    if charge in (None, 0):
        return name
    return f"{name}{abs(float(charge)):g}{'+' if charge > 0 else '-'}"


def _flat(value: Mapping[str, Any], limit: int) -> Found:
    """Read a table's row: cell and fractions as flat or nested lists."""
    return (
        structure(
            np.array(value["lattice"], float).reshape(3, 3),
            [str(s) for s in value["species"]],
            np.array(value["frac_coords"], float).reshape(-1, 3),
            limit=limit,
        ),
        (),
    )


def _jarvis(value: Mapping[str, Any], limit: int) -> Found:
    return (
        structure(
            value["lattice_mat"],
            [str(e).strip() for e in value["elements"]],
            value["coords"],
            cartesian=bool(value.get("cartesian", False)),
            limit=limit,
        ),
        (),
    )


def _optimade(value: Mapping[str, Any], limit: int) -> Found:
    names = list(value["species_at_sites"] or ())
    table = {s["name"]: s for s in value.get("species") or ()}
    findings: list[Finding] = []
    species = [_optimade_species(n, table.get(n), findings) for n in names]
    fractional = value.get("fractional_site_positions")
    positions = fractional or value.get("cartesian_site_positions")
    if positions is None:
        raise Unreadable("no-structure", "the entry lists no site positions")
    cell = value.get("lattice_vectors")
    periodic = [bool(x) for x in value.get("dimension_types") or (1, 1, 1)]
    vectors = [v if v and None not in v else [0.0] * 3 for v in cell or [[0.0] * 3] * 3]
    periodic = [p and bool(np.any(v)) for p, v in zip(periodic, vectors, strict=True)]
    if all(periodic):
        made = structure(
            vectors, species, positions, cartesian=not fractional, limit=limit
        )
    elif fractional:
        raise Unreadable("no-cell", "fractional positions without a full cell")
    else:
        made, finding = boxed(species, positions, vectors, periodic, limit=limit)
        findings.append(finding)
    return made, tuple(dict.fromkeys(findings))


def _optimade_species(
    name: str, entry: Mapping[str, Any] | None, findings: list[Finding]
) -> Any:
    if entry is None:
        raise Unreadable("unknown-species", f"site species {name!r} is not in the list")
    own = entry.get("_matdisco_composition")
    if own:
        return dict(own)
    if entry.get("attached"):
        findings.append(
            Finding(
                "site-attachments",
                "quarantine",
                f"species {name!r} has atoms attached that have no positions",
            )
        )
    shares: dict[str, float] = {}
    for symbol, share in zip(
        entry["chemical_symbols"], entry["concentration"], strict=True
    ):
        if symbol == "vacancy":
            continue
        key = "X0+" if symbol == "X" else str(symbol)
        if symbol == "X":
            findings.append(
                Finding(
                    "unknown-species", "quarantine", "a site of unknown species (X)"
                )
            )
        shares[key] = shares.get(key, 0.0) + float(share)
    if not shares:
        raise Unreadable("no-structure", f"species {name!r} is only a vacancy")
    only = next(iter(shares))
    return only if len(shares) == 1 and abs(shares[only] - 1) < 1e-9 else shares


def _ase(value: Mapping[str, Any], limit: int) -> Found:
    numbers = [int(z) for z in _plain(value["numbers"])]
    positions = np.array(_plain(value["positions"]), float).reshape(-1, 3)
    cell = np.array(_plain(value.get("cell", np.zeros((3, 3)))), float)
    matrix = np.diag(cell) if cell.shape == (3,) else cell.reshape(3, 3)
    stated = value.get("pbc", [True] * 3)
    pbc = (
        [bool(x) for x in _plain(stated)]
        if not isinstance(stated, bool)
        else [stated] * 3
    )
    return from_atoms(numbers, positions, matrix, pbc, limit)


def from_atoms(
    species: Sequence[Any],
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: Sequence[bool],
    limit: int,
) -> Found:
    """Make a structure from arrays as ASE keeps them (Å, cartesian).

    A full cell counts as periodic even where the flags say otherwise: files often
    lose the flags, and a molecule in a box has no other cell either.
    """
    rows = [bool(np.any(v)) for v in cell]
    if all(rows):
        made = structure(cell, species, positions, cartesian=True, limit=limit)
        if all(pbc):
            return made, ()
        rule = "no-cell" if not any(pbc) else "partial-cell"
        note = Finding(
            rule,
            "quarantine",
            f"a cell, but periodic only in {sum(map(bool, pbc))} of 3",
        )
        return made, (note,)
    made, finding = boxed(species, positions, cell, rows, limit=limit)
    return made, (finding,)


def _plain(value: Any) -> Any:
    """ASE's JSON writes arrays as {"__ndarray__": [shape, dtype, values]}."""
    if isinstance(value, Mapping):
        if "__ndarray__" in value:
            shape, _, flat = value["__ndarray__"]
            return np.array(flat).reshape(shape)
        if "array" in value:  # ase.cell.Cell
            return _plain(value["array"])
        if "cell" in value:
            return _plain(value["cell"])
    return value


_KINDS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("lattice", "sites"), _pymatgen),
    (("lattice", "species", "frac_coords"), _flat),
    (("lattice_mat", "coords", "elements"), _jarvis),
    (("species_at_sites", "lattice_vectors"), _optimade),
    (("species_at_sites", "cartesian_site_positions"), _optimade),
    (("numbers", "positions"), _ase),
)
