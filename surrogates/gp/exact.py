"""Exact Gaussian process on arrays: what surrogates and pool scorers are built on.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): algorithm 2.1
for prediction, equations 5.10 to 5.12 for leave-one-out. One length scale and one noise
ratio are chosen by the marginal likelihood (:mod:`surrogates.gp.likelihood`) with the
signal variance in closed form; fitting has no randomness.

Cost for n records: 8 n² bytes and n³ / 3 products for the factor, as much memory and
twice the products again for leaving records out. The matrix is filled in blocks and
factored where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular
from scipy.linalg.lapack import dpotri

from matdisco.errors import SurrogateError
from surrogates.featurizers.table import Standardizer
from surrogates.gp.kernels import Term
from surrogates.gp.likelihood import FLOOR, Hyper, choose, unchosen
from surrogates.gp.low_rank import chosen, low_rank
from surrogates.spread import standardised, vary

TUNED_ON = 800
"""Records (evenly spaced) that choose the hyperparameters; the rest only condition."""
_SMALL = 4000
"""Records up to which the inverse is that of earlier versions to the last bit, as error
forests pass rounding on to sigmas; above, a third of the operations."""
_AT_ONCE = 2**26  # covariances of new rows with the records that are held at once


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
        blind: bool = False,
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
            blind: features are equal for all structures of one formula
                (:func:`~surrogates.gp.likelihood.choose`).

        Raises:
            SurrogateError: shapes that do not fit, or numbers that are not finite.
        """
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        given = None if noise is None else np.asarray(noise, dtype=float)
        _check(x, y, given)
        standard = Standardizer.of(x) if standard is None else standard
        scaled = standard(x)
        (z, centre, scale), varied = standardised(y), vary(y)
        known = None if given is None else np.broadcast_to(given / scale**2, z.shape)
        if hyper is None:
            rows = np.unique(np.linspace(0, len(x) - 1, TUNED_ON).astype(int))
            part = None if known is None else known[rows]
            form = terms or [Term(0, x.shape[1])]
            given_to = scaled[rows], z[rows], form, part
            hyper = choose(*given_to, blind=blind) if varied else unchosen(*given_to)
        kernel = hyper.kernel.gram(scaled)
        at = np.diag_indices_from(kernel)
        if known is None:
            kernel[at] += hyper.ratio
            lower = cholesky(kernel, lower=True, overwrite_a=True)
            alpha = cho_solve((lower, True), z)
            # profiled on all records, whatever the climb saw on some of them
            signal = max(float(z @ alpha) / len(z), FLOOR) if varied else 1.0
            found: float | np.ndarray = hyper.ratio * signal * scale**2
        else:
            signal = hyper.signal or 1.0
            kernel[at] += np.maximum(known / signal, 1e-10)
            lower = cholesky(kernel, lower=True, overwrite_a=True)
            alpha = cho_solve((lower, True), z)
            found = float(given) if given is not None and given.ndim == 0 else known
            if isinstance(found, np.ndarray):
                found = found * scale**2
        amplitude = scale * float(np.sqrt(signal))
        lower *= amplitude
        return cls(
            scaled, y, standard, centre, hyper, amplitude, found,
            lower, alpha * scale / amplitude**2,
        )  # fmt: skip

    def mean(self, b: np.ndarray) -> np.ndarray:
        """Return the posterior mean, shape (m,), unit of the target."""
        out = np.empty(len(b))
        for rows in self._blocks(len(b)):
            out[rows] = self.centre + self._cross(b[rows]) @ self.alpha
        return out

    def variance(self, b: np.ndarray) -> np.ndarray:
        """Return the posterior variance, shape (m,), unit of the target squared."""
        out = np.empty(len(b))
        for rows in self._blocks(len(b)):
            explained = (self.whiten(b[rows]) ** 2).sum(axis=0)
            prior = self.hyper.kernel.diagonal(self.standard(b[rows]))
            out[rows] = np.maximum(self.amplitude**2 * prior - explained, 0.0)
        return out

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

    def low_rank(self, b: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (factors, variances left) of many rows, (r, m) and (m,).

        What :meth:`covariance` has no room for; see :mod:`surrogates.gp.low_rank`.

        Args:
            b: raw features, shape (m, d).
            limit: r m is at most its square.
        """
        some = b[chosen(len(b), limit)]
        there = self.whiten(some)
        cross, variance = np.empty((len(some), len(b))), np.empty(len(b))
        for rows in self._blocks(len(b)):
            v = self.whiten(b[rows])
            cross[:, rows] = self.kernel(some, b[rows]) - there.T @ v
            prior = self.hyper.kernel.diagonal(self.standard(b[rows]))
            left = self.amplitude**2 * prior - (v**2).sum(axis=0)
            variance[rows] = np.maximum(left, 0.0)
        return low_rank(self.covariance(some), cross, variance, self.amplitude**2)

    def inverse(self) -> np.ndarray:
        """Return the lower triangle of (k(x, x) + noise)⁻¹, shape (n, n).

        What leaving records out starts from; above the diagonal may be anything.
        """
        if len(self.y) <= _SMALL:
            found: np.ndarray = cho_solve((self.lower, True), np.eye(len(self.y)))
            return found
        found = dpotri(self.lower, lower=1)[0]
        return found

    def leave_one_out(self, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (errors, standard deviations), shapes (n,), as if each were new.

        The error is label minus prediction; the deviation includes the noise.

        Args:
            inverse: what :meth:`inverse` gave.
        """
        own = np.diag(inverse)
        return self.alpha / own, np.sqrt(1.0 / own)

    def leave_groups_out(
        self, groups: Sequence[np.ndarray], inverse: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (errors, standard deviations) of each group as if it were new.

        The block form of :meth:`leave_one_out`: a group's errors are
        (K⁻¹ of its rows)⁻¹ α, and their covariance is that inverse.

        Args:
            groups: rows of each group, shapes (m,); they may overlap.
            inverse: what :meth:`inverse` gave.
        """
        out: list[tuple[np.ndarray, np.ndarray]] = []
        for rows in groups:
            down, up = np.maximum.outer(rows, rows), np.minimum.outer(rows, rows)
            factor = cholesky(inverse[down, up], lower=True, overwrite_a=True)
            variance = np.diag(dpotri(factor, lower=1)[0])
            errors: np.ndarray = cho_solve((factor, True), self.alpha[rows])
            out.append((errors, np.sqrt(variance)))
        return out

    def _blocks(self, m: int) -> list[slice]:
        """Return the rows of m new ones that are answered at once."""
        step = max(1, _AT_ONCE // len(self.x))
        return [slice(at, at + step) for at in range(0, m, step)]

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
