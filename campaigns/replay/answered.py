"""What another evaluator answered about the candidates of a replay: a prior mean."""

from __future__ import annotations

import numpy as np

from campaigns.replay.features import fractions
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError
from matdisco.thermo import Hull, compressed


def answered(pool: Pool, recipe: Exact) -> np.ndarray:
    """Return columns in which the prior mean is linear, shape (n, d).

    The first is the other evaluator's answer as a merit; for stable phases that of its
    own formation energy, so that what the two call an element cancels. Candidates that
    it has no answer for have the mean of the others there and 1 in the second column.
    For other targets the atomic fractions follow, which take up different references.

    Raises:
        ConfigError: no such dataset or label, or it is about other candidates.
    """
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

    assert recipe.answers is not None and recipe.answers_label is not None
    path = resolve(recipe.answers)
    if not path.exists():
        raise ConfigError(f"learner.answers: no such file: {recipe.answers}")
    data = Dataset.open(path)
    if recipe.answers_label not in data.properties:
        raise ConfigError(
            f"learner.answers_label: {recipe.answers} has no label "
            f"{recipe.answers_label!r}; it has: {', '.join(data.properties)}"
        )
    by_id = dict(zip(data.ids, data.values(recipe.answers_label), strict=True))
    found = np.array([by_id.get(i, np.nan) for i in pool.ids])
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
