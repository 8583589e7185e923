"""Exact Gaussian process on fixed features as a surrogate.

The mathematics is in :mod:`surrogates.gp`; here it meets crystals, leave-one-out
calibration and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress
from surrogates.featurizers.answers import Answers, set_apart
from surrogates.featurizers.formation import formation_column
from surrogates.featurizers.table import blocks
from surrogates.gp.exact import ExactGP, root
from surrogates.gp.kernels import Kernel, Term, TermKind
from surrogates.gp.likelihood import Hyper
from surrogates.gp.low_rank import JOINT_LIMIT
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.linear import over, require_formation
from surrogates.tabular.recipes import AnswersRecipe, GaussianProcessRecipe


class GaussianProcess(Tabular[GaussianProcessRecipe]):
    """See the module; made by :class:`~surrogates.tabular.GaussianProcessRecipe`.

    The noise counts as each crystal's own uncertainty: with a deterministic simulator
    it stands for what the features cannot tell apart.
    """

    process: ExactGP | None = None
    """The conditioned process once fitted; its unit is that of the transform."""
    _spans: tuple[tuple[int, TermKind], ...] = ()
    """Columns of each part of the features, and the kind of its kernel."""
    _answers: Answers | None = None
    _inverse: np.ndarray | None = None
    """Of the covariance of the records, as large as its factor: while fitting only."""

    @override
    def _check(self, n: int, dataset: Dataset) -> None:
        if n > self.recipe.max_records:
            raise SurrogateError(
                f"dataset {dataset.name}: {n} records, but max_records is "
                f"{self.recipe.max_records}; raise it (16 n² bytes and n³ operations: "
                f"{16 * n**2 / 1e9:.1f} GB), take fewer, or use last_layer"
            )

    @override
    def _features(self, crystals: Sequence[Crystal]) -> np.ndarray:
        parts = blocks(self.recipe.features, crystals, n_threads=self.recipe.threads)
        kinds: list[TermKind] = ["matern52"] * len(parts)
        if self.recipe.trend is not None:
            trend, n_threads = self.recipe.trend, self.recipe.threads
            parts.append(formation_column(trend, crystals, n_threads=n_threads))
            kinds.append("linear")
        if self.recipe.answers is not None:
            answers = self._told(self.recipe.answers)
            parts.append(answers.columns(crystals))
            kinds.append("linear")
            if self.recipe.answers.alike:
                parts.append(answers.alike(crystals)[:, None])
                kinds.append("same")
        self._spans = tuple((p.shape[1], k) for p, k in zip(parts, kinds, strict=True))
        return np.concatenate(parts, axis=1)

    def alike(self, crystals: Sequence[Crystal]) -> np.ndarray | None:
        """Return groups of crystals that are probably one structure, (n,), if known."""
        recipe = self.recipe.answers
        if recipe is None or not recipe.alike:
            return None
        return self._told(recipe).alike(crystals)

    def predict_unlike(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the prediction as if none were a copy of a crystal that was learnt.

        What a candidate is worth if the evaluators do not agree that it relaxes into
        what another relaxed into; how often they do not, answers tell.
        """
        self._require_fit()
        x = self._features(crystals)
        if self.alike(crystals) is not None:
            x[:, -1] = set_apart(x[:, -1], self._raw[:, -1])
        return self._finished(self._answer(x), crystals)

    def _told(self, recipe: AnswersRecipe) -> Answers:
        """Return another evaluator's answers, read once."""
        if self._answers is None:
            self._answers = recipe.build(self.target)
        return self._answers

    @override
    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target``; records left out calibrate and judge it."""
        self.target, self._answers = target, None
        try:
            return super().fit(dataset, target, progress=progress)
        finally:
            self._inverse = None

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        self.process = ExactGP.fit(x, y, terms=self._terms(), blind=self.recipe.blind)
        self._inverse = self.process.inverse()
        errors, std = self.process.leave_one_out(self._inverse)
        return Held(np.arange(len(y)), Prediction.apart(y - errors, std))

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        assert self._inverse is not None
        left = self._fitted().leave_groups_out(groups, self._inverse)
        rows = np.concatenate(groups)
        errors, std = (np.concatenate(part) for part in zip(*left, strict=True))
        return Prediction.apart(self._y[rows] - errors, std)

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        process = self._fitted()
        noise = np.sqrt(process.noise)
        if len(x) <= JOINT_LIMIT:
            factors = root(process.covariance(x), process.amplitude**2)
            residual = np.full(len(x), noise)
        else:
            factors, left = process.low_rank(x, JOINT_LIMIT)
            residual = np.sqrt(left + noise**2)
        return Prediction(process.mean(x), factors, residual)

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        hyper = self._fitted().hyper
        state: dict[str, Any] = {
            "kernel": hyper.kernel.to_list(), "ratio": hyper.ratio
        }  # fmt: skip
        if self.recipe.trend is not None:
            state |= over(self.recipe.trend)
        if self._answers is not None:
            state["answers"] = self._answers.content_hash
            state["strangers"] = self._answers.strangers
        return state, {}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        if self.recipe.trend is not None:
            require_formation(state, self.recipe.trend)
        if self.recipe.answers is not None:
            answers = self._told(self.recipe.answers)
            if answers.content_hash != state["answers"]:
                raise ValueError(
                    f"it learnt over other answers than {answers.source} holds now"
                )
            answers.strangers = dict(state["strangers"])
        hyper = Hyper(Kernel.from_list(state["kernel"]), float(state["ratio"]))
        self.process = ExactGP.fit(self._raw, self._y, hyper=hyper)

    @override
    def _words(self) -> dict[str, str]:
        text = {"surrogate": f"gaussian process on {self.recipe.features} features"}
        if self.recipe.trend:
            text["surrogate"] += f" over zero-shot {self.recipe.trend}"
        if self.recipe.answers:
            text["surrogate"] += f" over answers in {self.recipe.answers.dataset}"
        if self.process is not None:
            terms = self.process.hyper.kernel.terms
            text |= {
                "kernel": " + ".join(
                    f"{t.weight:.2f} {t.kind}"
                    + (f"(length {t.length:.3g})" if t.kind == "matern52" else "")
                    for t in terms
                ),
                "noise_ratio": f"{self.process.hyper.ratio:.3g}",
            }
        return text

    def _terms(self) -> list[Term]:
        edges = np.cumsum([0, *(width for width, _ in self._spans)]).tolist()
        kinds = [kind for _, kind in self._spans]
        terms = [
            Term(*span, kind=kind)
            for span, kind in zip(pairwise(edges), kinds, strict=True)
        ]
        n_smooth = kinds.count("matern52")
        if self.recipe.kernel == "isotropic":
            return [Term(0, edges[n_smooth]), *terms[n_smooth:]]
        return terms

    def _fitted(self) -> ExactGP:
        if self.process is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        return self.process
