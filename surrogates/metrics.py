"""How good predictions are: error, ranking, calibration, sharpness.

Every function takes true values ``y``, means and standard deviations of shape (n,) in
one unit. Gaussian predictive distributions throughout. A comparison of such metrics for
materials: Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from surrogates.base import Prediction


def mae(y: np.ndarray, mean: np.ndarray) -> float:
    """Mean absolute error, in the unit of y.

    >>> mae(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    0.25
    """
    return float(np.abs(y - mean).mean())


def rmse(y: np.ndarray, mean: np.ndarray) -> float:
    """Root mean squared error, in the unit of y.

    >>> rmse(np.array([0.0, 0.0]), np.array([3.0, 3.0]))
    3.0
    """
    return float(np.sqrt(((y - mean) ** 2).mean()))


def median_ae(y: np.ndarray, mean: np.ndarray) -> float:
    """Median absolute error: what a typical crystal sees, outliers aside."""
    return float(np.median(np.abs(y - mean)))


def r2(y: np.ndarray, mean: np.ndarray) -> float:
    """Coefficient of determination: 1 is perfect, 0 is as good as the mean of y.

    >>> r2(np.array([0.0, 2.0]), np.array([1.0, 1.0]))
    0.0
    """
    total = ((y - y.mean()) ** 2).sum()
    if total == 0:
        return float("nan")
    return float(1 - ((y - mean) ** 2).sum() / total)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation (Spearman 1904), ties at their mean rank; NaN for a constant.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 25.0]))
    1.0
    """
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / norm) if norm > 0 else float("nan")


def attainable_spearman(std: np.ndarray, draws: int = 100) -> float:
    """Rank correlation of error and ``std`` if the errors were drawn from it.

    Sigmas that are nearly equal rank nothing, however right they are: this is what
    perfect calibration would show, the mean over Gaussian errors (seed fixed).

    >>> sigma = np.exp(np.random.default_rng(0).normal(size=1000))
    >>> [round(attainable_spearman(sigma**k), 1) for k in (0.01, 0.5, 2.0)]
    [0.0, 0.4, 0.9]
    """
    draw = np.random.default_rng(0)
    found = [
        spearman(np.abs(draw.standard_normal(len(std))) * std, std)
        for _ in range(draws)
    ]
    return float(np.mean(found))


