"""Exact Gaussian process on arrays: what surrogates and pool scorers are built on.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): algorithm 2.1
for prediction, equations 5.10 to 5.12 for leave-one-out. One length scale and one noise
ratio are chosen by the marginal likelihood (:mod:`surrogates.gp.likelihood`) with the
signal variance in closed form; fitting has no randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular

from matdisco.errors import SurrogateError
from surrogates.featurizers.table import Standardizer
from surrogates.gp.kernels import Term
from surrogates.gp.likelihood import FLOOR, Hyper, choose

TUNED_ON = 800
"""Records (evenly spaced) that choose the hyperparameters; the rest only condition."""


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
    """Kernel and noise."""
    amplitude: float
    """Prior standard deviation of the latent function, unit of the target; where the
    kernel has a linear term, that of a row of mean square 1."""
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
        terms: Sequence[Term] | None = None,
        hyper: Hyper | None = None,
        standard: Standardizer | None = None,
    ) -> ExactGP:
        """Choose hyperparameters unless given, then condition on all records.

        Args:
            x: raw features, shape (n, d); standardised inside.
            y: labels, shape (n,).
            noise: known noise variance, one or one per record (n,), in the unit of the
                target squared; None learns one value by the likelihood.
            terms: form of the kernel; None is one isotropic Matérn-5/2 on all columns.
            hyper: skip the choice.
            standard: how features are standardised; by these records when not given.

        Raises:
            SurrogateError: shapes that do not fit, or numbers that are not finite.
        """
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        given = None if noise is None else np.asarray(noise, dtype=float)
        _check(x, y, given)
        standard = Standardizer.of(x) if standard is None else standard
        scaled = standard(x)
        centre, spread = float(y.mean()), float(y.std()) or 1.0
        z = (y - centre) / spread
        known = None if given is None else np.broadcast_to(given / spread**2, z.shape)
        if hyper is None:
            rows = np.unique(np.linspace(0, len(x) - 1, TUNED_ON).astype(int))
            part = None if known is None else known[rows]
            form = terms or [Term(0, x.shape[1])]
            hyper = choose(scaled[rows], z[rows], form, part)
        kernel = hyper.kernel(scaled, scaled)
        at = np.diag_indices_from(kernel)
        if known is None:
            kernel[at] += hyper.ratio
            lower = cholesky(kernel, lower=True)
            alpha = cho_solve((lower, True), z)
            # profiled on all records, whatever the climb saw on some of them
            signal = max(float(z @ alpha) / len(z), FLOOR)
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
        prior = self.amplitude**2 * self.hyper.kernel.diagonal(self.standard(b))
        value: np.ndarray = np.maximum(prior - explained, 0.0)
        return value

    def kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the prior covariance, shape (len(a), len(b)), unit squared."""
        first = self.standard(a)
        second = first if a is b else self.standard(b)
        value: np.ndarray = self.amplitude**2 * self.hyper.kernel(first, second)
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

    def leave_groups_out(
        self, groups: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (errors, standard deviations) of each group as if it were new.

        The block form of :meth:`leave_one_out`: a group's errors are
        (K⁻¹ of its rows)⁻¹ α, and their covariance is that inverse.

        Args:
            groups: rows of each group, shapes (m,); they may overlap.
        """
        inverse = cho_solve((self.lower, True), np.eye(len(self.y)))
        out: list[tuple[np.ndarray, np.ndarray]] = []
        for rows in groups:
            covariance = np.linalg.inv(inverse[np.ix_(rows, rows)])
            std = np.sqrt(np.diag(covariance))
            out.append((covariance @ self.alpha[rows], std))
        return out

    def _cross(self, b: np.ndarray) -> np.ndarray:
        value: np.ndarray = self.amplitude**2 * self.hyper.kernel(
            self.standard(b), self.x
        )
        return value


def root(covariance: np.ndarray, unit: float) -> np.ndarray:
    """Return R with RᵀR = covariance, shape (n, n), clipping rounding below zero.

    Args:
        covariance: shape (n, n).
        unit: a typical variance; 1e-8 of it is added to the diagonal.
    """
    try:
        lower = np.linalg.cholesky(covariance + 1e-8 * unit * np.eye(len(covariance)))
        upper: np.ndarray = lower.T
    except np.linalg.LinAlgError:
        values, vectors = eigh(covariance)
        upper = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return upper


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
