"""Choosing kernels by the marginal likelihood, without randomness.

One Matérn term is chosen on a grid with the signal variance in closed form. Sums of
terms start from the grid optimum of each term alone and climb the likelihood with its
exact gradient (Rasmussen and Williams 2006, equation 5.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, cholesky, eigh
from scipy.optimize import minimize

from surrogates.gp.kernels import (
    Kernel,
    Term,
    correlation,
    distances,
    matern52,
    matern52_slope,
)

FLOOR = 1e-12
"""Least variance in standardised labels: constant labels stay solvable."""
_LENGTHS = np.geomspace(0.2, 20.0, 15)  # in units of the median feature distance
_NOISES = np.geomspace(1e-5, 1.0, 16)  # noise variance over signal variance
_SIGNALS = np.geomspace(1e-2, 1e2, 25)  # signal over label variance, if noise is given
_LITTLE = 1e-2  # noise variance over signal variance where nothing chooses it
_POLYMORPHS = np.log(0.3), np.log(5.0)
"""Middle and spread of what is expected of log(noise over signal) where features do not
tell polymorphs apart. Variance inside a formula over that of all labels: 0.14 of
exfoliation energies, 0.72 of the shipped intermetallics, 0.93 of perovskites (of
phonons, whose polymorphs are few and stable, 0.002)."""
_STEPS = 40  # of the climb; the gradient is small long before
_RANGE = np.log(1e3)  # how far a variance may climb from where it starts
_SPAN = (np.log(_LENGTHS[0]), np.log(_LENGTHS[-1]))
"""Of a length that climbs. Below it every row is its own: a maximum that learns
nothing, where composition and environments of perovskites once ended."""


@dataclass(frozen=True)
class Hyper:
    """What the likelihood chose, in standardised features and labels."""

    kernel: Kernel
    """Terms with lengths and weights."""
    ratio: float
    """Noise variance over signal variance; unused where the noise was given."""
    signal: float | None = None
    """Signal over label variance; None takes the closed form."""


def choose(
    x: np.ndarray,
    z: np.ndarray,
    terms: Sequence[Term],
    known: np.ndarray | None,
    *,
    blind: bool = False,
) -> Hyper:
    """Return the hyperparameters of greatest marginal likelihood.

    Where features do not tell polymorphs apart and no formula comes twice, the
    likelihood knows nothing of their spread, and would often have none; the noise then
    has a prior that some dozens of records overrule.

    Args:
        x: standardised features, shape (n, d).
        z: standardised labels, shape (n,).
        terms: the form; their lengths and weights are ignored.
        known: noise variances in units of the label variance, shape (n,), or None.
        blind: features are equal for all structures of one formula.
    """
    if len(terms) == 1 and terms[0].kind == "matern52":
        return _on_grid(x, z, terms[0], known, blind)
    return _climbed(x, z, terms, known, blind)


def unchosen(
    x: np.ndarray, z: np.ndarray, terms: Sequence[Term], known: np.ndarray | None
) -> Hyper:
    """Return hyperparameters where labels do not vary and so choose nothing.

    Lengths of the typical distance, equal weights and little noise: the likelihood of
    no variation at all is greatest where all crystals are one. Arguments as for
    :func:`choose`.
    """
    made = tuple(
        replace(
            t,
            length=_typical(distances(b, b)) if t.kind == "matern52" else 1.0,
            weight=1.0 / len(terms),
        )
        for t in terms
        for b in [x[:, t.start : t.stop]]
    )
    return Hyper(Kernel(made), _LITTLE if known is None else 0.0, 1.0)


def _on_grid(
    x: np.ndarray, z: np.ndarray, term: Term, known: np.ndarray | None, blind: bool
) -> Hyper:
    block = x[:, term.start : term.stop]
    gap = distances(block, block)
    unit = _typical(gap)
    best = -np.inf
    chosen: tuple[float, float, float | None] = (
        unit, _LITTLE, None if known is None else 1.0,
    )  # fmt: skip
    option: tuple[float, float | None]
    for length in unit * _LENGTHS:
        kernel = matern52(gap / length)
        if known is None:
            likelihood, ratio = _with_free_noise(kernel, z, blind)
            option = ratio, None
        else:
            likelihood, signal = _with_known_noise(kernel, z, known)
            option = 0.0, signal
        if likelihood > best:
            best, chosen = likelihood, (float(length), *option)
    made = replace(term, length=chosen[0], weight=1.0)
    return Hyper(Kernel((made,)), chosen[1], chosen[2])


def _typical(gap: np.ndarray) -> float:
    """Return the median distance of different rows."""
    positive = gap[gap > 1e-9]
    return float(np.median(positive)) if len(positive) else 1.0


def _with_free_noise(
    kernel: np.ndarray, z: np.ndarray, blind: bool
) -> tuple[float, float]:
    """Profile the signal variance out: one eigendecomposition serves all noises."""
    values, vectors = eigh(kernel)
    squared = (vectors.T @ z) ** 2
    return max(
        (
            _profiled(squared, np.maximum(values, 0.0) + noise)
            - (_surprise(float(np.log(noise)))[0] if blind else 0.0),
            float(noise),
        )
        for noise in _NOISES
    )


def _surprise(log_ratio: float) -> tuple[float, float]:
    """Return minus the log prior of polymorphs' spread, and its slope."""
    middle, spread = _POLYMORPHS
    z = (log_ratio - middle) / spread
    return 0.5 * z**2, z / spread


