"""Exact Gaussian processes as learners of a replay, over a prior mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from campaigns.acquisition.beliefs import Belief, ProcessBelief
from campaigns.acquisition.beliefs import Process as PoolProcessLike
from campaigns.acquisition.process import PoolProcess
from campaigns.replay.answered import answered, opened, relaxed_alike
from campaigns.replay.feature_names import FORMATION
from campaigns.replay.features import fractions, table
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.pools import Pool
from campaigns.replay.transfer import transferred
from surrogates.base import Prediction
from surrogates.featurizers.answers import set_apart
from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Kernel, Term
from surrogates.gp.likelihood import Hyper
from surrogates.gp.relevance import relevance

RETUNED = 1.25
"""Hyperparameters are chosen anew when the labels have grown by this factor."""


@dataclass(frozen=True, eq=False)
class Process:
    """A process over a table, on top of a prior mean."""

    process: PoolProcessLike
    x: np.ndarray
    prior: np.ndarray
    alike: np.ndarray | None = None
    """Groups of candidates that are probably one structure, (n,): the last column."""

    def unlike(self, rows: np.ndarray) -> Process:
        """Return it as if no candidate were a copy of one of the evaluated ``rows``."""
        if self.alike is None:
            return self
        apart = set_apart(self.alike, self.alike[rows])
        return replace(self, x=np.column_stack([self.x[:, :-1], apart]))

    def belief(self, *, needs_std: bool) -> Belief:
        """Return the belief about the whole pool."""
        belief = ProcessBelief.of(self.process, self.x)
        return ProcessBelief(
            self.process, self.x, belief.mean + self.prior, belief.variance
        )

    def predict(self, rows: np.ndarray) -> Prediction:
        """Return predictions of new measurements at ``rows``, noise included."""
        mean, variance = self.process.moments(self.x[rows])
        std = np.sqrt(np.asarray(variance, dtype=float) + self.process.noise)
        return Prediction.apart(np.asarray(mean, dtype=float) + self.prior[rows], std)


class ExactLearner:
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
            self.prior = Prior(answered(pool, recipe, told))
        elif recipe.prior == "transfer":
            self.prior = Prior(transferred(pool, recipe)[:, None])
        elif recipe.prior == "zero_shot":
            self.prior = Prior.zero_shot(pool)
        else:
            self.prior = Prior(np.zeros((len(pool), 0)))
        self.hyper: Hyper | None = None
        self.standard: Standardizer | None = None
        if recipe.scaled_by == "pool":
            self.standard = Standardizer.of(self.x)
        self.tuned = 0

    def fit(self, rows: np.ndarray, y: np.ndarray) -> Process:
        """Learn merits ``y`` (n,) of the pool rows ``rows`` (n,)."""
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
        return Process(PoolProcess.of(gp), self.x, prior, self.alike)

    def _weigh(self, x: np.ndarray, y: np.ndarray) -> None:
        """Choose a length for every column, in deviations of the whole pool.

        Those of a few labels would say little.
        """
        whole = Standardizer.of(self.x)
        spread = float(y.std()) or 1.0
        found = relevance(whole(x), (y - y.mean()) / spread)
        self.standard = Standardizer(whole.mean, whole.std * found.lengths)
        self.hyper = Hyper(Kernel((Term(0, x.shape[1]),)), found.ratio)


@dataclass(frozen=True, eq=False)
class Prior:
    """A prior mean that is linear in a few columns, refitted with the labels."""

    columns: np.ndarray
    """Shape (n, d); no column for a constant."""

    @classmethod
    def zero_shot(cls, pool: Pool) -> Prior:
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
