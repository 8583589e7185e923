"""Pathwise posterior draws of an exact process: whole functions, linear in the pool.

Matheron's rule (J. T. Wilson et al., ICML 2020, arXiv:2002.09309): a draw from the
prior plus the same update that the labels give the mean. The prior draw is a sum of
random Fourier features (A. Rahimi and B. Recht, NIPS 2007), whose frequencies, for a
Matérn of smoothness 5/2, follow a multivariate t distribution of five degrees of
freedom.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from campaigns.acquisition.beliefs import CHUNK
from campaigns.acquisition.process import PoolProcess
from surrogates.gp.kernels import EQUAL, Term

FEATURES = 1024
"""Random features per term and draw: the prior covariance is off by about 3 %."""
_FREEDOM = 5.0  # twice the smoothness


class Paths:
    """Draws of a process, each a function that can be asked anywhere.

    Args:
        process: fitted.
        draws: how many functions.
        rng: source of all randomness.
    """

    def __init__(
        self, process: PoolProcess, draws: int, rng: np.random.Generator
    ) -> None:
        self.process = process
        width = process.x.shape[1]
        whole = (Term(0, width),)
        self.terms = whole if process.terms is None else process.terms.terms
        self.parts = [
            _Groups(t, draws, rng) if t.kind == "same" else _Features.of(t, draws, rng)
            for t in self.terms
        ]
        noise = np.sqrt(process.noise) * rng.standard_normal((len(process.x), draws))
        seen = self._prior(process.x) + noise  # (records, draws)
        drawn = solve_triangular(process.lower, seen, lower=True, check_finite=False)
        self.update = process.weights[:, None] - drawn

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the draws at raw features ``x``, shape (n, draws)."""
        process, parts = self.process, []
        for start in range(0, len(x), CHUNK):
            here = x[start : start + CHUNK]
            prior = self._prior(process.scaled(here))
            parts.append(process.middle + prior + process.whiten(here).T @ self.update)
        return np.concatenate(parts).astype(float)

    def _prior(self, scaled: np.ndarray) -> np.ndarray:
        values = [
            np.sqrt(t.weight) * part(scaled)
            for t, part in zip(self.terms, self.parts, strict=True)
        ]
        drawn: np.ndarray = self.process.amplitude * np.sum(values, axis=0)
        return drawn


class _Features:
    """Prior draws of one term, with unit variance."""

    def __init__(
        self, term: Term, slopes: np.ndarray, phases: np.ndarray, weights: np.ndarray
    ) -> None:
        self.term, self.slopes, self.phases, self.weights = (
            term, slopes, phases, weights,
        )  # fmt: skip

    @classmethod
    def of(cls, term: Term, draws: int, rng: np.random.Generator) -> _Features:
        width = term.stop - term.start
        if term.kind == "linear":
            weights = rng.standard_normal((width, draws))
            return cls(term, np.zeros((0, width)), np.zeros(0), weights)
        normal = rng.standard_normal((FEATURES, width))
        chi = rng.chisquare(_FREEDOM, size=(FEATURES, 1)) / _FREEDOM
        slopes = normal / np.sqrt(chi) / term.length
        phases = rng.uniform(0, 2 * np.pi, FEATURES)
        return cls(term, slopes, phases, rng.standard_normal((FEATURES, draws)))

    def __call__(self, scaled: np.ndarray) -> np.ndarray:
        part = scaled[:, self.term.start : self.term.stop]
        if self.term.kind == "linear":
            linear: np.ndarray = part @ self.weights / np.sqrt(part.shape[1])
            return linear
        waves = np.cos(part @ self.slopes.T + self.phases)
        wavy: np.ndarray = np.sqrt(2.0 / FEATURES) * waves @ self.weights
        return wavy


class _Groups:
    """Prior draws of a term of sameness: a normal number per group and draw."""

    def __init__(self, term: Term, draws: int, rng: np.random.Generator) -> None:
        self.term, self.rng = term, rng
        self.known = np.zeros((0, term.stop - term.start))
        self.drawn = np.zeros((0, draws))

    def __call__(self, scaled: np.ndarray) -> np.ndarray:
        part = scaled[:, self.term.start : self.term.stop]
        rows, where = np.unique(part, axis=0, return_inverse=True)
        at = np.empty(len(rows), dtype=int)
        for i, row in enumerate(rows):
            near = np.flatnonzero((np.abs(self.known - row) < EQUAL).all(axis=1))
            if len(near):
                at[i] = near[0]
                continue
            at[i] = len(self.known)
            self.known = np.vstack([self.known, row])
            fresh = self.rng.standard_normal((1, self.drawn.shape[1]))
            self.drawn = np.vstack([self.drawn, fresh])
        values: np.ndarray = self.drawn[at][where.ravel()]
        return values
