"""Auto: the candidate surrogate with the best cross-validated likelihood, and why.

Every candidate is fitted without one fold after the other, its calibration and
hyperparameters chosen inside the rest (nested), and judged on the fold by the negative
log likelihood, which rewards accuracy and honest sigma together. Folds keep chemical
systems whole. The winner learns all records.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import MatdiscoError, SurrogateError
from surrogates.base import (
    FitReport,
    Prediction,
    Progress,
    Surrogate,
    labelled,
    require_records,
)
from surrogates.checkpoint import Checkpoint, read, restored, write
from surrogates.metrics import mae, nll
from surrogates.recipes import AutoRecipe, OneSurrogate

_LEAST = 10  # records; fewer leave folds of one or two


class Auto:
    """See the module; made by :class:`~surrogates.recipes.AutoRecipe`."""

    def __init__(
        self, recipe: AutoRecipe, seed: int = 0, folder: Path | None = None
    ) -> None:
        self.recipe, self.seed, self.folder = recipe, seed, folder
        self.chosen: Surrogate | None = None
        self.scores: list[dict[str, Any]] = []

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Compare the candidates, then fit the winner on all records.

        Raises:
            SurrogateError: fewer than ten records, or no candidate could be fitted;
                the sentence says why for each.
        """
        start = time.perf_counter()
        records, _ = labelled(dataset, target)
        require_records(len(records), _LEAST, target, dataset.name)
        candidates = self.recipe.options()
        folds = self._folds(records)
        self.scores = [
            self._judged(one, records, target, folds, progress) for one in candidates
        ]
        usable = [i for i, s in enumerate(self.scores) if "error" not in s]
        if not usable:
            reasons = "; ".join(f"{s['name']}: {s['error']}" for s in self.scores)
            raise SurrogateError(f"no candidate could be fitted ({reasons})")
        best = min(usable, key=lambda i: self.scores[i]["nll"])
        self.scores[best]["chosen"] = True
        winner = candidates[best].build(self.seed, self.folder)
        report = winner.fit(records, target, progress=progress)
        self.chosen = winner
        seconds = time.perf_counter() - start
        return FitReport(
            report.n_train, report.n_held_out, seconds, report.history, report.metrics
        )

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return what the winner predicts."""
        return self._winner().predict(crystals)

    def save(self, folder: Path) -> None:
        """Write the winner's checkpoint inside this one, with the comparison."""
        with tempfile.TemporaryDirectory() as place:
            self._winner().save(Path(place) / "winner")
            inner = read(Path(place) / "winner")
        state = {
            "seed": self.seed,
            "scores": self.scores,
            "recipe": dict(inner.recipe),
            "state": dict(inner.state),
        }
        recipe = self.recipe.model_dump(mode="json")
        write(Path(folder), Checkpoint(recipe, state, inner.arrays))

    @classmethod
    def restored(cls, recipe: AutoRecipe, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        state = checkpoint.state
        made = cls(recipe, int(state["seed"]))
        made.scores = list(state["scores"])
        inner = Checkpoint(state["recipe"], state["state"], checkpoint.arrays)
        made.chosen = restored(inner, "the winner in it")
        return made

    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags; ``why`` says the choice."""
        if self.chosen is None:
            names = ", ".join(_name(c) for c in self.recipe.options())
            return {"surrogate": f"the best of: {names}"}
        return {**self.chosen.describe(), "why": self.why()}

    def why(self) -> str:
        """Return the comparison as one sentence per candidate."""
        lines = []
        for s in sorted(self.scores, key=lambda s: s.get("nll", np.inf)):
            said = (
                f"not fitted: {s['error']}"
                if "error" in s
                else f"negative log likelihood {s['nll']:.3f} ± {s['spread']:.3f}, "
                f"mean absolute error {s['mae']:.4g}"
            )
            mark = "chosen: " if s.get("chosen") else ""
            lines.append(f"{mark}{s['name']}: {said}")
        return "; ".join(lines)

    def _winner(self) -> Surrogate:
        if self.chosen is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        return self.chosen

    def _folds(self, records: Dataset) -> np.ndarray:
        """Return the fold of each record, shape (n,), chemical systems whole."""
        systems = np.array([c.chemical_system for c in records.crystals])
        names, group = np.unique(systems, return_inverse=True)
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 11]))
        k = self.recipe.folds
        if len(names) < 2 * k:  # too few systems to keep whole
            fold: np.ndarray = draw.permutation(len(records)) % k
            return fold
        sizes = np.bincount(group)
        of_system, filled = np.zeros(len(names), dtype=int), np.zeros(k)
        order = draw.permutation(len(names))
        for g in order[np.argsort(-sizes[order], kind="stable")]:
            at = int(filled.argmin())
            of_system[g], filled[at] = at, filled[at] + sizes[g]
        return of_system[group]

    def _judged(
        self,
        candidate: OneSurrogate,
        records: Dataset,
        target: str,
        folds: np.ndarray,
        progress: Progress | None,
    ) -> dict[str, Any]:
        name, likelihoods, errors = _name(candidate), [], []
        try:
            for k in range(self.recipe.folds):
                test = records.take(np.flatnonzero(folds == k))
                surrogate = candidate.build(self.seed, self.folder)
                surrogate.fit(records.take(np.flatnonzero(folds != k)), target)
                found, y = surrogate.predict(test.crystals), test.values(target)
                likelihoods.append(nll(y, found.mean, found.std))
                errors.append(mae(y, found.mean))
                if progress is not None:
                    progress({"stage": f"compare {name}", "epoch": k})
        except MatdiscoError as error:
            return {"name": name, "error": str(error)}
        return {
            "name": name,
            "nll": float(np.mean(likelihoods)),
            "spread": float(np.std(likelihoods) / np.sqrt(len(likelihoods))),
            "mae": float(np.mean(errors)),
        }


def _name(candidate: OneSurrogate) -> str:
    parts = [candidate.kind, getattr(candidate, "features", "")]
    return " on ".join(p for p in parts if p)
