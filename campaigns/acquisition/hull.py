"""Hull-posterior acquisition: every joint draw of all candidates has its own hull.

A candidate is not stable because its own energy is low but because no mixture of
others is lower, and most of those others are candidates too, as uncertain as itself.
Each posterior draw is therefore a whole world: every candidate gets an energy, drawn
jointly, and the hull of that world is built from the draws and the phases already
known. The share of worlds in which a candidate is a vertex is its probability of being
stable, and a batch of the q highest maximises the expected number of stable phases
found, since expectations add up whatever the correlations. The other measure is how
much deeper the hull becomes, averaged over composition, when a batch joins what is
known: that depends on the batch as a whole and is built up greedily.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial import ConvexHull
from scipy.special import log_ndtr

from campaigns.acquisition.interleave import interleaved
from campaigns.acquisition.pool import Pick
from campaigns.acquisition.recipes import HullRule, HullVolume, NewPhases
from matdisco.thermo import ON_HULL, Hull
from surrogates.base import Prediction

MARGIN = 0.005
"""eV/atom by which a candidate must undercut the known phases. Several candidates
relax to one structure, with energies within a few meV/atom of each other: without a
margin a copy of a known phase looks like a coin toss for a new one."""


def probability_on_hull(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rng: np.random.Generator,
    *,
    draws: int,
    factors: Sequence[float] = (1.0,),
) -> np.ndarray:
    """Return each candidate's probability of being on the hull, shape (n,).

    Args:
        belief: depth below the known hull, eV/atom, positive is below.
        x: atomic fractions of the candidates, shape (n, n_elements).
        known: the hull of all answers so far.
        rng: source of the draws.
        draws: worlds to draw.
        factors: on sigma, taken in turn.
    """
    counts = np.zeros(len(belief))
    for below, above in worlds(belief, x, known, rng, draws, factors):
        counts[below] += above < ON_HULL
    return counts / draws


def worlds(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rng: np.random.Generator,
    draws: int,
    factors: Sequence[float] = (1.0,),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each world the candidates below today's hull, and how high they stay.

    Only what lies below today's hull can be a vertex of a new one. Arguments are those
    of :func:`probability_on_hull`.

    Yields:
        Rows, and their energies above the hull of that world, eV/atom; 0 is on it.
    """
    for below, world in _hulls(belief, x, known, rng, draws, factors):
        if len(below):
            yield below, world.energies_above[-len(below) :]


def stable_counts(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rng: np.random.Generator,
    *,
    draws: int,
) -> np.ndarray:
    """Return how many stable compounds there are in each world, shape (draws,).

    Phases of one composition count once, elements not at all; known phases count where
    no candidate undercuts them. Arguments are those of :func:`probability_on_hull`.
    """
    counts = []
    for _, world in _hulls(belief, x, known, rng, draws, (1.0,)):
        compounds = world.stable & (world.x.max(axis=1) < 1 - 1e-9)
        counts.append(len(np.unique(world.x[compounds].round(6), axis=0)))
    return np.array(counts)


def _hulls(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rng: np.random.Generator,
    draws: int,
    factors: Sequence[float],
) -> Iterator[tuple[np.ndarray, Hull]]:
    """Yield for each world the candidates below today's hull, and its own hull.

    The candidates are the last phases of that hull.
    """
    height = known.height(x)
    # phases above the hull have no say in a lower one
    corners = known.stable | (known.x.max(axis=1) > 1 - 1e-9)
    points, formation = known.x[corners], known.formation[corners]
    for i in range(draws):
        depth = _draw(belief, rng, factors[i % len(factors)]) - MARGIN
        below = np.flatnonzero(depth > 0)
        yield (
            below,
            Hull(
                known.elements,
                np.vstack([points, x[below]]),
                np.concatenate([formation, height[below] - depth[below]]),
            ),
        )


def expected_phases(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rng: np.random.Generator,
    q: int,
    *,
    draws: int,
    factors: Sequence[float] = (1.0,),
    weight: np.ndarray | None = None,
) -> list[tuple[int, float]]:
    """Return a batch that finds most different stable phases, greedily.

    In a world, a phase is found by any candidate of its composition within
    :data:`MARGIN` of it: candidates that will relax into one structure add nothing to
    each other. The number found is a coverage function, so the greedy batch is within
    1 - 1/e of the best (G. L. Nemhauser et al., Math. Program. 14, 265 (1978)).

    Returns:
        Row, and the expected number of phases that it adds to those before it; rows
        that add nothing are left out.
    """
    _, place = np.unique(x.round(6), axis=0, return_inverse=True)
    place = place.ravel()
    finds = np.zeros((draws, len(belief)), dtype=bool)
    found = worlds(belief, x, known, rng, draws, factors)
    for row, (below, above) in zip(finds, found, strict=False):
        row[below[above < MARGIN]] = True
    batch: list[tuple[int, float]] = []
    while len(batch) < q:
        gains = finds.sum(axis=0) / draws
        gains = gains if weight is None else weight * gains
        best = int(gains.argmax())
        if gains[best] <= 0:
            break
        batch.append((best, float(gains[best])))
        # where it is found, nothing else of this composition is to be found any more
        finds[np.ix_(finds[:, best], place == place[best])] = False
    return batch


