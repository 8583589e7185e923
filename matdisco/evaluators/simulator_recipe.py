"""What all blocks of simulators may say: potentials and density-functional codes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.errors import SetupError
from matdisco.evaluators.base import EvaluatorRecipe
from matdisco.evaluators.measuring import LABELS, Computed
from matdisco.evaluators.relax import RelaxRecipe

if TYPE_CHECKING:
    from matdisco.evaluators.simulator import Engine, Simulator

Changes = Mapping[str, Any]
"""Settings that a further try changes."""


class SimulatorRecipe(EvaluatorRecipe):
    """What all simulators share."""

    relax: RelaxRecipe | None = Field(default_factory=RelaxRecipe)
    """How to relax; null evaluates the structure as it stands."""
    compute: tuple[Computed, ...] = ()
    """Properties besides energy, volume and largest force: bulk_modulus, elasticity,
    phonons, band_gap, magnetic_moment, formation_energy, geometry (density, packing
    fraction, void and bottleneck radius)."""
    measure: Mapping[str, str] = Field(default_factory=dict)
    """Properties of your own: key to ``module:function``. The function gets the relaxed
    ASE atoms with their calculator and the evaluation's folder (a Path), and returns a
    number in the property's unit."""
    max_atoms: int | None = Field(None, ge=1)
    """Largest cell that is accepted, atoms; what is sensible for the backend on one
    core when not given."""
    references: Mapping[str, str] = Field(default_factory=dict)
    """Element to structure file, for formation energies; elements not named take
    the structures that matdisco knows."""

    hashed_if_given: ClassVar[frozenset[str]] = frozenset({"measure"})
    unhashed: ClassVar[frozenset[str]] = frozenset({"max_atoms"})

    @field_validator("measure")
    @classmethod
    def _new_names(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        taken = {"energy_per_atom", "volume_per_atom", "max_force"}
        taken |= {key for keys in LABELS.values() for key in keys}
        if twice := sorted(taken & value.keys()):
            raise ValueError(
                f"{', '.join(twice)}: matdisco's own; ask for it with compute, or give "
                "yours another name"
            )
        return value

    def ladder(self) -> tuple[Changes, ...]:
        """Return what further tries change after a calculation did not converge."""
        return ()

    def engine(self) -> Engine:
        """Load the code; called once in each worker."""
        raise NotImplementedError

    @override
    def properties(self) -> tuple[str, ...]:
        more = [key for c in self.compute for key in LABELS[c]]
        return ("energy_per_atom", "volume_per_atom", "max_force", *more, *self.measure)

    def check_measured(self) -> None:
        """Refuse functions of ``measure`` that cannot be imported.

        Raises:
            SetupError: names the key.
        """
        from matdisco.evaluators.function import imported

        for key, path in self.measure.items():
            imported(path, f"evaluator.measure.{key}")

    def check_references(self, elements: frozenset[str]) -> None:
        """Refuse formation energies of elements that have no reference.

        Raises:
            SetupError: names the elements and the key to give files with.
        """
        if "formation_energy" not in self.compute or not elements:
            return
        from matdisco.evaluators.references import known

        missing = sorted(elements - known() - self.references.keys())
        if missing:
            raise SetupError(
                "evaluator.references: no reference structure is known for "
                f"{', '.join(missing)}; give one each: {{{missing[0]}: FILE}}"
            )
        for symbol, path in self.references.items():
            if not Path(path).exists():
                raise SetupError(f"evaluator.references.{symbol}: no such file: {path}")

    @override
    def build(self) -> Simulator:
        from matdisco.evaluators.simulator import Simulator

        return Simulator(self, self.engine())
