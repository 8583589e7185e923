"""Labels by rank: for values over decades, or with a few that decide the scale.

A Gaussian process believes in one noise and one amplitude everywhere. Where a few
labels lie far from all others (exfoliation energies above 1 eV/atom among tens of meV),
they decide both. Ranks keep what a search for the best needs, the order, and bring
every distribution of labels to a normal one (B. L. van der Waerden, Indag. Math. 14,
453 (1952); on such outputs in optimisation A. Cowen-Rivers et al., J. Artif.
Intell. Res. 74, 1269 (2022)).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


def normal_scores(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Map values monotonically so that the known ones are normal.

    Between known values the map is linear; beyond them it goes on with the slope of
    their standard deviation, so that what is better than all keeps its order.

    Args:
        values: any, shape (n,).
        known: labels so far, at least one, shape (m,).

    Returns:
        Scores of ``values``, shape (n,).

    >>> normal_scores(np.array([1.0, 5.0, 100.0]), np.array([1.0, 5.0, 100.0])).round(2)
    array([-0.97,  0.  ,  0.97])
    """
    scores = ndtri((rankdata(known) - 0.5) / len(known))
    at, first = np.unique(known, return_index=True)
    to = scores[first]
    unit = float(np.std(known)) or 1.0
    beyond = np.clip(values, at[0], at[-1])
    mapped: np.ndarray = np.interp(values, at, to) + (values - beyond) / unit
    return mapped
