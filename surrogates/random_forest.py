"""Random forest on fixed features, with the spread of its trees as uncertainty.

Breiman, Machine Learning 45, 5 (2001). The honest baseline that a network must beat.
Saved as its training table and grown again on loading: no pickle, same bits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress, labelled, require_records
from surrogates.calibration import Scale, z_scores
from surrogates.checkpoint import Checkpoint, write
from surrogates.featurizers.table import features
from surrogates.metrics import evaluate as score
from surrogates.recipes import RandomForestRecipe

_LEAST = 3
_FLOOR = 0.1
"""Each crystal's own standard deviation over that of the labels: trees that agree are
not certain, and without a floor a few of them would decide the calibration."""


class RandomForest:
    """See the module; made by :class:`~surrogates.recipes.RandomForestRecipe`."""

    def __init__(self, recipe: RandomForestRecipe, seed: int = 0) -> None:
        self.recipe, self.seed = recipe, seed
        self.target = ""
        self.scale = Scale()
        self.dataset_hash = ""
        self.metrics: Mapping[str, float] = {}
        self._forest: Any = None

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Grow the forest; out-of-bag errors calibrate and judge it."""
        start = time.perf_counter()
        records, labels = labelled(dataset, target)
        require_records(len(records), _LEAST, target, dataset.name)
        raw = features(
            self.recipe.features, records.crystals, n_threads=self.recipe.threads
        )
        self.target, self.dataset_hash = target, records.content_hash
        self._grow(raw, labels)
        rows, missed = self._out_of_bag()
        prior = Scale(1.0, self.recipe.calibration_prior)
        self.scale, self.metrics = prior, {}
        if len(rows):
            self.scale = prior.updated(z_scores(labels[rows], missed))
            self.metrics = score(labels[rows], missed.scaled(self.scale.k))
        seconds = time.perf_counter() - start
        return FitReport(len(records), len(rows), seconds, (), self.metrics)

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return mean and joint spread of the trees."""
        self._require_fit()
        if not crystals:
            return Prediction(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
        raw = features(self.recipe.features, crystals, n_threads=self.recipe.threads)
        trees = np.stack([t.predict(raw) for t in self._forest.estimators_])  # (T, n)
        return self._joint(trees).scaled(self.scale.k)

    def save(self, folder: Path) -> None:
        """Write the training table and the calibration."""
        self._require_fit()
        state = {
            "target": self.target,
            "seed": self.seed,
            "dataset": self.dataset_hash,
            "scale": [self.scale.k, self.scale.n],
            "metrics": dict(self.metrics),
        }
        arrays = {"features": self._raw, "labels": self._y}
        write(
            Path(folder), Checkpoint(self.recipe.model_dump(mode="json"), state, arrays)
        )

    @classmethod
    def restored(cls, recipe: RandomForestRecipe, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        state = checkpoint.state
        forest = cls(recipe, int(state["seed"]))
        forest.target, forest.dataset_hash = state["target"], state["dataset"]
        forest.scale, forest.metrics = Scale(*state["scale"]), state["metrics"]
        forest._grow(checkpoint.arrays["features"], checkpoint.arrays["labels"])
        return forest

    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags."""
        text = {
            "surrogate": f"random forest on {self.recipe.features} features",
            "recipe": self.recipe.digest()[:16],
        }
        if self._forest is not None:
            text |= {
                "target": self.target,
                "dataset": self.dataset_hash[:16],
                "records": str(len(self._y)),
                "uncertainty_scale": f"{self.scale.k:.3f}",
            }
        return text

    def _require_fit(self) -> None:
        if self._forest is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")

    def _grow(self, raw: np.ndarray, labels: np.ndarray) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self._raw, self._y = raw, labels
        forest = RandomForestRegressor(
            n_estimators=self.recipe.trees,
            min_samples_leaf=self.recipe.min_leaf,
            max_features=self.recipe.max_features,
            random_state=self.seed % 2**32,
            n_jobs=self.recipe.threads,
        )
        self._forest = forest.fit(raw, labels)

    def _out_of_bag(self) -> tuple[np.ndarray, Prediction]:
        """Predict each record with the trees that missed it (at least two)."""
        n = len(self._y)
        missing = np.ones((len(self._forest.estimators_), n), dtype=bool)
        for row, drawn in zip(missing, self._forest.estimators_samples_, strict=True):
            row[drawn] = False
        trees = np.stack([t.predict(self._raw) for t in self._forest.estimators_])
        counts = missing.sum(axis=0)
        rows = np.flatnonzero(counts >= 2)
        trees, missing, counts = trees[:, rows], missing[:, rows], counts[rows]
        mean = (trees * missing).sum(axis=0) / counts
        variance = (((trees - mean) ** 2) * missing).sum(axis=0) / (counts - 1)
        std = np.sqrt(variance + self._least() ** 2)
        return rows, Prediction(mean, np.zeros((0, len(rows))), std)

    def _joint(self, trees: np.ndarray) -> Prediction:
        mean = trees.mean(axis=0)
        factors = (trees - mean) / np.sqrt(len(trees) - 1)
        return Prediction(mean, factors, np.full(len(mean), self._least()))

    def _least(self) -> float:
        return _FLOOR * (float(self._y.std()) or 1.0)
