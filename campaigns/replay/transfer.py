"""What another dataset teaches: a prior mean for the candidates of a replay."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from campaigns.replay.features import kept, table
from campaigns.replay.learner_recipes import Exact
from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError
from matdisco.recipe import digest
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Term


def transferred(pool: Pool, recipe: Exact) -> np.ndarray:
    """Return the merit that a process on another dataset expects, shape (n,).

    The process has the kernel of the recipe and sees nothing of the pool's answers.

    Raises:
        ConfigError: no such dataset or label, or features that only this pool has.
    """
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve
    from surrogates.featurizers.table import features

    assert recipe.transfer is not None and recipe.transfer_target is not None
    own = {"columns", "sites"} & set(recipe.features)
    if own or not pool.has_structures:
        raise ConfigError(
            f"learner.transfer: features {sorted(own) or list(recipe.features)} of "
            "another dataset need structures; use composition, environments or latents"
        )
    path = resolve(recipe.transfer)
    if not path.exists():
        raise ConfigError(f"learner.transfer: no such file: {recipe.transfer}")
    data = Dataset.open(path)
    y = data.values(recipe.transfer_target)
    usable = np.flatnonzero(np.isfinite(y))
    if len(usable) == 0:
        raise ConfigError(
            f"learner.transfer_target: {recipe.transfer} has no label "
            f"{recipe.transfer_target!r}; it has: {', '.join(data.properties)}"
        )

    def make() -> np.ndarray:
        crystals = data.take(usable).crystals
        parts = [features(name, crystals, n_threads=1) for name in recipe.features]
        ends = np.cumsum([0, *(p.shape[1] for p in parts)]).tolist()
        terms = [Term(a, b) for a, b in pairwise(ends)]
        gp = ExactGP.fit(np.column_stack(parts), y[usable], terms=terms)
        expected: np.ndarray = gp.mean(table(pool, recipe.features))
        return expected[:, None]

    about = digest([data.content_hash, recipe.transfer_target, list(recipe.features)])
    sign = -1.0 if pool.low_wanted else 1.0  # what a replay learns is a merit
    return sign * kept(pool, f"transfer-{about[:16]}", make)[:, 0]
