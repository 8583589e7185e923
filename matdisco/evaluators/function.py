"""A user's own Python function as an evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.errors import SetupError
from matdisco.evaluators.base import Evaluation, Evaluator, EvaluatorRecipe

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


class FunctionRecipe(EvaluatorRecipe):
    """Calls ``function(crystal, **settings)``, which returns values by name."""

    kind: Literal["function"] = "function"
    function: str
    """Import path ``module:name``. The function takes a Crystal and returns a
    mapping of property key to number, or to (number, unit)."""
    returns: tuple[str, ...]
    """The property keys it returns."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the function."""
    seconds: float = Field(1.0, gt=0)
    """Expected seconds per call, for the cost estimate."""

    @field_validator("function")
    @classmethod
    def _path(cls, value: str) -> str:
        module, _, name = value.partition(":")
        if not module or not name:
            raise ValueError(f"expected 'module:function', got {value!r}")
        return value

    @override
    def check(self, elements: frozenset[str]) -> None:
        self.load()

    def load(self) -> Callable[..., Any]:
        """Import the function.

        Raises:
            SetupError: the module or the function is not there.
        """
        return imported(self.function, "evaluator.function")

    @override
    def seconds_per_evaluation(self, n_atoms: float) -> float:
        return self.seconds

    @override
    def properties(self) -> tuple[str, ...]:
        return self.returns

    @override
    def build(self) -> Evaluator:
        return FunctionEvaluator(self)


def imported(path: str, key: str) -> Callable[..., Any]:
    """Import ``module:name`` and return the function.

    Args:
        path: the import path.
        key: of the configuration that names it, for messages.

    Raises:
        SetupError: it is not there, or not a function.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise SetupError(f"{key}: expected 'module:function', got {path!r}")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise SetupError(
            f"{key}: cannot import {module!r} ({error}); is its folder installed or on "
            "PYTHONPATH?"
        ) from error
    except AttributeError:
        raise SetupError(f"{key}: module {module!r} has no {name!r}") from None
    if not callable(found):
        raise SetupError(f"{key}: {path} is not callable")
    return found  # type: ignore[no-any-return]


class FunctionEvaluator:
    """Wraps the loaded function."""

    def __init__(self, recipe: FunctionRecipe) -> None:
        self.recipe = recipe
        self.function = recipe.load()

    def evaluate(self, crystal: Crystal, folder: Path) -> Evaluation:
        """Call the function; see :class:`~matdisco.evaluators.base.Evaluator`."""
        from matdisco.crystal import Label
        from matdisco.evaluators.base import evaluation_key
        from matdisco.properties import get

        answer = self.function(crystal, **self.recipe.settings)
        missing = [k for k in self.recipe.returns if k not in answer]
        if missing:
            raise ValueError(
                f"{self.recipe.function} returned {sorted(answer)}; "
                f"{', '.join(missing)} missing"
            )
        labels = {}
        for key in self.recipe.returns:
            value, unit = (
                answer[key]
                if isinstance(answer[key], tuple)
                else (answer[key], get(key).unit)
            )
            number = float(value) if value is not None else math.nan
            labels[key] = Label(number, unit, self.recipe.function)
        return Evaluation(evaluation_key(crystal, self.recipe), crystal.id, labels)
