"""What an answer that is only correlated with the target tells about its best value.

MF-MES: S. Takeno et al., ICML 2020 (arXiv:1901.08275).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm

_WIDEST = 8.0  # beyond it, in sigmas, nothing is left to learn about the best value


def information(g: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return what an answer tells about a best value, nats (MF-MES), shape of both.

    With y standard normal and f correlated with it by r, the entropy of y less that of
    y given f < g: ``r² g lambda / 2 - log Phi(g) + E[log Phi(w)]``, where
    ``lambda = phi(g) / Phi(g)`` and ``w = (g - r y) / sqrt(1 - r²)``, the mean over y
    given f < g. For r = 1 that is max-value entropy search; in between, one integral is
    left, over y where r is small and over w where it is large, by Gauss's rules.

    Args:
        g: best value less the mean of the dearest fidelity, in its sigma; >= -8.
        r: correlation of the answer with the dearest fidelity, -1 to 1.
    """
    g, r = np.broadcast_arrays(np.asarray(g, dtype=float), np.abs(r))
    shape, g, r = g.shape, g.ravel(), r.ravel()
    g = np.maximum(g, -_WIDEST)
    rest = np.sqrt(np.maximum(1.0 - r**2, 0.0))
    log_below = log_ndtr(g)
    slope = np.exp(norm.logpdf(g) - log_below)
    last = np.zeros(len(g))
    flat = r < np.sqrt(0.5)
    nodes, weights = _gauss_hermite()
    w = (g[flat, None] - r[flat, None] * nodes) / rest[flat, None]
    last[flat] = _times_log(w) @ weights
    steep = ~flat & (rest > 1e-9)
    nodes, weights = _gauss_legendre()
    ratio = rest[steep, None] / r[steep, None]
    y = (g[steep, None] - rest[steep, None] * nodes) / r[steep, None]
    last[steep] = (ratio * norm.pdf(y) * _times_log(nodes)) @ weights
    found = 0.5 * r**2 * g * slope - log_below + last * np.exp(-log_below)
    return np.asarray(np.maximum(found, 0.0).reshape(shape))


def _times_log(w: np.ndarray) -> np.ndarray:
    """Return Phi(w) log Phi(w)."""
    product: np.ndarray = ndtr(w) * log_ndtr(w)
    return product


@cache
def _gauss_hermite() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a mean over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    return nodes, weights / np.sqrt(2 * np.pi)


@cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of an integral of -9 to 9, where Phi log Phi is not nothing."""
    nodes, weights = np.polynomial.legendre.leggauss(96)
    return 9 * nodes, 9 * weights


@cache
def _table() -> RectBivariateSpline:
    """:func:`information` by g and the arc sine of r, where it is smooth."""
    g = np.linspace(-_WIDEST, _WIDEST, 129)
    angle = np.linspace(0.0, np.pi / 2, 49)
    values = information(*np.meshgrid(g, np.sin(angle), indexing="ij"))
    return RectBivariateSpline(g, angle, values)


def looked_up(g: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return :func:`information` from its table, to about 1e-4 nats."""
    angle = np.arcsin(np.minimum(np.abs(r), 1.0))
    found = _table().ev(np.clip(g, -_WIDEST, _WIDEST), angle)
    return np.asarray(np.maximum(found, 0.0))
