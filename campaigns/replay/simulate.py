"""One replay: one strategy with one seed, from the first labels to the last round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from campaigns.acquisition.batch import Aim, choose
from campaigns.acquisition.beliefs import Belief, joint
from campaigns.acquisition.chebyshev import chebyshev, in_range, reach
from campaigns.acquisition.pool import Pick
from campaigns.acquisition.recipes import (
    Greedy,
    HypervolumeImprovement,
    RandomChoice,
)
from campaigns.replay.climbing import Climb
from campaigns.replay.hulls import HullStep
from campaigns.replay.learner_recipes import Cokriging
from campaigns.replay.learners import Learner, learner
from campaigns.replay.limits import Limits, choose_within
from campaigns.replay.peers.play import play
from campaigns.replay.peers.recipes import PeerRecipe
from campaigns.replay.phases import Phases
from campaigns.replay.pools import Pool
from campaigns.replay.recipes import ReplayConfig, Strategy
from campaigns.replay.trace import Trace
from surrogates.base import Prediction
from surrogates.metrics import evaluate
from surrogates.tabular.transforms import NormalScores

DIRECTIONS = 5
"""Random directions per round where there are several targets."""
JUDGED = 1000
"""Unlabelled candidates on which calibration is judged each round."""
_CALIBRATION = (
    "mae", "nll", "ence", "miscalibration_area", "coverage_90", "spearman",
    "spearman_error_std",
)  # fmt: skip


def start(config: ReplayConfig, pool: Pool, seed: int) -> np.ndarray:
    """Return the first rows: the same for every strategy of a seed.

    They are random; for a hull the densest structures of every element come first.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    if pool.truth is None:
        return rng.choice(len(pool), size=config.initial, replace=False)
    given = pool.truth.references
    others = np.setdiff1d(np.arange(len(pool)), given)
    more = max(config.initial - len(given), 0)
    return np.concatenate([given, rng.choice(others, size=more, replace=False)])


def simulate(
    config: ReplayConfig, pool: Pool, name: str, strategy: Strategy, seed: int
) -> Trace:
    """Replay one strategy with one seed.

    Args:
        config: the protocol.
        pool: the labelled pool.
        name: of the strategy.
        strategy: what learns and chooses.
        seed: decides the first labels, and everything random after.
    """
    first = start(config, pool, seed)
    order = [int(i) for i in first]
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    if isinstance(strategy.learner, Cokriging):
        return _climbed(Climb(config, pool, strategy, seed, first, rng), name, seed)
    if isinstance(strategy.learner, PeerRecipe):
        rounds, q = config.rounds, config.batch_size
        played, spent = play(strategy.learner, pool, first, rounds, q, seed)
        return Trace(name, seed, tuple(played), spent, ())
    chooser = _Chooser(pool, strategy, seed, rng)
    calibration: list[Mapping[str, float]] = []
    for _ in range(config.rounds):
        q = min(config.batch_size, len(pool) - len(order))
        if q == 0:
            break
        picked, judged = chooser.batch(np.array(order), q)
        order += picked
        calibration.append(judged)
    return Trace(name, seed, tuple(order), chooser.phases.seconds, tuple(calibration))


def _climbed(climb: Climb, name: str, seed: int) -> Trace:
    """Replay a strategy that may ask cheaper fidelities."""
    calibration: list[Mapping[str, float]] = []
    merit = climb.pool.merit[:, 0]
    while True:
        free = np.ones(len(merit), dtype=bool)
        free[list(climb.asked[-1])] = False
        belief = climb.round()
        if belief is None:
            break
        said = partial(climb.learner.predict, belief)
        calibration.append(_judged(said, merit, free, seed))
    names = [c.name for c in climb.fidelities.cheaper]
    asked = dict(zip(names, map(len, climb.asked), strict=False))
    return Trace(
        name, seed, tuple(climb.asked[-1]), climb.phases.seconds, tuple(calibration),
        tuple(climb.paid), asked,
    )  # fmt: skip


