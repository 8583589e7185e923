"""Covariance of several labels of crystals: the intrinsic coregionalisation model.

Bonilla et al., NeurIPS 2007; Álvarez et al., Found. Trends Mach. Learn. 4, 195 (2012).
B = A (r rᵀ + diag(1 - r²)) A with r the correlations with the target and A amplitudes.
Mean and spread of a dozen labels are not those of all crystals: amplitudes are chosen
with everything else, and every label's mean is unknown, a constant with a variance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from surrogates.gp.kernels import distances, matern52

Theta = Mapping[str, np.ndarray]
"""Hyperparameters by name; see :func:`choose`."""
_BOUND = 0.999  # of a correlation: at 1 the matrix is singular without noise
_ALIKE = (0.5, 0.7)
"""Prior deviations of log amplitudes, and of log noises among labels: what features
cannot tell apart for one label they hardly can for another, and a dozen labels would
choose no noise at all."""
_NOISE = (-4.0, 2.0)
"""Prior mean and deviation of the typical log noise, as for
:mod:`surrogates.gp.relevance`."""
MEAN = 1.0
"""Prior variance of each label's mean, in units of the variance of its values: a mean
of n of them is off by 1 / n of that at least, so that this says next to nothing."""


def links(theta: Theta) -> np.ndarray:
    """Return signal times B, shape (outputs, outputs)."""
    correlated = np.outer(theta["r"], theta["r"])
    np.fill_diagonal(correlated, 1.0)
    own = np.sqrt(theta["signal"]) * theta["amplitude"]
    value: np.ndarray = correlated * np.outer(own, own)
    return value


def covariance(x: np.ndarray, output: np.ndarray, theta: Theta) -> np.ndarray:
    """Return the covariance of labels with their noise, shape (n, n).

    Args:
        x: standardised features of each label's crystal, shape (n, d).
        output: which label each is, shape (n,).
        theta: what :func:`choose` chose.
    """
    return _joined(distances(x, x), output, theta)


def _joined(gap: np.ndarray, output: np.ndarray, theta: Theta) -> np.ndarray:
    """Return the covariance of labels, shape (n, n), from distances of features."""
    shared = links(theta)[np.ix_(output, output)]
    whole: np.ndarray = shared * matern52(gap / float(theta["length"]))
    whole += MEAN * (output[:, None] == output)
    whole[np.diag_indices_from(whole)] += theta["noise"][output]
    return whole


def left_out(
    inverse: np.ndarray, alpha: np.ndarray, out: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (errors, standard deviations) of labels as if others were not there.

    A group's errors are (K⁻¹ of its rows)⁻¹ α and their covariance is that inverse
    (compare :meth:`surrogates.gp.exact.ExactGP.leave_groups_out`).

    Args:
        inverse: of the covariance of all labels, K⁻¹, shape (n, n).
        alpha: K⁻¹ times the labels, shape (n,).
        out: rows left out, shape (m,).
        asked: those of them that are asked for, shape (k,), as places in ``out``.
    """
    block = np.linalg.inv(inverse[np.ix_(out, out)])
    return (block @ alpha[out])[asked], np.sqrt(np.diag(block)[asked])


def choose(x: np.ndarray, z: np.ndarray, output: np.ndarray) -> Theta:
    """Return the hyperparameters of greatest posterior density, without randomness.

    Args:
        x: standardised features of each label's crystal, shape (n, d).
        z: labels less their mean over their deviation, each output's own, shape (n,);
            zeros where they do not vary: such an output is independent of the others,
            or it would tell them that nothing varies.
        output: which label each is, shape (n,); 0 is the target.

    Returns:
        ``length`` and ``signal`` (of the target's latent function), ``r``,
        ``amplitude`` (over the target's) and ``noise`` of each output.
    """
    n = int(output.max()) + 1
    varied = np.array([bool((z[output == t] != 0).any()) for t in range(n)])
    if not varied.all():
        return _without_some(x, z, output, varied)
    gap = distances(x, x)
    positive = gap[gap > 1e-9]
    unit = float(np.median(positive)) if len(positive) else 1.0

    def unpacked(theta: np.ndarray) -> Theta:
        correlated, own, noise = np.split(theta[2:], [n - 1, 2 * n - 2])
        return {
            "length": unit * np.exp(theta[0]),
            "signal": np.exp(theta[1]),
            "r": np.concatenate([[1.0], _BOUND * np.tanh(correlated)]),
            "amplitude": np.concatenate([[1.0], np.exp(own)]),
            "noise": np.exp(noise),
        }

    def loss(theta: np.ndarray) -> float:
        try:
            lower = cholesky(_joined(gap, output, unpacked(theta)), lower=True)
        except np.linalg.LinAlgError:
            return 1e10
        half = solve_triangular(lower, z, lower=True)
        value = 0.5 * half @ half + np.log(np.diag(lower)).sum()
        return float(value + 0.5 * _far(theta, n))

    start = np.concatenate(
        [[0.0, 0.0], np.full(n - 1, 0.8), np.zeros(n - 1), np.full(n, -4.0)]
    )
    bounds = [(-2.0, 3.0), (-4.0, 4.0), *[(-4.0, 4.0)] * (n - 1)]
    bounds += [*[(-2.0, 2.0)] * (n - 1), *[(-11.0, 1.0)] * n]
    found = minimize(
        loss, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30}
    )
    return unpacked(found.x)


def _without_some(
    x: np.ndarray, z: np.ndarray, output: np.ndarray, varied: np.ndarray
) -> Theta:
    """Choose by the outputs that vary; the others are independent of all."""
    n, kept = len(varied), varied[output]
    found = {
        "r": np.zeros(n),
        "amplitude": np.ones(n),
        "noise": np.full(n, np.exp(_NOISE[0])),
    }
    if not varied.any():
        gap = distances(x, x)
        positive = gap[gap > 1e-9]
        unit = float(np.median(positive)) if len(positive) else 1.0
        return {**found, "length": np.array(unit), "signal": np.array(1.0)}
    place = np.cumsum(varied) - 1
    rest = choose(x[kept], z[kept], place[output[kept]])
    for name, values in found.items():
        values[varied] = rest[name]
    return {**found, "length": rest["length"], "signal": rest["signal"]}


def _far(theta: np.ndarray, n: int) -> float:
    """Return how far hyperparameters are from what is likely beforehand, squared."""
    own, noise = theta[n + 1 : 2 * n], theta[2 * n :]
    middle = float(noise.mean())
    return float(
        (own**2).sum() / _ALIKE[0] ** 2
        + ((noise - middle) ** 2).sum() / _ALIKE[1] ** 2
        + ((middle - _NOISE[0]) / _NOISE[1]) ** 2
    )