def nll(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float:
    """Mean negative log likelihood of a Gaussian, nats (a proper score, as CRPS).

    >>> round(nll(np.zeros(1), np.zeros(1), np.ones(1)), 6)
    0.918939
    """
    z = (y - mean) / std
    return float((0.5 * np.log(2 * np.pi) + np.log(std) + 0.5 * z**2).mean())


def crps(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float:
    """Continuous ranked probability score of a Gaussian, in the unit of y.

    Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007), section 4.2. It tends to
    the absolute error as the standard deviation tends to zero.

    >>> round(crps(np.zeros(1), np.zeros(1), np.ones(1)), 6)
    0.233695
    """
    z = (y - mean) / std
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    score = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return float(score.mean())


def ence(y: np.ndarray, mean: np.ndarray, std: np.ndarray, bins: int = 10) -> float:
    """Relative calibration error, ENCE (Levi et al., Sensors 22, 5540 (2022)).

    Records are sorted by std and cut into ``bins`` of equal size; in each, the relative
    gap between root mean variance and root mean squared error. 0 is perfect.

    >>> ence(np.array([1.0, -1.0]), np.zeros(2), np.full(2, 2.0), bins=1)
    0.5
    """
    order = np.argsort(std, kind="stable")
    gaps = []
    for rows in np.array_split(order, min(bins, len(order))):
        spread = np.sqrt((std[rows] ** 2).mean())
        gaps.append(abs(spread - rmse(y[rows], mean[rows])) / spread)
    return float(np.mean(gaps))


def miscalibration_area(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float:
    """Area between expected and observed coverage of central intervals, 0 to 0.5.

    Kuleshov et al., ICML 2018 (arXiv:1807.00263); Tran et al. 2020. Exact integral of
    the step curve on a grid of 1,000 levels.
    """
    levels = (np.arange(1000) + 0.5) / 1000
    inside = 2 * ndtr(np.abs(y - mean) / std) - 1  # level at which y is just covered
    observed = np.searchsorted(np.sort(inside), levels, side="right") / len(y)
    return float(np.abs(observed - levels).mean())


def coverage(
    y: np.ndarray, mean: np.ndarray, std: np.ndarray, level: float = 0.9
) -> float:
    """Fraction of values inside the central ``level`` interval; ideally ``level``.

    >>> coverage(np.array([0.0, 1.0, 9.0, -9.0]), np.zeros(4), np.ones(4))
    0.5
    """
    half = ndtri(0.5 + level / 2) * std
    return float((np.abs(y - mean) <= half).mean())


def sharpness(std: np.ndarray) -> float:
    """Root mean predicted variance, in the unit of y; small is good if calibrated."""
    return float(np.sqrt((std**2).mean()))


def ause(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float:
    """Area under the sparsification error curve: 0 if sigma ranks errors perfectly.

    Records are removed from the largest sigma on; the mean absolute error of the rest,
    over that of all, is compared with removal by the true error (Ilg et al., ECCV 2018,
    arXiv:1802.07095). A sigma without information has the area of removal at random.

    >>> ause(np.array([0.0, 1.0, 2.0]), np.zeros(3), np.array([1.0, 2.0, 3.0]))
    0.0
    """
    error = np.abs(y - mean)
    if error.sum() == 0:
        return 0.0

    def rest(order: np.ndarray) -> np.ndarray:
        left = np.cumsum(error[order]) / np.arange(1, len(error) + 1)
        ratio: np.ndarray = left[::-1] / error.mean()
        return ratio

    by_std = rest(np.argsort(std, kind="stable"))
    by_error = rest(np.argsort(error, kind="stable"))
    return float((by_std - by_error).mean())


def top_recall(y: np.ndarray, mean: np.ndarray, fraction: float = 0.05) -> float:
    """Share of the lowest ``fraction`` of y found in the lowest of the predictions.

    >>> top_recall(np.arange(10.0), np.arange(10.0)[::-1], 0.1)
    0.0
    """
    n = max(1, round(fraction * len(y)))
    true = set(np.argsort(y, kind="stable")[:n].tolist())
    return len(true & set(np.argsort(mean, kind="stable")[:n].tolist())) / n


def evaluate(y: np.ndarray, prediction: Prediction) -> dict[str, float]:
    """Return all metrics that are defined for n records, by name.

    Those of ranking and calibration need at least 10 records and are left out below.
    """
    mean, std = prediction.mean, prediction.std
    out = {
        "mae": mae(y, mean),
        "rmse": rmse(y, mean),
        "median_ae": median_ae(y, mean),
        "nll": nll(y, mean, std),
        "crps": crps(y, mean, std),
        "coverage_90": coverage(y, mean, std),
        "sharpness": sharpness(std),
    }
    if len(y) >= 10:
        out |= {
            "r2": r2(y, mean),
            "spearman": spearman(y, mean),
            "spearman_error_std": spearman(np.abs(y - mean), std),
            "ence": ence(y, mean, std),
            "miscalibration_area": miscalibration_area(y, mean, std),
            "ause": ause(y, mean, std),
        }
    return {k: v for k, v in out.items() if np.isfinite(v)}


NAMES: Sequence[str] = (
    "mae", "rmse", "median_ae", "r2", "spearman", "spearman_error_std", "nll", "crps",
    "ence", "miscalibration_area", "coverage_90", "sharpness", "ause",
)  # fmt: skip
"""What :func:`evaluate` may return, in reading order."""
IN_UNIT = frozenset({"mae", "rmse", "median_ae", "crps", "sharpness"})
"""Those in the unit of what is predicted; ``nll`` is in nats, the rest are numbers."""
