"""What the geometry of a crystal alone says about room and paths for guest ions.

No dynamics: the radius of the largest sphere that fits (void) and of the largest that
can travel through the whole crystal (bottleneck), as in T. F. Willems et al.,
Microporous Mesoporous Mater. 149, 134 (2012), here on a grid instead of a Voronoi
network, which needs no special case for atoms of different radii.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

SPACING = 0.12
"""Å between grid points. Distances to atoms change by no more than the way between two
points, so radii err by at most half the diagonal of a grid cell, 0.1 Å."""
POINTS = 250_000
"""Most points of a grid; larger cells get a coarser one."""
AMU = 1.66053906660  # g/cm³ of one dalton per Å³


def geometry(atoms: Atoms) -> dict[str, float]:
    """Return density (g/cm³), packing fraction, void and bottleneck radius (Å).

    Atoms are spheres of their atomic radii (those of the additive volumes). Radii below
    zero mean that even a point has no room, or no way through.
    """
    import numpy as np

    from matdisco.candidates.volume import atomic_radius

    radii = np.array([atomic_radius(s) for s in atoms.get_chemical_symbols()])
    volume = atoms.get_volume()
    clear = clearance(atoms, radii)
    return {
        "density": float(atoms.get_masses().sum() / volume * AMU),
        "packing_fraction": float((4 / 3 * np.pi * radii**3).sum() / volume),
        "void_radius": float(clear.max()),
        "bottleneck_radius": bottleneck(clear),
    }


def clearance(atoms: Atoms, radii: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest sphere on a grid over the cell, Å.

    Args:
        atoms: a periodic crystal.
        radii: sphere of each atom, shape (n_atoms,), Å.

    Returns:
        Shape (i, j, k), grid points along the three cell vectors; below zero inside a
        sphere.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    cell = atoms.cell.array
    spacing = max(SPACING, (atoms.get_volume() / POINTS) ** (1 / 3))
    shape = np.maximum(2, np.ceil(np.linalg.norm(cell, axis=1) / spacing).astype(int))
    axes = [np.arange(n) / n for n in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    # no point of a lattice is further from a lattice point than the half sum of the
    # cell's edges, so images that far around the cell suffice
    reach = np.linalg.norm(cell, axis=1).sum() / 2
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    n = np.ceil(reach / heights).astype(int)
    shifts = np.stack(
        np.meshgrid(*(np.arange(-m, m + 1) for m in n), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    home = atoms.get_scaled_positions(wrap=True)
    nearest = np.full(len(grid), np.inf)
    for radius in np.unique(radii):
        images = (home[radii == radius][:, None] + shifts[None]).reshape(-1, 3) @ cell
        distance, _ = cKDTree(images).query(grid)
        nearest = np.minimum(nearest, distance - radius)
    return nearest.reshape(tuple(shape))


def bottleneck(clear: np.ndarray) -> float:
    """Return the largest level above which a periodic grid is connected without end.

    Points join in order of falling clearance. Each knows in which image of the cell
    the root of its cluster lies (union-find with displacements: J. Machta et al.,
    Phys. Rev. E 54, 1332 (1996)); a link that closes a loop around the cell is a way
    through.

    Args:
        clear: shape (i, j, k), periodic.
    """
    import numpy as np

    shape = clear.shape
    flat = clear.ravel()
    order = np.argsort(-flat, kind="stable")
    parent = [-1] * len(flat)  # -1: not there yet
    image: list[tuple[int, int, int]] = [(0, 0, 0)] * len(flat)

    def root(i: int) -> tuple[int, tuple[int, int, int]]:
        path, at = [], i
        while parent[at] != at:
            path.append(at)
            at = parent[at]
        total = (0, 0, 0)
        for j in reversed(path):  # the one next to the root first
            total = _add(image[j], total)
            parent[j], image[j] = at, total
        return at, total

    sj, sk = shape[1], shape[2]
    for raw in order:
        i = int(raw)
        parent[i] = i
        x, rest = divmod(i, sj * sk)
        place = (x, *divmod(rest, sk))
        for axis in range(3):
            for step in (1, -1):
                moved = place[axis] + step
                wrap, inside = divmod(moved, shape[axis])
                there = [*place]
                there[axis] = inside
                j = (there[0] * sj + there[1]) * sk + there[2]
                if parent[j] < 0 or j == i:
                    continue
                jump = [0, 0, 0]
                jump[axis] = wrap
                a, from_a = root(i)
                b, from_b = root(j)
                # image of b's root, seen from a's: along the link and back
                across = _subtract(_add((jump[0], jump[1], jump[2]), from_b), from_a)
                if a != b:
                    parent[b], image[b] = a, _negative(across)
                elif across != (0, 0, 0):
                    return float(flat[i])
    return float(flat.min())


Image = tuple[int, int, int]


def _add(a: Image, b: Image) -> Image:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _subtract(a: Image, b: Image) -> Image:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _negative(a: Image) -> Image:
    return (-a[0], -a[1], -a[2])
