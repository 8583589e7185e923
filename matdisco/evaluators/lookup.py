"""Known answers as an evaluator: replays, and tables measured elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.errors import SetupError
from matdisco.evaluators.base import (
    Evaluation,
    EvaluationFailed,
    Evaluator,
    EvaluatorRecipe,
    FailureKind,
)

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


class LookupRecipe(EvaluatorRecipe):
    """Answers from a dataset that already holds the labels, by crystal id."""

    kind: Literal["lookup"] = "lookup"
    dataset: str
    """Path of the Parquet dataset, or ``shipped:NAME``."""
    returns: tuple[str, ...] = ("energy_per_atom",)
    """Which labels to give."""
    delay: float = Field(0.0, ge=0)
    """Seconds to wait before each answer, to rehearse a slow backend."""

    @override
    def check(self, elements: frozenset[str]) -> None:
        from matdisco.data.shipped import resolve

        if not resolve(self.dataset).exists():
            raise SetupError(f"evaluator.dataset: no such file: {self.dataset}")

    @override
    def seconds_per_evaluation(self, n_atoms: float) -> float:
        return max(self.delay, 1e-3)

    @override
    def properties(self) -> tuple[str, ...]:
        return self.returns

    @override
    def build(self) -> Evaluator:
        return LookupEvaluator(self)


class LookupEvaluator:
    """The table in memory."""

    def __init__(self, recipe: LookupRecipe) -> None:
        from matdisco.data.dataset import Dataset
        from matdisco.data.shipped import resolve

        self.recipe = recipe
        dataset = Dataset.open(resolve(recipe.dataset))
        self.answers = {c.id: c for c in dataset}

    def evaluate(self, crystal: Crystal, folder: Path) -> Evaluation:
        """Look one crystal up; see :class:`~matdisco.evaluators.base.Evaluator`."""
        from matdisco.evaluators.base import evaluation_key

        if self.recipe.delay:
            time.sleep(self.recipe.delay)
        found = self.answers.get(crystal.id)
        if found is None:
            raise EvaluationFailed(
                FailureKind.BACKEND_ERROR,
                f"{self.recipe.dataset} has no record {crystal.id!r}",
            )
        if "failure" in found.source:
            kind, _, message = str(found.source["failure"]).partition(": ")
            raise EvaluationFailed(FailureKind(kind), message)
        labels = {k: found.labels[k] for k in self.recipe.returns if k in found.labels}
        missing = [k for k in self.recipe.returns if k not in labels]
        if missing:
            raise EvaluationFailed(
                FailureKind.BACKEND_ERROR, f"record has no {', '.join(missing)}"
            )
        return Evaluation(evaluation_key(crystal, self.recipe), crystal.id, labels)
