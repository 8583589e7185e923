"""Thermodynamics of phases: formation energies and the convex hull.

The hull is the lower convex envelope of formation energy over composition
(W. Sun et al., Sci. Adv. 2, e1600225 (2016), section "Methods" for the use of
energy above it). Tests compare it with pymatgen's PhaseDiagram.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pymatgen.core import Composition
from scipy.spatial import ConvexHull, QhullError

from matdisco.errors import DataError

ON_HULL = 1e-6
"""eV/atom below which a phase counts as on the hull: far above float error, far
below any calculator's precision."""


def fractions(
    compositions: Sequence[Composition], elements: Sequence[str]
) -> np.ndarray:
    """Return atomic fractions, shape (n, n_elements).

    Raises:
        DataError: a composition holds an element outside ``elements``.
    """
    index = {e: i for i, e in enumerate(elements)}
    table = np.zeros((len(compositions), len(elements)))
    for row, composition in zip(table, compositions, strict=True):
        for element, amount in composition.items():
            symbol = element.symbol
            if symbol not in index:
                raise DataError(
                    f"{composition.formula}: element {symbol} is outside the "
                    f"chemical space {'-'.join(elements)}"
                )
            row[index[symbol]] += amount
        row /= row.sum()
    return table


def formation_energies(
    energies: np.ndarray, x: np.ndarray, references: np.ndarray
) -> np.ndarray:
    """Return formation energies in eV/atom.

    Args:
        energies: energies per atom, eV/atom, shape (..., n).
        x: atomic fractions, shape (n, n_elements).
        references: energy per atom of each element's reference, shape (n_elements,).
    """
    result: np.ndarray = energies - x @ references
    return result


COMPRESSION = 0.1
"""eV/atom; scale above which :func:`compressed` turns logarithmic. Metastable phases
that have been made lie within about 0.1 eV/atom of the hull (W. Sun et al., 2016)."""


def compressed(formation: np.ndarray) -> np.ndarray:
    """Compress formation energies above zero logarithmically; below zero, keep them.

    A structure 2 eV/atom above the elements and one 1 eV/atom above are equally
    hopeless, but to a Gaussian belief in plain energies the difference is an
    uncertainty of 1 eV/atom, whose lower tail promises impossible stability. What is
    learned is therefore ``y`` for ``y <= 0`` and ``c log(1 + y / c)`` above, with c of
    :data:`COMPRESSION`: continuous with its slope, and exact where stable phases are.
    Output warping in the sense of E. Snelson et al., NIPS 16 (2003).

    Args:
        formation: formation energies, eV/atom, any shape.
    """
    above = COMPRESSION * np.log1p(np.maximum(formation, 0.0) / COMPRESSION)
    result: np.ndarray = np.where(formation > 0, above, formation)
    return result


@dataclass(frozen=True, eq=False)
class Hull:
    """The lower convex hull of a set of phases.

    Every element must be among the phases; each element's lowest energy is its
    reference, so formation energies of the references are zero.
    """

    elements: tuple[str, ...]
    """The chemical space, in the column order of ``x``."""
    x: np.ndarray
    """Atomic fractions of the phases, shape (n, n_elements)."""
    energies: np.ndarray
    """Energies per atom of the phases, eV/atom, shape (n,)."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.energies).all():
            bad = int(np.flatnonzero(~np.isfinite(self.energies))[0])
            raise DataError(f"phase {bad} of the hull has energy {self.energies[bad]}")
        missing = [
            e
            for i, e in enumerate(self.elements)
            if not np.any(self.x[:, i] > 1 - 1e-9)
        ]
        if missing:
            raise DataError(
                f"no energy for the pure element {', '.join(missing)}: a hull needs "
                "one evaluated structure of every element"
            )

    @classmethod
    def of(
        cls,
        compositions: Sequence[Composition],
        energies: Sequence[float] | np.ndarray,
        elements: Sequence[str],
    ) -> Hull:
        """Build from compositions and energies per atom (eV/atom)."""
        return cls(
            tuple(elements),
            fractions(compositions, elements),
            np.asarray(energies, dtype=float),
        )

    @cached_property
    def references(self) -> np.ndarray:
        """Lowest energy per atom of each pure element, eV/atom."""
        return np.array(
            [
                self.energies[self.x[:, i] > 1 - 1e-9].min()
                for i in range(len(self.elements))
            ]
        )

    @cached_property
    def formation(self) -> np.ndarray:
        """Formation energies of the phases, eV/atom, shape (n,)."""
        return formation_energies(self.energies, self.x, self.references)

    @cached_property
    def _planes(self) -> np.ndarray:
        """Facets of the lower hull as rows (gradient over x[1:], offset)."""
        n = len(self.elements)
        corners = np.eye(n)
        below = self.formation < -1e-12
        points = np.vstack([corners, self.x[below]])[:, 1:]
        heights = np.concatenate([np.zeros(n), self.formation[below]])
        if not below.any() or n == 1:
            return np.zeros((1, n))
        # One point far above closes the body, so that every facet seen from below
        # belongs to the lower hull and qhull never meets a flat set.
        top = np.append(np.full(n - 1, 1 / n), 1.0 - heights.min())
        try:
            body = ConvexHull(np.vstack([np.column_stack([points, heights]), top]))
        except (
            QhullError
        ) as error:  # pragma: no cover - corners make it full-dimensional
            raise DataError(f"convex hull failed: {error}") from error
        equations = body.equations[body.equations[:, -2] < -1e-12]
        slope = equations[:, -2:-1]
        return -np.column_stack([equations[:, :-2], equations[:, -1:]]) / slope

    def height(self, x: np.ndarray) -> np.ndarray:
        """Return the hull's formation energy at compositions ``x``.

        Args:
            x: atomic fractions, shape (m, n_elements).

        Returns:
            eV/atom, shape (m,), never positive.
        """
        planes = self._planes
        # The lower hull is convex: at any point it is the highest of its planes.
        values: np.ndarray = (x[:, 1:] @ planes[:, :-1].T + planes[:, -1]).max(axis=1)
        capped: np.ndarray = np.minimum(values, 0.0)
        return capped

    def above(self, x: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """Return energy above this hull (eV/atom); negative means below it.

        Args:
            x: atomic fractions, shape (m, n_elements).
            energies: energies per atom, eV/atom, shape (m,).
        """
        formation = formation_energies(energies, x, self.references)
        above: np.ndarray = formation - self.height(x)
        return above

    @cached_property
    def energies_above(self) -> np.ndarray:
        """Energy above hull of the phases themselves, eV/atom, shape (n,), >= 0."""
        own: np.ndarray = np.maximum(self.above(self.x, self.energies), 0.0)
        return own

    @cached_property
    def stable(self) -> np.ndarray:
        """Which phases are on the hull, shape (n,), bool."""
        return self.energies_above < ON_HULL


def reference_energies(
    compositions: Sequence[Composition], energies: Sequence[float]
) -> Mapping[str, float]:
    """Return the lowest energy per atom of each pure element present, eV/atom."""
    lowest: dict[str, float] = {}
    for composition, energy in zip(compositions, energies, strict=True):
        if len(composition.elements) == 1:
            symbol = composition.elements[0].symbol
            lowest[symbol] = min(energy, lowest.get(symbol, np.inf))
    return lowest
