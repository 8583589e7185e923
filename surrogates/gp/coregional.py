"""A Gaussian process with an output for each label, conditioned on all of them.

Hyperparameters and covariance are those of :mod:`surrogates.gp.intrinsic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from surrogates.base import Prediction
from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import root
from surrogates.gp.intrinsic import MEAN, Theta, choose, covariance, left_out, links
from surrogates.gp.kernels import distances, matern52
from surrogates.gp.low_rank import JOINT_LIMIT, chosen, low_rank
from surrogates.spread import standardised

TUNED_ON = 600
"""Labels (evenly spaced) that choose the hyperparameters; the rest only condition. Of
all outputs together, without a gradient: dearer than those of one."""


@dataclass(frozen=True, eq=False)
class CoregionalGP:
    """Conditioned; made by :meth:`fit`."""

    x: np.ndarray
    """Standardised features of the crystal of each label, shape (n, d)."""
    y: np.ndarray
    """Labels, each in the unit of its output, shape (n,)."""
    output: np.ndarray
    """Which label each is, shape (n,); 0 is the target."""
    standard: Standardizer
    """Raw features to standardised ones."""
    centre: np.ndarray
    """Mean of each output's labels, shape (outputs,)."""
    scale: np.ndarray
    """Their spread (:mod:`surrogates.spread`), shape (outputs,)."""
    theta: Theta
    """Hyperparameters."""
    lower: np.ndarray
    """Cholesky factor of the covariance of standardised labels, shape (n, n)."""
    alpha: np.ndarray
    """Inverse covariance times standardised labels, shape (n,)."""

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        output: np.ndarray,
        theta: Theta | None = None,
    ) -> Self:
        """Choose hyperparameters (unless given) and condition on all labels.

        Args:
            x: raw features of the crystal of each label, shape (n, d).
            y: labels, shape (n,).
            output: which label each is, shape (n,); every output has some.
            theta: hyperparameters of an earlier fit.
        """
        standard = Standardizer.of(x)
        x = standard(x)
        z, (centre, scale) = np.zeros(len(y)), np.zeros((2, int(output.max()) + 1))
        for t in range(len(scale)):
            z[output == t], centre[t], scale[t] = standardised(y[output == t])
        if theta is None:
            rows = np.unique(np.linspace(0, len(y) - 1, TUNED_ON).astype(int))
            theta = choose(x[rows], z[rows], output[rows])
        lower = cholesky(covariance(x, output, theta), lower=True, overwrite_a=True)
        alpha = cho_solve((lower, True), z)
        return cls(x, y, output, standard, centre, scale, theta, lower, alpha)

    def inverse(self) -> np.ndarray:
        """Return the inverse of the covariance of standardised labels, shape (n, n)."""
        value: np.ndarray = cho_solve((self.lower, True), np.eye(len(self.y)))
        return value

    def without(
        self,
        t: int,
        inverse: np.ndarray,
        left: Sequence[np.ndarray],
        asked: Sequence[np.ndarray],
    ) -> Prediction:
        """Predict labels of output ``t`` as if sets of labels had not been learnt.

        Args:
            t: the output.
            inverse: what :meth:`inverse` returns.
            left: rows that each set holds, ascending.
            asked: rows of output ``t`` in each set that are predicted.

        Returns:
            Of the rows asked for, one set after the other; sigmas hold the noise.
        """
        parts = [
            left_out(inverse, self.alpha, out, np.searchsorted(out, rows))
            for out, rows in zip(left, asked, strict=True)
        ]
        errors, std = (np.concatenate(part) for part in zip(*parts, strict=True))
        mean = self.y[np.concatenate(asked)] - self.scale[t] * errors
        return Prediction.apart(mean, self.scale[t] * std)

    def predict(self, x: np.ndarray, t: int) -> Prediction:
        """Return the joint prediction of output ``t`` for raw features ``x``, (m, d).

        Beyond :data:`~surrogates.gp.low_rank.JOINT_LIMIT` rows the covariance is of low
        rank; each row's variance is exact.
        """
        at, theta, scale = self.standard(x), self.theta, self.scale[t]
        link = links(theta)[t]  # (outputs,)
        length, mean_too = float(theta["length"]), MEAN * (self.output == t)
        cross = matern52(distances(at, self.x) / length) * link[self.output] + mean_too
        v = solve_triangular(self.lower, cross.T, lower=True)
        mean = self.centre[t] + scale * (cross @ self.alpha)
        noise = scale * float(np.sqrt(theta["noise"][t]))
        some = chosen(len(x), JOINT_LIMIT)  # all, up to the limit
        near = matern52(distances(at[some], at) / length)
        shared = scale**2 * (link[t] * near + MEAN - v[:, some].T @ v)
        unit = scale**2 * float(link[t])
        if len(some) == len(x):
            return Prediction(mean, root(shared, unit), np.full(len(x), noise))
        left = np.maximum(link[t] + MEAN - (v**2).sum(axis=0), 0.0)
        factors, own = low_rank(shared[:, some], shared, scale**2 * left, unit)
        return Prediction(mean, factors, np.sqrt(own + noise**2))
