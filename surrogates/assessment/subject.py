"""What is assessed, whoever made it: something that predicts, in one shape."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from surrogates.assessment.suite import Kind

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class Guess(NamedTuple):
    """Predictions for n crystals; ``std`` is None where none is given."""

    mean: np.ndarray
    """Shape (n,), unit of the target; NaN where there is no answer."""
    std: np.ndarray | None
    """One standard deviation, shape (n,)."""

    def take(self, rows: np.ndarray) -> Guess:
        """Return the predictions at ``rows``."""
        return Guess(self.mean[rows], None if self.std is None else self.std[rows])


Predict = Callable[[Sequence[Crystal]], Guess]
Refit = Callable[[Dataset, str, int], Predict]
"""(training data, target, seed) → a freshly fitted predictor."""


@dataclass(frozen=True, eq=False)
class Training:
    """What is known of the data that a subject learned from."""

    hash: str = ""
    """Content hash of the training records, where it is on record."""
    features: np.ndarray | None = None
    """Feature rows that the subject keeps, (n, d)."""
    labels: np.ndarray | None = None
    """Their labels, (n,)."""
    feature_kind: str = ""
    """Which features these are."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Something to be assessed."""

    name: str
    """Short name for tables."""
    kind: Kind
    """What it is."""
    identity: Mapping[str, Any]
    """Plain data that says exactly which one: hashes, versions, recipe."""
    target: str = ""
    """The label it predicts, where it says so."""
    predict: Predict | None = None
    """Predictor as delivered; None for something that was not fitted yet."""
    refit: Refit | None = None
    """Fits the same thing anew; None where that is not possible."""
    calculator: Callable[[], Calculator] | None = None
    """Makes an ASE calculator, for potentials."""
    elements: frozenset[str] | None = None
    """Elements it was made for, where it says so."""
    training: Training = field(default_factory=Training)
    """What it learned from."""
    files: Path | None = None
    """File or folder it came in, for the file safety check."""
    trusts_code: str = ""
    """What code had to be trusted to load it; empty where none."""


def trained_on(recipe: Any) -> Refit:
    """Return how to fit one of our surrogate recipes anew.

    A pretrained base is trained once, kept in a folder that lives as long as the
    returned function, and shared by all refits.
    """
    shelf = mkdtemp(prefix="matdisco-assess-")

    def refit(data: Dataset, target: str, seed: int) -> Predict:
        surrogate = recipe.build(seed, Path(shelf))
        surrogate.fit(data, target)
        return predictor(surrogate)

    weakref.finalize(refit, shutil.rmtree, shelf, ignore_errors=True)
    return refit


def predictor(surrogate: Any) -> Predict:
    """Wrap something whose ``predict`` gives a :class:`~surrogates.base.Prediction`."""

    def predict(crystals: Sequence[Crystal]) -> Guess:
        found = surrogate.predict(crystals)
        return Guess(np.asarray(found.mean), np.asarray(found.std))

    return predict


def answered(guess: Guess) -> np.ndarray:
    """Return which predictions are finite numbers, shape (n,), bool."""
    good: np.ndarray = np.isfinite(guess.mean)
    if guess.std is not None:
        good = good & np.isfinite(guess.std) & (guess.std > 0)
    return good


def predict_each(predict: Predict, crystals: Sequence[Crystal]) -> Guess:
    """Predict all at once, or one by one where one of them is refused.

    A refused crystal is NaN: a third party's code may raise anything.
    """
    try:
        return predict(crystals)
    except Exception:  # one bad crystal must not cost the answers for the others
        if len(crystals) <= 1:
            nothing = np.full(len(crystals), np.nan)
            return Guess(nothing, None)
    parts = [predict_each(predict, [c]) for c in crystals]
    mean = np.concatenate([p.mean for p in parts])
    if all(p.std is None for p in parts):
        return Guess(mean, None)
    blank = np.array([np.nan])
    return Guess(
        mean, np.concatenate([blank if p.std is None else p.std for p in parts])
    )
