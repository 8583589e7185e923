"""Exact Gaussian process on fixed features, in NumPy.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): algorithm 2.1
for prediction, equations 5.10 to 5.12 for leave-one-out. One length scale and one noise
ratio are chosen by the marginal likelihood on a grid, with the signal variance in
closed form, so fitting has no start point, no optimiser and no randomness.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh, solve_triangular
from scipy.spatial.distance import cdist

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress, labelled, require_records
from surrogates.calibration import Scale
from surrogates.checkpoint import Checkpoint, write
from surrogates.featurizers.table import Standardizer, features
from surrogates.metrics import evaluate as score
from surrogates.recipes import GaussianProcessRecipe

JOINT_LIMIT = 4000
"""Candidates above which :meth:`GaussianProcess.predict` gives variances only: the
joint root takes n² numbers and n³ operations."""
_LEAST = 3
_TUNED_ON = 800  # records (evenly spaced) that choose length scale and noise
_LENGTHS = np.geomspace(0.2, 20.0, 15)  # in units of the median feature distance
_NOISES = np.geomspace(1e-5, 1.0, 16)  # noise variance over signal variance
_JITTER = 1e-8


def matern52(distance: np.ndarray) -> np.ndarray:
    """Return the Matérn-5/2 correlation for distances in length scales.

    >>> matern52(np.array([0.0])).tolist()
    [1.0]
    """
    s = np.sqrt(5.0) * distance
    value: np.ndarray = (1.0 + s + s**2 / 3.0) * np.exp(-s)
    return value


class GaussianProcess:
    """See the module; made by :class:`~surrogates.recipes.GaussianProcessRecipe`.

    The noise counts as each crystal's own uncertainty: with a deterministic simulator
    it stands for what the features cannot tell apart.
    """

    def __init__(self, recipe: GaussianProcessRecipe) -> None:
        self.recipe = recipe
        self.target = ""
        self.scale = Scale()
        self.dataset_hash = ""
        self.metrics: Mapping[str, float] = {}
        self._x: np.ndarray | None = None
        self._y = np.zeros(0)

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Fit exactly; leave-one-out errors calibrate and judge it."""
        start = time.perf_counter()
        records, labels = labelled(dataset, target)
        require_records(len(records), _LEAST, target, dataset.name)
        if len(records) > self.recipe.max_records:
            raise SurrogateError(
                f"dataset {dataset.name}: {len(records)} records, but max_records is "
                f"{self.recipe.max_records}; take fewer or use a network_ensemble"
            )
        self.target, self.dataset_hash = target, records.content_hash
        raw = features(
            self.recipe.features, records.crystals, n_threads=self.recipe.threads
        )
        self._condition(raw, labels)
        inverse = np.diag(cho_solve(self._factor, np.eye(len(labels))))
        std = self._centre_spread[1] * np.sqrt(self._signal / inverse)
        errors = self._centre_spread[1] * self._alpha / inverse
        prior = Scale(1.0, self.recipe.calibration_prior)
        self.scale = prior.updated(errors / std)
        missed = Prediction(labels - errors, np.zeros((0, len(labels))), std)
        self.metrics = score(labels, missed.scaled(self.scale.k))
        seconds = time.perf_counter() - start
        n = len(records)
        return FitReport(n, n, seconds, (), self.metrics)

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the posterior; joint up to ``JOINT_LIMIT`` crystals, else diagonal.

        Above the limit ``factors`` has no rows and ``residual`` holds everything.
        """
        if self._x is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        if not crystals:
            return Prediction(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
        raw = features(self.recipe.features, crystals, n_threads=self.recipe.threads)
        x = self._standard(raw)
        centre, spread = self._centre_spread
        cross = matern52(cdist(x, self._x) / self._length)  # (n, records)
        mean = centre + spread * (cross @ self._alpha)
        v = solve_triangular(self._factor[0], cross.T, lower=True)  # (records, n)
        amplitude = spread * np.sqrt(self._signal)
        noise = amplitude * np.sqrt(self._noise)
        if len(x) <= JOINT_LIMIT:
            own = matern52(cdist(x, x) / self._length) - v.T @ v
            factors = amplitude * _root(own)
            residual = np.full(len(x), noise)
        else:
            left = np.maximum(1.0 - (v**2).sum(axis=0), 0.0)
            factors = np.zeros((0, len(x)))
            residual = np.sqrt(amplitude**2 * left + noise**2)
        return Prediction(mean, factors, residual).scaled(self.scale.k)

    def save(self, folder: Path) -> None:
        """Write the training table; loading conditions on it again, bit for bit."""
        if self._x is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        state = {
            "target": self.target,
            "dataset": self.dataset_hash,
            "scale": [self.scale.k, self.scale.n],
            "metrics": dict(self.metrics),
            "hyper": [self._length, self._noise],
        }
        arrays = {"features": self._raw, "labels": self._y}
        write(
            Path(folder), Checkpoint(self.recipe.model_dump(mode="json"), state, arrays)
        )

    @classmethod
    def restored(cls, recipe: GaussianProcessRecipe, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        process = cls(recipe)
        state = checkpoint.state
        process.target, process.dataset_hash = state["target"], state["dataset"]
        process.scale, process.metrics = Scale(*state["scale"]), state["metrics"]
        process._condition(
            checkpoint.arrays["features"], checkpoint.arrays["labels"], state["hyper"]
        )
        return process

    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags."""
        text = {
            "surrogate": f"gaussian process on {self.recipe.features} features",
            "recipe": self.recipe.digest()[:16],
        }
        if self._x is not None:
            text |= {
                "target": self.target,
                "dataset": self.dataset_hash[:16],
                "records": str(len(self._y)),
                "length_scale": f"{self._length:.3g} (standardised features)",
                "noise_ratio": f"{self._noise:.3g}",
                "uncertainty_scale": f"{self.scale.k:.3f}",
            }
        return text

    def _condition(
        self, raw: np.ndarray, labels: np.ndarray, hyper: Sequence[Any] | None = None
    ) -> None:
        """Choose hyperparameters unless given, then factorise once."""
        self._raw, self._y = raw, labels
        self._standard = Standardizer.of(raw)
        self._x = x = self._standard(raw)
        spread = float(labels.std()) or 1.0
        self._centre_spread = (float(labels.mean()), spread)
        z = (labels - labels.mean()) / spread
        self._length, self._noise = map(float, hyper or _tuned(x, z))
        kernel = matern52(cdist(x, x) / self._length)
        kernel[np.diag_indices_from(kernel)] += self._noise
        self._factor = cho_factor(kernel, lower=True)
        self._alpha = cho_solve(self._factor, z)
        # the signal variance that maximises the likelihood, floored for constant labels
        self._signal = max(float(z @ self._alpha) / len(z), 1e-12)


def _tuned(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """Return the (length, noise ratio) of greatest marginal likelihood on the grid."""
    rows = np.unique(np.linspace(0, len(x) - 1, _TUNED_ON).astype(int))
    x, z = x[rows], z[rows]
    distance = cdist(x, x)
    positive = distance[distance > 0]
    unit = float(np.median(positive)) if len(positive) else 1.0
    best, chosen = -np.inf, (unit, 1e-2)
    for length in unit * _LENGTHS:
        values, vectors = eigh(matern52(distance / length))
        squared = (vectors.T @ z) ** 2
        for noise in _NOISES:
            shifted = np.maximum(values, 0.0) + noise
            signal = max(float((squared / shifted).mean()), 1e-12)
            likelihood = -0.5 * (len(z) * np.log(signal) + np.log(shifted).sum())
            if likelihood > best:
                best, chosen = likelihood, (float(length), float(noise))
    return chosen


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return R with RᵀR = covariance, shape (n, n), clipping rounding below zero."""
    try:
        lower = np.linalg.cholesky(covariance + _JITTER * np.eye(len(covariance)))
        root: np.ndarray = lower.T
    except np.linalg.LinAlgError:
        values, vectors = eigh(covariance)
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return root
