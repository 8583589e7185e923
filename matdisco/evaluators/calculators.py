"""Potentials through ASE: one recipe, the calculator chosen by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.errors import MissingExtra, SetupError
from matdisco.evaluators.backends import BACKENDS, load
from matdisco.evaluators.base import EvaluationFailed
from matdisco.evaluators.simulator import Engine
from matdisco.evaluators.simulator_recipe import Changes, SimulatorRecipe
from matdisco.recipe import nearest

if TYPE_CHECKING:
    from ase import Atoms


class CalculatorRecipe(SimulatorRecipe):
    """A potential, with or without relaxation."""

    kind: Literal["calculator"] = "calculator"
    calculator: str = "chgnet"
    """emt, lennard-jones, chgnet, sevennet, diep, mace, matgl, orb, mattersim, lammps,
    or the import path ``module:Class`` of any ASE calculator."""
    checkpoint: str | None = None
    """Which of the calculator's weights; its default when not given."""
    weights: str | None = None
    """Path of a weights file; required by mace, matgl, orb and mattersim."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of the calculator."""

    @field_validator("calculator")
    @classmethod
    def _known(cls, value: str) -> str:
        module, _, name = value.partition(":")
        if value not in BACKENDS and not (module and name):
            raise ValueError(
                f"unknown calculator {value!r}{nearest(value, tuple(BACKENDS))} "
                "(or an import path 'module:Class')"
            )
        return value

    @override
    def check(self, elements: frozenset[str]) -> None:
        self.check_references(elements)
        self.check_measured()
        self._check_computed()
        if self.calculator not in BACKENDS:
            module = self.calculator.partition(":")[0]
            if find_spec(module.partition(".")[0]) is None:
                raise SetupError(
                    f"evaluator.calculator: cannot import {module!r}; is its folder "
                    "installed or on PYTHONPATH?"
                )
            return
        backend = BACKENDS[self.calculator]
        if find_spec(backend.module) is None:
            if backend.extra:
                raise MissingExtra(backend.package, backend.extra)
            raise SetupError(
                f"{backend.package} is not installed; install it with: pip install "
                f"{backend.package} (its pins may need an environment of their own)"
            )
        if backend.from_path and self.weights is None:
            raise SetupError(
                f"evaluator.weights: {self.calculator} ships no weights; fetch a "
                "checkpoint from its authors and give its path"
            )
        if self.weights and not Path(self.weights).exists():
            raise SetupError(f"evaluator.weights: no such file: {self.weights}")
        if self.weights and self.calculator in ("emt", "lennard-jones"):
            raise SetupError(
                f"evaluator.weights: {self.calculator} has none and would ignore "
                f"{self.weights}; leave the key out"
            )
        if self.checkpoint and self.checkpoint not in backend.checkpoints:
            known = ", ".join(filter(None, backend.checkpoints)) or "none"
            raise SetupError(
                f"evaluator.checkpoint: {self.calculator} has no checkpoint "
                f"{self.checkpoint!r}; known: {known}"
            )
        foreign = sorted(elements - backend.elements)
        if foreign:
            raise SetupError(
                f"evaluator.calculator: {self.calculator} does not know "
                f"{', '.join(foreign)}; it covers {len(backend.elements)} elements"
                + (
                    f" ({' '.join(sorted(backend.elements))})"
                    if len(backend.elements) < 20
                    else ""
                )
            )

    def _check_computed(self) -> None:
        if "band_gap" in self.compute:
            raise SetupError(
                "evaluator.compute: a potential has no electrons, so no band_gap; use "
                "evaluator kind dft"
            )
        magnetic = ("chgnet",)
        known = self.calculator in BACKENDS and self.calculator not in magnetic
        if "magnetic_moment" in self.compute and known:
            raise SetupError(
                f"evaluator.compute: {self.calculator} gives no magnetic_moment; "
                f"{', '.join(magnetic)} does, and so does kind dft"
            )
        if "phonons" in self.compute and find_spec("phonopy") is None:
            raise MissingExtra("phonopy", "phonopy")

    @override
    def largest_cell(self) -> int | None:
        backend = BACKENDS.get(self.calculator)
        return self.max_atoms or (backend.max_atoms if backend else None)

    @override
    def seconds_per_evaluation(self, n_atoms: float) -> float:
        backend = BACKENDS.get(self.calculator)
        base, per_atom = backend.seconds if backend else (1.0, 0.1)
        steps = 1.0 if self.relax else 0.05
        # single points that a property takes, over those of a relaxation (about 12)
        more = {"bulk_modulus": 1.0, "elasticity": 3.0, "phonons": 2.0}
        steps += sum(more.get(c, 0.0) for c in self.compute)
        return steps * (base + per_atom * n_atoms)

    @override
    def engine(self) -> Engine:
        return Potential(self)


class Potential:
    """One loaded potential; see :class:`~matdisco.evaluators.simulator.Engine`."""

    def __init__(self, recipe: CalculatorRecipe) -> None:
        self._loaded = load(
            recipe.calculator, recipe.checkpoint, recipe.weights, recipe.settings
        )
        backend = BACKENDS.get(recipe.calculator)
        if backend is None:
            self.method, functional = recipe.calculator, "unknown"
            packages = {"ase", recipe.calculator.partition(".")[0].partition(":")[0]}
        else:
            default = next(iter(backend.checkpoints), "")
            name = recipe.checkpoint or default
            if recipe.weights:
                name = Path(recipe.weights).name
            functional = backend.checkpoints.get(name, "that of the weights")
            self.method = " ".join(p for p in (recipe.calculator.upper(), name) if p)
            packages = {"ase", backend.package}
        self.details: dict[str, Any] = {"functional": functional}
        if recipe.weights:
            self.details["weights_sha256"] = _hash_of(Path(recipe.weights))
        self.versions = {p: v for p in sorted(packages) if (v := _version(p))}

    def calculator(self, atoms: Atoms, folder: Path, changes: Changes) -> Any:
        """Return the loaded calculator; potentials are the same for all crystals."""
        return self._loaded

    def recognise(self, error: Exception, folder: Path) -> EvaluationFailed | None:
        """Return None: potentials raise nothing that is known by name."""
        return None


def _hash_of(weights: Path) -> str:
    """Return the SHA-256 of a file or folder: it may change under its name."""
    whole = hashlib.sha256()
    inside = sorted(p for p in weights.rglob("*") if p.is_file())
    for path in inside if weights.is_dir() else [weights]:
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
