"""What an ``evaluator:`` block may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matdisco.evaluators.calculators import CalculatorRecipe
from matdisco.evaluators.dft.recipe import DftRecipe
from matdisco.evaluators.function import FunctionRecipe
from matdisco.evaluators.laboratory import LaboratoryRecipe
from matdisco.evaluators.lookup import LookupRecipe

AnyEvaluator = Annotated[
    CalculatorRecipe | DftRecipe | FunctionRecipe | LookupRecipe | LaboratoryRecipe,
    Field(discriminator="kind"),
]
"""Every evaluator, chosen by ``kind``."""
