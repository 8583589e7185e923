"""Crystals made from crystals: rewritten, shaken, strained, swapped, absurd.

Every function returns new crystals; nothing here predicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal

RATTLE = np.linspace(0.0, 0.3, 16)
"""Å; mean displacements along one fixed random direction. Atoms of a hot solid move by
about 0.1 Å, by 0.3 Å near melting."""
STRAIN = np.linspace(-0.06, 0.06, 13)
"""Linear strain of the cell, in and out of equilibrium."""
STEP = 1e-3
"""Å; a displacement that physics does not notice (1e-4 eV at a force of 0.1 eV/Å)."""
NOT_A_NUMBER = "not a number"
"""The absurd input that only a refusal answers."""


def rewritten(crystal: Crystal, rng: np.random.Generator) -> dict[str, Crystal]:
    """Return other descriptions of the same crystal: name of the change → crystal."""
    cell = np.array(crystal.structure.lattice.matrix)
    spots = np.array(crystal.structure.frac_coords)
    numbers = crystal.atomic_numbers
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    turn = q * np.sign(np.diag(r))
    turn *= np.linalg.det(turn)  # a proper rotation
    order = rng.permutation(len(numbers))
    other = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])  # determinant 1
    wrap = rng.integers(-2, 3, size=spots.shape)
    twice = np.concatenate([spots, spots + np.array([1, 0, 0])]) / [2, 1, 1]

    def made(cell: np.ndarray, numbers: np.ndarray, spots: np.ndarray) -> Crystal:
        return Crystal.from_arrays(crystal.id, cell, numbers.tolist(), spots)

    return {
        "rotation": made(cell @ turn.T, numbers, spots),
        "translation": made(cell, numbers, spots + rng.random(3)),
        "permutation": made(cell, numbers[order], spots[order]),
        "cell_choice": made(other @ cell, numbers, spots @ np.linalg.inv(other)),
        "supercell": made(cell * [[2], [1], [1]], np.tile(numbers, 2), twice),
        "atom_wrap": made(cell, numbers, spots + wrap),
    }


def moved(crystal: Crystal, shift: np.ndarray) -> Crystal:
    """Return the crystal with its atoms moved by ``shift``, shape (n, 3), Å."""
    cell = np.array(crystal.structure.lattice.matrix)
    spots = crystal.structure.frac_coords + shift @ np.linalg.inv(cell)
    return Crystal.from_arrays(crystal.id, cell, crystal.atomic_numbers.tolist(), spots)


def strained(crystal: Crystal, strain: float) -> Crystal:
    """Return the crystal with its cell longer by ``strain`` along every axis."""
    tensor = np.eye(3) + np.eye(3) * strain
    cell = np.array(crystal.structure.lattice.matrix) @ tensor
    return Crystal.from_arrays(
        crystal.id, cell, crystal.atomic_numbers.tolist(), crystal.structure.frac_coords
    )


def direction(crystal: Crystal, rng: np.random.Generator) -> np.ndarray:
    """Return a random displacement of mean length 1 Å with no drift, (n, 3).

    A cell of one atom cannot be rattled: the displacement is zero.
    """
    shift = rng.standard_normal((crystal.n_atoms, 3))
    shift -= shift.mean(axis=0)
    length = np.linalg.norm(shift, axis=1).mean()
    return shift / length if length > 1e-12 else np.zeros_like(shift)


def swapped(crystal: Crystal) -> Crystal | None:
    """Return the crystal with two of its elements exchanged; None for one element.

    The two are those of most different count, so that the composition changes where it
    can.
    """
    numbers = crystal.atomic_numbers
    kinds, counts = np.unique(numbers, return_counts=True)
    if len(kinds) < 2:
        return None
    a, b = kinds[np.argmin(counts)], kinds[np.argmax(counts)]
    if a == b:
        a, b = kinds[0], kinds[-1]
    other = np.where(numbers == a, b, np.where(numbers == b, a, numbers))
    return Crystal.from_arrays(
        crystal.id, np.array(crystal.structure.lattice.matrix), other.tolist(),
        crystal.structure.frac_coords,
    )  # fmt: skip


def absurd(crystals: Sequence[Crystal]) -> dict[str, list[Crystal]]:
    """Return inputs that no material is: what is wrong → crystals."""
    out: dict[str, list[Crystal]] = {
        "duplicated atom": [], "compressed to 1/8 volume": [], "blown up 64 times": [],
        "fused atoms": [], NOT_A_NUMBER: [], "flat cell": [],
    }  # fmt: skip
    for crystal in crystals:
        cell = np.array(crystal.structure.lattice.matrix)
        spots = np.array(crystal.structure.frac_coords)
        numbers = crystal.atomic_numbers
        first = spots[:1]

        def made(
            cell: np.ndarray, numbers: np.ndarray, spots: np.ndarray, name: str
        ) -> Crystal:
            return Crystal.from_arrays(name, cell, numbers.tolist(), spots)

        name = crystal.id
        out["duplicated atom"].append(
            made(cell, np.r_[numbers, numbers[:1]], np.r_[spots, first], name)
        )
        near = first + np.array([0.2 / np.linalg.norm(cell[0]), 0, 0])  # 0.2 Å along a
        out["fused atoms"].append(
            made(cell, np.r_[numbers, numbers[-1:]], np.r_[spots, near], name)
        )
        out["compressed to 1/8 volume"].append(made(cell / 2, numbers, spots, name))
        out["blown up 64 times"].append(made(cell * 4, numbers, spots, name))
        hole = spots.copy()
        hole[0, 0] = np.nan
        out[NOT_A_NUMBER].append(made(cell, numbers, hole, name))
        flat = cell.copy()
        flat[2] = flat[0] * 0.5 + flat[1] * 0.5
        out["flat cell"].append(made(flat, numbers, spots, name))
    return out
