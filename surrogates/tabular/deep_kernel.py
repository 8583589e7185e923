"""Stochastic variational Gaussian processes on learnt representations (GPyTorch).

Wilson et al., AISTATS 2016 (arXiv:1511.02222); Hensman et al., UAI 2013
(arXiv:1309.6835). Training cost is linear in the records, so it takes sets that the
exact process cannot. One long training fits its records and is far too sure; several
brief ones, each without some of the records, err less on average and leave every record
to judge by (docs/surrogates.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from surrogates.base import Prediction, Progress
from surrogates.calibration.averaging import Missed, dealt, of_all
from surrogates.calibration.unseen import by_missing
from surrogates.compute import threads
from surrogates.gp.exact import root
from surrogates.gp.low_rank import JOINT_LIMIT, chosen, low_rank
from surrogates.spread import standardised
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.deep_model import DeepModel
from surrogates.tabular.trained_recipes import DeepKernelRecipe

_JUDGES = 0.1  # of the records known to a process that tells of unseen chemistry


class DeepKernel(Tabular[DeepKernelRecipe]):
    """See the module; made by :class:`~surrogates.tabular.DeepKernelRecipe`."""

    _models: list[DeepModel]
    _by_missing: Missed
    _alike: float  # correlation of the errors of two of them

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        every, folds = np.arange(len(y)), self._folds()
        self._models = [
            self._trained(np.setdiff1d(every, rows), self._seed(k), "fit", progress)
            for k, rows in enumerate(folds)
        ]
        self._by_missing = Missed.of(
            folds,
            [
                self._missing(model, rows)
                for model, rows in zip(self._models, folds, strict=True)
            ],
        )
        self._alike = self._by_missing.alike(y)
        return Held(every, self._by_missing.prediction)

    @property
    @override
    def averaging(self) -> float:
        """Error of the average of all processes over that of two, which calibrated."""
        return of_all(self._alike, len(self._models))

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        """Predict each group by a process that missed it and some of the others.

        It learns half as many records as the others, errs more on known chemistry and
        is differently sure. A tenth of what it might have learnt says by how much, and
        both are taken off, since calibration looks at how large a sigma is.
        """
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 4]))

        def learn(missed: Sequence[np.ndarray]) -> list[Any]:
            return [self._half(rows, draw) for rows in missed]

        def predict(made: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            model, error, sigma = made
            mean, std = self._missing(model, rows)
            y = self._y[rows]
            return y + (mean - y) / error, std / sigma

        return by_missing(groups, len(self._y), learn, predict)

    def _half(
        self, missed: np.ndarray, draw: np.random.Generator
    ) -> tuple[DeepModel, float, float]:
        """Return a process without some records, and how it compares with the others.

        The size of its errors and of its sigmas over those of the two that missed the
        same known records.
        """
        rest = draw.permutation(np.setdiff1d(np.arange(len(self._y)), missed))
        n = max(1, round(_JUDGES * len(rest)))
        known = rest[:n]
        model = self._trained(np.sort(rest[n:]), self.seed, "unseen", self.watch)
        mean, std = self._missing(model, known)
        y, two = self._y[known], self._by_missing.prediction
        errors = _size(mean - y), _size(two.mean[known] - y)
        sigmas = _size(std), _size(two.std[known])
        # labels that do not vary leave no errors
        return model, errors[0] / errors[1] if errors[1] else 1.0, sigmas[0] / sigmas[1]

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        _, centre, scale = standardised(self._y)
        noise = float(np.mean([m.noise for m in self._models])) * scale**2
        # what members disagree on is left out, as those that miss a record leave it out
        with threads(self.recipe.threads):
            if len(x) <= JOINT_LIMIT:
                mean, covariance = self._mean(m.joint(x) for m in self._models)
                factors = root(covariance * scale**2, scale**2)
                residual = np.full(len(x), np.sqrt(noise))
            else:
                mean, variance = self._mean(m.apart(x) for m in self._models)
                at = chosen(len(x), JOINT_LIMIT)
                own, cross = self._mean(
                    (m.joint(x[at])[1], m.shared(x[at], x)) for m in self._models
                )
                factors, left = low_rank(own, cross, variance, 1.0)
                factors *= scale
                residual = np.sqrt(left * scale**2 + noise)
        return Prediction(centre + scale * mean, factors, residual)

    @staticmethod
    def _mean(
        parts: Iterable[tuple[np.ndarray, np.ndarray]],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the average of what each process says, one in memory at a time."""
        first, second, n = np.zeros(()), np.zeros(()), 0
        for a, b in parts:
            first, second, n = first + a, second + b, n + 1
        return first / n, second / n

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {
            f"{k}.{name}": array
            for k, model in enumerate(self._models)
            for name, array in model.arrays().items()
        }
        return {"alike": self._alike}, arrays

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._alike, self._models = float(state["alike"]), []
        for k in range(len(self._folds())):
            model = DeepModel.fresh(self.recipe, self._raw, 0)
            own = f"{k}."
            model.restore(
                {n.removeprefix(own): a for n, a in arrays.items() if n.startswith(own)}
            )
            self._models.append(model)

    @override
    def _words(self) -> dict[str, str]:
        recipe = self.recipe
        return {
            "surrogate": f"{len(self._folds())} variational deep-kernel processes "
            f"({recipe.depth} x {recipe.width} to {recipe.latent}, {recipe.inducing} "
            f"inducing points) on {recipe.features} features"
        }

    def _folds(self) -> list[np.ndarray]:
        """Return the rows that each process does not learn."""
        return dealt(len(self._y), self.recipe.folds, self.seed)

    def _seed(self, member: int) -> int:
        """Return the seed of one process."""
        return int(np.random.SeedSequence([self.seed, 5, member]).generate_state(1)[0])

    def _trained(
        self, rows: np.ndarray, seed: int, stage: str, progress: Progress | None
    ) -> DeepModel:
        """Return a process that learnt some of the records."""
        z = standardised(self._y)[0]
        with threads(self.recipe.threads):
            return DeepModel.trained(
                self.recipe,
                self._raw[rows],
                z[rows],
                seed,
                stage=stage,
                progress=progress,
                resume=self.resume,
            )

    def _missing(
        self, model: DeepModel, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sigma of rows that one process missed, learnt unit."""
        _, centre, scale = standardised(self._y)
        with threads(self.recipe.threads):
            mean, variance = model.apart(self._raw[rows])
        return centre + scale * mean, scale * np.sqrt(variance + model.noise)


def _size(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))
