"""One subject facing one dataset: what every check of the battery starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matdisco.data.dataset import Dataset
from matdisco.properties import Property, get
from surrogates.assessment.subject import (
    Guess,
    Predict,
    Subject,
    answered,
    predict_each,
)
from surrogates.assessment.suite import SuiteRecipe

_LEAST = 20
"""Test records below which no statistic of the battery means anything."""
_FOLDS = 5  # of out-of-fold predictions, as matbench (Dunn et al. 2020)


@dataclass(frozen=True, eq=False)
class Trial:
    """The test records, their true values, and what the subject says of them."""

    suite: SuiteRecipe
    """What is measured."""
    subject: Subject
    """Who is measured."""
    target: str
    """Label key."""
    ids: tuple[str, ...]
    """Test records in order."""
    y: np.ndarray
    """True values, shape (n,)."""
    guess: Guess
    """Predictions for them, NaN where there was no answer."""
    protocol: str
    """How the predictions came about, in a sentence."""
    dataset: Dataset | None = None
    """The test records with structures, in the same order."""
    formulas: tuple[str, ...] | None = None
    """Formulas, where known."""
    folds: np.ndarray | None = None
    """Fold in which each record was tested, where known."""
    each_true: np.ndarray | None = None
    """True energy above hull, eV/atom, where known."""
    training: Dataset | None = None
    """What the subject learned from, where the caller says so."""
    pool: Dataset | None = None
    """Candidates that the subject is to choose from."""
    predict: Predict | None = None
    """Predictor on the target's scale (a potential after its reference fit)."""
    unique: np.ndarray | None = None
    """Whether a record's prototype is new, where known (Matbench Discovery)."""
    decimals: int | None = None
    """To which energies are rounded before stable ones are counted."""
    fixed: bool = True
    """Whether ``guess`` comes from the subject as delivered (not from refits)."""

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows with an answer."""
        return np.flatnonzero(answered(self.guess))

    @property
    def truth(self) -> np.ndarray:
        """True values of the answered records."""
        truth: np.ndarray = self.y[self.rows]
        return truth

    @property
    def mean(self) -> np.ndarray:
        """Predictions of the answered records."""
        mean: np.ndarray = self.guess.mean[self.rows]
        return mean

    @property
    def std(self) -> np.ndarray | None:
        """Standard deviations of the answered records."""
        return None if self.guess.std is None else self.guess.std[self.rows]

    @property
    def quantity(self) -> Property:
        """The target's name and unit."""
        return get(self.target)

    @property
    def unit(self) -> str:
        """The labels' unit."""
        if self.dataset is not None:
            return next(
                (c.labels[self.target].unit for c in self.dataset
                 if self.target in c.labels), self.quantity.unit,
            )  # fmt: skip
        return self.quantity.unit

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the true values: the scale of 'large'."""
        return float(self.y.std()) or 1.0

    def generator(self, purpose: int) -> np.random.Generator:
        """Return the random stream of one purpose."""
        return np.random.default_rng(np.random.SeedSequence([self.suite.seed, purpose]))

    @property
    def can_refit(self) -> bool:
        """Whether the battery may fit the subject on parts of the dataset."""
        return (
            self.suite.refits
            and self.subject.refit is not None
            and self.dataset is not None
        )

    def fitted_on(self, rows: np.ndarray, labels: np.ndarray | None = None) -> Predict:
        """Fit the subject on (at most ``refit_records`` of) these records.

        Args:
            rows: into the dataset.
            labels: other values for these rows (poisoned ones).
        """
        assert self.dataset is not None and self.subject.refit is not None
        limit = self.suite.refit_records
        if len(rows) > limit:
            keep = np.sort(self.generator(len(rows)).permutation(len(rows))[:limit])
            rows = rows[keep]
            labels = None if labels is None else labels[keep]
        data = self.dataset.take(rows)
        if labels is not None:
            data = relabelled(data, self.target, labels)
        return self.subject.refit(data, self.target, self.suite.seed)

    def predicted(self, predict: Predict, rows: np.ndarray) -> Guess:
        """Predict rows of the dataset."""
        assert self.dataset is not None
        found = predict_each(predict, self.dataset.take(rows).crystals)
        if found.std is None:
            return found
        return found

    @cached_property
    def out_of_fold(self) -> Guess:
        """Predictions of refits that did not see the record, five folds."""
        n = len(self.y)
        fold = self.generator(1).permutation(n) % _FOLDS
        mean, std = np.full(n, np.nan), np.full(n, np.nan)
        certain = False
        for k in range(_FOLDS):
            out = np.flatnonzero(fold == k)
            found = self.predicted(self.fitted_on(np.flatnonzero(fold != k)), out)
            mean[out] = found.mean
            if found.std is not None:
                std[out], certain = found.std, True
        return Guess(mean, std if certain else None)


def relabelled(data: Dataset, target: str, labels: np.ndarray) -> Dataset:
    """Return a dataset with other values of one label."""
    from dataclasses import replace

    crystals = tuple(
        c.with_labels({target: replace(c.labels[target], value=float(v))})
        for c, v in zip(data, labels, strict=True)
    )
    return Dataset(data.name, crystals, data.card)
