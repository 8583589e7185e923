"""What a ``ladder:`` block may say: further evaluators, and who is promoted to them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.recipes import AnyEvaluator
from matdisco.recipe import Recipe

SCREENING = "screening"
"""Name of the fidelity below the first rung: the campaign's own evaluator."""


class RungRecipe(Recipe):
    """A dearer evaluator that confirms the best of the one below it.

    It evaluates the structures that the one below has relaxed. Its energies are only
    compared with each other: a hull has elemental references of its own, promoted
    first, and never a point of another fidelity.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
    """Name of this fidelity in the ledger, in tables and in metrics."""
    evaluator: AnyEvaluator
    """What confirms."""
    best: int = Field(2, ge=0)
    """Promotions after each round, the best first; 0 promotes only after the last."""
    within: float | None = Field(0.1, ge=0)
    """Promote nothing further than this from the hull (eV/atom), or from the best value
    (in the objective's unit), by the fidelity below; null sets no limit."""
    order: Literal["best", "expected_improvement"] = "best"
    """Who is promoted first: the best by the fidelity below, or what is expected to
    improve most on this fidelity's own best or hull, by the line that relates both
    where they have answered; until four candidates have both answers, the best."""
    cost_exponent: float = Field(0.0, ge=0, le=4)
    """With expected_improvement: cost of an evaluation as this power of its atoms, by
    which the improvement is divided; 3 is that of plain density-functional theory."""
    cost: Literal["given", "measured"] = "given"
    """With expected_improvement: ``measured`` learns cost as a power of the atoms from
    what this rung's own evaluations took, starting from ``cost_exponent``. Times are
    those of one machine: run again, the campaign may promote otherwise."""
    evaluations: int = Field(ge=1)
    """Evaluations by this evaluator in all, references and failures included. What is
    left after the last round goes to the best that ``within`` allows."""
    execution: ExecutionRecipe | None = None
    """How these evaluations are run; like the campaign's own when not given."""

    @model_validator(mode="after")
    def _cost_used(self) -> Self:
        measured = self.cost == "measured"
        if (self.cost_exponent or measured) and self.order == "best":
            raise ValueError(
                f"{'cost' if measured else 'cost_exponent'}: expected with order: "
                "expected_improvement only"
            )
        return self
