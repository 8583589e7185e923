"""What Auto compares on: folds of the records, names of candidates, their limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.recipe import Recipe
from surrogates.recipes import OneSurrogate
from surrogates.targets import auxiliary_of, joined


class Fold(NamedTuple):
    """One part of the records that judges, and what is learnt to be judged there."""

    learn: Dataset
    """The other labelled records, then those with auxiliary labels alone."""
    test: Dataset
    """Records with the label, of no chemical system in ``learn`` where that can be."""


def folds_of(records: Dataset, others: Dataset, k: int, seed: int) -> list[Fold]:
    """Cut the labelled records into ``k`` folds, chemical systems whole.

    Records with auxiliary labels alone (``others``) join what is learnt, but in no fold
    that tests on their chemical system, as a label by a cheaper method says nearly what
    the test asks. With too few systems to keep whole it is the formula that counts.
    """
    number, whole = fold_numbers(records, k, seed)

    def key(crystal: Crystal) -> str:
        return crystal.chemical_system if whole else crystal.formula

    made = []
    for fold in range(k):
        test = records.take(np.flatnonzero(number == fold))
        tested = {key(c) for c in test.crystals}
        rows = [i for i, c in enumerate(others.crystals) if key(c) not in tested]
        learn = records.take(np.flatnonzero(number != fold))
        made.append(Fold(joined(learn, others.take(rows)), test))
    return made


def fold_numbers(records: Dataset, k: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return the fold of each record, shape (n,), and whether systems are whole."""
    systems = np.array([c.chemical_system for c in records.crystals])
    names, group = np.unique(systems, return_inverse=True)
    draw = np.random.default_rng(np.random.SeedSequence([seed, 11]))
    if len(names) < 2 * k:  # too few systems to keep whole
        fold: np.ndarray = draw.permutation(len(records)) % k
        return fold, False
    sizes = np.bincount(group)
    of_system, filled = np.zeros(len(names), dtype=int), np.zeros(k)
    order = draw.permutation(len(names))
    for g in order[np.argsort(-sizes[order], kind="stable")]:
        at = int(filled.argmin())
        of_system[g], filled[at] = at, filled[at] + sizes[g]
    return of_system[group], True


def over_limit(candidate: OneSurrogate, records: Dataset, target: str) -> str:
    """Say that a candidate would refuse all records, though a fold may be small enough.

    Empty where it has no limit, or one that is kept.
    """
    limit = getattr(candidate, "max_records", None)
    names = (target, *auxiliary_of(candidate))
    labels = sum(name in c.labels for c in records.crystals for name in names)
    if limit is None or labels <= limit:
        return ""
    what = "labels" if len(names) > 1 else "records"
    return f"{labels} {what}, but max_records is {limit}"


def names_of(candidates: Sequence[OneSurrogate]) -> list[str]:
    """Return a name for each candidate: its kind and whatever is not the default.

    >>> from surrogates.recipes import RandomForestRecipe
    >>> names_of([RandomForestRecipe(), RandomForestRecipe(trees=50)])
    ['random_forest on composition', 'random_forest on composition, trees 50']
    """
    names = [", ".join([_base(c), *_differences(c)]) for c in candidates]
    total, seen = Counter(names), Counter[str]()
    for i, name in enumerate(names):
        if total[name] > 1:  # the same twice, or twice but for threads
            seen[name] += 1
            names[i] = f"{name} ({seen[name]})"
    return names


def _base(candidate: OneSurrogate) -> str:
    features = getattr(candidate, "features", "")
    network = getattr(candidate, "network", None)
    if network is not None:
        return f"{candidate.kind} of {network.kind}"
    return f"{candidate.kind} on {features}" if features else candidate.kind


def _differences(recipe: Recipe, stem: str = "") -> Iterator[str]:
    """Yield ``name value`` for every field that is not its default."""
    for name, field in type(recipe).model_fields.items():
        value: Any = getattr(recipe, name)
        if name in recipe.unhashed or name in ("kind", "features"):
            continue
        if isinstance(value, Recipe):
            yield from _differences(value, f"{stem}{name}.")
        elif value != field.get_default(call_default_factory=True):
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            yield f"{stem}{name} {shown}"
