"""What no potential is asked, and energies that it made up.

All of a potential's answers pass here, whoever wants them: latents, energies as
features, trends under processes, zero-shot surrogates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco import contacts
from matdisco.crystal import Crystal
from matdisco.elements import SYMBOLS
from matdisco.errors import SurrogateError
from surrogates.graphs import atomic_numbers
from surrogates.neighbors import nearest, within

MOST_ENERGY = 100.0
"""eV/atom, up or down, beyond what any crystal has: bonds are worth 10 at most, and
neither the simple crystals of 94 elements (:mod:`surrogates.featurizers.formation`) nor
60,000 perovskites and alloys went beyond 50 in CHGNet or SevenNet-0."""
_MANY = 5000
"""Crystals from which importing the compiled search (0.4 s) repays."""


def require_apart(potential: str, crystals: Sequence[Crystal]) -> None:
    """Refuse what a potential would only make up an answer for.

    Raises:
        SurrogateError: no atoms, numbers that are not finite, a flat cell, in which a
            search may not end, or atoms nearer than
            :data:`matdisco.contacts.CLOSEST`; names the crystal and the atoms.
    """
    if not crystals:
        return
    numbers = np.concatenate([atomic_numbers(c) for c in crystals])
    compiled = None if len(crystals) > _MANY else False
    pairs = within(crystals, contacts.reach(numbers), compiled=compiled)
    if not len(pairs.distances):
        return
    crystal_of = np.repeat(np.arange(len(crystals)), np.diff(pairs.edge_offsets))
    start = pairs.atom_offsets[crystal_of]
    first, second = numbers[start + pairs.centers], numbers[start + pairs.neighbors]
    shares = contacts.ratios(pairs.distances, first, second)
    k = int(shares.argmin())
    if shares[k] < contacts.CLOSEST:
        i, j = sorted((int(pairs.centers[k]), int(pairs.neighbors[k])))
        at = pairs.atom_offsets[crystal_of[k]]
        one, other = (SYMBOLS[int(numbers[at + n]) - 1] for n in (i, j))
        said = contacts.sentence(
            float(pairs.distances[k]), f"atoms {i} ({one})", f"{j} ({other})",
            float(shares[k]),
        )  # fmt: skip
        raise SurrogateError(
            f"crystal {crystals[int(crystal_of[k])].id}: {said}, as {potential} makes "
            "up energies of what is nearer; is its cell right?"
        )


def require_plausible(
    potential: str, crystals: Sequence[Crystal], energies: np.ndarray
) -> None:
    """Refuse energies, eV/atom, shape (n,), that no crystal has.

    Raises:
        SurrogateError: not finite, or beyond :data:`MOST_ENERGY`, as of a potential far
            from all it learnt; names the crystal.
    """
    odd = np.flatnonzero(~(np.abs(energies) <= MOST_ENERGY))
    if not len(odd):
        return
    crystal = crystals[int(odd[0])]
    gap = nearest([crystal], 1, compiled=False).distances.min()
    raise SurrogateError(
        f"crystal {crystal.id}: {potential} says {energies[odd[0]]:.3g} eV/atom, "
        f"expected between -{MOST_ENERGY:g} and {MOST_ENERGY:g}; its nearest atoms "
        f"are {gap:.3f} Å apart: is its cell right?"
    )
