"""The exact Gaussian process as the pool scorer wants it, in either precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import solve_triangular

from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Kernel


@dataclass(frozen=True, eq=False)
class PoolProcess:
    """An exact process with one pass for mean and variance.

    Single precision halves time and memory. Its rounding, about 1e-5 of the prior
    variance, is far below any noise that real labels have.
    """

    x: np.ndarray
    """Training features, standardised and over the length scale, (records, d)."""
    centre: np.ndarray
    """Subtracted from raw features, shape (d,)."""
    unit: np.ndarray
    """Raw features per length scale, shape (d,)."""
    lower: np.ndarray
    """Cholesky factor of the records' covariance, target's unit."""
    weights: np.ndarray
    """``L⁻¹ (y - mean)``, shape (records,)."""
    middle: float
    """Prior mean."""
    amplitude: float
    """Prior standard deviation."""
    noise: float
    """Noise variance."""
    terms: Kernel | None = None
    """A kernel of several terms; None is one isotropic Matérn-5/2."""

    @classmethod
    def of(cls, gp: ExactGP, *, single: bool = True) -> Self:
        """Take over a fitted process.

        Args:
            gp: fitted; of noises given per record the median counts for candidates.
            single: work in float32.
        """
        kind = np.float32 if single else np.float64
        kernel = gp.hyper.kernel
        first = kernel.terms[0]
        whole = (first.start, first.stop) == (0, gp.x.shape[1])
        plain = len(kernel.terms) == 1 and first.kind == "matern52" and whole
        length = first.length if plain else 1.0
        unit = gp.standard.std * length
        return cls(
            np.ascontiguousarray(gp.x / length, dtype=kind),
            gp.standard.mean.astype(kind), unit.astype(kind),
            np.asfortranarray(gp.lower, dtype=kind),
            (gp.lower.T @ gp.alpha).astype(kind),
            gp.centre, gp.amplitude, float(np.median(gp.noise)),
            None if plain else kernel,
        )  # fmt: skip

    def moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and variances without noise, each (n,)."""
        v = self.whiten(x)
        mean = self.middle + self.weights @ v
        prior: float | np.ndarray = self.amplitude**2
        if self.terms is not None:
            prior = prior * self.terms.diagonal(self.scaled(x))
        variance = prior - np.einsum("ij,ij->j", v, v)
        return mean, np.maximum(variance, 0.0)

    def kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return prior covariances, (len(a), len(b)), target's unit squared."""
        return self._covariance(self.scaled(a), self.scaled(b))

    def whiten(self, b: np.ndarray) -> np.ndarray:
        """Return ``L⁻¹ k(records, b)``, (records, len(b))."""
        cross = self._covariance(self.scaled(b), self.x)
        solved: np.ndarray = solve_triangular(
            self.lower, cross.T, lower=True, overwrite_b=True, check_finite=False
        )
        return solved

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Return raw features as the kernel wants them, shape kept."""
        scaled: np.ndarray = (x.astype(self.x.dtype) - self.centre) / self.unit
        return scaled

    def _covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return covariances of scaled rows; Matérn-5/2 with few temporaries."""
        if self.terms is not None:
            several: np.ndarray = self.amplitude**2 * self.terms(a, b)
            return several
        s = a @ b.T
        s *= -2.0
        s += (a**2).sum(axis=1)[:, None]
        s += (b**2).sum(axis=1)[None]
        np.maximum(s, 0.0, out=s)
        s *= 5.0
        r = np.sqrt(s)
        s /= 3.0
        s += r
        s += 1.0
        np.negative(r, out=r)
        np.exp(r, out=r)
        s *= r
        s *= self.amplitude**2
        covariance: np.ndarray = s
        return covariance
