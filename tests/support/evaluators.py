"""Evaluators that tests call through ``kind: function``: quick, honest, or broken.

Worker processes import this module by name, so its folder is put on PYTHONPATH.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from pathlib import Path

# imported by a worker before it takes work: an import inside a call would count against
# the time limit of that call, and on a busy machine use it up
from ase.calculators.emt import EMT


def emt_energy(crystal, log=None, delay=0.0):
    """Single-point EMT energy; appends one line to ``log`` per finished call."""
    atoms = crystal.to_atoms()
    atoms.calc = EMT()
    energy = atoms.get_potential_energy() / len(atoms)
    if delay:
        time.sleep(delay)
    if log:
        # O_APPEND: lines of parallel workers never mix
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{crystal.id}\n".encode())
        os.close(handle)
    return {"energy_per_atom": energy}


def never(crystal):
    """No answer, ever."""
    raise RuntimeError("broken")


def pressure(atoms, folder):
    """A user's own property: GPa, by the calculator that relaxed the atoms."""
    value = -atoms.get_stress()[:3].mean() * 160.21766
    (folder / "pressure.txt").write_text(f"{value}")
    return value


def dearer_energy(crystal, log=None, fail=()):
    """Another fidelity: EMT stretched by a tenth, each element on its own zero.

    Formation energies are 1.1 times EMT's; energies of the two in one hull are absurd.
    """
    from matdisco.evaluators.base import EvaluationFailed, FailureKind

    if crystal.id in fail:
        raise EvaluationFailed(FailureKind.NOT_CONVERGED, "did not converge")
    zero = {"Cu": -30.0, "Au": 20.0}
    parts = crystal.composition.fractional_composition
    shift = sum(zero[e.symbol] * share for e, share in parts.items())
    energy = emt_energy(crystal, log)["energy_per_atom"]
    return {"energy_per_atom": 1.1 * energy + shift}


def treacherous(crystal, share=0.3, hang=600.0):
    """Fail in one of five ways for about ``share`` of the crystals."""
    from matdisco.evaluators.base import EvaluationFailed, FailureKind

    draw = int(crystal.structure_hash[:8], 16) / 2**32
    pure = len(crystal.elements) == 1
    if draw < share and not pure:
        way = int(crystal.structure_hash[12:16], 16) % 5
        if way == 0:
            raise RuntimeError("the backend is unhappy")
        if way == 1:
            time.sleep(hang)
        if way == 2:
            ctypes.string_at(0)  # a real segmentation fault
        if way == 3:
            return {"energy_per_atom": float("nan")}
        raise EvaluationFailed(FailureKind.EXPLODED, "volume grew to 9.9 times")
    return emt_energy(crystal)


def log_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def hostile(crystal, share=0.1, hang=600.0, log=None):
    """Die, hang or raise at random in ``share`` of the calls, another way each time."""
    draw = random.SystemRandom().random()
    if draw < share / 3:
        os.kill(os.getpid(), signal.SIGKILL)
    elif draw < share * 2 / 3:
        time.sleep(hang)
    elif draw < share:
        raise RuntimeError("the backend is unhappy")
    return emt_energy(crystal, log)


def uneven(crystal, short=0.2, long=1.6, every=4):
    """Take ``short`` seconds, and ``long`` ones for one crystal in ``every``."""
    slow = int(crystal.structure_hash[:8], 16) % every == 0
    return emt_energy(crystal, delay=long if slow else short)


def emt_several(crystal, log=None, delay=0.0):
    """Single-point EMT energy, mass density and share of gold: three targets.

    Rounded, so that prototypes of one density have the very same.
    """
    energy = emt_energy(crystal, log, delay)["energy_per_atom"]
    volume, mass = crystal.structure.volume, float(crystal.composition.weight)
    return {
        "energy_per_atom": round(energy, 6),
        "density": round(1.66053907 * mass / volume, 6),
        "gold": float(crystal.composition.get_atomic_fraction("Au")),
    }
