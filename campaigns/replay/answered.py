"""What another evaluator answered about the candidates of a replay: a prior mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaigns.replay.features import fractions
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError, SurrogateError
from matdisco.thermo import Hull, compressed
from surrogates.featurizers import answers
from surrogates.featurizers.answers import groups

if TYPE_CHECKING:
    from matdisco.data.dataset import Dataset


def relaxed_alike(pool: Pool, recipe: Exact, data: Dataset) -> np.ndarray:
    """Return which candidates the other evaluator relaxed into one structure, (n,).

    ``data`` is what :func:`opened` gave.

    Numbers of groups: one composition, energies and volumes (where the dataset has
    them) that are equal within what a relaxation leaves open, neighbours being chained.
    Candidates without an answer are groups of their own.
    """
    energy, volume = (
        _found(pool, data, key) if key in data.properties else np.zeros(len(pool))
        for key in (str(recipe.answers_label), "volume_per_atom")
    )
    formulas = [c.composition.reduced_formula for c in pool.crystals]
    formulas = formulas or list(pool.formulas) or [""] * len(pool)
    return groups(formulas, energy, volume)


def answered(pool: Pool, recipe: Exact, data: Dataset) -> np.ndarray:
    """Return columns in which the prior mean is linear, shape (n, d).

    ``data`` is what :func:`opened` gave.

    The first is the other evaluator's answer as a merit; for stable phases that of its
    own formation energy, so that what the two call an element cancels. Candidates that
    it has no answer for have the mean of the others there and 1 in the second column.
    For other targets the atomic fractions follow, which take up different references.

    Raises:
        ConfigError: it is about other candidates.
    """
    found = _found(pool, data, str(recipe.answers_label))
    known = np.isfinite(found)
    if known.sum() < len(pool) / 2:
        raise ConfigError(
            f"learner.answers: {recipe.answers} answers {int(known.sum())} of "
            f"{len(pool)} candidates, expected at least half; records are found by id"
        )
    if pool.truth is not None:
        x = pool.truth.x
        own = Hull(pool.truth.elements, x[known], found[known]).references
        merit = -compressed(found - x @ own)
    else:
        merit = -found if pool.low_wanted else found
    columns = [np.where(known, merit, merit[known].mean())]
    if not known.all():
        columns.append(~known)
    if pool.truth is None and (pool.has_structures or pool.formulas):
        columns.append(fractions(pool))
    return np.column_stack(columns).astype(float)


def opened(recipe: Exact) -> Dataset:
    """Return the dataset with the answers of a recipe that has ``prior: answers``.

    Raises:
        ConfigError: no such dataset or label.
    """
    try:
        return answers.opened(str(recipe.answers), str(recipe.answers_label))
    except SurrogateError as error:
        raise ConfigError(f"learner.{error}") from error


def _found(pool: Pool, data: Dataset, key: str) -> np.ndarray:
    """Return a label of each candidate, NaN where there is none, shape (n,)."""
    by_id = dict(zip(data.ids, data.values(key), strict=True))
    return np.array([by_id.get(i, np.nan) for i in pool.ids])
