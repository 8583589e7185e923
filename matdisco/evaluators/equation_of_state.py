"""Volume and bulk modulus from energies alone, without stress.

Where a plane-wave basis is too small for the stress (Pulay stress), energies at a few
volumes still give the right one. Birch-Murnaghan: F. Birch, Phys. Rev. 71, 809 (1947).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matdisco.evaluators.base import EvaluationFailed, FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from ase import Atoms

POINTS = 6
"""Volumes of one fit: Birch-Murnaghan has four parameters."""
WIDTH = 0.06
"""Half of the range of volumes over the middle one: wide enough that energy
differences exceed the noise of a loosely converged calculation, narrow enough for a
third-order equation (5 to 8 % is usual)."""
RECENTRED = 6
"""How often the range is moved towards the minimum before giving up."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """The bottom of an equation of state."""

    volume: float
    """Å³."""
    energy: float
    """eV."""
    bulk_modulus: float
    """GPa."""
    residual: float
    """Root mean square misfit of the energies, eV."""


def fit(volumes: np.ndarray, energies: np.ndarray) -> Minimum:
    """Fit Birch-Murnaghan to energies (eV) at volumes (Å³), shapes (n,).

    Raises:
        EvaluationFailed: the energies have no minimum or scatter.
    """
    import numpy as np

    # third-order Birch-Murnaghan is a cubic in x = V^(-2/3): linear least squares,
    # with no starting values to get wrong
    x = volumes ** (-2.0 / 3.0)
    middle = float(x.mean())
    cubic = np.polynomial.Polynomial.fit(x, energies, 3)
    slope, curve = cubic.deriv(1), cubic.deriv(2)
    all_roots: list[complex] = slope.roots().tolist()
    real = [complex(r).real for r in all_roots if abs(complex(r).imag) < 1e-9]
    roots = [r for r in real if r > 0 and float(curve(r)) > 0]
    if not roots:
        raise EvaluationFailed(
            FailureKind.NOT_CONVERGED,
            "the energies at different volumes have no minimum",
        )
    best = min(roots, key=lambda r: abs(r - middle))
    for _ in range(3):  # a vanishing cubic term costs the root finder its digits
        best -= float(slope(best)) / float(curve(best))
    volume = best**-1.5
    # B = V d²E/dV² = (4/9) x^5 ... with dx/dV = -(2/3) V^(-5/3) at dE/dx = 0
    bulk = volume * float(curve(best)) * (2.0 / 3.0 * volume ** (-5.0 / 3.0)) ** 2
    misfit = float(np.sqrt(np.mean((cubic(x) - energies) ** 2)))
    return Minimum(volume, float(cubic(best)), bulk * 160.21766339999998, misfit)


def scan(
    atoms: Atoms,
    energy: Callable[[Atoms], float],
    *,
    points: int = POINTS,
    width: float = WIDTH,
    search: bool = True,
) -> tuple[Minimum, Atoms]:
    """Find the volume of lowest energy at fixed cell shape.

    Args:
        atoms: where to start; not changed.
        energy: relaxes positions where needed and returns eV.
        points: volumes of each fit.
        width: half the range of volumes, as a fraction of the middle one.
        search: move the range until the minimum is inside.

    Returns:
        The minimum, and a copy of ``atoms`` scaled to it.

    Raises:
        EvaluationFailed: no minimum after :data:`RECENTRED` moves.
    """
    import numpy as np

    start = atoms.get_volume()
    centre, known = start, dict[float, float]()
    scaled = _scaled(atoms, start)
    for _ in range(RECENTRED if search else 1):
        grid = centre * np.linspace(1 - width, 1 + width, points)
        for volume in (round(float(v), 9) for v in grid):
            if volume not in known:
                scaled = _scaled(scaled, volume)
                known[volume] = energy(scaled)
        energies = np.array([known[round(float(v), 9)] for v in grid])
        lowest = int(energies.argmin())
        if 0 < lowest < points - 1 or not search:
            found = fit(grid, energies)
            if grid[0] <= found.volume <= grid[-1]:
                return found, _scaled(scaled, found.volume)
        centre = float(grid[min(max(lowest, 1), points - 2)])
    raise EvaluationFailed(
        FailureKind.NOT_CONVERGED,
        f"no minimum of the energy between {min(known):.1f} and {max(known):.1f} Å³ "
        f"(started at {start:.1f} Å³)",
    )


def _scaled(atoms: Atoms, volume: float) -> Any:
    copy = atoms.copy()
    factor = (volume / atoms.get_volume()) ** (1 / 3)
    copy.set_cell(atoms.cell * factor, scale_atoms=True)
    copy.calc = atoms.calc
    return copy
