"""A length scale for every column, from few labels (automatic relevance determination).

The marginal likelihood of one Matérn-5/2 with a length per column (R. M. Neal, Bayesian
Learning for Neural Networks, 1996) times weak log-normal priors: on lengths, long and
growing with the root of the number of columns, so that a column counts only where the
labels say so (C. Hvarfner et al., ICML 2024, arXiv:2402.02229), and on the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

_LENGTH, _LENGTH_SPREAD = np.sqrt(2.0) + 0.5 * np.log(12.0), np.sqrt(3.0)
"""Of the logarithm of a length over the root of the number of columns, in standard
deviations of a column; those of a uniform one are its range over the root of 12, in
which Hvarfner et al. count."""
_NOISE, _NOISE_SPREAD = -4.0, 2.0
"""Of the logarithm of the noise variance over that of the labels."""
_STEPS = 60  # of L-BFGS; the gradient is small long before


@dataclass(frozen=True, eq=False)
class Relevance:
    """What the labels say of the columns."""

    lengths: np.ndarray
    """One per column, in its standard deviations, shape (d,); long is irrelevant."""
    ratio: float
    """Noise variance over signal variance."""


def relevance(x: np.ndarray, z: np.ndarray) -> Relevance:
    """Return lengths and noise of greatest posterior density, without randomness.

    Args:
        x: standardised features, shape (n, d).
        z: standardised labels, shape (n,); their variance is that of the signal.
    """
    d = x.shape[1]
    squared = (x[:, None, :] - x[None, :, :]) ** 2  # (n, n, d)
    centre = _LENGTH + 0.5 * np.log(d)
    start = np.append(np.full(d, centre - 1.0), _NOISE)
    found = minimize(
        loss, start, args=(squared, z, centre), jac=True, method="L-BFGS-B",
        bounds=[(centre - 6.0, centre + 6.0)] * d + [(-12.0, 2.0)],
        options={"maxiter": _STEPS},
    )  # fmt: skip
    return Relevance(np.exp(found.x[:d]), float(np.exp(found.x[d])))


def loss(
    theta: np.ndarray, squared: np.ndarray, z: np.ndarray, centre: float
) -> tuple[float, np.ndarray]:
    """Return minus the log posterior density and its gradient.

    Args:
        theta: logarithms of the lengths, and of the noise, shape (d + 1,).
        squared: squared differences of every pair in every column, (n, n, d).
        z: labels, shape (n,).
        centre: prior mean of the logarithm of a length.
    """
    lengths = np.exp(theta[:-1])
    parts = squared / lengths**2
    s = np.sqrt(5.0 * parts.sum(axis=2))
    decay = np.exp(-s)
    kernel = (1.0 + s + s**2 / 3.0) * decay
    noise = np.exp(theta[-1])
    lower = cholesky(kernel + (noise + 1e-8) * np.eye(len(z)), lower=True)
    alpha = cho_solve((lower, True), z)
    value = 0.5 * z @ alpha + np.log(np.diag(lower)).sum()
    # d loss / d covariance, then the chain rule
    outer = 0.5 * (cho_solve((lower, True), np.eye(len(z))) - np.outer(alpha, alpha))
    slope = outer * (5.0 / 3.0) * (1.0 + s) * decay
    gradient = np.append(np.einsum("ij,ijk->k", slope, parts), noise * np.trace(outer))
    far = np.append(
        (theta[:-1] - centre) / _LENGTH_SPREAD, (theta[-1] - _NOISE) / _NOISE_SPREAD
    )
    spread = np.append(np.full(len(lengths), _LENGTH_SPREAD), _NOISE_SPREAD)
    return float(value + 0.5 * far @ far), gradient + far / spread
