"""Exact Gaussian process on fixed features as a surrogate.

The mathematics is in :mod:`surrogates.gp.exact`; here it meets crystals, leave-one-out
calibration and checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from scipy.linalg import eigh

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress, labelled, require_records
from surrogates.calibration import Scale
from surrogates.checkpoint import Checkpoint, write
from surrogates.featurizers.table import features
from surrogates.gp.exact import ExactGP, Hyper
from surrogates.metrics import evaluate as score
from surrogates.recipes import GaussianProcessRecipe

JOINT_LIMIT = 4000
"""Candidates above which :meth:`GaussianProcess.predict` gives variances only: the
joint root takes n² numbers and n³ operations."""
_LEAST = 3
_JITTER = 1e-8


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
        self.process: ExactGP | None = None
        self._raw = np.zeros((0, 0))

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
        self._raw, self.process = raw, ExactGP.fit(raw, labels)
        errors, std = self.process.leave_one_out()
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
        process = self._fitted()
        if not crystals:
            return Prediction(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
        raw = features(self.recipe.features, crystals, n_threads=self.recipe.threads)
        noise = np.sqrt(process.noise)
        if len(raw) <= JOINT_LIMIT:
            factors = _root(process.covariance(raw), process.amplitude)
            residual = np.full(len(raw), noise)
        else:
            factors = np.zeros((0, len(raw)))
            residual = np.sqrt(process.variance(raw) + noise**2)
        return Prediction(process.mean(raw), factors, residual).scaled(self.scale.k)

    def save(self, folder: Path) -> None:
        """Write the training table; loading conditions on it again, bit for bit."""
        process = self._fitted()
        state = {
            "target": self.target,
            "dataset": self.dataset_hash,
            "scale": [self.scale.k, self.scale.n],
            "metrics": dict(self.metrics),
            "hyper": [process.hyper.length, process.hyper.ratio],
        }
        arrays = {"features": self._raw, "labels": process.y}
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
        process._raw = checkpoint.arrays["features"]
        process.process = ExactGP.fit(
            process._raw, checkpoint.arrays["labels"], hyper=Hyper(*state["hyper"])
        )
        return process

    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags."""
        text = {
            "surrogate": f"gaussian process on {self.recipe.features} features",
            "recipe": self.recipe.digest()[:16],
        }
        if self.process is not None:
            text |= {
                "target": self.target,
                "dataset": self.dataset_hash[:16],
                "records": str(len(self.process.y)),
                "length_scale": f"{self.process.hyper.length:.3g} "
                "(standardised features)",
                "noise_ratio": f"{self.process.hyper.ratio:.3g}",
                "uncertainty_scale": f"{self.scale.k:.3f}",
            }
        return text

    def _fitted(self) -> ExactGP:
        if self.process is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        return self.process


def _root(covariance: np.ndarray, amplitude: float) -> np.ndarray:
    """Return R with RᵀR = covariance, shape (n, n), clipping rounding below zero."""
    try:
        jitter = _JITTER * amplitude**2
        lower = np.linalg.cholesky(covariance + jitter * np.eye(len(covariance)))
        root: np.ndarray = lower.T
    except np.linalg.LinAlgError:
        values, vectors = eigh(covariance)
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return root