class _Chooser:
    """A strategy at work: keeps its learners and the time they took."""

    def __init__(
        self, pool: Pool, strategy: Strategy, seed: int, rng: np.random.Generator
    ) -> None:
        assert strategy.acquisition is not None
        self.pool, self.recipe, self.rng = pool, strategy.acquisition, rng
        self.seed, self.phases = seed, Phases()
        self.ranks = getattr(strategy.learner, "labels", "values") == "ranks"
        self.learners: list[Learner] = []
        self.step: HullStep | None = None
        self.limits = Limits.of(pool, strategy, seed)
        if not isinstance(self.recipe, RandomChoice):
            targets = pool.merit.shape[1]
            copies = 1 if targets == 1 else DIRECTIONS
            if isinstance(self.recipe, HypervolumeImprovement):
                copies = targets
            self.learners = [
                learner(strategy.learner, pool, seed) for _ in range(copies)
            ]

    def batch(self, rows: np.ndarray, q: int) -> tuple[list[int], Mapping[str, float]]:
        """Return the next ``q`` rows and how calibrated the beliefs were."""
        free = np.ones(len(self.pool), dtype=bool)
        free[rows] = False
        if not self.learners:
            picked = self.rng.choice(np.flatnonzero(free), size=q, replace=False)
            return [int(i) for i in picked], {}
        informed = q - round(q * self.recipe.random_share)
        chosen: list[int] = []
        judged: Mapping[str, float] = {}
        if informed:
            chosen, judged = self._informed(rows, informed, free)
        if informed < q:
            rest = np.setdiff1d(np.flatnonzero(free), chosen)
            extra = self.rng.choice(rest, size=q - informed, replace=False)
            chosen += [int(i) for i in extra]
        return chosen, judged

    def _informed(
        self, rows: np.ndarray, q: int, free: np.ndarray
    ) -> tuple[list[int], Mapping[str, float]]:
        """Choose by what was learnt; see :meth:`batch`."""
        if self.pool.truth is not None:
            if self.step is None:
                self.step = HullStep(self.pool.truth, self.recipe, self.learners[0])
            batch, fit, y = self.step.batch(rows, q, self.rng, self.phases.timed)
            return batch, _judged(fit.predict, y, free, self.seed)
        if isinstance(self.recipe, HypervolumeImprovement):
            return self._front(self.recipe, rows, q, free)
        chosen: list[int] = []
        judged: Mapping[str, float] = {}
        shares = np.array_split(np.arange(q), len(self.learners))
        for learn, share in zip(self.learners, shares, strict=True):
            if len(share) == 0:
                continue
            y = self._merit(rows)
            fitted = self.phases.timed("fit", lambda: learn.fit(rows, y[rows]))  # noqa: B023
            belief = self.phases.timed(
                "predict",
                lambda: fitted.belief(needs_std=not isinstance(self.recipe, Greedy)),  # noqa: B023
            )
            barred = np.concatenate([rows, chosen]).astype(int)
            weight = None
            if self.limits is not None:
                weight = self.limits.weight(rows, self.phases.timed)
            picks = self.phases.timed(
                "choose",
                lambda: self._picks(belief, y[rows], rows, weight, len(share), barred),  # noqa: B023
            )
            if not judged:
                judged = _judged(fitted.predict, y, free, self.seed)
            chosen += [p.row for p in picks]
        return chosen, judged

    def _picks(
        self, belief: Belief, y: np.ndarray, rows: np.ndarray,
        weight: np.ndarray | None, q: int, barred: np.ndarray,
    ) -> list[Pick]:  # fmt: skip
        """Choose ``q`` rows, weighed by their chances to meet the limits, if any."""
        if weight is None or self.limits is None:
            aim = Aim(float(y.max()), answered=y)
            return choose(belief, self.recipe, aim, self.rng, q, barred=barred)
        met = self.limits.met(rows)
        return choose_within(
            belief, self.recipe, y, met, weight, self.rng, q, barred=barred
        )

    def _front(
        self, rule: HypervolumeImprovement, rows: np.ndarray, q: int, free: np.ndarray
    ) -> tuple[list[int], Mapping[str, float]]:
        """Choose by hypervolume, one belief per target, in the labels' spread."""
        from campaigns.acquisition.hypervolume import hypervolume_batch, promising

        merit = self.pool.merit
        centre, unit = merit[rows].mean(axis=0), merit[rows].std(axis=0) + 1e-12
        scaled = (merit - centre) / unit
        fits, beliefs = [], []
        for learn, y in zip(self.learners, scaled.T, strict=False):
            fitted = self.phases.timed("fit", lambda: learn.fit(rows, y[rows]))  # noqa: B023
            fits.append(fitted)
            beliefs.append(
                self.phases.timed("predict", lambda: fitted.belief(needs_std=True))  # noqa: B023
            )
        mean = np.array([b.mean for b in beliefs])[:, free]
        std = np.sqrt(np.maximum([b.variance for b in beliefs], 0))[:, free]
        each, most = max(rule.looked_at // 16, q), 4 * rule.looked_at
        looked = np.flatnonzero(free)[promising(mean, std, self.rng, each, most)]
        at = np.concatenate([looked, rows])

        def pick() -> list[int]:
            least = [-np.inf if v is None else v for v in self.pool.limits]
            limits = (np.array([least, np.full(len(least), np.inf)]).T
                      - centre[:, None]) / unit[:, None]  # fmt: skip
            picks = hypervolume_batch(
                [joint(b, at) for b in beliefs],
                np.arange(len(looked), len(at)), scaled[rows], q,
                int(self.rng.integers(2**31)), samples=rule.samples, limits=limits,
            )  # fmt: skip
            return [int(at[p.row]) for p in picks]

        chosen = self.phases.timed("choose", pick)
        return chosen, _judged(fits[0].predict, scaled[:, 0], free, self.seed)

    def _merit(self, rows: np.ndarray) -> np.ndarray:
        """Return what is learned, (n,); for several targets in a random direction."""
        total = self._total(rows)
        return NormalScores.of(total[rows]).learnt(total) if self.ranks else total

    def _total(self, rows: np.ndarray) -> np.ndarray:
        merit = self.pool.merit
        if merit.shape[1] == 1:
            return merit[:, 0]
        scaled = in_range(merit, *reach(merit[rows]))
        return chebyshev(scaled, self.rng.dirichlet(np.ones(merit.shape[1])))


def _judged(
    predict: Callable[[np.ndarray], Prediction],
    y: np.ndarray,
    free: np.ndarray,
    seed: int,
) -> dict[str, float]:
    """Return calibration on a fixed sample of what is not labelled yet."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2]))
    sample = rng.permutation(len(free))
    rows = sample[free[sample]][:JUDGED]
    if len(rows) < 10:
        return {}
    found = evaluate(y[rows], predict(rows))
    return {k: round(found[k], 6) for k in _CALIBRATION if k in found}
