"""Small networks on fixed features with a Bayesian linear last layer.

Snoek et al., ICML 2015 (arXiv:1502.05700). One network per fold learns the other folds;
its last hidden layer feeds an exact Bayesian linear regression. Means and covariances
of the networks are averaged. A network that fits its own records leaves no noise in
them, so the evidence of its last layer would be sure of everything or of nothing: prior
and noise are those that predict the records each missed best. The records are dealt
into folds twice, so two networks miss each: their average calibrates, and how much they
differ tells how much less the average of all errs (ambiguity decomposition; Krogh and
Vedelsby, NIPS 7, 231 (1995)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from surrogates.base import Prediction, Progress
from surrogates.calibration.averaging import DEALS, Missed, averaged, dealt, of_all
from surrogates.calibration.unseen import by_missing
from surrogates.compute import threads
from surrogates.featurizers.table import Standardizer
from surrogates.gp.linear import BayesianLinear, along
from surrogates.spread import spread, standardised
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.perceptrons import Perceptrons, PerceptronTask
from surrogates.tabular.trained_recipes import LastLayerRecipe
from surrogates.training import Schedule, blocks, train

_RATIOS = np.geomspace(1e4, 1e-3, 29)  # noise over prior variance of a coefficient
_BETTER = 2.0  # log likelihood that a weaker prior has to win: 95 % of one degree
_MOST = 2.0  # deviations of the labels: no crystal is less known than that


class LastLayer(Tabular[LastLayerRecipe]):
    """See the module; made by :class:`~surrogates.tabular.LastLayerRecipe`."""

    _standard: Standardizer
    _networks: Perceptrons
    _heads: list[BayesianLinear]
    _ratio: float  # of noise to prior variance in all last layers
    _noise: float  # standard deviation of records left out beyond it, learnt unit
    _by_missing: Missed
    _alike: float  # correlation of the errors of two networks

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        with threads(self.recipe.threads):
            self._begin()
            self._train(self._networks, self._missed(), "fit", progress)
            phi = self._last_hidden(self._networks, x)  # (k, n, width)
            self._choose(phi)
            self._fit_heads(phi)
        return Held(np.arange(len(y)), self._by_missing.prediction)

    @property
    @override
    def averaging(self) -> float:
        """Error of the average of all networks over that of two, which calibrated."""
        return of_all(self._alike, len(self._heads))

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        """Predict each group by a network that missed it and some of the others.

        So many networks that each learns about half of the records: one for each group
        would take ten times as long, and what a network misses besides makes its errors
        larger, not smaller. Its sigmas are brought to what they would be with as many
        records as the others learn, since calibration looks at how large they are, and
        its errors to those of an average of two.
        """
        n = len(self._y)
        learnt = n - np.mean([len(rows) for rows in self._missed()])

        def learn(missed: Sequence[np.ndarray]) -> list[Any]:
            networks = self._fresh(len(missed))
            self._train(networks, missed, "unseen", self.watch)
            phi = self._last_hidden(networks, self._raw)
            return [
                (own, self._head(own, rows), (n - len(rows)) / learnt)
                for own, rows in zip(phi, missed, strict=True)
            ]

        def predict(model: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            phi, head, share = model
            mean, std = self._missing(head, phi[rows], share)
            y = self._y[rows]
            return y + (mean - y) * averaged(self._alike, DEALS), std

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
        state = {"ratio": self._ratio, "noise": self._noise}
        return state, {name: tensor.numpy() for name, tensor in weights.items()}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._ratio, self._noise = float(state["ratio"]), float(state["noise"])
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
            "surrogate": f"{len(self._missed())} networks "
            f"({recipe.depth} x {recipe.width}) with Bayesian last layers "
            f"on {recipe.features} features"
        }

    def _missed(self) -> list[np.ndarray]:
        """Return the rows that each network does not learn."""
        return dealt(len(self._y), self.recipe.folds, self.seed)

    def _begin(self) -> None:
        self._standard = Standardizer.of(self._raw)
        self._networks = self._fresh(len(self._missed()))

    def _fresh(self, n: int) -> Perceptrons:
        """Return n networks that have learnt nothing."""
        widths = [self._raw.shape[1], *[self.recipe.width] * self.recipe.depth]
        return Perceptrons(n, widths, torch.Generator().manual_seed(self.seed))

    def _train(
        self,
        networks: Perceptrons,
        missed: Sequence[np.ndarray],
        stage: str,
        progress: Progress | None,
    ) -> None:
        """Train networks at once, each without the rows that it misses."""
        recipe, every = self.recipe, np.arange(len(self._y))
        task = PerceptronTask(
            networks,
            self._standard(self._raw),
            standardised(self._y)[0],
            [np.setdiff1d(every, rows) for rows in missed],
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            seed=self.seed,
        )
        schedule = Schedule.of(recipe, blocks(recipe.steps))
        train(task, schedule, stage=stage, progress=progress, resume=self.resume)

    def _last_hidden(self, networks: Perceptrons, x: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(self._standard(x)).float()
        with torch.no_grad():
            phi = networks.hidden(rows.expand(networks.members, *rows.shape))
        found: np.ndarray = phi.double().numpy()
        return found

    def _choose(self, phi: np.ndarray) -> None:
        """Choose prior and noise by the folds left out, phi of k x n x width."""
        y, errors, shares = self._y, [], []
        for own, rows in zip(phi, self._missed(), strict=True):
            learn = np.setdiff1d(np.arange(len(y)), rows)
            mean, share = along(own[learn], y[learn], own[rows], _RATIOS)
            errors.append(y[rows] - mean)
            shares.append(share)
        both = np.concatenate(errors, axis=1), np.concatenate(shares, axis=1)
        self._ratio, self._noise = likeliest(*both, times=DEALS)
        # labels that do not vary leave no errors either
        self._noise = max(self._noise, 1e-6 * spread(y))

    def _fit_heads(self, phi: np.ndarray) -> None:
        missed = self._missed()
        self._heads = [self._head(p, rows) for p, rows in zip(phi, missed, strict=True)]
        found = [
            self._missing(head, own[rows])
            for head, own, rows in zip(self._heads, phi, missed, strict=True)
        ]
        self._by_missing = Missed.of(missed, found)
        self._alike = self._by_missing.alike(self._y)

    def _head(self, phi: np.ndarray, missed: np.ndarray) -> BayesianLinear:
        """Fit the last layer of one network, phi of n x width, without some rows."""
        learn = np.setdiff1d(np.arange(len(self._y)), missed)
        given = self._ratio, self._noise
        return BayesianLinear.fit(phi[learn], self._y[learn], given=given)

    def _missing(
        self, head: BayesianLinear, phi: np.ndarray, share: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sigma of rows that one network missed.

        ``share`` is that of the records that it learnt: the variance of a linear layer
        goes as one over their number.
        """
        latent = (self._factors(head, phi) ** 2).sum(axis=0)
        return head.mean(phi), np.sqrt(share * latent + self._noise**2)

    def _factors(self, head: BayesianLinear, phi: np.ndarray) -> np.ndarray:
        """Return the root of a last layer's covariance, bounded by what labels vary.

        Few records standardise features badly: crystals unlike them land far out, where
        the variance of a linear layer grows without end.
        """
        factors = head.factors(phi)
        most = _MOST * max(float(self._y.std()), self._noise)
        size = np.sqrt((factors**2).sum(axis=0))
        bounded: np.ndarray = factors * np.minimum(1.0, most / np.maximum(size, 1e-300))
        return bounded


def likeliest(
    errors: np.ndarray, share: np.ndarray, times: int = 1
) -> tuple[float, float]:
    """Return the ratio of noise to prior variance, and the noise, of records left out.

    The profile likelihood of one variance for all of them; of ratios that do about as
    well, the one that trusts the features least.

    Args:
        errors: of each record under each ratio of ``_RATIOS``, (ratios, times · n).
        share: latent variance over noise variance, likewise.
        times: that each record is there: several networks say little more than one.
    """
    n = errors.shape[1] / times
    best, ratio, noise = -np.inf, float(_RATIOS[0]), 0.0
    for option, e, wide in zip(_RATIOS, errors, 1.0 + share, strict=True):
        # two were chosen by these records: ratio and noise
        variance = float((e**2 / wide).sum()) / times / max(n - 2, 1)
        fit = -0.5 * (n * math.log(max(variance, 1e-300)) + np.log(wide).sum() / times)
        if fit > best + _BETTER:
            best, ratio, noise = float(fit), float(option), math.sqrt(variance)
    return ratio, noise
