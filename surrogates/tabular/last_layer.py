"""Small networks on fixed features with a Bayesian linear last layer.

Snoek et al., ICML 2015 (arXiv:1502.05700). One network per fold learns the other folds;
its last hidden layer feeds an exact Bayesian linear regression. Means and covariances
of the networks are averaged; the records that each missed calibrate them. An average
errs less than one network: by how much, one more network tells, which misses records of
every fold (ambiguity decomposition; Krogh and Vedelsby, NIPS 7, 231 (1995)).
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

_LIKE = 10  # records that are taken to err alike before any was seen


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
    _gain: float  # error of the average over that of one network

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        with threads(self.recipe.threads):
            self._begin()
            self._train(progress)
            phi = self._last_hidden(x)  # (k, n, width)
            self._fit_heads(phi)
        mean, std = np.zeros(len(y)), np.zeros(len(y))
        for k, rows in enumerate(self._missed()[:-1]):
            head = self._heads[k]
            mean[rows] = head.mean(phi[k, rows])
            shared = (self._factors(head, phi[k, rows]) ** 2).sum(axis=0)
            std[rows] = np.sqrt(shared + self._noise**2)
        return Held(np.arange(len(y)), Prediction(mean, np.zeros((0, len(y))), std))

    @property
    @override
    def averaging(self) -> float:
        """Error of the average of all networks over that of one."""
        return self._gain

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
            "surrogate": f"{self._n_networks()} networks "
            f"({recipe.depth} x {recipe.width}) with Bayesian last layers "
            f"on {recipe.features} features"
        }

    def _n_networks(self) -> int:
        return min(self.recipe.folds, max(len(self._y), 2)) + 1

    def _missed(self) -> list[np.ndarray]:
        """Return the rows that each network does not learn: the folds, and a draw."""
        n, folds = len(self._y), self._n_networks() - 1
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 1]))
        fold = draw.permutation(n) % folds
        extra = np.sort(draw.choice(n, max(n // folds, 1), replace=False))
        return [*(np.flatnonzero(fold == k) for k in range(folds)), extra]

    def _begin(self) -> None:
        self._standard = Standardizer.of(self._raw)
        widths = [self._raw.shape[1], *[self.recipe.width] * self.recipe.depth]
        generator = torch.Generator().manual_seed(self.seed)
        self._networks = Perceptrons(self._n_networks(), widths, generator)

    def _train(self, progress: Progress | None) -> None:
        """Train all networks at once, each on batches of its own records."""
        recipe, every = self.recipe, np.arange(len(self._y))
        x = torch.from_numpy(self._standard(self._raw)).float()
        spread = float(self._y.std()) or 1.0
        z = torch.from_numpy((self._y - self._y.mean()) / spread).float()
        mine = [np.setdiff1d(every, missed) for missed in self._missed()]
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
            phi = self._networks.hidden(rows.expand(self._n_networks(), *rows.shape))
        found: np.ndarray = phi.double().numpy()
        return found

    def _fit_heads(self, phi: np.ndarray) -> None:
        every, missed = np.arange(len(self._y)), self._missed()
        self._heads = []
        for own, rows in zip(phi, missed, strict=True):
            learn = np.setdiff1d(every, rows)
            self._heads.append(BayesianLinear.fit(own[learn], self._y[learn]))
        # A network that fits its own records leaves no noise in them, so the evidence
        # of the last layer would be sure of everything; its left-out fold knows better.
        errors = np.zeros(len(self._y))
        for k, rows in enumerate(missed[:-1]):
            errors[rows] = self._y[rows] - self._heads[k].mean(phi[k, rows])
        floor = 1e-6 * (float(self._y.std()) or 1.0)
        self._noise = max(math.sqrt(float((errors**2).mean())), floor)
        rows = missed[-1]
        other = self._y[rows] - self._heads[-1].mean(phi[-1, rows])
        self._gain = gain(errors[rows], other, len(self._heads))

    def _factors(self, head: BayesianLinear, phi: np.ndarray) -> np.ndarray:
        """Return the root of a last layer's covariance under the honest noise."""
        scaled: np.ndarray = head.factors(phi) * (self._noise / max(head.noise, 1e-12))
        return scaled


def gain(a: np.ndarray, b: np.ndarray, members: int) -> float:
    """Return the root mean square error of an average over that of one member.

    The mean of K errors of equal size e² and correlation c has (1 + (K - 1) c) / K of
    their square. Few records say little of c, so it counts ten as fully correlated.

    Args:
        a: errors of records that two members missed, by the one, shape (n,).
        b: the same by the other.
        members: K.

    >>> gain(np.array([1.0] * 90), np.array([1.0] * 90), 5)
    1.0
    """
    square = float((a**2 + b**2).mean()) / 2
    shared = 1.0 - float(((a - b) ** 2).mean()) / 2 / square if square > 0 else 1.0
    c = (len(a) * float(np.clip(shared, 0.0, 1.0)) + _LIKE) / (len(a) + _LIKE)
    return math.sqrt((1.0 + (members - 1) * c) / members)
