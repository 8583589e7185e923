"""Zero-shot: a potential's formation energy plus fitted elemental references.

The least that any learning must beat: the potential's energy over its own elements, and
what is to be added for each element, with Bayesian coefficients for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from surrogates.base import Prediction, Progress
from surrogates.featurizers.table import features
from surrogates.gp.linear import BayesianLinear
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.recipes import ZeroShotRecipe

OVER = "elements as simple crystals"
"""What the energies of a checkpoint are over; earlier ones held total energies."""


def require_formation(state: Mapping[str, Any]) -> None:
    """Refuse the state of a checkpoint whose table holds other energies.

    Raises:
        ValueError: it does.
    """
    if state.get("over") != OVER:
        raise ValueError("its table holds total energies, not formation energies")


class ZeroShot(Tabular[ZeroShotRecipe]):
    """See the module; made by :class:`~surrogates.tabular.ZeroShotRecipe`."""

    _line: BayesianLinear

    @override
    def _features(self, crystals: Sequence[Crystal]) -> np.ndarray:
        columns = f"{self.recipe.potential}_formation+fractions"
        return features(columns, crystals, n_threads=self.recipe.threads)

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        self._line = line = BayesianLinear.fit(x, y, alike=1)
        held = Prediction.apart(line.held_mean, line.held_std)
        return Held(np.arange(len(y)), held)

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        parts = []
        for rows in groups:
            others = np.setdiff1d(np.arange(len(self._y)), rows)
            line = BayesianLinear.fit(self._raw[others], self._y[others], alike=1)
            latent = (line.factors(self._raw[rows]) ** 2).sum(axis=0)
            parts.append((line.mean(self._raw[rows]), np.sqrt(latent + line.noise**2)))
        mean, std = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Prediction.apart(mean, std)

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        own = np.full(len(x), self._line.noise)
        return Prediction(self._line.mean(x), self._line.factors(x), own)

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"over": OVER}, {}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        require_formation(state)
        self._line = BayesianLinear.fit(self._raw, self._y, alike=1)

    @override
    def _words(self) -> dict[str, str]:
        text = f"zero-shot {self.recipe.potential} with elemental references"
        return {"surrogate": text}
