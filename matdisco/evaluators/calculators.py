"""Simulators through ASE: one recipe, the calculator chosen by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.elements import SYMBOLS
from matdisco.errors import MissingExtra, SetupError
from matdisco.evaluators.base import Evaluation, Evaluator, EvaluatorRecipe
from matdisco.evaluators.relax import RelaxRecipe

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from matdisco.crystal import Crystal

_EMT = frozenset({"Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt", "H", "C", "N", "O"})
# CHGNet 0.3.0 was trained on MPtrj, 89 elements (B. Deng et al., Nat. Mach. Intell.
# 5, 1031 (2023)): all up to Pu but Po, At, Rn, Fr and Ra.
_CHGNET = frozenset(SYMBOLS[:94]) - {"Po", "At", "Rn", "Fr", "Ra"}


@dataclass(frozen=True, slots=True)
class Backend:
    """What is known of one calculator before it is loaded."""

    package: str
    """Distribution that brings it."""
    extra: str | None
    """matdisco extra that installs the package; None where it is always there."""
    elements: frozenset[str]
    """Elements it was made for."""
    seconds: tuple[float, float]
    """Relaxation cost on one core as (per cell, per atom), s; measured on 2020s
    server cores with small metallic cells."""
    factory: Callable[[str | None], Calculator]
    """Loads it; the argument is the checkpoint's name."""
    checkpoints: tuple[str, ...] = ()
    """Names of the weights that ship with it, the default first."""


def _emt(_: str | None) -> Calculator:
    from ase.calculators.emt import EMT

    calculator: Calculator = EMT()
    return calculator


def _chgnet(checkpoint: str | None) -> Calculator:
    with warnings.catch_warnings():
        # imported packages warn about torch and numpy versions they do not know
        warnings.simplefilter("ignore")
        from chgnet.model.dynamics import CHGNetCalculator
        from chgnet.model.model import CHGNet

        model = CHGNet.load(
            model_name=checkpoint or "0.3.0", use_device="cpu", verbose=False
        )
        # Weights are constants here: without this every force call also
        # accumulates gradients for 400,000 parameters.
        model.requires_grad_(False)
        calculator: Calculator = CHGNetCalculator(
            model, use_device="cpu", on_isolated_atoms="error"
        )
    return calculator


BACKENDS: dict[str, Backend] = {
    "emt": Backend("ase", None, _EMT, (0.05, 0.005), _emt),
    "chgnet": Backend(
        "chgnet", "chgnet", _CHGNET, (0.4, 0.3), _chgnet, ("0.3.0", "r2scan", "0.2.0")
    ),
}


class CalculatorRecipe(EvaluatorRecipe):
    """An ASE calculator, with or without relaxation."""

    kind: Literal["calculator"] = "calculator"
    calculator: Literal["chgnet", "emt"] = "chgnet"
    """CHGNet (universal potential, 89 elements) or EMT (Al Cu Ag Au Ni Pd Pt)."""
    checkpoint: str | None = None
    """Which of the calculator's weights; its default when not given."""
    relax: RelaxRecipe | None = Field(default_factory=RelaxRecipe)
    """How to relax; null evaluates the structure as it stands."""

    @override
    def check(self, elements: frozenset[str]) -> None:
        backend = BACKENDS[self.calculator]
        if backend.extra and find_spec(backend.package) is None:
            raise MissingExtra(backend.package, backend.extra)
        if self.checkpoint and self.checkpoint not in backend.checkpoints:
            known = ", ".join(backend.checkpoints) or "none"
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

    @override
    def seconds_per_evaluation(self, n_atoms: float) -> float:
        base, per_atom = BACKENDS[self.calculator].seconds
        steps = 1.0 if self.relax else 0.05
        return steps * (base + per_atom * n_atoms)

    @override
    def properties(self) -> tuple[str, ...]:
        return ("energy_per_atom", "volume_per_atom", "max_force")

    @override
    def build(self) -> Evaluator:
        return CalculatorEvaluator(self)


class CalculatorEvaluator:
    """A loaded calculator, ready to evaluate one crystal after another."""

    def __init__(self, recipe: CalculatorRecipe) -> None:
        self.recipe = recipe
        backend = BACKENDS[recipe.calculator]
        self.calculator = backend.factory(recipe.checkpoint)
        checkpoint = recipe.checkpoint or next(iter(backend.checkpoints), "")
        self.method = " ".join(
            p for p in (recipe.calculator.upper(), checkpoint) if p
        ) + (" relaxed" if recipe.relax else " single point")
        self.versions = {p: version(p) for p in sorted({"ase", backend.package})}

    def evaluate(self, crystal: Crystal, folder: Path) -> Evaluation:
        """Evaluate one crystal; see :class:`~matdisco.evaluators.base.Evaluator`."""
        from matdisco.crystal import Crystal, Label
        from matdisco.evaluators.base import evaluation_key
        from matdisco.evaluators.relax import check_contacts, finish, relax

        atoms = crystal.to_atoms()
        atoms.calc = self.calculator
        outcome = (
            relax(atoms, self.recipe.relax, folder)
            if self.recipe.relax
            else finish(atoms)
        )
        check_contacts(atoms)
        n = len(atoms)

        def label(value: float, unit: str) -> Label:
            return Label(float(value), unit, self.method)

        labels = {
            "energy_per_atom": label(outcome.energy / n, "eV/atom"),
            "volume_per_atom": label(atoms.get_volume() / n, "Å³/atom"),
            "max_force": label(outcome.max_force, "eV/Å"),
        }
        provenance: dict[str, Any] = {
            "calculator": self.recipe.calculator,
            "versions": self.versions,
            "steps": outcome.steps,
        }
        atoms.wrap()
        return Evaluation(
            key=evaluation_key(crystal, self.recipe),
            crystal_id=crystal.id,
            labels=labels,
            relaxed=Crystal.from_atoms(
                atoms, crystal.id, source={**crystal.source, "relaxed": self.method}
            ),
            provenance=provenance,
        )
