"""Formation energies by a pretrained potential: its energies over its own elements.

A potential's total energy says little of stability before elemental references are
fitted to labels, and a few dozen labels fit the references of fifty elements badly. The
potential knows them itself, roughly: the energy of each element close-packed. What
structure elements really have hardly matters, as the references differ from the true
ones by a constant for each element.

On 18,928 perovskites with 50 random labels (docs/surrogates.md) the mean over ten draws
of the best 1 % among the first 100 that a process on latents predicts rises from 45 to
58 with these energies as its linear trend; total energies leave it at 45.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from matdisco.crystal import Crystal
from surrogates.featurizers.table import features

CUTOFFS: Mapping[str, float] = {"chgnet": 6.0, "sevennet": 5.0}
"""Å beyond which each potential sees no neighbour, as its weights say."""
_SPAN = (0.75, 1.4)
"""Distances of neighbours that are tried, in covalent diameters: close-packed uranium
is at 0.78, gold at 1.06, the alkali metals at 1.1."""
_AT_LEAST = (2.0, 3.0)
"""Å; what the span reaches at least. Nearer than 2 Å no element packs closely
(beryllium is at 2.2), and potentials make up energies there: hydrogen at 0.5 Å has
-1e20 eV in SevenNet-0."""
_STEPS = 18


def formation_energies(
    potential: str, crystals: Sequence[Crystal], *, n_threads: int = 2
) -> np.ndarray:
    """Return energies over close-packed elements, eV/atom, shape (n,).

    Args:
        potential: ``chgnet`` or ``sevennet``.
        crystals: as they are, not relaxed.
        n_threads: torch threads.

    Raises:
        MissingExtra: the potential is not installed.
        SurrogateError: an element or a cell that the potential cannot take.
    """
    total: np.ndarray = features(potential, crystals, n_threads=n_threads)[:, -1]
    elements = [
        sum(
            share * close_packed(potential, symbol, n_threads)
            for symbol, share in c.composition.fractional_composition.as_dict().items()
        )
        for c in crystals
    ]
    energies: np.ndarray = total - np.array(elements, dtype=float)
    return energies


@cache
def close_packed(potential: str, symbol: str, n_threads: int = 2) -> float:
    """Return the least energy of an element as fcc, bcc or hcp crystal, eV/atom."""
    from ase.data import atomic_numbers, covalent_radii

    diameter = 2.0 * float(covalent_radii[atomic_numbers[symbol]])
    near, far = (max(k * diameter, d) for k, d in zip(_SPAN, _AT_LEAST, strict=True))
    tried = np.linspace(min(far, 0.98 * CUTOFFS[potential]), near, _STEPS)
    crystals = [_packed(symbol, kind, float(d)) for kind in _EDGES for d in tried]
    return float(features(potential, crystals, n_threads=n_threads)[:, -1].min())


_EDGES: Mapping[str, float] = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "hcp": 1.0}
"""Cell edge of each packing for neighbours at 1 Å, Å."""


def _packed(symbol: str, kind: str, distance: float) -> Crystal:
    from ase.build import bulk

    edge = _EDGES[kind] * distance
    axial = {"c": edge * (8 / 3) ** 0.5} if kind == "hcp" else {}
    atoms = bulk(symbol, kind, a=edge, **axial)
    return Crystal.from_atoms(atoms, f"{symbol} {kind} {distance:.3f}")
