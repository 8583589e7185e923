"""Where errors are large: a forest that learns it from errors on records left out.

One factor makes every standard deviation right on average; this model learns how much
wider or narrower each kind of chemistry needs it. The idea of a second model for the
error of the first is that of Nix and Weigend, Proc. IEEE ICNN (1994), applied here to
squared standardised errors and kept only where it proves better out of bag.

On 3,786 perovskites after 500 and 2,000 labels (docs/surrogates.md) the likelihood of a
Gaussian process on latents rose by 0.06 and 0.14 nats per record over one factor, and
the rank correlation of error and sigma from 0.17 and 0.10 to 0.27 and 0.32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.calibration.scale import z_scores
from surrogates.featurizers.composition import NAMES, composition_features

LEAST = 100
"""Records left out below which a leaf says nothing about chemistry."""
_TREES = 200  # every record out of bag in some 70 of them
_LEAF = 15  # squares of a Gaussian scatter by 1.4 of their mean: 0.37 in a mean of 15
_NARROW = 0.05
"""Least mean squared z: where every error of a leaf happened to be small."""


def chemistry_table(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return composition features, shape (n, d); rows of NaN for mixed sites."""
    rows = np.full((len(crystals), len(NAMES)), np.nan)
    try:
        rows[:] = composition_features(crystals)
    except SurrogateError:  # one at a time: the others keep their features
        for i, crystal in enumerate(crystals):
            try:
                rows[i] = composition_features([crystal])[0]
            except SurrogateError:
                continue
    return rows


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Expected squared z score as a function of composition, sigma and mean.

    Kept as its training table and grown again on loading: no pickle, same bits.
    """

    table: np.ndarray
    """What trees split on, shape (n, d + 2): chemistry, log sigma, mean."""
    squares: np.ndarray
    """Squared z scores of records left out, shape (n,)."""
    seed: int = 0
    _forest: Any = field(init=False, repr=False)
    left_out: np.ndarray = field(init=False)
    """Factor on sigma for each training row by the trees that missed it, shape (n,)."""

    def __post_init__(self) -> None:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            n_estimators=_TREES, min_samples_leaf=_LEAF, max_features=0.3,
            oob_score=True, random_state=self.seed % 2**32, n_jobs=1,
        )  # fmt: skip
        forest.fit(self.table, self.squares)
        object.__setattr__(self, "_forest", forest)
        object.__setattr__(self, "left_out", _factor(forest.oob_prediction_))

    @classmethod
    def fit(
        cls, chemistry: np.ndarray, y: np.ndarray, raw: Prediction, seed: int = 0
    ) -> ErrorModel | None:
        """Learn from records left out; None where one factor does as well.

        Args:
            chemistry: :func:`chemistry_table` of the records, shape (n, d).
            y: their labels, shape (n,).
            raw: predictions of them by something that did not learn them.
            seed: of the trees.
        """
        if len(y) < LEAST or not np.isfinite(chemistry).all():
            return None
        squares = z_scores(y, raw) ** 2
        made = cls(_rows(chemistry, raw), squares, seed)
        return made if nats(squares, made.left_out) < nats(squares, 1.0) else None

    def factors(self, chemistry: np.ndarray, raw: Prediction) -> np.ndarray:
        """Return the factor on each standard deviation, shape (m,).

        A crystal without composition features gets the typical factor.
        """
        known = np.isfinite(chemistry).all(axis=1)
        out = np.full(len(raw), np.sqrt(self.squares.mean()))
        if known.any():
            rows = _rows(chemistry, raw)[known]
            out[known] = _factor(self._forest.predict(rows))
        return out


def _rows(chemistry: np.ndarray, raw: Prediction) -> np.ndarray:
    return np.column_stack([chemistry, np.log(raw.std), raw.mean])


def _factor(squares: np.ndarray) -> np.ndarray:
    factor: np.ndarray = np.sqrt(np.maximum(squares, _NARROW))
    return factor


def nats(squares: np.ndarray, factor: np.ndarray | float) -> float:
    """Return the Gaussian log loss per record with the best common scale on top."""
    scaled = squares / np.square(factor)
    return float(0.5 * np.log(scaled.mean()) + np.mean(np.log(factor)))
