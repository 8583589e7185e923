"""Tabular: what surrogates on fixed features share.

A subclass learns from a table and predicts a table; here are labels, transforms,
calibration on records left out, checkpoints and descriptions. A checkpoint holds the
training table and what the subclass adds; loading conditions again, bit for bit.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from surrogates.base import (
    FitReport,
    HistoryRow,
    Prediction,
    Progress,
    labelled,
    require_records,
)
from surrogates.calibration import Scale, Steps, UnseenChemistry
from surrogates.checkpoint import Checkpoint, write
from surrogates.displays import ShowsItself
from surrogates.featurizers.table import features
from surrogates.tabular.calibrated import Calibrated, Held, R
from surrogates.tabular.transforms import NormalScores, transform
from surrogates.training_state import Resume

_LEAST = 3


class Tabular(ShowsItself, Calibrated[R], ABC):
    """See the module; one subclass per kind.

    Args:
        recipe: all settings.
        seed: of the fit.
        folder: where a kind that trains leaves its states, or None.
    """

    def __init__(self, recipe: R, seed: int = 0, folder: Path | None = None) -> None:
        super().__init__(recipe, seed)
        self.folder = folder
        self.resume: Resume | None = None
        self.watch: Progress | None = None  # told of trainings beside the main one
        self.target = ""
        self.dataset_hash = ""
        self._raw = np.zeros((0, 0))

    # ---- what a kind does

    @abstractmethod
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        """Fit raw features (n, d) and labels (n,); predict the records left out."""

    @abstractmethod
    def _answer(self, x: np.ndarray) -> Prediction:
        """Return the raw joint prediction for raw features (m, d)."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what :meth:`_restore` needs besides the table: JSON and arrays."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Make ready from the table and what :meth:`_state` returned."""

    @abstractmethod
    def _words(self) -> dict[str, str]:
        """Return the kind's own lines of :meth:`describe`; ``surrogate`` is one."""

    def _check(self, n: int, dataset: Dataset) -> None:
        """Refuse what this kind cannot fit."""

    def _features(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return raw features, shape (n, d)."""
        return features(self.recipe.features, crystals, n_threads=self.recipe.threads)

    # ---- the Surrogate protocol

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target``; records left out calibrate and judge it."""
        start = time.perf_counter()
        records, labels = labelled(dataset, target)
        require_records(len(records), _LEAST, target, dataset.name)
        self._check(len(records), dataset)
        y = self._transformed(labels, records)
        self._raw, self._y = self._features(records.crystals), y
        self.target, self.dataset_hash = target, records.content_hash
        history: list[HistoryRow] = []

        def told(row: HistoryRow) -> None:
            history.append(row)
            if progress is not None:
                progress(row)

        self.resume = None if self.folder is None else Resume(self.folder / ".fit")
        self.watch = progress
        self.held = self._learn(self._raw, y, told)
        self._ready = True
        self._calibrate(labels, records)
        seconds = time.perf_counter() - start
        return FitReport(
            len(records),
            len(self.held.rows),
            seconds,
            tuple(history),
            dict(self.metrics),
        )

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the calibrated joint prediction, in the order of ``crystals``."""
        self._require_fit()
        if not crystals:
            return Prediction(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
        return self._finished(self._answer(self._features(crystals)), crystals)

    def save(self, folder: Path) -> None:
        """Write the training table, the calibration and the kind's own state."""
        self._require_fit()
        own_state, own_arrays = self._state()
        held = self.held
        state = {
            "target": self.target,
            "seed": self.seed,
            "dataset": self.dataset_hash,
            "scale": [self.steps.scale.k, self.steps.scale.n],
            "metrics": dict(self.metrics),
            "calibrated": "learnt",  # the unit in which sigmas were matched to errors
            "own": own_state,
        }
        if self.unseen is not None:
            state["unseen"] = self.unseen.to_dict()
        arrays = {"features": self._raw, "labels": self._y}
        if held is not None:
            arrays["held_rows"] = held.rows
            arrays["held_mean"] = held.prediction.mean
            arrays["held_std"] = held.prediction.std
        arrays |= self.steps.arrays()
        if isinstance(self.transform, NormalScores):
            arrays["ranks_values"] = self.transform.values
            arrays["ranks_scores"] = self.transform.scores
        arrays |= {f"own_{k}": v for k, v in own_arrays.items()}
        write(
            Path(folder), Checkpoint(self.recipe.model_dump(mode="json"), state, arrays)
        )
        if self.resume is not None:  # it only served to go on after a kill
            self.resume.clear()

    @classmethod
    def restored(cls, recipe: R, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        state, arrays = checkpoint.state, checkpoint.arrays
        if recipe.transform != "none" and state.get("calibrated") != "learnt":
            raise ValueError(
                f"sigmas under transform {recipe.transform} were matched in the unit "
                "of the target, not of what is learnt"
            )
        made = cls(recipe, int(state["seed"]))
        made.target, made.dataset_hash = state["target"], state["dataset"]
        made.metrics = state["metrics"]
        # checkpoints from before it was kept with the table: the seed of the fit
        seed = {"errors_seed": np.array([made.seed])}
        made.steps = Steps.restored(Scale(*state["scale"]), {**seed, **arrays})
        made._raw, made._y = arrays["features"], arrays["labels"]
        if "ranks_values" in arrays:
            made.transform = NormalScores(
                arrays["ranks_values"], arrays["ranks_scores"]
            )
        else:
            made.transform = transform(recipe.transform, made._y)
        if "unseen" in state:
            made.unseen = UnseenChemistry.from_dict(state["unseen"])
        if "held_rows" in arrays:
            mean = arrays["held_mean"]
            made.held = Held(
                arrays["held_rows"], Prediction.apart(mean, arrays["held_std"])
            )
        own = {
            k.removeprefix("own_"): v for k, v in arrays.items() if k.startswith("own_")
        }
        made._restore(state["own"], own)
        made._ready = True
        return made

    @override
    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags."""
        text = {"recipe": self.recipe.digest()[:16], **self._words()}
        if self._ready:
            text |= {
                "target": self.target,
                "dataset": self.dataset_hash[:16],
                "records": str(len(self._y)),
                "uncertainty_scale": f"{self.steps.scale.k:.3f}",
            }
            if self.caution:  # that scale matches no errors
                text["uncertainty_scale"] = self.caution
            elif self.held is not None:
                n = len(self.held.rows)
                text |= self.steps.words(self.recipe.calibration, n)
            if self.unseen is not None:
                text["uncertainty_of_unseen_chemistry"] = (
                    f"elements times {self.unseen.factor:.2f}, sets of anions "
                    f"{self.unseen.mixture_factor:.2f}, by {self.unseen.groups} "
                    "left out"
                )
        return text