def choose_stable(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rule: HullRule,
    rng: np.random.Generator,
    q: int,
    *,
    weight: np.ndarray | None = None,
) -> list[Pick]:
    """Return a batch of ``q`` rows by probability of being on the hull, or by volume.

    Candidates of equal value (often 0) follow in the order of their depth below the
    hull in units of sigma; with ``weight`` in that of their probability of lying
    :data:`MARGIN` below it, times the weight.

    Args:
        belief: depth below the known hull, eV/atom, positive is below.
        x: atomic fractions of the candidates, shape (n, n_elements).
        known: the hull of all answers so far.
        rule: which measure.
        rng: source of the draws.
        q: size of the batch.
        weight: by which the worth of each is multiplied, shape (n,).
    """
    factors, sigma = rule.sigma_factors, np.maximum(belief.std, 1e-12)
    hope = belief.mean / sigma
    if weight is not None:
        with np.errstate(divide="ignore"):
            hope = log_ndtr((belief.mean - MARGIN) / sigma) + np.log(weight)
    weight = np.ones(len(belief)) if weight is None else weight
    if isinstance(rule, HullVolume | NewPhases):
        if isinstance(rule, HullVolume):
            depths = np.array(
                [
                    _draw(belief, rng, factors[i % len(factors)]) - MARGIN
                    for i in range(rule.draws)
                ]
            )
            gained = dict(greedy_volume(depths, x, known, q, weight=weight))
        else:
            gained = dict(
                expected_phases(
                    belief,
                    x,
                    known,
                    rng,
                    q,
                    draws=rule.draws,
                    factors=factors,
                    weight=weight,
                )
            )
        rest = [int(i) for i in np.lexsort((np.arange(len(hope)), -hope))]
        ranked = gained | {i: 0.0 for i in rest if i not in gained}
    else:
        chance = probability_on_hull(
            belief, x, known, rng, draws=rule.draws, factors=factors
        )
        value = weight * chance
        order = np.lexsort((np.arange(len(value)), -hope, -value))
        ranked = {int(i): float(value[i]) for i in order}
    if rule.bound_share or rule.bound_below:
        return interleaved(belief, ranked, rule.bound_share, q, least=rule.bound_below)
    return [
        Pick(i, v, float(belief.mean[i]), float(belief.std[i]))
        for i, v in list(ranked.items())[:q]
    ]


SHORTLIST = 64
"""Candidates that the later picks of a batch by volume look at: those that gain most
alone."""


def greedy_volume(
    depths: np.ndarray,
    x: np.ndarray,
    known: Hull,
    q: int,
    *,
    shortlist: int = SHORTLIST,
    weight: np.ndarray | None = None,
) -> list[tuple[int, float]]:
    """Return rows and gains of a batch that deepens the hull most, greedily.

    Args:
        depths: draws of the depth below the known hull, eV/atom, (draws, n).
        x: atomic fractions, shape (n, n_elements).
        known: the hull of all answers so far.
        q: size of the batch; fewer where nothing more is gained.
        shortlist: candidates considered after the first pick.
        weight: by which the gain of each is multiplied, shape (n,).

    Returns:
        Row and expected mean deepening (eV/atom, averaged over composition) that it
        adds to those before it.
    """
    height = known.height(x)
    formation = height - depths  # (draws, n)
    own = known.stable & (known.formation < 0)
    start = [(known.x[own], known.formation[own])] * len(depths)
    now = list(start)
    volume = np.array([mean_depth(*w) for w in now])

    def gain(row: int) -> float:
        total = 0.0
        for w, (points, heights) in enumerate(now):
            if depths[w, row] > 0:
                more = np.append(heights, formation[w, row])
                total += mean_depth(np.vstack([points, x[row]]), more) - volume[w]
        return total / len(now) * (1.0 if weight is None else float(weight[row]))

    open_ = [int(i) for i in np.flatnonzero((depths > 0).any(axis=0))]
    gains = {i: gain(i) for i in open_}
    open_ = sorted(open_, key=lambda i: -gains[i])[: max(shortlist, 2 * q)]
    batch: list[tuple[int, float]] = []
    while len(batch) < q and open_:
        if batch:
            gains = {i: gain(i) for i in open_}
        best = max(open_, key=lambda i: (gains[i], -i))
        if gains[best] <= 0:
            break
        batch.append((best, gains[best]))
        open_.remove(best)
        for w, (points, heights) in enumerate(now):
            if depths[w, best] > 0:
                now[w] = (
                    np.vstack([points, x[best]]), np.append(heights, formation[w, best])
                )  # fmt: skip
                volume[w] = mean_depth(*now[w])
    return batch


def mean_depth(x: np.ndarray, formation: np.ndarray) -> float:
    """Return minus the mean of a lower hull over all compositions, eV/atom.

    The pure elements stand at zero. The body between the plane of the elements and the
    hull is convex; its volume over that of the simplex, 1/(n - 1)!, is the mean.

    Args:
        x: atomic fractions of the phases, shape (m, n_elements).
        formation: their formation energies, eV/atom, (m,); above zero none counts.

    >>> mean_depth(np.array([[0.5, 0.5]]), np.array([-1.0]))
    0.5
    """
    below = formation < -1e-12
    n = x.shape[1]
    if not below.any() or n == 1:
        return 0.0
    points = np.vstack([np.eye(n), x[below]])[:, 1:]
    heights = np.concatenate([np.zeros(n), formation[below]])
    body = ConvexHull(np.column_stack([points, heights]))
    return float(body.volume) * math.factorial(n - 1)


def _draw(
    belief: Prediction, rng: np.random.Generator, factor: float = 1.0
) -> np.ndarray:
    """Return one joint draw of all candidates with sigmas times a factor, (n,)."""
    drawn: np.ndarray = belief.mean + factor * belief.deviations(rng)
    return drawn
