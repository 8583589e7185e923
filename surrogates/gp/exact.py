"""Exact Gaussian process on arrays: what surrogates and pool scorers are built on.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): algorithm 2.1
for prediction, equations 5.10 to 5.12 for leave-one-out. One length scale and one noise
ratio are chosen by the marginal likelihood on a grid, with the signal variance in
closed form, so fitting has no start point, no optimiser and no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular

from matdisco.errors import SurrogateError
from surrogates.featurizers.table import Standardizer
from surrogates.gp.kernels import distances, matern52

TUNED_ON = 800
"""Records (evenly spaced) that choose the hyperparameters; the rest only condition."""
_LENGTHS = np.geomspace(0.2, 20.0, 15)  # in units of the median feature distance
_NOISES = np.geomspace(1e-5, 1.0, 16)  # noise variance over signal variance
_SIGNALS = np.geomspace(1e-2, 1e2, 25)  # signal over label variance, if noise is given
_FLOOR = 1e-12  # of a variance in standardised labels: constant labels stay solvable


@dataclass(frozen=True)
class Hyper:
    """What the likelihood chose, in standardised features and labels."""

    length: float
    """Length scale of the Matérn-5/2 kernel, standardised feature distance."""
    ratio: float
    """Noise variance over signal variance; unused where the noise was given."""
    signal: float | None = None
    """Signal over label variance; None takes the closed form."""


@dataclass(frozen=True, eq=False)
class ExactGP:
    """A conditioned process; made by :meth:`fit`.

    All methods take raw features ``b`` of shape (m, d) and answer for the *latent*
    function, without noise; add :attr:`noise` for a new measurement.
    """

    x: np.ndarray
    """Standardised training features, shape (n, d)."""
    y: np.ndarray
    """Training labels, shape (n,), unit of the target."""
    standard: Standardizer
    """How raw features become standardised ones."""
    centre: float
    """Mean of the labels: what the process returns far from data."""
    hyper: Hyper
    """Length scale and noise."""
    amplitude: float
    """Prior standard deviation of the latent function, unit of the target."""
    noise: float | np.ndarray
    """Noise variance, unit of the target squared; shape (n,) if given per record."""
    lower: np.ndarray
    """L, the Cholesky factor of k(x, x) + noise, shape (n, n), unit of the target."""
    alpha: np.ndarray
    """(k(x, x) + noise)⁻¹ (y - centre), shape (n,), one over the unit."""

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        *,
        noise: float | np.ndarray | None = None,
        hyper: Hyper | None = None,
    ) -> ExactGP:
        """Choose hyperparameters unless given, then condition on all records.

        Args:
            x: raw features, shape (n, d); standardised inside.
            y: labels, shape (n,).
            noise: known noise variance, one or one per record (n,), in the unit of the
                target squared; None learns one value by the likelihood.
            hyper: skip the choice.

        Raises:
            SurrogateError: shapes that do not fit, or numbers that are not finite.
        """
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        given = None if noise is None else np.asarray(noise, dtype=float)
        _check(x, y, given)
        standard = Standardizer.of(x)
        scaled = standard(x)
        centre, spread = float(y.mean()), float(y.std()) or 1.0
        z = (y - centre) / spread
        known = None if given is None else np.broadcast_to(given / spread**2, z.shape)
        if hyper is None:
            rows = np.unique(np.linspace(0, len(x) - 1, TUNED_ON).astype(int))
            part = None if known is None else known[rows]
            hyper = _tuned(scaled[rows], z[rows], part)
        kernel = matern52(distances(scaled, scaled) / hyper.length)
        at = np.diag_indices_from(kernel)
        if known is None:
            kernel[at] += hyper.ratio
            lower = cholesky(kernel, lower=True)
            alpha = cho_solve((lower, True), z)
            signal = hyper.signal or max(float(z @ alpha) / len(z), _FLOOR)
            found: float | np.ndarray = hyper.ratio * signal * spread**2
        else:
            signal = hyper.signal or 1.0
            kernel[at] += np.maximum(known / signal, 1e-10)
            lower = cholesky(kernel, lower=True)
            alpha = cho_solve((lower, True), z)
            found = float(given) if given is not None and given.ndim == 0 else known
            if isinstance(found, np.ndarray):
                found = found * spread**2
        amplitude = spread * float(np.sqrt(signal))
        return cls(
            scaled, y, standard, centre, hyper, amplitude, found,
            amplitude * lower, alpha * spread / amplitude**2,
        )  # fmt: skip

    def mean(self, b: np.ndarray) -> np.ndarray:
        """Return the posterior mean, shape (m,), unit of the target."""
        value: np.ndarray = self.centre + self._cross(b) @ self.alpha
        return value

    def variance(self, b: np.ndarray) -> np.ndarray:
        """Return the posterior variance, shape (m,), unit of the target squared."""
        explained = (self.whiten(b) ** 2).sum(axis=0)
        value: np.ndarray = np.maximum(self.amplitude**2 - explained, 0.0)
        return value

    def kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the prior covariance, shape (len(a), len(b)), unit squared."""
        gap = distances(self.standard(a), self.standard(b)) / self.hyper.length
        value: np.ndarray = self.amplitude**2 * matern52(gap)
        return value

    def whiten(self, b: np.ndarray) -> np.ndarray:
        """Return L⁻¹ k(x, b), shape (n, m), unit of the target.

        Posterior covariance of a and b is kernel(a, b) - whiten(a)ᵀ whiten(b).
        """
        value: np.ndarray = solve_triangular(self.lower, self._cross(b).T, lower=True)
        return value

    def covariance(self, b: np.ndarray) -> np.ndarray:
        """Return the posterior covariance, shape (m, m), unit squared."""
        v = self.whiten(b)
        value: np.ndarray = self.kernel(b, b) - v.T @ v
        return value

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (errors, standard deviations), shapes (n,), as if each were new.

        The error is label minus prediction; the deviation includes the noise.
        """
        inverse = np.diag(cho_solve((self.lower, True), np.eye(len(self.y))))
        return self.alpha / inverse, np.sqrt(1.0 / inverse)

    def _cross(self, b: np.ndarray) -> np.ndarray:
        gap = distances(self.standard(b), self.x) / self.hyper.length
        value: np.ndarray = self.amplitude**2 * matern52(gap)
        return value


def _check(x: np.ndarray, y: np.ndarray, noise: np.ndarray | None) -> None:
    if x.ndim != 2 or y.shape != x.shape[:1] or len(y) == 0:
        raise SurrogateError(
            f"Expected features (n, d) and labels (n,) with n ≥ 1 "
            f"(got {x.shape} and {y.shape})"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise SurrogateError("features or labels hold NaN or infinity")
    if noise is not None and (
        noise.shape not in ((), y.shape)
        or not np.isfinite(noise).all()
        or (noise < 0).any()
    ):
        raise SurrogateError(
            f"Expected a noise variance ≥ 0, one or one per record "
            f"(got shape {noise.shape})"
        )


def _tuned(x: np.ndarray, z: np.ndarray, known: np.ndarray | None) -> Hyper:
    """Return the grid point of greatest marginal likelihood."""
    gap = distances(x, x)
    positive = gap[gap > 1e-9]
    unit = float(np.median(positive)) if len(positive) else 1.0
    best, chosen = -np.inf, Hyper(unit, 1e-2, None if known is None else 1.0)
    for length in unit * _LENGTHS:
        kernel = matern52(gap / length)
        if known is None:
            likelihood, hyper = _with_free_noise(kernel, z, float(length))
        else:
            likelihood, hyper = _with_known_noise(kernel, z, known, float(length))
        if likelihood > best:
            best, chosen = likelihood, hyper
    return chosen


def _with_free_noise(
    kernel: np.ndarray, z: np.ndarray, length: float
) -> tuple[float, Hyper]:
    """Profile the signal variance out: one eigendecomposition serves all noises."""
    values, vectors = eigh(kernel)
    squared = (vectors.T @ z) ** 2
    options = [
        (
            _profiled(squared, np.maximum(values, 0.0) + noise),
            Hyper(length, float(noise)),
        )
        for noise in _NOISES
    ]
    return max(options, key=lambda pair: pair[0])


def _profiled(squared: np.ndarray, shifted: np.ndarray) -> float:
    signal = max(float((squared / shifted).mean()), _FLOOR)
    return -0.5 * float(len(squared) * np.log(signal) + np.log(shifted).sum())


def _with_known_noise(
    kernel: np.ndarray, z: np.ndarray, known: np.ndarray, length: float
) -> tuple[float, Hyper]:
    """Divide rows by their noise: then the covariance is signal · K' + 1."""
    root = np.sqrt(np.maximum(known, 1e-10))
    values, vectors = eigh(kernel / np.outer(root, root))
    squared = (vectors.T @ (z / root)) ** 2
    options = [
        (
            -0.5 * float((squared / v).sum() + np.log(v).sum()),
            Hyper(length, 0.0, float(signal)),
        )
        for signal in _SIGNALS
        for v in [signal * np.maximum(values, 0.0) + 1.0]
    ]
    return max(options, key=lambda pair: pair[0])
