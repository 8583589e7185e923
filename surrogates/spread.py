"""How far labels vary, also where they do not: one rule for every kind of surrogate.

Labels that are all equal say nothing of their scale. The one measure left is their own
size (an energy of -0.5 eV/atom may well be off by as much), or, where they are zero,
one unit of the target. n labels that agree count against a prior of that scale as
errors of zero: sigma falls with the root of n, and never to nothing.
"""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-9
"""Of the largest label: equal labels differ by this much once they were converted or
averaged; total energies 1 meV apart differ by a thousand times as much."""


def vary(y: np.ndarray) -> bool:
    """Say whether labels, shape (n,), differ by more than rounding."""
    return bool(len(y)) and float(np.ptp(y)) > _ROUNDING * float(np.abs(y).max())


def spread(y: np.ndarray) -> float:
    """Return the standard deviation of labels, or the scale that stands for it.

    >>> spread(np.array([1.0, 3.0])), spread(np.array([1.3, 1.3])), spread(np.zeros(5))
    (1.0, 1.3, 1.0)
    """
    if vary(y):
        return float(y.std())
    return float(np.abs(y).max(initial=0.0)) or 1.0


def standardised(y: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return labels less their mean over their spread, that mean, and that spread.

    Labels that do not vary are zeros: what rounding left of them is no signal.

    >>> z, centre, scale = standardised(np.array([1.0, 3.0]))
    >>> z.tolist(), centre, scale
    ([-1.0, 1.0], 2.0, 1.0)
    """
    centre, scale = float(y.mean()), spread(y)
    return (y - centre) / scale if vary(y) else np.zeros(len(y)), centre, scale


def doubt(n: int, value: float) -> str:
    """Say what to know of sigma where n labels are all ``value``."""
    return (
        f"all {n} labels are {value:g}: nothing tells how far others may be, so sigma "
        "is their own size (one unit where they are zero), less for each of them"
    )
