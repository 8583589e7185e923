"""Elemental references: made at the fidelity that asks for them, once, and kept.

A formation energy is a difference between energies of one method with one set of
settings. The references are therefore evaluations like any other, in a folder named
after the recipe's hash, so that two fidelities can never share one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.errors import SetupError
from matdisco.evaluators.base import Evaluation

if TYPE_CHECKING:
    from matdisco.crystal import Crystal

DIATOMIC = {"H": 0.75, "N": 1.10, "O": 1.23, "F": 1.42, "Cl": 2.00}
"""Elements whose reference is the molecule in a box, with its bond in Å. The crystals
of these molecules are bound by 0.03 to 0.15 eV per atom, mostly dispersion."""
BOX = 7.0
"""Å from molecule to molecule, at least; less than 1 meV of interaction is left."""
# Cells of elements that are neither close-packed, bcc nor diamond: lattice (Å),
# positions. J. Donohue, The Structures of the Elements (1974).
_A7 = {"As": (3.7598, 10.5475, 0.2271), "Sb": (4.3084, 11.2740, 0.2335),
       "Bi": (4.546, 11.862, 0.2339)}  # fmt: skip
_A8 = {"Se": (4.3662, 4.9536, 0.2254), "Te": (4.4572, 5.9290, 0.2633)}


def known() -> frozenset[str]:
    """Return the elements whose reference structure is known here."""
    from ase.data import chemical_symbols, reference_states

    simple = {
        chemical_symbols[z]
        for z, state in enumerate(reference_states)
        if state and state["symmetry"] in ("fcc", "bcc", "hcp", "diamond", "sc")
    } - {"Se", "Te"}
    return frozenset({*simple, *DIATOMIC, *_A7, *_A8, "Ga", "In", "Sn", "P"})


def structure(symbol: str) -> Crystal:
    """Return an element's reference structure near its measured geometry.

    Raises:
        SetupError: none is known; the sentence says how to give one.
    """
    from ase import Atoms
    from ase.build import bulk
    from ase.spacegroup import crystal as build

    from matdisco.crystal import Crystal

    if symbol not in known():
        raise SetupError(
            f"no reference structure of {symbol} is known here; give one with "
            f"evaluator.references: {{{symbol}: FILE}}"
        )
    atoms: Any
    if symbol in DIATOMIC:
        bond = DIATOMIC[symbol]
        # three different edges: no false symmetry, no degenerate orbitals by accident
        cell = [BOX, BOX + 0.3, BOX + bond]
        atoms = Atoms(
            f"{symbol}2",
            positions=[[cell[0] / 2, cell[1] / 2, cell[2] / 2 + s * bond / 2]
                       for s in (-1, 1)],
            cell=cell, pbc=True,
        )  # fmt: skip
    elif symbol in _A7:
        a, c, z = _A7[symbol]
        atoms = build(symbol, [(0, 0, z)], spacegroup=166, primitive_cell=True,
                      cellpar=[a, a, c, 90, 90, 120])  # fmt: skip
    elif symbol in _A8:
        a, c, x = _A8[symbol]
        atoms = build(
            symbol, [(x, 0, 1 / 3)], spacegroup=152, cellpar=[a, a, c, 90, 90, 120]
        )
    elif symbol == "Ga":
        atoms = build("Ga", [(0, 0.1539, 0.081)], spacegroup=64, primitive_cell=True,
                      cellpar=[4.5192, 7.6586, 4.5258, 90, 90, 90])  # fmt: skip
    elif symbol == "P":
        atoms = build("P", [(0, 0.1017, 0.0806)], spacegroup=64, primitive_cell=True,
                      cellpar=[3.3136, 10.478, 4.3763, 90, 90, 90])  # fmt: skip
    elif symbol == "In":
        atoms = bulk("In", "bct", a=3.2523, c=4.9461)
    elif symbol == "Sn":
        atoms = bulk("Sn", "diamond", a=6.4892)  # alpha: stable at 0 K
    else:
        atoms = bulk(symbol)
    molecule = {"molecule": True} if symbol in DIATOMIC else {}
    return Crystal.from_atoms(atoms, f"reference-{symbol}", source=molecule)


def reference(
    symbol: str,
    home: Path,
    given: Mapping[str, str],
    evaluate: Callable[[Crystal, Path], Evaluation],
) -> float:
    """Return the energy per atom of an element's reference, eV/atom.

    Computed once per ``home``; other processes that need it wait and read it.

    Args:
        symbol: the element.
        home: folder of this fidelity's references.
        given: files that take the place of the structures known here.
        evaluate: the evaluator's own way to an energy.
    """
    from matdisco.evaluators.results import read_result, write_result

    folder = home / symbol
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = read_result(folder)
        if found is None:
            crystal = _given(symbol, given[symbol]) if symbol in given else None
            found = evaluate(crystal or structure(symbol), folder)
            write_result(folder, found)
    return found.labels["energy_per_atom"].value


def _given(symbol: str, path: str) -> Crystal:
    from matdisco.data import readers

    for record in readers.read(path):
        if record.crystal is not None and record.crystal.elements == (symbol,):
            return record.crystal
    raise SetupError(
        f"evaluator.references: {path} holds no structure of pure {symbol}"
    )
