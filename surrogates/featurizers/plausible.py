"""Energies that a potential made up: no crystal has millions of eV per atom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.neighbors import nearest, require_sound

MOST_ENERGY = 100.0
"""eV/atom, up or down, beyond what any crystal has: bonds are worth 10 at most, and
neither the simple crystals of 94 elements (:mod:`surrogates.featurizers.formation`) nor
60,000 perovskites and alloys went beyond 50 in CHGNet or SevenNet-0."""


def plausible(
    potential: str, crystals: Sequence[Crystal], rows: np.ndarray
) -> np.ndarray:
    """Return latents, shape (n, d), whose last column is an energy, eV/atom.

    Raises:
        SurrogateError: a crystal that :func:`~surrogates.neighbors.require_sound`
            refuses, or a potential far from all it learnt made the energy up, such as
            -5858 eV/atom of SevenNet-0 for aluminium atoms 0.5 Å apart; names the
            crystal.
    """
    require_sound(crystals)  # the cache may hold what earlier versions let pass
    odd = np.flatnonzero(np.abs(rows[:, -1]) > MOST_ENERGY)
    if len(odd):
        crystal = crystals[int(odd[0])]
        gap = nearest([crystal], 1, compiled=False).distances.min()
        raise SurrogateError(
            f"crystal {crystal.id}: {potential} says {rows[odd[0], -1]:.3g} eV/atom, "
            f"expected between -{MOST_ENERGY:g} and {MOST_ENERGY:g}; its nearest atoms "
            f"are {gap:.3f} Å apart: is its cell right?"
        )
    return rows
