"""What learns in a replay: rows of a pool in, beliefs about the whole pool out.

The fast path: features of the pool are made once, a fit takes row numbers. All values
are merits, higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from typing_extensions import override

from campaigns.acquisition.beliefs import Belief, FactorBelief, ProcessBelief
from campaigns.acquisition.beliefs import Process as PoolProcessLike
from campaigns.acquisition.process import PoolProcess
from campaigns.replay.answered import answered, opened, relaxed_alike
from campaigns.replay.feature_names import FORMATION
from campaigns.replay.features import fractions, site_elements, table
from campaigns.replay.learner_recipes import (
    Additive,
    AnyLearner,
    Exact,
    Forest,
    ZeroShot,
)
from campaigns.replay.pools import Pool
from campaigns.replay.transfer import transferred
from matdisco.errors import ConfigError
from surrogates.base import Prediction
from surrogates.calibration import Scale, z_scores
from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Kernel, Term
from surrogates.gp.likelihood import Hyper
from surrogates.gp.relevance import relevance
from surrogates.gp.site_kernel import SiteProcess, SiteSpace

RETUNED = 1.25
"""Hyperparameters are chosen anew when the labels have grown by this factor."""


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
        return _Exact(recipe, pool)
    if isinstance(recipe, Additive):
        return _Sites(recipe, pool)
    if isinstance(recipe, Forest):
        return _Forest(recipe, pool, seed)
    if isinstance(recipe, ZeroShot):
        return _ZeroShot(pool)
    raise ConfigError(f"learner: kind {recipe.kind} only goes with acquisition random")


@dataclass(frozen=True, eq=False)
class _Process:
    """A process over a table, on top of a prior mean."""

    process: PoolProcessLike
    x: np.ndarray
    prior: np.ndarray

    def belief(self, *, needs_std: bool) -> Belief:
        belief = ProcessBelief.of(self.process, self.x)
        return ProcessBelief(
            self.process, self.x, belief.mean + self.prior, belief.variance
        )

    def predict(self, rows: np.ndarray) -> Prediction:
        mean, variance = self.process.moments(self.x[rows])
        std = np.sqrt(np.asarray(variance, dtype=float) + self.process.noise)
        return Prediction(
            np.asarray(mean, dtype=float) + self.prior[rows],
            np.zeros((0, len(rows))), std,
        )  # fmt: skip


class _Exact:
    """Isotropic exact Gaussian process; hyperparameters from some of the labels."""

    def __init__(self, recipe: Exact, pool: Pool) -> None:
        self.recipe = recipe
        self.alike: np.ndarray | None = None
        parts = [table(pool, (name,)) for name in recipe.features]
        self.x = np.column_stack(parts)
        ends = np.cumsum([0, *(p.shape[1] for p in parts)]).tolist()
        self.terms = [Term(a, b) for a, b in pairwise(ends)]
        if recipe.trend is not None:
            energies = table(pool, (FORMATION[recipe.trend],))
            self.x = np.column_stack([self.x, energies])
            self.terms.append(Term(ends[-1], ends[-1] + 1, kind="linear"))
            ends.append(ends[-1] + 1)
        told = opened(recipe) if recipe.prior == "answers" else None
        if recipe.alike and told is not None:
            self.alike = relaxed_alike(pool, recipe, told)
            self.x = np.column_stack([self.x, self.alike])
            self.terms.append(Term(ends[-1], ends[-1] + 1, kind="same"))
        if told is not None:
            self.prior = _Prior(answered(pool, recipe, told))
        elif recipe.prior == "transfer":
            self.prior = _Prior(transferred(pool, recipe)[:, None])
        elif recipe.prior == "zero_shot":
            self.prior = _Prior.zero_shot(pool)
        else:
            self.prior = _Prior(np.zeros((len(pool), 0)))
        self.hyper: Hyper | None = None
        self.standard: Standardizer | None = None
        if recipe.scaled_by == "pool":
            self.standard = Standardizer.of(self.x)
        self.tuned = 0

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Fitted:
        prior = self.prior.fitted(rows, y)
        x, left = self.x[rows], y - prior[rows]
        if self.hyper is None or len(rows) >= RETUNED * self.tuned:
            some = np.unique(
                np.linspace(0, len(rows) - 1, self.recipe.tuned_on).astype(int)
            )
            if self.recipe.relevance:
                self._weigh(x[some], left[some])
            else:
                # lengths are in standardised units, which more labels hardly move
                part = ExactGP.fit(
                    x[some], left[some], terms=self.terms, standard=self.standard
                )
                self.hyper = part.hyper
            self.tuned = len(rows)
        gp = ExactGP.fit(x, left, hyper=self.hyper, standard=self.standard)
        return _Process(PoolProcess.of(gp), self.x, prior)

    def _weigh(self, x: np.ndarray, y: np.ndarray) -> None:
        """Choose a length for every column, in deviations of the whole pool.

        Those of a few labels would say little.
        """
        whole = Standardizer.of(self.x)
        spread = float(y.std()) or 1.0
        found = relevance(whole(x), (y - y.mean()) / spread)
        self.standard = Standardizer(whole.mean, whole.std * found.lengths)
        self.hyper = Hyper(Kernel((Term(0, x.shape[1]),)), found.ratio)


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


class _SiteFit(_Process):
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
            missed = Prediction(np.nanmean(own, axis=0), np.zeros((0, len(std))), std)
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
        self.prior = _Prior.zero_shot(pool)

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Fitted:
        mean = self.prior.fitted(rows, y)
        error = max(float(np.sqrt(np.mean((y - mean[rows]) ** 2))), 1e-9)
        return _Told(
            Prediction(mean, np.zeros((0, len(mean))), np.full(len(mean), error))
        )


@dataclass(frozen=True, eq=False)
class _Told:
    """A finished prediction of the pool."""

    prediction: Prediction

    def belief(self, *, needs_std: bool) -> Belief:
        return FactorBelief(self.prediction)

    def predict(self, rows: np.ndarray) -> Prediction:
        return self.prediction.take(rows)


@dataclass(frozen=True, eq=False)
class _Prior:
    """A prior mean that is linear in a few columns, refitted with the labels."""

    columns: np.ndarray
    """Shape (n, d); no column for a constant."""

    @classmethod
    def zero_shot(cls, pool: Pool) -> _Prior:
        """Return a potential's formation energies, and references to fit."""
        energies = table(pool, ("chgnet_formation",))
        return cls(np.column_stack([energies, fractions(pool)]))

    def fitted(self, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the prior mean of the whole pool, ridge regression, shape (n,)."""
        centre = float(y.mean())
        if not self.columns.shape[1]:
            return np.full(len(self.columns), 0.0)
        x = self.columns[rows]
        unit = np.maximum(x.std(axis=0), 1e-9)
        unit = np.where(unit > 1e-8, unit, np.inf)
        a = (x - x.mean(axis=0)) / unit
        ridge = 1e-2 * len(rows) ** 0.5  # weak; elements met once stay near zero
        weights = np.linalg.solve(
            a.T @ a + ridge * np.eye(a.shape[1]), a.T @ (y - centre)
        )
        mean: np.ndarray = centre + ((self.columns - x.mean(axis=0)) / unit) @ weights
        return mean


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
