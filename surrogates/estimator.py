"""CrystalRegressor: any surrogate with the conventions of scikit-learn.

``fit(X, y)``, ``predict(X)``, ``get_params`` and ``set_params``, so that
``cross_val_score``, ``GridSearchCV`` and pipelines work; X holds crystals, pymatgen
structures or ASE atoms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError
from typing_extensions import override

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import Prediction, Surrogate
from surrogates.recipes import AnySurrogate, recipe_of

_TARGET = "target"


class CrystalRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Fit and predict crystals like any scikit-learn regressor.

    Args:
        recipe: a surrogate recipe, or its fields with ``kind``.
        seed: of the fit.
    """

    def __init__(
        self, recipe: AnySurrogate | Mapping[str, Any] | None = None, seed: int = 0
    ) -> None:
        self.recipe = recipe
        self.seed = seed

    def fit(
        self, X: Sequence[Any], y: Sequence[float] | np.ndarray
    ) -> CrystalRegressor:
        """Learn ``y`` (any unit) from ``X``; returns itself.

        Raises:
            ConfigError: the recipe has an unknown kind or key, or is none.
            SurrogateError: labels that are no numbers, lengths that differ, or what the
                surrogate refuses.
        """
        try:
            values = np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise SurrogateError(
                f"y: expected one number for each crystal ({error})"
            ) from error
        if values.shape != (len(X),):
            raise SurrogateError(
                f"Expected one label for each of {len(X)} crystals "
                f"(got shape {values.shape})"
            )
        given = {"kind": "gaussian_process"} if self.recipe is None else self.recipe
        recipe = recipe_of(given, "CrystalRegressor")
        crystals = tuple(
            Crystal(str(i), c.structure, {_TARGET: Label(float(v), "")})
            for i, (c, v) in enumerate(zip(as_crystals(X), values, strict=True))
        )
        self.surrogate_: Surrogate = recipe.build(self.seed)
        self.report_ = self.surrogate_.fit(Dataset("X", crystals), _TARGET)
        self.n_features_in_ = 1
        return self

    def predict(
        self, X: Sequence[Any], return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the mean, shape (n,), and with ``return_std`` the deviation too."""
        found = self.predict_joint(X)
        return (found.mean, found.std) if return_std else found.mean

    def predict_joint(self, X: Sequence[Any]) -> Prediction:
        """Return the joint prediction with its covariance."""
        if not hasattr(self, "surrogate_"):
            raise NotFittedError("this CrystalRegressor is not fitted yet; call fit()")
        return self.surrogate_.predict(as_crystals(X))

    @override
    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "surrogate_")


def as_crystals(items: Sequence[Any]) -> list[Crystal]:
    """Return crystals for crystals, pymatgen structures or ASE atoms.

    Raises:
        SurrogateError: something else.
    """
    from ase import Atoms
    from pymatgen.core import Structure

    made = []
    for i, item in enumerate(items):
        if isinstance(item, Crystal):
            made.append(item)
        elif isinstance(item, Structure):
            made.append(Crystal(str(i), item))
        elif isinstance(item, Atoms):
            made.append(Crystal.from_atoms(item, str(i)))
        else:
            raise SurrogateError(
                f"row {i}: expected a Crystal, Structure or Atoms, "
                f"got {type(item).__name__}"
            )
    return made
