"""What a ``ladder:`` block may say: further evaluators, and who is promoted to them."""

from __future__ import annotations

from pydantic import Field

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
    evaluations: int = Field(ge=1)
    """Evaluations by this evaluator in all, references and failures included. What is
    left after the last round goes to the best that ``within`` allows."""
    execution: ExecutionRecipe | None = None
    """How these evaluations are run; like the campaign's own when not given."""
