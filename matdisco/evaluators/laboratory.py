"""People and instruments as an evaluator: matdisco asks, a CSV file answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.errors import SetupError
from matdisco.evaluators.base import Evaluator, EvaluatorRecipe


class LaboratoryRecipe(EvaluatorRecipe):
    """Writes what is to be made and measured, and waits for ``matdisco tell``."""

    by_hand: ClassVar[bool] = True
    unhashed: ClassVar[frozenset[str]] = frozenset(
        {"watch", "poll", "enough", "replicates", "hours", "protocol"}
    )

    kind: Literal["laboratory"] = "laboratory"
    returns: tuple[str, ...] = Field(min_length=1)
    """The property keys that are measured; each is a column of the results."""
    replicates: int = Field(1, ge=1)
    """Measurements of a property after which a candidate counts as answered; more
    that come later still count."""
    enough: float = Field(1.0, gt=0, le=1)
    """Share of a round that must be answered before the next is proposed."""
    hours: float = Field(8.0, gt=0)
    """Expected hours of one synthesis with measurement, for the plan."""
    protocol: str | None = None
    """Markdown file to hand out for each candidate, with the fields {candidate},
    {formula}, {round}, {why} and {properties}; a short one of ours if not given."""
    watch: str | None = None
    """Folder in which instruments drop CSV files. With it ``matdisco run`` stays and
    looks there; without, it ends and goes on after ``matdisco tell``."""
    poll: float = Field(10.0, gt=0)
    """Seconds between two looks."""

    @field_validator("returns")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"a property is named twice in {list(value)}")
        return value

    @override
    def check(self, elements: frozenset[str]) -> None:
        from pathlib import Path

        for key in ("protocol", "watch"):
            path = getattr(self, key)
            if path is not None and not Path(path).exists():
                raise SetupError(f"evaluator.{key}: no such file or folder: {path}")

    @override
    def seconds_per_evaluation(self, n_atoms: float) -> float:
        return 3600.0 * self.hours * self.replicates

    @override
    def properties(self) -> tuple[str, ...]:
        return self.returns

    @override
    def build(self) -> Evaluator:
        raise SetupError(
            "evaluator kind laboratory is answered by people, with: matdisco tell RUN "
            "RESULTS.csv; it cannot be run in a worker process"
        )
