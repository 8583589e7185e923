"""Properties of a relaxed crystal beyond its energy, from any ASE calculator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from matdisco.errors import MissingExtra
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.equation_of_state import scan

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from ase import Atoms

Computed = Literal[
    "bulk_modulus", "elasticity", "phonons", "band_gap", "magnetic_moment",
    "formation_energy", "geometry",
]  # fmt: skip
"""What can be computed besides energy, volume and forces."""
LABELS: Mapping[str, tuple[str, ...]] = {
    "bulk_modulus": ("bulk_modulus",),
    "elasticity": ("shear_modulus", "young_modulus", "poisson_ratio"),
    "phonons": ("lowest_phonon_frequency",),
    "band_gap": ("band_gap",),
    "magnetic_moment": ("magnetic_moment_per_atom",),
    "formation_energy": ("formation_energy_per_atom",),
    "geometry": ("density", "packing_fraction", "void_radius", "bottleneck_radius"),
}
"""The labels that each gives."""
STRAIN = 0.005
"""Strain of the elastic tensor: the linear range of most solids, well above the noise
of forces converged to 0.05 eV/Å."""
DISPLACEMENT = 0.01
"""Å; phonopy's default, inside the harmonic range."""
GPA = 160.21766339999998  # GPa per eV/Å³


def measure(what: str, atoms: Atoms, folder: Path) -> dict[str, float]:
    """Compute one of :data:`Computed` (formation energies are made elsewhere).

    Args:
        what: key of :data:`LABELS`.
        atoms: relaxed, with a calculator; not changed.
        folder: where tables larger than a number are left.

    Raises:
        EvaluationFailed: the calculator cannot give it for this crystal.
    """
    return _HOW[what](atoms, folder)


def _relaxed_energy(atoms: Atoms) -> float:
    """Energy after the positions followed the cell, eV."""
    _follow(atoms)
    return float(atoms.get_potential_energy())


def _follow(atoms: Atoms, fmax: float = 0.01, steps: int = 60) -> None:
    from ase.optimize import BFGS

    if len(atoms) > 1:
        BFGS(atoms, logfile=None).run(fmax=fmax, steps=steps)


def bulk_modulus(atoms: Atoms, folder: Path) -> dict[str, float]:
    """Isothermal bulk modulus at 0 K from an equation of state at fixed shape, GPa."""
    minimum, _ = scan(_copy(atoms), _relaxed_energy, width=0.04)
    return {"bulk_modulus": minimum.bulk_modulus}


def elasticity(atoms: Atoms, folder: Path) -> dict[str, float]:
    """Elastic tensor by finite strains; Voigt-Reuss-Hill averages (R. Hill, 1952).

    Leaves ``elastic.json`` with the 6 x 6 tensor in GPa (order xx yy zz yz xz xy).
    """
    import numpy as np

    tensor = np.zeros((6, 6))
    for j in range(6):
        sides = []
        for sign in (1.0, -1.0):
            strained = _strained(atoms, j, sign * STRAIN)
            _follow(strained)
            sides.append(strained.get_stress(voigt=True))
        tensor[:, j] = (sides[0] - sides[1]) / (2 * STRAIN) * GPA
    tensor = (tensor + tensor.T) / 2
    (folder / "elastic.json").write_text(
        json.dumps({"unit": "GPa", "tensor": tensor.round(3).tolist()})
    )
    if np.linalg.eigvalsh(tensor).min() <= 0:
        raise EvaluationFailed(
            FailureKind.NOT_CONVERGED,
            "the elastic tensor is not positive definite: mechanically unstable, or "
            "not relaxed well enough (elastic.json has it)",
        )
    bulk, shear = averages(tensor)
    return {
        "shear_modulus": shear,
        "young_modulus": 9 * bulk * shear / (3 * bulk + shear),
        "poisson_ratio": (3 * bulk - 2 * shear) / (2 * (3 * bulk + shear)),
    }


def averages(c: np.ndarray) -> tuple[float, float]:
    """Return Voigt-Reuss-Hill bulk and shear modulus of a (6, 6) tensor, its unit."""
    import numpy as np

    s = np.linalg.inv(c)
    a, b, d = c[:3, :3].trace(), c[0, 1] + c[0, 2] + c[1, 2], c[3:, 3:].trace()
    voigt = ((a + 2 * b) / 9, (a - b + 3 * d) / 15)
    a, b, d = s[:3, :3].trace(), s[0, 1] + s[0, 2] + s[1, 2], s[3:, 3:].trace()
    reuss = (1 / (a + 2 * b), 15 / (4 * a - 4 * b + 3 * d))
    return (float(voigt[0] + reuss[0]) / 2, float(voigt[1] + reuss[1]) / 2)


