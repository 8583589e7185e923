"""What learns in a replay: rows of a pool in, beliefs about the whole pool out.

The fast path: features of the pool are made once, a fit takes row numbers. All values
are merits, higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from typing_extensions import override

from campaigns.acquisition.beliefs import Belief, FactorBelief, ProcessBelief
from campaigns.replay.exact_learner import ExactLearner, Prior, Process
from campaigns.replay.features import site_elements, table
from campaigns.replay.learner_recipes import (
    Additive,
    AnyLearner,
    Exact,
    Forest,
    ZeroShot,
)
from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError
from surrogates.base import Prediction
from surrogates.calibration import Scale, z_scores
from surrogates.featurizers.table import Standardizer
from surrogates.gp.site_kernel import SiteProcess, SiteSpace


class Fitted(Protocol):
    """A learner after a fit."""

    def belief(self, *, needs_std: bool) -> Belief:
        """Return the belief about the whole pool.

        Args:
            needs_std: False where only means matter; variances may then be 0.
        """
        ...

    def predict(self, rows: np.ndarray) -> Prediction:
        """Return predictions of new measurements at ``rows``, noise included."""
        ...


class Learner(Protocol):
    """Fits rows of one pool, again and again."""

    @property
    def alike(self) -> np.ndarray | None:
        """Groups of candidates that are probably one structure, (n,), if known."""
        ...

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Fitted:
        """Learn merits ``y`` (n,) of the pool rows ``rows`` (n,)."""
        ...


def learner(recipe: AnyLearner, pool: Pool, seed: int) -> Learner:
    """Return what a recipe asks for, ready for one replay.

    Raises:
        ConfigError: the pool lacks what it needs.
    """
    if isinstance(recipe, Exact):
        return ExactLearner(recipe, pool)
    if isinstance(recipe, Additive):
        return _Sites(recipe, pool)
    if isinstance(recipe, Forest):
        return _Forest(recipe, pool, seed)
    if isinstance(recipe, ZeroShot):
        return _ZeroShot(pool)
    raise ConfigError(f"learner: kind {recipe.kind} only goes with acquisition random")


class _Sites:
    """The process over occupations of sites."""

    alike = None

    def __init__(self, recipe: Additive, pool: Pool) -> None:
        self.recipe = recipe
        self.process = SiteProcess(site_space(pool, recipe))
        self.begun = False

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Fitted:
        steps = self.recipe.refit_steps if self.begun else self.recipe.steps
        self.process.fit(rows, y, steps=steps)
        self.begun = True
        n = len(self.process.space.codes)
        return _SiteFit(self.process, np.arange(n)[:, None], np.zeros(n))


class _SiteFit(Process):
    @override
    def belief(self, *, needs_std: bool) -> Belief:
        if needs_std:
            return super().belief(needs_std=True)
        assert isinstance(self.process, SiteProcess)
        mean = self.process.mean(self.x)
        return ProcessBelief(self.process, self.x, mean, np.zeros(len(mean)))


class _Forest:
    """Random forest; its spread is recalibrated on out-of-bag errors."""

    alike = None

    def __init__(self, recipe: Forest, pool: Pool, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.x = table(pool, recipe.features).astype(np.float32)

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Fitted:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            n_estimators=self.recipe.trees, max_features=1 / 3,
            random_state=self.seed, n_jobs=1,
        ).fit(self.x[rows], y)  # fmt: skip
        trees = np.stack([t.predict(self.x) for t in forest.estimators_])
        raw = self._raw(trees, float(y.std()))
        held = np.stack([_left_out(len(rows), t) for t in forest.estimators_])
        seen = held.sum(axis=0) > 1
        own = np.where(held, trees[:, rows], np.nan)[:, seen]
        if seen.sum() >= 3:
            std = np.maximum(np.nanstd(own, axis=0), 0.1 * y.std())
            missed = Prediction.apart(np.nanmean(own, axis=0), std)
            raw = raw.scaled(Scale(1.0, 20.0).updated(z_scores(y[seen], missed)).k)
        return _Told(raw)

    @staticmethod
    def _raw(trees: np.ndarray, spread: float) -> Prediction:
        mean = trees.mean(axis=0)
        factors = (trees - mean) / np.sqrt(len(trees))
        # trees that agree are not certain
        return Prediction(mean, factors, np.full(len(mean), 0.1 * spread))


def _left_out(n: int, tree: object) -> np.ndarray:
    """Return which of n records a bootstrapped tree did not see, bool."""
    state = np.random.RandomState(tree.random_state)  # type: ignore[attr-defined]
    seen = np.zeros(n, dtype=bool)
    seen[state.randint(0, n, n, dtype=np.int32)] = True
    return ~seen


class _ZeroShot:
    """Energy of a pretrained potential, elemental references fitted to labels."""

    alike = None

    def __init__(self, pool: Pool) -> None:
        self.prior = Prior.zero_shot(pool)

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Fitted:
        mean = self.prior.fitted(rows, y)
        error = max(float(np.sqrt(np.mean((y - mean[rows]) ** 2))), 1e-9)
        return _Told(Prediction.apart(mean, np.full(len(mean), error)))


@dataclass(frozen=True, eq=False)
class _Told:
    """A finished prediction of the pool."""

    prediction: Prediction

    def belief(self, *, needs_std: bool) -> Belief:
        return FactorBelief(self.prediction)

    def predict(self, rows: np.ndarray) -> Prediction:
        return self.prediction.take(rows)


def site_space(pool: Pool, recipe: Additive) -> SiteSpace:
    """Return a pool built from sites as the site process wants it.

    An occupant is described by its elements' properties, averaged over the site's
    positions, and where there are several by how many of each element; the cell by its
    edge and by how far its common oxidation states are from balance.

    Raises:
        ConfigError: the pool was not built from sites.
    """
    if not pool.sites:
        raise ConfigError(
            "learner: kind additive_process needs a pool with structure: sites"
        )
    from campaigns.replay.occupants import cell_table, occupant_tables

    codes, tables = occupant_tables(pool.sites)
    latents = None
    if recipe.features:
        raw = table(pool, recipe.features)
        latents = Standardizer.of(raw)(raw)
    return SiteSpace(codes, tables, cell_table(pool), latents)


__all__ = ["Fitted", "Learner", "learner", "site_elements", "site_space"]
