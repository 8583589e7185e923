"""Random forest on fixed features, with the spread of its trees as uncertainty.

Breiman, Machine Learning 45, 5 (2001). The honest baseline that a network must beat.
Saved as its training table and grown again on loading: no pickle, same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from typing_extensions import override

from surrogates.base import Prediction, Progress
from surrogates.spread import spread
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.recipes import RandomForestRecipe

_FLOOR = 0.1
"""Each crystal's own standard deviation over that of the labels: trees that agree are
not certain, and without a floor a few of them would decide the calibration."""


class RandomForest(Tabular[RandomForestRecipe]):
    """See the module; made by :class:`~surrogates.tabular.RandomForestRecipe`."""

    _forest: Any = None

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        """Grow the forest; predict each record with the trees that missed it."""
        self._grow()
        missing = np.ones((len(self._forest.estimators_), len(y)), dtype=bool)
        for row, drawn in zip(missing, self._forest.estimators_samples_, strict=True):
            row[drawn] = False
        trees = np.stack([t.predict(x) for t in self._forest.estimators_])
        counts = missing.sum(axis=0)
        rows = np.flatnonzero(counts >= 2)
        trees, missing, counts = trees[:, rows], missing[:, rows], counts[rows]
        mean = (trees * missing).sum(axis=0) / counts
        variance = (((trees - mean) ** 2) * missing).sum(axis=0) / (counts - 1)
        std = np.sqrt(variance + self._least() ** 2)
        return Held(rows, Prediction.apart(mean, std))

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        trees = np.stack([t.predict(x) for t in self._forest.estimators_])  # (T, n)
        mean = trees.mean(axis=0)
        factors = (trees - mean) / np.sqrt(len(trees) - 1)
        return Prediction(mean, factors, np.full(len(mean), self._least()))

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._grow()

    @override
    def _words(self) -> dict[str, str]:
        return {"surrogate": f"random forest on {self.recipe.features} features"}

    def _grow(self) -> None:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            n_estimators=self.recipe.trees,
            min_samples_leaf=self.recipe.min_leaf,
            max_features=self.recipe.max_features,
            random_state=self.seed % 2**32,
            n_jobs=self.recipe.threads,
        )
        self._forest = forest.fit(self._raw, self._y)

    def _least(self) -> float:
        return _FLOOR * spread(self._y)
