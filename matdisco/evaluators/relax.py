"""Relaxation with ASE, with the checks that tell an answer from a wreck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from matdisco.crystal import Crystal

LARGEST_VOLUME = 4.0
"""Cell volume over the sum of atomic volumes above which a crystal has flown apart
(an fcc metal stretched this far has lost all bonding)."""
SMALLEST_VOLUME = 0.25
"""The same ratio below which a cell has collapsed. The densest of 17,760 computed
crystals (AlHO2, YbSiO3; the volumes of oxygen and fluorine are those of their liquids)
have 0.30, MgO 0.36; 100 GPa takes a metal to about 0.6."""
LARGEST_FORCE = 1e3
"""eV/Å; forces on any real crystal worth relaxing are 100 times smaller."""


class RelaxRecipe(Recipe):
    """How a structure is relaxed."""

    cell: bool = True
    """Relax the cell too, not only the positions."""
    by: Literal["stress", "equation_of_state"] = "stress"
    """How the cell is relaxed: by the stress (ASE's FrechetCellFilter), or its volume
    alone by energies at several volumes, which needs no stress and keeps the shape."""
    optimizer: Literal["LBFGS", "BFGS", "FIRE"] = "BFGS"
    """ASE optimizer. BFGS needs the fewest steps on cells of a few atoms."""
    fmax: float = Field(0.05, gt=0, le=1)
    """Converged when no force (eV/Å) and no cell gradient exceeds this."""
    steps: int = Field(250, ge=1)
    """Give up after this many steps."""
    keep_symmetry: bool = False
    """Keep the starting space group (ASE's FixSymmetry)."""
    trajectory: bool = False
    """Leave ``relax.traj`` in the evaluation's folder."""
    must_stay: bool = False
    """Fail (symmetry-changed) when the relaxed structure is no longer the candidate's;
    otherwise that is only noted."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The end of a relaxation."""

    atoms: Atoms
    """Final atoms, with their calculator."""
    energy: float
    """Total energy, eV."""
    max_force: float
    """Largest atomic force, eV/Å."""
    steps: int
    """Optimizer steps taken."""
    bulk_modulus: float | None = None
    """GPa, where an equation of state was fitted."""


def relax(atoms: Atoms, recipe: RelaxRecipe, folder: Path) -> Relaxed:
    """Relax ``atoms`` (which carry a calculator) and check the outcome.

    Raises:
        EvaluationFailed: not converged, exploded, collapsed, fused or not a number.
    """
    import ase.optimize
    from ase.filters import FrechetCellFilter

    if recipe.cell and recipe.by == "equation_of_state":
        return _by_volume(atoms, recipe, folder)
    if recipe.keep_symmetry:
        from ase.constraints import FixSymmetry

        atoms.set_constraint(FixSymmetry(atoms))
    target = FrechetCellFilter(atoms) if recipe.cell else atoms
    options: dict[str, Any] = {"logfile": str(folder / "relax.log")}
    if recipe.trajectory:
        options["trajectory"] = str(folder / "relax.traj")
    optimizer = getattr(ase.optimize, recipe.optimizer)(target, **options)
    converged = False
    for done in optimizer.irun(fmax=recipe.fmax, steps=recipe.steps):
        check_alive(atoms)
        converged = bool(done)
    outcome = finish(atoms, optimizer.nsteps)
    if not converged:
        raise EvaluationFailed(
            FailureKind.NOT_CONVERGED,
            f"after {optimizer.nsteps} steps the largest force is "
            f"{outcome.max_force:.3f} eV/Å or the cell still moves "
            f"(wanted {recipe.fmax} eV/Å)",
        )
    return outcome


def _by_volume(atoms: Atoms, recipe: RelaxRecipe, folder: Path) -> Relaxed:
    """Find the volume of lowest energy, positions relaxed at each volume."""
    from matdisco.evaluators.equation_of_state import scan

    inner, steps = recipe.model_copy(update={"cell": False}), 0

    def energy(scaled: Atoms) -> float:
        nonlocal steps
        if len(scaled) == 1:
            check_alive(scaled)
            steps += 1
            return float(scaled.get_potential_energy())
        outcome = relax(scaled, inner, folder)
        steps += outcome.steps + 1
        return outcome.energy

    minimum, final = scan(atoms, energy)
    energy(final)
    outcome = finish(final, steps)
    return Relaxed(
        final, outcome.energy, outcome.max_force, steps, minimum.bulk_modulus
    )


def same_crystal(before: Crystal, after: Crystal) -> bool:
    """Tell whether two structures match up to volume and small displacements."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    # after scaling, 10 % of lengths and 5 degrees, and 0.3 of the mean free length per
    # atom for positions. pymatgen's own 20 % would take much of the way from bcc to fcc
    # (c/a from 1 to 1.41 at constant volume) for a small distortion.
    matcher = StructureMatcher(ltol=0.1, primitive_cell=False, attempt_supercell=False)
    return bool(matcher.fit(before.structure, after.structure))


def finish(atoms: Atoms, steps: int = 0) -> Relaxed:
    """Read energy and forces off ``atoms`` and check them as :func:`relax` does."""
    import numpy as np

    check_alive(atoms)
    energy = float(atoms.get_potential_energy())
    forces = np.linalg.norm(atoms.get_forces(), axis=1)
    return Relaxed(atoms, energy, float(forces.max()), steps)


def check_alive(atoms: Atoms) -> None:
    """Stop a calculation that can no longer become an answer.

    Raises:
        EvaluationFailed: energy or forces are not numbers, forces are absurd, the
            cell exploded or collapsed, or atoms overlap.
    """
    import numpy as np

    from matdisco.candidates.volume import atomic_volume

    natural = sum(float(atomic_volume(s)) for s in atoms.get_chemical_symbols())
    ratio = abs(atoms.cell.volume) / natural
    if not np.isfinite(ratio) or not np.isfinite(atoms.positions).all():
        raise EvaluationFailed(FailureKind.NOT_A_NUMBER, "cell or positions are NaN")
    if ratio > LARGEST_VOLUME and not atoms.info.get("molecule"):
        raise EvaluationFailed(
            FailureKind.EXPLODED,
            f"volume grew to {ratio:.1f} times the sum of the atomic volumes",
        )
    if ratio < SMALLEST_VOLUME:
        raise EvaluationFailed(
            FailureKind.VOLUME_COLLAPSE,
            f"volume shrank to {ratio:.2f} times the sum of the atomic volumes",
        )
    energy = atoms.get_potential_energy()
    forces = atoms.get_forces()
    if not np.isfinite(energy) or not np.isfinite(forces).all():
        raise EvaluationFailed(
            FailureKind.NOT_A_NUMBER, f"energy {energy} eV or a force is not a number"
        )
    if np.abs(forces).max() > LARGEST_FORCE:
        raise EvaluationFailed(
            FailureKind.EXPLODED,
            f"a force of {np.abs(forces).max():.3g} eV/Å (limit {LARGEST_FORCE:g})",
        )


def check_contacts(atoms: Atoms) -> None:
    """Refuse a final structure in which two atoms have fused.

    Raises:
        EvaluationFailed: ``overlapping-atoms``.
    """
    from ase.neighborlist import neighbor_list

    from matdisco.contacts import CLOSEST, ratios, reach, sentence

    numbers = atoms.get_atomic_numbers()
    first, second, distance = neighbor_list("ijd", atoms, reach(numbers))
    if len(distance) == 0:
        return
    ratio = ratios(distance, numbers[first], numbers[second])
    worst = int(ratio.argmin())
    if ratio[worst] < CLOSEST:
        names = atoms.get_chemical_symbols()
        pair = names[first[worst]], names[second[worst]]
        raise EvaluationFailed(
            FailureKind.OVERLAPPING_ATOMS,
            sentence(float(distance[worst]), *pair, float(ratio[worst])),
        )
