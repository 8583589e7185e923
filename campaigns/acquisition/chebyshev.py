"""Several targets as one number, along a direction.

Augmented Chebyshev scalarisation (ParEGO: J. Knowles, IEEE Trans. Evol. Comput. 10, 50
(2006)); campaigns and replays share it.
"""

from __future__ import annotations

import numpy as np

AUGMENTED = 0.05
"""Weight of the plain sum beside the worst target (Knowles 2006)."""


def reach(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest merits of answers (m, targets), and how far they reach."""
    low, high = answers.min(axis=0), answers.max(axis=0)
    return low, np.maximum(high - low, 1e-12)


def in_range(merit: np.ndarray, low: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Return merits scaled so that the answers so far reach from 0 to 1.

    Args:
        merit: shape (..., targets).
        low: as :func:`reach` says, shape (targets,).
        span: likewise.
    """
    scaled: np.ndarray = (merit - low) / span
    return scaled


def chebyshev(scaled: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the worst weighed target, and a little of all, shape (...,).

    Args:
        scaled: merits in a common scale, shape (..., targets).
        weights: shape (targets,), of sum 1.

    >>> chebyshev(np.array([[1.0, 0.5]]), np.array([0.5, 0.5])).tolist()
    [0.2875]
    """
    weighed = weights * scaled
    total: np.ndarray = weighed.min(axis=-1) + AUGMENTED * weighed.sum(axis=-1)
    return total
