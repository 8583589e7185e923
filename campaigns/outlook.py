"""Outlook: what is still to be gained, by the joint belief about all candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from campaigns.acquisition.recipes import MOST_ELEMENTS

if TYPE_CHECKING:
    from campaigns.utility import Utility

DRAWS = 512
"""Joint draws behind a probability: its standard error is at most 2.2 %."""
HOPELESS = -6.0
"""Candidates whose mean lies so many sigmas below the best are left out of the draws:
a million of them together have a chance of 0.1 % of holding the best."""
BLOCK = 4096
"""Candidates drawn together, to keep memory small."""
WORLDS = 100
"""Hulls drawn for the number of stable compounds: the ends of its 90 % interval are
then the sixth values from either end."""
BAND = (0.05, 0.5, 0.95)
"""Quantiles of what the belief says of the whole pool."""


def outlook(utility: Utility, rng: np.random.Generator) -> dict[str, float]:
    """Say how much the next evaluation may gain, and how likely the best is found.

    Args:
        utility: beliefs about every candidate that is left.
        rng: source of the draws.

    Returns:
        ``expected_improvement``: the largest of any single candidate, in the
        objective's unit; ``probability_best_found``: that no candidate left is better
        than the best so far (for a hull: that none lies below today's hull by more
        than the margin of :mod:`campaigns.acquisition.hull`). And what the belief says
        of the whole pool, what is known included, as ``whole_low``, ``whole_median``
        and ``whole_high`` (5, 50 and 95 %): its best value in the property's unit; for
        a hull the number of stable compounds; nothing for a wanted range. For a front
        only ``expected_hypervolume``, the largest growth of the hypervolume by any
        single candidate.
    """
    if utility.front is not None:
        return utility.front.outlook()
    belief, best = utility.belief, utility.best
    if len(belief) == 0:
        nothing = {"expected_improvement": 0.0, "probability_best_found": 1.0}
        return nothing | _whole(utility, np.zeros(0, dtype=int), np.full(1, best), rng)
    sigma = np.maximum(belief.std, 1e-12)
    if utility.wanted is None:
        if utility.known is not None:
            from campaigns.acquisition.hull import MARGIN

            best = best + MARGIN
        z = (belief.mean - best) / sigma
        gain = sigma * (norm.pdf(z) + z * norm.cdf(z))
        hopeful = np.flatnonzero(z > HOPELESS)
        low, high = best, np.inf
    else:
        # merit is minus the distance to the range: better means closer than best
        low, high = utility.wanted[0] + best, utility.wanted[1] - best
        a, b = (low - belief.mean) / sigma, (high - belief.mean) / sigma
        gain = np.maximum(-best, 0.0) * (norm.cdf(b) - norm.cdf(a))
        hopeful = np.flatnonzero((a < -HOPELESS) & (b > HOPELESS))
    beaten, top = np.zeros(DRAWS, dtype=bool), np.full(DRAWS, utility.best)
    if best < 0 or utility.wanted is None:
        shared = rng.standard_normal((DRAWS, len(belief.factors)))
        for start in range(0, len(hopeful), BLOCK):
            rows = hopeful[start : start + BLOCK]
            own = belief.residual[rows] * rng.standard_normal((DRAWS, len(rows)))
            draw = belief.mean[rows] + shared @ belief.factors[:, rows] + own
            beaten |= ((draw > low) & (draw < high)).any(axis=1)
            top = np.maximum(top, draw.max(axis=1))
    return {
        "expected_improvement": float(gain.max()),
        "probability_best_found": float(1.0 - beaten.mean()),
        **_whole(utility, hopeful, top, rng),
    }


def _whole(
    utility: Utility, hopeful: np.ndarray, top: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """Return the quantiles of the pool's best value, or of its stable compounds.

    Nothing where hulls would have more elements than can be drawn.
    """
    if utility.wanted is not None:
        return {}
    if utility.x is not None and utility.x.shape[1] > MOST_ELEMENTS:
        return {}
    if utility.known is None:
        values = utility.sign * top
    else:
        from campaigns.acquisition.hull import stable_counts

        assert utility.x is not None
        belief = utility.belief
        if len(hopeful) > BLOCK:  # each world is one hull: the likeliest decide it
            depth = belief.mean[hopeful] / np.maximum(belief.std[hopeful], 1e-12)
            hopeful = np.sort(hopeful[np.argsort(-depth, kind="stable")[:BLOCK]])
        values = stable_counts(
            belief.take(hopeful), utility.x[hopeful], utility.known, rng, draws=WORLDS
        )
    ends = np.quantile(values, BAND, method="inverted_cdf")
    names = ("whole_low", "whole_median", "whole_high")
    return {k: float(v) for k, v in zip(names, ends, strict=True)}
