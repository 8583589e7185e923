"""Whether a potential is a potential: derivatives, conservation, smooth curves.

Finite differences, short NVE runs and curves after the physics tests of MLIP Arena
(Chiang et al., arXiv:2509.20630 (2025)) and LAMBench (Peng et al., arXiv:2504.19578).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matdisco.crystal import Crystal
from surrogates.assessment import variants
from surrogates.assessment.result import Section
from surrogates.assessment.trial import Trial

if TYPE_CHECKING:
    from ase import Atoms

_DELTA = 0.01
"""Å and strain/3; float32 energies of 1e-6 eV/atom then give forces to 1e-4 eV/Å while
the third derivative contributes about as little."""
_CELLS = 8  # fewest atoms of an NVE cell, so that it has phonons
_FEMTOSECOND = 1.0
_VOLUMES = np.linspace(0.85, 1.15, 31)
_DIMER = np.arange(0.6, 2.51, 0.02)
"""Distances over the sum of covalent radii."""
_ARENA = "Chiang et al., arXiv:2509.20630 (2025)"


def measure(trial: Trial, section: Section) -> None:
    """Fill the section."""
    factory = trial.subject.calculator
    if factory is None or trial.dataset is None:
        section.skip("potential", "not a potential")
        return
    calculator = factory()
    rng = trial.generator(5)
    few = trial.rows[[trial.dataset[int(r)].n_atoms <= 12 for r in trial.rows]]
    chosen = few if len(few) >= trial.suite.potential_crystals else trial.rows
    rows = np.sort(rng.permutation(chosen)[: trial.suite.potential_crystals])
    crystals = trial.dataset.take(rows).crystals
    _derivatives(section, calculator, crystals, rng)
    _conserve(section, calculator, crystals, trial)
    _equation_of_state(section, calculator, crystals)
    _dimers(section, calculator, trial.dataset.elements)


def _atoms(crystal: Crystal, calculator: Any) -> Atoms:
    atoms = crystal.to_atoms()
    atoms.calc = calculator
    return atoms


def _derivatives(
    section: Section,
    calculator: Any,
    crystals: tuple[Crystal, ...],
    rng: np.random.Generator,
) -> None:
    """Compare forces and stress with central differences of the energy."""
    forces, stresses = [], []
    for crystal in crystals:
        towards = variants.direction(crystal, rng)
        away = variants.moved(crystal, 0.05 * towards)
        atoms = _atoms(away, calculator)
        atom = int(rng.integers(len(atoms)))
        given = np.array(atoms.get_forces()[atom])
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                shifted = atoms.copy()
                shifted.positions[atom, axis] += sign * _DELTA
                shifted.calc = calculator
                ends.append(shifted.get_potential_energy())
            forces.append(abs(given[axis] + (ends[0] - ends[1]) / (2 * _DELTA)))
        stresses += _stress_errors(atoms, calculator)
    section.add(
        "force_error",
        float(np.max(forces)),
        "largest difference between force and energy derivative",
        unit="eV/Å",
        source="central differences; " + _ARENA,
    )
    if stresses:
        section.add(
            "stress_error",
            float(np.max(stresses)),
            "largest difference between stress and energy derivative",
            unit="GPa",
            source="central differences; " + _ARENA,
        )
    else:
        section.skip("stress_error", "the calculator gives no stress")


def _stress_errors(atoms: Atoms, calculator: Any) -> list[float]:
    from ase.calculators.calculator import PropertyNotImplementedError
    from ase.units import GPa

    try:
        given = atoms.get_stress(voigt=False)
    except (PropertyNotImplementedError, NotImplementedError):
        return []
    step, errors = _DELTA / 3, []
    for i, j in ((0, 0), (2, 2), (0, 1)):
        ends = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            shifted = atoms.copy()
            shifted.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
            shifted.calc = calculator
            ends.append(shifted.get_potential_energy())
        slope = (ends[0] - ends[1]) / (2 * step) / atoms.get_volume()
        errors.append(abs(given[i, j] - slope) / GPa)
    return errors


def _conserve(
    section: Section, calculator: Any, crystals: tuple[Crystal, ...], trial: Trial
) -> None:
    """Run velocity Verlet at constant energy and fit the drift."""
    from ase import units
    from ase.md.verlet import VelocityVerlet

    crystal = min(crystals, key=lambda c: (c.n_atoms < 2, c.n_atoms, c.id))
    atoms = crystal.to_atoms()
    while len(atoms) < _CELLS:  # double along the shortest axis
        axis = int(np.argmin(atoms.cell.lengths()))
        atoms = atoms.repeat([2 if i == axis else 1 for i in range(3)])
    atoms.calc = calculator
    # Maxwell-Boltzmann momenta without drift of the whole
    spread = np.sqrt(atoms.get_masses() * units.kB * trial.suite.nve_kelvin)
    momenta = trial.generator(9).standard_normal((len(atoms), 3)) * spread[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    run = VelocityVerlet(atoms, timestep=_FEMTOSECOND * units.fs)
    energies = [atoms.get_total_energy()]
    for _ in range(trial.suite.nve_steps):
        run.run(1)
        energies.append(atoms.get_total_energy())
    total = (np.array(energies) - energies[0]) * 1000 / len(atoms)
    if not np.isfinite(total).all():
        section.add("nve_drift", float("nan"), "the run blew up", unit="meV/atom/ps")
        return
    time = np.arange(len(total)) * _FEMTOSECOND / 1000
    section.add(
        "nve_drift", drift(time, total),
        f"drift beyond chance, {atoms.get_chemical_formula()}, {time[-1]:.2f} "
        f"ps from {trial.suite.nve_kelvin:.0f} K",
        unit="meV/atom/ps", source=_ARENA,
    )  # fmt: skip
    section.add("nve_wobble", float(total.std()), "its fluctuation", unit="meV/atom")
    section.series["nve"] = {"x": time, "y": total}


def drift(time: np.ndarray, energy: np.ndarray) -> float:
    """Return the trend of an energy beyond its fluctuation, never negative.

    Slope of the means of ten blocks less two of its standard errors: a short run of an
    integrator that conserves energy on average shows a slope too, by chance.
    """
    blocks = np.array_split(np.arange(len(time)), 10)
    x = np.array([time[b].mean() for b in blocks])
    y = np.array([energy[b].mean() for b in blocks])
    (slope, _), residual, *_ = np.polyfit(x, y, 1, full=True)
    left = float(residual[0]) if len(residual) else 0.0
    error = np.sqrt(left / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return max(0.0, abs(float(slope)) - 2 * float(error))


def _equation_of_state(
    section: Section, calculator: Any, crystals: tuple[Crystal, ...]
) -> None:
    """Energy over volume: one minimum, no wiggles."""
    curves, roughness, extra = [], [], []
    for crystal in crystals:
        energies = (
            np.array(
                [
                    _atoms(
                        variants.strained(crystal, v ** (1 / 3) - 1), calculator
                    ).get_potential_energy()
                    for v in _VOLUMES
                ]
            )
            / crystal.n_atoms
        )
        energies -= energies.min()
        # A Birch-Murnaghan curve is a cubic in V^(-2/3) (Birch, Phys. Rev. 71, 809
        # (1947)); one order more leaves only what no equation of state has.
        x = _VOLUMES ** (-2 / 3)
        rest = energies - np.polyval(
            np.polyfit(x - x.mean(), energies, 4), x - x.mean()
        )
        roughness.append(float(np.sqrt((rest**2).mean()) / max(np.ptp(energies), 1e-9)))
        extra.append(minima(energies) - 1)
        curves.append(energies)
    section.add(
        "eos_roughness",
        float(np.max(roughness)),
        "deviation from a smooth equation of state over the range of energies, "
        "volumes 0.85 to 1.15",
        source="Birch, Phys. Rev. 71, 809 (1947)",
    )
    section.add(
        "false_minima",
        float(np.maximum(extra, 0).sum()),
        "minima of energy over volume besides the one",
        source=_ARENA,
    )
    section.series["eos"] = {"x": _VOLUMES, "y": curves}


def minima(values: np.ndarray) -> int:
    """Count the local minima inside a curve; a monotone curve counts as one.

    >>> minima(np.array([2.0, 1.0, 2.0, 1.5, 3.0]))
    2
    """
    inner = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
    return max(1, int(inner.sum()))


def _dimers(section: Section, calculator: Any, elements: tuple[str, ...]) -> None:
    """Pull pairs of like atoms apart in a large box."""
    from ase import Atoms
    from ase.data import atomic_numbers, covalent_radii

    curves: dict[str, object] = {}
    jumps, repulsive, refused = [], [], []
    for symbol in elements[:8]:
        radius = 2 * covalent_radii[atomic_numbers[symbol]]
        distances = _DIMER * radius
        box = 2 * distances[-1] + 12.0  # no image within a potential's cutoff
        energies = []
        try:
            for d in distances:
                pair = Atoms(
                    [symbol] * 2, [[0, 0, 0], [d, 0, 0]], cell=[box] * 3, pbc=True
                )
                pair.calc = calculator
                energies.append(float(pair.get_potential_energy()))
        except Exception as error:  # a refusal is an answer: isolated atoms
            refused.append(f"{symbol}: {type(error).__name__}")
            if len(energies) < 20:
                continue
        curve = np.array(energies)
        distances = distances[: len(curve)]
        second = np.abs(np.diff(curve, 2))
        outside = distances[1:-1] > 0.8 * radius
        jumps.append(float(second[outside].max()) if outside.any() else 0.0)
        wall = np.diff(curve[distances < 0.8 * radius])
        repulsive.append(float((wall < 0).mean()) if len(wall) else 1.0)
        curves[symbol] = {"x": distances, "y": curve - curve[-1]}
    if refused:
        section.remarks.append("isolated pairs refused: " + ", ".join(refused))
    if not curves:
        section.skip("dimers", "the potential refuses isolated pairs")
        return
    section.add(
        "dimer_jump",
        float(np.max(jumps)),
        "largest kink (second difference) of a dimer curve in steps of 0.02 of "
        "the bond length",
        unit="eV",
        source=_ARENA,
    )
    section.add(
        "dimer_repulsive",
        float(np.mean(repulsive)),
        "share of the steps inside 0.8 of the bond length that are uphill",
        source=_ARENA,
    )
    section.series["dimers"] = curves
