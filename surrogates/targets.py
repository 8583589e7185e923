"""Labels of several targets at once, where records need not have all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import labelled, require_records


def auxiliary_of(recipe: object) -> tuple[str, ...]:
    """Return the labels that a recipe, or a candidate of it, learns beside its target.

    Empty for a recipe that learns one label.
    """
    parts = (recipe, *getattr(recipe, "candidates", ()))
    names = (name for part in parts for name in getattr(part, "auxiliary", ()))
    return tuple(dict.fromkeys(names))


def only_auxiliary(dataset: Dataset, target: str, auxiliary: Sequence[str]) -> Dataset:
    """Return the records without ``target`` that have any of the auxiliary labels."""
    rows = [
        i
        for i, c in enumerate(dataset.crystals)
        if target not in c.labels and any(name in c.labels for name in auxiliary)
    ]
    return dataset.take(rows)


def joined(dataset: Dataset, more: Dataset) -> Dataset:
    """Return the records of ``dataset``, then those of ``more``, under its name."""
    if not len(more):
        return dataset  # the very object: its content hash is known
    return Dataset(dataset.name, (*dataset.crystals, *more.crystals), dataset.card)


def distinct(target: str, auxiliary: Sequence[str]) -> tuple[str, ...]:
    """Return all labels, the target first.

    Raises:
        SurrogateError: one is named twice, or the target is among the others.
    """
    names = (target, *auxiliary)
    for at, name in enumerate(names):
        if name in names[:at]:
            what = "the target itself" if name == target else "named twice"
            raise SurrogateError(
                f"auxiliary: {name} is {what}; expected labels other than {target}, "
                "each once"
            )
    return names


def several(
    dataset: Dataset, target: str, auxiliary: Sequence[str], *, least: int
) -> tuple[Dataset, np.ndarray]:
    """Return the records that have any of the labels, and their values.

    Args:
        dataset: where the records are.
        target: the label that counts.
        auxiliary: labels that help.
        least: labels that each must have.

    Returns:
        Records, and labels of shape (n, T), the target's first; NaN where a record
        lacks one.

    Raises:
        SurrogateError: a label is named twice, is not finite, or is too rare.
    """
    names = distinct(target, auxiliary)
    for name in names:
        found, _ = labelled(dataset, name)  # refuses what is not finite
        require_records(len(found), least, name, dataset.name)
    rows = [
        i for i, c in enumerate(dataset.crystals) if any(n in c.labels for n in names)
    ]
    records = dataset if len(rows) == len(dataset) else dataset.take(rows)
    values = [
        [c.value(n) if n in c.labels else np.nan for n in names]
        for c in records.crystals
    ]
    return records, np.array(values, dtype=float).reshape(-1, len(names))
