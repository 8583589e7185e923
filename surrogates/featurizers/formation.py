"""Formation energies by a pretrained potential: its energies over its own elements.

A potential's total energy says little of stability before elemental references are
fitted to labels, and a few dozen labels fit the references of fifty elements badly. The
potential knows them itself: the least energy of each element as a simple crystal, close
packed, covalent, or of dimers. By CHGNet that is -4.89 eV/atom for oxygen, -8.35 for
nitrogen and -9.06 for carbon (Materials Project: -4.95, -8.33, -9.23). What is left of
each reference is a constant for the element.

On 18,928 perovskites with 50 random labels (docs/surrogates.md) the mean over ten draws
of the best 1 % among the first 100 that a process on latents predicts rises from 45 to
60 with these energies as its linear trend; total energies lead to 52.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from matdisco.thermo import fractions
from surrogates.featurizers.own_potential import own_potential
from surrogates.featurizers.table import blocks, features

CUTOFFS: Mapping[str, float] = {"chgnet": 6.0, "sevennet": 5.0}
"""Å beyond which each potential sees no neighbour, as its weights say."""
_SPAN = (0.75, 1.4)
"""Distances of neighbours that are tried in close packings, in covalent diameters:
uranium is at 0.78, gold at 1.06, the alkali metals at 1.1."""
_AT_LEAST = (2.0, 3.0)
"""Å; what that span reaches at least. Nearer than 2 Å no element packs closely
(beryllium is at 2.2), and potentials make up energies there: hydrogen at 0.5 Å has
-1e20 eV in SevenNet-0."""
_COVALENT = frozenset(
    ["B", "C", "Si", "Ge", "Sn", "P", "As", "Sb", "Bi", "S", "Se", "Te"]
)
_OPEN = (0.9, 1.25)
"""The same in simple cubic and diamond, for covalent elements: carbon is at 1.02."""
_MOLECULAR = frozenset({"H", "N", "O", "F", "Cl", "Br", "I", "S", "Se"})
_BOND = (0.75, 1.2)
"""Bonds of dimers, in covalent diameters: nitrogen is at 0.78, hydrogen at 1.2."""
_GAPS = (2.2, 2.6, 3.0, 3.4)
"""Å between the ends of dimers; solid oxygen has 3.2 between nearest atoms of two."""
_STEPS = 18


def formation_energies(
    potential: str, crystals: Sequence[Crystal], *, n_threads: int = 2
) -> np.ndarray:
    """Return energies over the elements, eV/atom, shape (n,).

    Args:
        potential: ``chgnet``, ``sevennet``, or ``module:name`` of your own
            (:mod:`surrogates.featurizers.own_potential`).
        crystals: as they are, not relaxed.
        n_threads: torch threads.

    Raises:
        MissingExtra: the potential is not installed.
        SurrogateError: an element or a cell that the potential cannot take.
    """
    total = _energies(potential, crystals, n_threads)
    elements = sorted({e for c in crystals for e in c.elements})
    own = np.array([elemental_energy(potential, e, n_threads) for e in elements])
    shares = fractions([c.composition for c in crystals], elements)
    energies: np.ndarray = total - shares @ own
    return energies


def formation_column(
    potential: str, crystals: Sequence[Crystal], *, n_threads: int = 2
) -> np.ndarray:
    """Return :func:`formation_energies` as a column to learn from, shape (n, 1)."""
    if ":" not in potential:  # by its name, under which large pools are remembered
        return blocks(f"{potential}_formation", crystals, n_threads=n_threads)[0]
    return formation_energies(potential, crystals, n_threads=n_threads)[:, None]


@cache
def elemental_energy(potential: str, symbol: str, n_threads: int = 2) -> float:
    """Return the least energy of an element among simple crystals, eV/atom.

    Raises:
        SurrogateError: the potential does not know the element.
    """
    if ":" in potential:
        return _least(potential, symbol)
    forms = _forms(symbol, CUTOFFS[potential])
    return float(_energies(potential, forms, n_threads).min())


def _energies(
    potential: str, crystals: Sequence[Crystal], n_threads: int
) -> np.ndarray:
    if ":" in potential:
        return own_potential(potential).energies(crystals)
    rows: np.ndarray = features(potential, crystals, n_threads=n_threads)
    return rows[:, -1]


def _least(place: str, symbol: str) -> float:
    """Return the least energy by a potential of the user's own."""
    own = own_potential(place)
    forms, found = _forms(symbol, own.cutoff), []
    try:
        return float(own.energies(forms).min())
    except SurrogateError as error:
        first = error
    for form in forms:  # it may fail for those that are far from equilibrium
        with contextlib.suppress(SurrogateError):
            found.append(float(own.energies([form])[0]))
    if not found:
        raise SurrogateError(
            f"potential {place!r} answers for no simple crystal of {symbol}, so that "
            f"there is nothing to refer its energies to; the first: {first}"
        ) from first
    return min(found)


def _forms(symbol: str, cutoff: float) -> list[Crystal]:
    """Return an element as crystals; no neighbour is beyond ``cutoff``, Å."""
    from ase.data import atomic_numbers, covalent_radii

    diameter = 2.0 * float(covalent_radii[atomic_numbers[symbol]])
    near, far = (max(k * diameter, d) for k, d in zip(_SPAN, _AT_LEAST, strict=True))
    distances = np.linspace(near, min(far, 0.98 * cutoff), _STEPS)
    made = [_lattice(symbol, k, d) for k in ("fcc", "bcc", "hcp") for d in distances]
    if symbol in _COVALENT:
        distances = np.linspace(*_OPEN, _STEPS) * diameter
        made += [_lattice(symbol, k, d) for k in ("sc", "diamond") for d in distances]
    if symbol in _MOLECULAR:
        bonds = np.linspace(*_BOND, _STEPS) * diameter
        made += [_dimers(symbol, b, gap, diameter) for b in bonds for gap in _GAPS]
    return made


_EDGES: Mapping[str, float] = {
    "fcc": 2**0.5, "bcc": 2 / 3**0.5, "hcp": 1.0, "sc": 1.0, "diamond": 4 / 3**0.5,
}  # fmt: skip
"""Cell edge of each lattice for neighbours at 1 Å, Å."""


def _lattice(symbol: str, kind: str, distance: float) -> Crystal:
    from ase.build import bulk

    edge = _EDGES[kind] * distance
    axial = {"c": edge * (8 / 3) ** 0.5} if kind == "hcp" else {}
    atoms = bulk(symbol, kind, a=edge, **axial)
    return Crystal.from_atoms(atoms, f"{symbol} {kind} {distance:.3f}")


def _dimers(symbol: str, bond: float, gap: float, diameter: float) -> Crystal:
    """Return parallel dimers, tetragonal, ``gap`` apart along their axis."""
    side = gap + 0.3 * diameter  # side by side they touch further out than end to end
    return Crystal.from_arrays(
        f"{symbol}2 {bond:.3f} {gap:.1f}",
        np.diag([side, side, bond + gap]),
        [symbol, symbol],
        np.array([[0.0, 0.0, 0.0], [0.0, 0.0, bond / (bond + gap)]]),
    )
