"""Rules that look at cell and positions: contacts, loneliness, density."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from matdisco.screening.base import Finding, ScreeningRule

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


class DistanceRule(ScreeningRule):
    """No two atoms nearer than their radii allow, and none alone in a void."""

    name: ClassVar[str] = "distances"
    closest: float = Field(0.65, gt=0, lt=1.2)
    """Shortest allowed distance of a pair over the sum of its covalent radii (B.
    Cordero et al., Dalton Trans. 2832 (2008)). Of 14,258 crystals of the Materials
    Project none lies below (Ce2Mg has 0.67), 0.1 % below 0.69."""
    loneliest: float = Field(2.0, gt=1)
    """Largest allowed distance of an atom to its nearest neighbour, the same way; the
    largest among those crystals is 1.64 (NH4Br)."""

    @override
    def find(self, crystal: Crystal) -> Finding | None:
        """Object to the tightest pair, then to the loneliest atom."""
        structure = crystal.structure
        radii = _radii(crystal)
        reach = 2 * float(radii.max()) * self.loneliest
        i, j, _, d = structure.get_neighbor_list(reach)
        ratio = d / (radii[i] + radii[j])
        nearest = np.full(len(structure), np.inf)
        np.minimum.at(nearest, i, ratio)
        if len(ratio) and ratio.min() < self.closest:
            k = int(ratio.argmin())
            pair = f"{structure[int(i[k])].specie}-{structure[int(j[k])].specie}"
            least = self.closest * float(radii[i[k]] + radii[j[k]])
            return self._finding(
                f"expected {pair} at least {least:.2f} Å apart, found {d[k]:.2f} Å "
                f"({ratio[k]:.2f} of the covalent radii)",
                distance=round(float(d[k]), 4),
                ratio=round(float(ratio[k]), 4),
                pair=pair,
            )
        if nearest.max() > self.loneliest:
            k = int(nearest.argmax())
            return self._finding(
                f"expected a neighbour within {self.loneliest:g} times the covalent "
                f"radii of every atom, found none for site {k} ({structure[k].specie})",
                site=k,
            )
        return None


class DensityRule(ScreeningRule):
    """The volume is near what the elements need."""

    name: ClassVar[str] = "density"
    smallest: float = Field(0.3, gt=0)
    """Smallest volume over the sum of the elements' own atomic volumes. Oxides need
    0.35 to 0.5 of it (0.31 in AlHO2), metals 0.8 to 1.1."""
    largest: float = Field(2.5, gt=0)
    """Largest such ratio: layered crystals and molecules reach 2.2."""

    @override
    def find(self, crystal: Crystal) -> Finding | None:
        """Object to cells far too small or far too large."""
        from matdisco.candidates.volume import additive_volume

        ratio = crystal.structure.volume / additive_volume(crystal.structure)
        if self.smallest <= ratio <= self.largest:
            return None
        return self._finding(
            f"expected a volume of {self.smallest:g} to {self.largest:g} times the sum "
            f"of the atomic volumes, found {ratio:.2f}",
            ratio=round(float(ratio), 4),
            volume_per_atom=round(crystal.structure.volume / crystal.n_atoms, 3),
        )


def _radii(crystal: Crystal) -> np.ndarray:
    """Return the covalent radius of each atom, Å, shape (n_atoms,)."""
    from ase.data import covalent_radii

    radii: np.ndarray = covalent_radii[crystal.atomic_numbers]
    return radii
