"""Where a base learns from, and which of it only judges."""

from __future__ import annotations

import numpy as np

from matdisco.data.dataset import Dataset
from matdisco.data.shipped import opened, resolve
from matdisco.errors import DataError, SurrogateError
from surrogates.base import labelled


def pretraining_records(name: str, key: str) -> tuple[Dataset, np.ndarray]:
    """Return the records of a dataset file or ``shipped:NAME`` that have label ``key``.

    The file stays open in memory while it does not change.

    Raises:
        SurrogateError: no such file, not a dataset, or no such label.
    """
    path = resolve(name)
    if not path.exists():
        raise SurrogateError(f"pretrain: there is no dataset {path}")
    try:
        data = opened(path)
    except DataError as error:
        raise SurrogateError(f"pretrain: {error}") from error
    records, labels = labelled(data, key)
    if not len(records):
        raise SurrogateError(f"pretrain: {path} has no record with label {key}")
    return records, labels


def split_by_system(
    dataset: Dataset, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into (learn, judge) so that no chemical system is in both.

    With fewer than five systems single records are drawn instead.
    """
    systems = np.array([c.chemical_system for c in dataset.crystals])
    names = np.unique(systems)
    draw = np.random.default_rng([seed, 2])
    wanted = max(1, round(fraction * len(dataset)))
    if len(names) < 5:
        judge = draw.choice(len(dataset), size=wanted, replace=False)
    else:
        shuffled = draw.permutation(names)
        sizes = np.array([int((systems == s).sum()) for s in shuffled])
        n = int(np.searchsorted(np.cumsum(sizes), wanted)) + 1
        judge = np.flatnonzero(np.isin(systems, shuffled[:n]))
    learn = np.setdiff1d(np.arange(len(dataset)), judge)
    return learn, np.sort(judge)


def left_out_members(
    members: int, n: int, out: int, draw: np.random.Generator
) -> np.ndarray:
    """Draw, for each of n records, which ``out`` members do not see it.

    Returns:
        True where a member misses a record, shape (members, n).
    """
    ranks = draw.permuted(np.tile(np.arange(members)[:, None], (1, n)), axis=0)
    missing: np.ndarray = ranks < out
    return missing