def _profiled(squared: np.ndarray, shifted: np.ndarray) -> float:
    signal = max(float((squared / shifted).mean()), FLOOR)
    return -0.5 * float(len(squared) * np.log(signal) + np.log(shifted).sum())


def _with_known_noise(
    kernel: np.ndarray, z: np.ndarray, known: np.ndarray
) -> tuple[float, float]:
    """Divide rows by their noise: then the covariance is signal · K' + 1."""
    root = np.sqrt(np.maximum(known, 1e-10))
    values, vectors = eigh(kernel / np.outer(root, root))
    squared = (vectors.T @ (z / root)) ** 2
    return max(
        (-0.5 * float((squared / v).sum() + np.log(v).sum()), float(signal))
        for signal in _SIGNALS
        for v in [signal * np.maximum(values, 0.0) + 1.0]
    )


def _climbed(
    x: np.ndarray,
    z: np.ndarray,
    terms: Sequence[Term],
    known: np.ndarray | None,
    blind: bool,
) -> Hyper:
    """Climb over log variances of the terms, log lengths, and the log noise."""
    smooth = [t for t in terms if t.kind == "matern52"]
    starts = [_on_grid(x, z, t, known, blind) for t in smooth]
    lengths = np.array([s.kernel.terms[0].length for s in starts])
    noise = min([s.ratio for s in starts], default=0.1) if known is None else 0.0
    gaps = [distances(b, b) for t in smooth for b in [x[:, t.start : t.stop]]]
    middle = np.log([_typical(g) for g in gaps])
    # these have nothing to climb but their weight
    grams = [correlation(t, x, x) for t in terms if t.kind != "matern52"]
    fixed = 1e-8 * np.ones(len(z)) if known is None else np.maximum(known, 1e-10)
    n_terms, n_smooth = len(terms), len(smooth)
    start = np.concatenate(
        [
            np.full(n_terms, np.log(1.0 / n_terms)),
            np.log(lengths),
            [np.log(max(noise, 1e-5))] if known is None else [],
        ]
    )

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        variances = np.exp(theta[:n_terms])
        scaled = [
            g / length
            for g, length in zip(
                gaps, np.exp(theta[n_terms : n_terms + n_smooth]), strict=True
            )
        ]
        parts = [matern52(s) for s in scaled] + grams  # smooth terms first
        slopes = [v * p for v, p in zip(variances, parts, strict=True)]
        covariance = sum(slopes[1:], start=slopes[0].copy())
        at = np.diag_indices_from(covariance)
        covariance[at] += fixed
        if known is None:
            covariance[at] += np.exp(theta[-1])
        try:
            factor = cholesky(covariance, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        alpha = cho_solve((factor, True), z)
        value = 0.5 * float(z @ alpha) + float(np.log(np.diag(factor)).sum())
        inner = cho_solve((factor, True), np.eye(len(z))) - np.outer(alpha, alpha)
        slopes += [
            v * matern52_slope(s)
            for v, s in zip(variances[:n_smooth], scaled, strict=True)
        ]
        gradient = [0.5 * float(np.vdot(inner, s)) for s in slopes]
        if known is None:
            gradient.append(0.5 * float(np.trace(inner)) * np.exp(theta[-1]))
        if known is None and blind:  # labels are standardised: their variance is 1
            surprise, slope = _surprise(float(theta[-1]))
            value, gradient[-1] = value + surprise, gradient[-1] + slope
        return value, np.array(gradient)

    bounds = [(t - _RANGE, t + _RANGE) for t in start]
    low, high = _SPAN
    bounds[n_terms : n_terms + n_smooth] = [(m + low, m + high) for m in middle]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": _STEPS},
    ).x  # fmt: skip
    return _as_hyper(found, terms, known is None)


def _as_hyper(theta: np.ndarray, terms: Sequence[Term], free: bool) -> Hyper:
    """Turn the climbed logarithms into a kernel whose weights add up to 1."""
    n_terms = len(terms)
    values = np.exp(theta)
    signal = float(values[:n_terms].sum())
    smooth = [t for t in terms if t.kind == "matern52"]
    ordered = [*smooth, *(t for t in terms if t.kind != "matern52")]
    lengths = [*values[n_terms : n_terms + len(smooth)], *[1.0] * n_terms]
    made = tuple(
        replace(t, weight=float(v / signal), length=float(length))
        for t, v, length in zip(ordered, values, lengths, strict=False)
    )
    return Hyper(Kernel(made), float(values[-1] / signal) if free else 0.0, signal)
