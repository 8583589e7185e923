"""Stochastic variational Gaussian process on a learnt representation (GPyTorch).

Wilson et al., AISTATS 2016 (arXiv:1511.02222); Hensman et al., UAI 2013
(arXiv:1309.6835). Training cost is linear in the records, so it takes sets that the
exact process cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gpytorch
import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from surrogates.base import Prediction, Progress
from surrogates.calibration.scale import z_scores
from surrogates.calibration.unseen import by_missing
from surrogates.compute import threads
from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import root
from surrogates.gp.low_rank import JOINT_LIMIT, chosen, low_rank
from surrogates.gp.variational import Evidence, Process
from surrogates.spread import standardised
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.trained_recipes import DeepKernelRecipe
from surrogates.training import Schedule, blocks, train

_CHUNK = 2048  # crystals predicted at once beyond JOINT_LIMIT
_BRIEF = 4  # times fewer steps for processes that only tell of unseen chemistry


@dataclass
class _Model:
    """A process with what it takes in and what it answers."""

    standard: Standardizer
    process: Process
    likelihood: Any


class DeepKernel(Tabular[DeepKernelRecipe]):
    """See the module; made by :class:`~surrogates.tabular.DeepKernelRecipe`."""

    _model: _Model

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 1]))
        order = draw.permutation(len(y))
        n_held = min(max(1, round(self.recipe.held_out * len(y))), len(y) - 2)
        held, rows = np.sort(order[:n_held]), np.sort(order[n_held:])
        self._model = self._trained(rows, self.recipe.steps, "fit", progress)
        found = self._answered(self._model, x[held])
        return Held(held, Prediction.apart(found.mean, found.std))

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        """Predict each group by a process that missed it and some of the others.

        With a fourth of the steps: as dear as two fits more. A process that learnt so
        little takes much for noise; a tenth of what it might have learnt, which it
        misses as well, says by how much its sigmas are to be scaled.
        """
        steps = math.ceil(self.recipe.steps / _BRIEF)
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 4]))

        def learn(missed: Sequence[np.ndarray]) -> list[Any]:
            return [self._brief(rows, steps, draw) for rows in missed]

        def predict(made: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            model, scale = made
            found = self._answered(model, self._raw[rows])
            return found.mean, found.std * scale / self.steps.scale.k

        return by_missing(groups, len(self._y), learn, predict)

    def _brief(
        self, missed: np.ndarray, steps: int, draw: np.random.Generator
    ) -> tuple[_Model, float]:
        """Return a process without some records, and what its sigmas lack."""
        rest = draw.permutation(np.setdiff1d(np.arange(len(self._y)), missed))
        n = max(1, round(self.recipe.held_out * len(rest)))
        model = self._trained(np.sort(rest[n:]), steps, "unseen", self.watch)
        z = z_scores(self._y[rest[:n]], self._answered(model, self._raw[rest[:n]]))
        return model, float(np.sqrt(np.mean(z**2)))

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        return self._answered(self._model, x)

    def _answered(self, model: _Model, x: np.ndarray) -> Prediction:
        _, centre, scale = standardised(self._y)
        rows = torch.from_numpy(model.standard(x))
        noise = math.sqrt(float(model.likelihood.noise.detach())) * scale
        process = model.process
        process.eval()
        with threads(self.recipe.threads), torch.no_grad():
            if len(x) <= JOINT_LIMIT:
                latent = process(rows)
                mean = latent.mean.numpy()
                covariance = latent.covariance_matrix.numpy() * scale**2
                factors = root(covariance, scale**2)
                residual = np.full(len(x), noise)
            else:
                parts = [process(part) for part in torch.split(rows, _CHUNK)]
                mean = torch.cat([p.mean for p in parts]).numpy()
                variance = torch.cat([p.variance for p in parts]).numpy()
                some = rows[torch.from_numpy(chosen(len(x), JOINT_LIMIT))]
                shared = self._shared(process, some, rows)
                factors, left = low_rank(*shared, variance, 1.0)
                factors *= scale
                residual = np.sqrt(left * scale**2 + noise**2)
        return Prediction(centre + scale * mean, factors, residual)

    @staticmethod
    def _shared(
        process: Process, some: Tensor, rows: Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return covariances of some rows with themselves, and with all, (r, n)."""
        own = process(some).covariance_matrix.numpy()
        parts = []
        for part in torch.split(rows, _CHUNK):
            both = process(torch.cat([some, part])).covariance_matrix
            parts.append(both[: len(some), len(some) :].numpy())
        return own, np.concatenate(parts, axis=1)

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        tensors = {
            **self._model.process.state_dict(prefix="process."),
            **self._model.likelihood.state_dict(prefix="likelihood."),
        }
        arrays = {k: v.detach().numpy() for k, v in tensors.items()}
        standard = self._model.standard
        scaling = {"mean": standard.mean, "std": standard.std}
        return {}, {**arrays, **{f"standard.{k}": v for k, v in scaling.items()}}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        model = self._model = self._fresh(np.arange(len(self._y)))
        model.standard = Standardizer(arrays["standard.mean"], arrays["standard.std"])
        for prefix, module in (
            ("process.", model.process),
            ("likelihood.", model.likelihood),
        ):
            module.load_state_dict(
                {
                    name.removeprefix(prefix): torch.from_numpy(np.array(array))
                    for name, array in arrays.items()
                    if name.startswith(prefix)
                }
            )

    @override
    def _words(self) -> dict[str, str]:
        recipe = self.recipe
        return {
            "surrogate": f"variational deep-kernel process ({recipe.depth} x "
            f"{recipe.width} to {recipe.latent}, {recipe.inducing} inducing points) "
            f"on {recipe.features} features"
        }

    def _trained(
        self,
        rows: np.ndarray,
        steps: int,
        stage: str,
        progress: Progress | None,
    ) -> _Model:
        """Return a process that learnt some of the records."""
        with threads(self.recipe.threads), torch.random.fork_rng():
            torch.manual_seed(self.seed)  # GPyTorch draws its start from the global
            model = self._fresh(rows)
            self._train(model, rows, steps, stage, progress)
        return model

    def _fresh(self, rows: np.ndarray) -> _Model:
        """Return modules that learnt nothing; inducing points start at records."""
        recipe = self.recipe
        standard = Standardizer.of(self._raw[rows])
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            widths = [self._raw.shape[1], *[recipe.width] * recipe.depth]
            layers: list[nn.Module] = []
            for fan_in, fan_out in pairwise(widths):
                layers += [nn.Linear(fan_in, fan_out), nn.SiLU()]
            if recipe.depth:
                layers.append(nn.Linear(widths[-1], recipe.latent))
            body = nn.Sequential(*layers).double()
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 2]))
        # as many points whatever the data: a checkpoint has the same shapes
        chosen = draw.choice(rows, recipe.inducing, replace=len(rows) < recipe.inducing)
        x = torch.from_numpy(standard(self._raw[chosen]))
        with torch.no_grad():
            points = body(x)
            # repeated records would make a singular matrix
            shake = torch.from_numpy(draw.standard_normal(tuple(points.shape)))
            points = points + 1e-2 * points.std() * shake
        likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
        return _Model(standard, Process(points, body).double(), likelihood)

    def _train(
        self,
        model: _Model,
        rows: np.ndarray,
        steps: int,
        stage: str,
        progress: Progress | None,
    ) -> None:
        recipe = self.recipe
        x = torch.from_numpy(model.standard(self._raw[rows]))
        z = torch.from_numpy(standardised(self._y)[0][rows])
        process, likelihood = model.process, model.likelihood
        with torch.no_grad():
            # a start: some records tell a median, and equal ones have none
            median = torch.pdist(process.body(x[:500])).median().clamp_min(1e-3)
            process.covar_module.base_kernel.lengthscale = median
            likelihood.noise = 0.1  # of the variance of the labels
        process.train()
        with torch.no_grad():
            process(x[:1])  # draws the variational start, which a resume then replaces
        task = Evidence(
            process,
            likelihood,
            x,
            z,
            steps=steps,
            batch_size=recipe.batch_size,
            seed=self.seed,
        )
        schedule = Schedule.of(recipe, blocks(steps))
        train(task, schedule, stage=stage, progress=progress, resume=self.resume)
