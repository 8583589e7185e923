"""Bayesian linear regression on arrays, with leave-one-out in closed form.

Bishop, Pattern Recognition and Machine Learning (2006), section 3.3; the ratio of noise
to prior variance maximises the evidence on a grid, the noise variance in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from surrogates.featurizers.table import Standardizer
from surrogates.spread import spread, vary

_RATIOS = np.geomspace(1e-8, 1e4, 49)  # noise over prior variance of a coefficient
_FLOOR = 1e-12  # of the noise variance in standardised labels


@dataclass(frozen=True, eq=False)
class BayesianLinear:
    """A posterior over coefficients; made by :meth:`fit`."""

    standard: Standardizer
    """How raw columns become standardised ones."""
    centre: float
    """Mean of the labels, unit of the target."""
    coefficients: np.ndarray
    """Posterior mean, shape (d,), unit of the target."""
    root: np.ndarray
    """R with RᵀR the posterior covariance of the coefficients, shape (r, d)."""
    noise: float
    """Standard deviation of the noise, unit of the target."""
    held_mean: np.ndarray
    """Leave-one-out predictions of the training labels, shape (n,)."""
    held_std: np.ndarray
    """Their standard deviations with noise, shape (n,)."""

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        *,
        alike: int | None = None,
        given: tuple[float, float] | None = None,
    ) -> BayesianLinear:
        """Fit raw columns, shape (n, d), to labels, shape (n,).

        Args:
            x: columns.
            y: labels.
            alike: columns from here on are one kind of quantity. One that never
                varied, such as the fraction of an element not seen yet, is scaled by
                the median deviation of the others: its coefficient is as unknown as
                theirs were, and a crystal that has some of it gets a large sigma.
            given: ratio of noise to prior variance, and standard deviation of the
                noise in the unit of the target, where these labels cannot tell them.
        """
        standard = Standardizer.of(x)
        if alike is not None:
            standard = standard.as_typical(x, alike)
        phi = standard(x)
        n = len(y)
        centre = float(y.mean())
        residual = y - centre if vary(y) else np.zeros(n)
        u, s, vt = _decomposed(phi)
        projected = u.T @ residual
        if given is None:
            ratio, noise = _evident(s, projected, residual, spread(y))
        else:
            ratio, noise = given[0], given[1] ** 2
        shrink = s**2 / (s**2 + ratio)
        coefficients = vt.T @ (s / (s**2 + ratio) * projected)
        leverage = (u**2 * shrink).sum(axis=1) + 1.0 / n  # the mean was fitted too
        leverage = np.minimum(leverage, 1.0 - 1e-6)
        errors = (residual - phi @ coefficients) / (1.0 - leverage)
        # posterior along vt rows, prior across them
        kept = np.sqrt(noise / (s**2 + ratio))[:, None] * vt
        missing = np.eye(phi.shape[1]) - vt.T @ vt
        across = np.sqrt(noise / ratio) * missing if len(s) < phi.shape[1] else None
        root = kept if across is None else np.concatenate([kept, across])
        return cls(
            standard, centre, coefficients, root, float(np.sqrt(noise)),
            y - errors, np.sqrt(noise / (1.0 - leverage)),
        )  # fmt: skip

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Return the posterior mean for raw columns, shape (m,)."""
        value: np.ndarray = self.centre + self.standard(x) @ self.coefficients
        return value

    def factors(self, x: np.ndarray) -> np.ndarray:
        """Return R φ(x)ᵀ, shape (r, m): the root of the latent covariance."""
        value: np.ndarray = self.root @ self.standard(x).T
        return value


def along(
    x: np.ndarray, y: np.ndarray, new: np.ndarray, ratios: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predict rows by fits with each ratio of noise to prior variance.

    Args:
        x: raw columns, shape (n, d).
        y: labels, shape (n,).
        new: raw columns of the rows, shape (m, d).
        ratios: shape (r,).

    Returns:
        Posterior means, unit of the target, and latent variances over that of the
        noise, both (r, m).
    """
    standard, centre = Standardizer.of(x), float(y.mean())
    u, s, vt = _decomposed(standard(x))
    projected = u.T @ (y - centre)
    rows = standard(new)
    at = rows @ vt.T
    beside = np.maximum((rows**2).sum(axis=1) - (at**2).sum(axis=1), 0.0)
    means = [centre + at @ (s / (s**2 + ratio) * projected) for ratio in ratios]
    shares = [(at**2 / (s**2 + r)).sum(axis=1) + beside / r for r in ratios]
    return np.stack(means), np.stack(shares)


def _evident(
    s: np.ndarray, projected: np.ndarray, residual: np.ndarray, scale: float
) -> tuple[float, float]:
    """Return the ratio of greatest evidence and its noise variance.

    Args:
        s: singular values of the standardised columns.
        projected: labels less their mean along the left singular vectors.
        residual: labels less their mean, shape (n,).
        scale: of the labels, unit of the target.
    """
    n = len(residual)
    floor = _FLOOR * scale**2
    outside = max(float(residual @ residual - projected @ projected), 0.0)
    best, ratio, noise = -np.inf, 1.0, 1.0
    for option in _RATIOS:
        # covariance of y is noise² (phi phiᵀ / option + 1)
        shifted = s**2 / option + 1.0
        variance = ((projected**2 / shifted).sum() + outside) / n
        variance = max(float(variance), floor)
        evidence = -0.5 * (n * np.log(variance) + np.log(shifted).sum())
        if evidence > best:
            best, ratio, noise = float(evidence), float(option), variance
    return ratio, noise


def _decomposed(phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the singular value decomposition, also where the fast way gives up.

    LAPACK's divide and conquer did not converge for one set of 428 perovskites; the
    plain algorithm does.
    """
    try:
        u, s, vt = np.linalg.svd(phi, full_matrices=False)
    except np.linalg.LinAlgError:
        u, s, vt = svd(phi, full_matrices=False, lapack_driver="gesvd")
    return u, s, vt
