"""From a calculator to an evaluation: relax, check, measure, refer, try again.

One class for potentials and for DFT codes; what differs is an :class:`Engine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from matdisco.evaluators.base import (
    Evaluation,
    EvaluationFailed,
    FailureKind,
    evaluation_key,
)
from matdisco.evaluators.relax import (
    Relaxed,
    RelaxRecipe,
    check_contacts,
    finish,
    relax,
    same_crystal,
)
from matdisco.evaluators.simulator_recipe import Changes, SimulatorRecipe
from matdisco.recipe import digest

if TYPE_CHECKING:
    from ase import Atoms

    from matdisco.crystal import Crystal


class Engine(Protocol):
    """What a simulator needs from a code."""

    @property
    def method(self) -> str:
        """Level of theory for labels, for example ``GPAW PBE 400 eV``."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Packages and executables."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What else decides the answers: functional, hashes of weights and the like."""
        ...

    def calculator(self, atoms: Atoms, folder: Path, changes: Changes) -> Any:
        """Return a calculator for these atoms, prepared as ``changes`` say.

        May set initial magnetic moments on ``atoms``.
        """
        ...

    def recognise(self, error: Exception, folder: Path) -> EvaluationFailed | None:
        """Turn the code's own error into a kind of failure, where it is known."""
        ...


@dataclass
class Simulator:
    """A loaded code, ready to evaluate one crystal after another."""

    recipe: SimulatorRecipe
    """What is asked of each crystal."""
    engine: Engine
    """What answers."""

    def evaluate(self, crystal: Crystal, folder: Path) -> Evaluation:
        """Evaluate one crystal; see :class:`~matdisco.evaluators.base.Evaluator`.

        A calculation that does not converge is tried again with the changes of the
        recipe's ladder, each in a folder of its own; the last failure counts.
        """
        tries: Sequence[Changes] = ({}, *self.recipe.ladder())
        history = []
        for number, changes in enumerate(tries):
            place = folder / f"retry-{number}" if number else folder
            place.mkdir(parents=True, exist_ok=True)
            try:
                answer = self._once(crystal, place, changes, self.recipe.relax)
                answer = self._referred(crystal, answer, folder)
            except EvaluationFailed as failure:
                history.append({"changes": dict(changes), "failure": str(failure)})
                more = number + 1 < len(tries)
                if failure.kind is not FailureKind.NOT_CONVERGED or not more:
                    raise
                continue
            if history:
                tried = [*history, {"changes": dict(changes)}]
                answer = replace(
                    answer, provenance={**answer.provenance, "tries": tried}
                )
            return answer
        raise AssertionError("a ladder has at least one rung")

    def _once(
        self,
        crystal: Crystal,
        folder: Path,
        changes: Changes,
        recipe: RelaxRecipe | None,
        *,
        compute: bool = True,
    ) -> Evaluation:
        atoms = crystal.to_atoms()
        if crystal.source.get("molecule"):
            atoms.info["molecule"] = True
        try:
            atoms.calc = self.engine.calculator(atoms, folder, changes)
            if recipe is not None and "optimizer" in changes:
                recipe = recipe.model_copy(update={"optimizer": changes["optimizer"]})
            outcome = relax(atoms, recipe, folder) if recipe else finish(atoms)
            atoms = outcome.atoms
            check_contacts(atoms)
            extra = self._measured(atoms, folder) if compute else {}
        except EvaluationFailed:
            raise
        except Exception as error:
            failure = self.engine.recognise(error, folder)
            if failure is None:
                raise
            raise failure from error
        return self._evaluation(crystal, outcome, extra)

    def _measured(self, atoms: Atoms, folder: Path) -> dict[str, float]:
        from matdisco.evaluators.measuring import measure, own

        found = {
            key: value
            for what in self.recipe.compute
            if what != "formation_energy"
            for key, value in measure(what, atoms, folder).items()
        }
        return {**found, **own(self.recipe.measure, atoms, folder)}

    def _evaluation(
        self, crystal: Crystal, outcome: Relaxed, extra: Mapping[str, float]
    ) -> Evaluation:
        from matdisco.crystal import Crystal, Label
        from matdisco.properties import get

        atoms, recipe, engine = outcome.atoms, self.recipe, self.engine
        method = engine.method + (" relaxed" if recipe.relax else " single point")
        n = len(atoms)
        numbers = {
            "energy_per_atom": outcome.energy / n,
            "volume_per_atom": atoms.get_volume() / n,
            "max_force": outcome.max_force,
            **extra,
        }
        labels = {
            key: Label(float(value), get(key).unit, method)
            for key, value in numbers.items()
        }
        provenance: dict[str, Any] = {
            "method": engine.method,
            "versions": dict(engine.versions),
            **engine.details,
            "settings": recipe.digest()[:16],
            "steps": outcome.steps,
        }
        if outcome.bulk_modulus is not None:
            provenance["equation_of_state_bulk_modulus_GPa"] = outcome.bulk_modulus
        atoms.wrap()
        final = Crystal.from_atoms(
            atoms, crystal.id, source={**crystal.source, "relaxed": method}
        )
        if recipe.relax:
            same = same_crystal(crystal, final)
            provenance["same_crystal"] = same
            if not same and recipe.relax.must_stay:
                raise EvaluationFailed(
                    FailureKind.SYMMETRY_CHANGED,
                    "the relaxed structure is another one than the candidate "
                    "(evaluator.relax.must_stay)",
                )
        return Evaluation(
            key=evaluation_key(crystal, recipe),
            crystal_id=crystal.id,
            labels=labels,
            relaxed=final,
            provenance=provenance,
        )

    def _referred(
        self, crystal: Crystal, answer: Evaluation, folder: Path
    ) -> Evaluation:
        """Add the formation energy relative to references of the same recipe."""
        if "formation_energy" not in self.recipe.compute:
            return answer
        from matdisco.crystal import Label
        from matdisco.evaluators.references import reference

        # beside the folders of the evaluations, shared by all workers of the run
        home = folder.parent.parent / "references" / self.fidelity()[:16]
        energy = answer.labels["energy_per_atom"]
        parts = {
            e.symbol: amount / crystal.composition.num_atoms
            for e, amount in crystal.composition.items()
        }
        made = {
            symbol: reference(symbol, home, self.recipe.references, self._reference)
            for symbol in sorted(parts)
        }
        value = energy.value - sum(parts[s] * made[s] for s in parts)
        label = Label(value, "eV/atom", energy.method)
        return replace(
            answer,
            labels={**answer.labels, "formation_energy_per_atom": label},
            provenance={**answer.provenance, "references_eV_per_atom": made},
        )

    def fidelity(self) -> str:
        """Return the hash of all that decides an energy: what shares references."""
        data = self.recipe.deciding()
        aside = ("compute", "measure")
        return digest({k: v for k, v in data.items() if k not in aside})

    def _reference(self, crystal: Crystal, folder: Path) -> Evaluation:
        recipe = self.recipe.relax or RelaxRecipe()
        if crystal.source.get("molecule"):
            recipe = recipe.model_copy(update={"cell": False, "by": "stress"})
        return self._once(crystal, folder, {}, recipe, compute=False)