def phonons(atoms: Atoms, folder: Path) -> dict[str, float]:
    """Lowest phonon frequency over the commensurate points of a small supercell, THz.

    Below zero (imaginary) means dynamically unstable; the acoustic modes at Gamma are
    left out. Finite displacements through phonopy (A. Togo and I. Tanaka, Scr. Mater.
    108, 1 (2015)); the supercell reaches at least 6 Å in each direction.
    """
    import numpy as np
    from ase import Atoms as AseAtoms

    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError:
        raise MissingExtra("phonopy", "phonopy") from None
    cell = atoms.cell.array
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    repeats = np.ceil(6.0 / heights).astype(int)
    unit = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=cell,
        scaled_positions=atoms.get_scaled_positions(),
    )
    phonon = Phonopy(unit, np.diag(repeats), primitive_matrix=np.eye(3), log_level=0)
    phonon.generate_displacements(distance=DISPLACEMENT)
    forces = []
    for supercell in phonon.supercells_with_displacements or []:
        displaced = AseAtoms(
            supercell.symbols, scaled_positions=supercell.scaled_positions,
            cell=supercell.cell, pbc=True, calculator=atoms.calc,
        )  # fmt: skip
        forces.append(displaced.get_forces())
    phonon.forces = forces
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    phonon.run_mesh([int(r) for r in repeats], is_gamma_center=True,
                    is_mesh_symmetry=False)  # fmt: skip
    mesh: Any = phonon.mesh
    frequencies = np.asarray(mesh.frequencies).copy()
    gamma = np.linalg.norm(mesh.qpoints, axis=1) < 1e-9
    # three acoustic modes are zero at Gamma by translation
    at_gamma = np.sort(np.abs(frequencies[gamma]).ravel())[:3]
    frequencies[gamma] = np.where(
        np.abs(frequencies[gamma]) <= at_gamma.max() + 1e-12, np.inf, frequencies[gamma]
    )
    if not np.isfinite(frequencies).any():
        raise EvaluationFailed(
            FailureKind.BACKEND_ERROR, "no vibration besides translation in this cell"
        )
    return {"lowest_phonon_frequency": float(frequencies.min())}


def band_gap(atoms: Atoms, folder: Path) -> dict[str, float]:
    """Fundamental Kohn-Sham gap on the k-points of the calculation, eV."""
    from ase.dft.bandgap import bandgap

    atoms.get_potential_energy()
    if "band_gap" in atoms.calc.results:  # read from a code's own output
        return {"band_gap": float(atoms.calc.results["band_gap"])}
    gap, _, _ = bandgap(atoms.calc, output=None)
    return {"band_gap": max(0.0, float(gap))}


def magnetic_moment(atoms: Atoms, folder: Path) -> dict[str, float]:
    """Total moment over atoms, μB; of a potential the sum of its site moments."""
    import numpy as np

    atoms.get_potential_energy()
    results = atoms.calc.results
    if "magmom" in results:
        total = float(results["magmom"])
    elif results.get("magmoms") is not None:
        total = float(np.sum(results["magmoms"]))
    else:
        total = float(atoms.get_magnetic_moment())
    return {"magnetic_moment_per_atom": abs(total) / len(atoms)}


def geometry(atoms: Atoms, folder: Path) -> dict[str, float]:
    """Density, packing, and room for guests; see the module ``descriptors``."""
    from matdisco.evaluators import descriptors

    return descriptors.geometry(atoms)


def own(functions: Mapping[str, str], atoms: Atoms, folder: Path) -> dict[str, float]:
    """Call a user's functions, property key to ``module:function``.

    Each gets a copy of the relaxed atoms with their calculator, and the evaluation's
    folder, and returns a number in the property's unit.
    """
    from matdisco.evaluators.function import imported

    return {
        key: float(imported(path, f"evaluator.measure.{key}")(_copy(atoms), folder))
        for key, path in functions.items()
    }


def _strained(atoms: Atoms, j: int, amount: float) -> Atoms:
    import numpy as np

    strain = np.zeros((3, 3))
    first, second = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[j]
    if first == second:
        strain[first, second] = amount
    else:  # Voigt shear is twice the tensor's
        strain[first, second] = strain[second, first] = amount / 2
    strained = _copy(atoms)
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return strained


def _copy(atoms: Atoms) -> Atoms:
    copy: Atoms = atoms.copy()
    copy.set_constraint()
    copy.calc = atoms.calc
    return copy


_HOW: Mapping[str, Callable[[Atoms, Path], dict[str, float]]] = {
    "bulk_modulus": bulk_modulus,
    "elasticity": elasticity,
    "phonons": phonons,
    "band_gap": band_gap,
    "magnetic_moment": magnetic_moment,
    "geometry": geometry,
}
