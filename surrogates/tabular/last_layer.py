"""Small networks on fixed features with a Bayesian linear last layer.

Snoek et al., ICML 2015 (arXiv:1502.05700). One network per fold learns the other folds;
its last hidden layer feeds an exact Bayesian linear regression. Means and covariances
of the networks are averaged; the records that each missed calibrate them. An average
errs less than one network: by how much, one more network tells, which misses records of
every fold (ambiguity decomposition; Krogh and Vedelsby, NIPS 7, 231 (1995)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from surrogates.base import Prediction, Progress
from surrogates.calibration.unseen import by_missing
from surrogates.compute import threads
from surrogates.featurizers.table import Standardizer
from surrogates.gp.linear import BayesianLinear
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.perceptrons import Perceptrons, train
from surrogates.tabular.recipes import LastLayerRecipe

_LIKE = 10  # records that are taken to err alike before any was seen


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
            self._train(self._networks, self._missed(), progress)
            phi = self._last_hidden(self._networks, x)  # (k, n, width)
            self._fit_heads(phi)
        mean, std = np.zeros(len(y)), np.zeros(len(y))
        for k, rows in enumerate(self._missed()[:-1]):
            mean[rows], std[rows] = self._missing(self._heads[k], phi[k, rows])
        return Held(np.arange(len(y)), Prediction.apart(mean, std))

    @property
    @override
    def averaging(self) -> float:
        """Error of the average of all networks over that of one."""
        return self._gain

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        """Predict each group by a network that missed it and some of the others.

        So many networks that each learns about half of the records: one for each group
        would take ten times as long, and what a network misses besides makes its errors
        larger, not smaller.
        """

        def learn(missed: Sequence[np.ndarray]) -> list[Any]:
            networks = self._fresh(len(missed))
            self._train(networks, missed)
            phi = self._last_hidden(networks, self._raw)
            return [
                (own, self._head(own, r)) for own, r in zip(phi, missed, strict=True)
            ]

        def predict(model: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            phi, head = model
            return self._missing(head, phi[rows])

        with threads(self.recipe.threads):
            return by_missing(groups, len(self._y), learn, predict)

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        with threads(self.recipe.threads):
            phi = self._last_hidden(self._networks, x)
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
            self._fit_heads(self._last_hidden(self._networks, self._raw))

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
        self._networks = self._fresh(self._n_networks())

    def _fresh(self, n: int) -> Perceptrons:
        """Return n networks that have learnt nothing."""
        widths = [self._raw.shape[1], *[self.recipe.width] * self.recipe.depth]
        return Perceptrons(n, widths, torch.Generator().manual_seed(self.seed))

    def _train(
        self,
        networks: Perceptrons,
        missed: Sequence[np.ndarray],
        progress: Progress | None = None,
    ) -> None:
        """Train networks at once, each without the rows that it misses."""
        every = np.arange(len(self._y))
        spread = float(self._y.std()) or 1.0
        train(
            networks,
            self._standard(self._raw),
            (self._y - self._y.mean()) / spread,
            [np.setdiff1d(every, rows) for rows in missed],
            self.recipe,
            np.random.default_rng(np.random.SeedSequence([self.seed, 2])),
            progress,
        )

    def _last_hidden(self, networks: Perceptrons, x: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(self._standard(x)).float()
        with torch.no_grad():
            phi = networks.hidden(rows.expand(networks.members, *rows.shape))
        found: np.ndarray = phi.double().numpy()
        return found

    def _fit_heads(self, phi: np.ndarray) -> None:
        missed = self._missed()
        self._heads = [self._head(p, rows) for p, rows in zip(phi, missed, strict=True)]
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

    def _head(self, phi: np.ndarray, missed: np.ndarray) -> BayesianLinear:
        """Fit the last layer of one network, phi of n x width, without some rows."""
        learn = np.setdiff1d(np.arange(len(self._y)), missed)
        return BayesianLinear.fit(phi[learn], self._y[learn])

    def _missing(
        self, head: BayesianLinear, phi: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sigma of rows that one network missed."""
        shared = (self._factors(head, phi) ** 2).sum(axis=0)
        return head.mean(phi), np.sqrt(shared + self._noise**2)

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
