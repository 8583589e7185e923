"""Small networks on fixed features with a Bayesian linear last layer.

Snoek et al., ICML 2015 (arXiv:1502.05700). One network per fold learns the other folds;
its last hidden layer feeds an exact Bayesian linear regression. Means and covariances
of the networks are averaged; the records that each missed calibrate them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from surrogates.base import Prediction, Progress
from surrogates.compute import threads
from surrogates.featurizers.table import Standardizer
from surrogates.gp.linear import BayesianLinear
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.recipes import LastLayerRecipe


class Perceptrons(nn.Module):
    """k multilayer perceptrons with their own weights, run as one.

    Args:
        members: k.
        widths: units of the input, of each hidden layer.
        generator: of the first weights.
    """

    def __init__(
        self, members: int, widths: list[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in zip(widths, [*widths[1:], 1], strict=True):
            weight = torch.randn(members, fan_in, fan_out, generator=generator)
            self.weights.append(nn.Parameter(weight * math.sqrt(2.0 / fan_in)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))

    def hidden(self, x: Tensor) -> Tensor:
        """Return the last hidden layer, k x n x width, for x of k x n x d."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = nn.functional.silu(torch.baddbmm(bias, x, weight))
        return x

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return one value each, k x n."""
        return torch.baddbmm(self.biases[-1], self.hidden(x), self.weights[-1])[..., 0]


class LastLayer(Tabular[LastLayerRecipe]):
    """See the module; made by :class:`~surrogates.tabular.LastLayerRecipe`."""

    _standard: Standardizer
    _networks: Perceptrons
    _heads: list[BayesianLinear]
    _noise: float  # root mean square error of records left out, learnt unit

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        with threads(self.recipe.threads):
            self._begin()
            self._train(progress)
            phi = self._last_hidden(x)  # (k, n, width)
            self._fit_heads(phi)
        fold = self._folds()
        mean, std = np.zeros(len(y)), np.zeros(len(y))
        for k, head in enumerate(self._heads):
            rows = np.flatnonzero(fold == k)
            mean[rows] = head.mean(phi[k, rows])
            shared = (self._factors(head, phi[k, rows]) ** 2).sum(axis=0)
            std[rows] = np.sqrt(shared + self._noise**2)
        return Held(np.arange(len(y)), Prediction(mean, np.zeros((0, len(y))), std))

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        with threads(self.recipe.threads):
            phi = self._last_hidden(x)
        k = len(self._heads)
        means = np.stack([h.mean(p) for h, p in zip(self._heads, phi, strict=True)])
        mean = means.mean(axis=0)
        own = [self._factors(h, p) for h, p in zip(self._heads, phi, strict=True)]
        # what members disagree on is left out: the one that misses a record, by which
        # sigma is calibrated, has nobody to disagree with
        factors = np.concatenate(own) / math.sqrt(k)
        return Prediction(mean, factors, np.full(len(x), self._noise))

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        weights = self._networks.state_dict()
        return {}, {name: tensor.numpy() for name, tensor in weights.items()}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        with threads(self.recipe.threads):
            self._begin()
            self._networks.load_state_dict(
                {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}
            )
            self._fit_heads(self._last_hidden(self._raw))

    @override
    def _words(self) -> dict[str, str]:
        recipe = self.recipe
        return {
            "surrogate": f"{self._n_folds()} networks "
            f"({recipe.depth} x {recipe.width}) with Bayesian last layers "
            f"on {recipe.features} features"
        }

    def _n_folds(self) -> int:
        return min(self.recipe.folds, max(len(self._y), 2))

    def _folds(self) -> np.ndarray:
        """Return the fold of each training record, shape (n,)."""
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 1]))
        fold: np.ndarray = draw.permutation(len(self._y)) % self._n_folds()
        return fold

    def _begin(self) -> None:
        self._standard = Standardizer.of(self._raw)
        widths = [self._raw.shape[1], *[self.recipe.width] * self.recipe.depth]
        generator = torch.Generator().manual_seed(self.seed)
        self._networks = Perceptrons(self._n_folds(), widths, generator)

    def _train(self, progress: Progress | None) -> None:
        """Train all networks at once, each on batches of its own records."""
        recipe, fold = self.recipe, self._folds()
        x = torch.from_numpy(self._standard(self._raw)).float()
        spread = float(self._y.std()) or 1.0
        z = torch.from_numpy((self._y - self._y.mean()) / spread).float()
        mine = [np.flatnonzero(fold != k) for k in range(self._n_folds())]
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 2]))
        optimiser = torch.optim.AdamW(
            self._networks.parameters(), lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )  # fmt: skip
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, total_steps=recipe.steps
        )
        size = min(recipe.batch_size, min(len(m) for m in mine))
        for step in range(recipe.steps):
            rows = torch.from_numpy(np.stack([draw.choice(m, size) for m in mine]))
            loss = ((self._networks(x[rows]) - z[rows]) ** 2).mean(dim=1).sum()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._networks.parameters(), 1.0)
            optimiser.step()
            cycle.step()
            if progress is not None and step % 100 == 0:
                mean_loss = loss.item() / len(mine)
                progress({"stage": "fit", "epoch": step, "loss": mean_loss})

    def _last_hidden(self, x: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(self._standard(x)).float()
        with torch.no_grad():
            phi = self._networks.hidden(rows.expand(self._n_folds(), *rows.shape))
        found: np.ndarray = phi.double().numpy()
        return found

    def _fit_heads(self, phi: np.ndarray) -> None:
        fold = self._folds()
        self._heads = [
            BayesianLinear.fit(phi[k, fold != k], self._y[fold != k])
            for k in range(self._n_folds())
        ]
        # A network that fits its own records leaves no noise in them, so the evidence
        # of the last layer would be sure of everything; its left-out fold knows better.
        errors = [
            self._y[fold == k] - head.mean(phi[k, fold == k])
            for k, head in enumerate(self._heads)
        ]
        floor = 1e-6 * (float(self._y.std()) or 1.0)
        squared = np.concatenate(errors) ** 2
        self._noise = max(math.sqrt(float(squared.mean())), floor)

    def _factors(self, head: BayesianLinear, phi: np.ndarray) -> np.ndarray:
        """Return the root of a last layer's covariance under the honest noise."""
        scaled: np.ndarray = head.factors(phi) * (self._noise / max(head.noise, 1e-12))
        return scaled
