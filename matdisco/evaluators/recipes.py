"""What an ``evaluator:`` block may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matdisco.evaluators.calculators import CalculatorRecipe
from matdisco.evaluators.function import FunctionRecipe
from matdisco.evaluators.lookup import LookupRecipe

AnyEvaluator = Annotated[
    CalculatorRecipe | FunctionRecipe | LookupRecipe, Field(discriminator="kind")
]
"""Every evaluator, chosen by ``kind``."""
