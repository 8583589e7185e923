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
from matdisco.errors import SurrogateError
from surrogates.base import Prediction, Progress
from surrogates.featurizers.formation import formation_column
from surrogates.featurizers.own_potential import own_potential
from surrogates.featurizers.table import features
from surrogates.gp.linear import BayesianLinear
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.recipes import ZeroShotRecipe

OVER = "elements as simple crystals"
"""What the energies of a checkpoint are over; earlier ones held total energies."""


def over(potential: str) -> dict[str, str]:
    """Return what a checkpoint keeps of the energies that its table holds."""
    if ":" not in potential:
        return {"over": OVER}
    return {"over": OVER, "potential": own_potential(potential).fingerprint}


def require_formation(state: Mapping[str, Any], potential: str) -> None:
    """Refuse the state of a checkpoint whose table holds other energies.

    Raises:
        ValueError: it holds total energies.
        SurrogateError: a potential of the user's own is not there, or no longer what it
            was.
    """
    if state.get("over") != OVER:
        raise ValueError("its table holds total energies, not formation energies")
    if ":" in potential:
        now = own_potential(potential).fingerprint
        if now != state.get("potential"):
            raise SurrogateError(
                f"this surrogate learnt over energies of {potential!r} in another "
                f"version ({state.get('potential')}, now {now}); fit it again"
            )


class ZeroShot(Tabular[ZeroShotRecipe]):
    """See the module; made by :class:`~surrogates.tabular.ZeroShotRecipe`."""

    _line: BayesianLinear

    @override
    def _features(self, crystals: Sequence[Crystal]) -> np.ndarray:
        potential, n_threads = self.recipe.potential, self.recipe.threads
        energies = formation_column(potential, crystals, n_threads=n_threads)
        return np.concatenate([energies, features("fractions", crystals)], axis=1)

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
        return over(self.recipe.potential), {}

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        require_formation(state, self.recipe.potential)
        self._line = BayesianLinear.fit(self._raw, self._y, alike=1)

    @override
    def _words(self) -> dict[str, str]:
        text = f"zero-shot {self.recipe.potential} with elemental references"
        return {"surrogate": text}
