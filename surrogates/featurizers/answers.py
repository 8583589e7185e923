"""What another evaluator answered about the same candidates, as columns to learn from.

A potential that relaxes every candidate first costs next to nothing beside the
calculations that it stands in for; a surrogate then learns what it gets wrong (delta
learning: R. Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015)). What the
potential relaxed into one structure is most often one structure for others, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data import shipped
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError, SurrogateError

SAME_ENERGY = 0.002
"""eV/atom within which two answers may be one relaxed structure: relaxations end within
1 meV/atom of their minimum."""
SAME_VOLUME = 0.3
"""Å³/atom, likewise; a twentieth of the smallest atom."""
ENERGY, VOLUME = "energy_per_atom", "volume_per_atom"
"""Labels that tell whether two candidates relaxed into one structure."""


class Answers:
    """Answers about some crystals, found by id.

    Args:
        source: dataset file or ``shipped:NAME``, as ``matdisco label`` writes it.
        label: which of its labels.

    Raises:
        SurrogateError: no such file, or it has no such label.
    """

    def __init__(self, source: str, label: str) -> None:
        data = opened(source, label)
        self.source, self.content_hash = source, data.content_hash
        self._formula = {c.id: c.formula for c in data}
        self._value = _labels(data, label)
        known = [c.id for c in data if c.id in self._value]
        energy, volume = _labels(data, ENERGY), _labels(data, VOLUME)
        self._tells = bool(energy)
        made = groups(
            [self._formula[i] for i in known],
            np.array([energy.get(i, np.nan) for i in known]),
            np.array([volume.get(i, 0.0) for i in known]),
        )
        self._group: dict[str, int] = dict(zip(known, made.tolist(), strict=True))
        self.strangers: dict[str, int] = {}
        """Crystal without an answer → its own group, below zero."""

    def columns(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return the answer of each crystal, and 1 where there is none, (n, 2).

        What has no answer has the mean of all answers in the first column.

        Raises:
            SurrogateError: an id stands for another compound there.
        """
        for crystal in crystals:
            there = self._formula.get(crystal.id, crystal.formula)
            if there != crystal.formula:
                raise SurrogateError(
                    f"answers: {self.source} calls {there} {crystal.id!r}, which is "
                    f"{crystal.formula} here: it is about other candidates"
                )
        middle = float(np.mean(list(self._value.values())))
        values = [self._value.get(c.id, middle) for c in crystals]
        missing = [float(c.id not in self._value) for c in crystals]
        return np.column_stack([values, missing]).reshape(len(crystals), 2)

    def alike(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return the number of the structure that each relaxed into, shape (n,).

        A crystal without an answer is a group of its own.

        Raises:
            SurrogateError: there are no energies to tell it by.
        """
        if not self._tells:
            raise SurrogateError(
                f"answers: alike needs relaxed energies, and {self.source} has no "
                f"label {ENERGY!r}; leave alike out"
            )
        return np.array([self._number(c.id) for c in crystals], dtype=float)

    def answered(self, crystals: Sequence[Crystal]) -> int:
        """Return how many of the crystals have an answer."""
        return sum(c.id in self._value for c in crystals)

    def _number(self, name: str) -> int:
        if name in self._group:
            return self._group[name]
        return self.strangers.setdefault(name, -1 - len(self.strangers))


def groups(
    formulas: Sequence[str], energy: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    """Return which relaxed structures are probably one, as group numbers, (n,).

    One composition, energies and volumes that are equal within what a relaxation
    leaves open, neighbours being chained.

    Args:
        formulas: reduced formula of each.
        energy: eV/atom, shape (n,); what has none (NaN) is a group of its own.
        volume: Å³/atom, shape (n,); equal numbers where it is not known.
    """
    # NaN has no place in an order
    height = np.where(np.isfinite(energy), energy, np.inf)
    order = sorted(range(len(formulas)), key=lambda i: (formulas[i], height[i]))
    group, number = np.zeros(len(formulas), dtype=int), -1
    for _, members in groupby(order, key=lambda i: formulas[i]):
        last: dict[int, tuple[float, float]] = {}
        for i in members:
            here = (float(energy[i]), float(volume[i]))
            met = [
                g
                for g, (e, v) in last.items()
                if abs(e - here[0]) < SAME_ENERGY and abs(v - here[1]) < SAME_VOLUME
            ]
            if not met:
                number += 1
                met = [number]
            group[i] = met[-1]
            last[met[-1]] = here
    return group


def set_apart(group: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return group numbers as if nothing were a copy of what is known, shape (n,).

    Two evaluators do not agree about every copy. What a copy may be if it is none, the
    answer of its like says nothing of.

    Args:
        group: of each crystal, shape (n,).
        known: groups that hold an answer.

    >>> set_apart(np.array([0, 1, 1, 2, -1]), np.array([1, -1])).tolist()
    [0, -2, -3, 2, -4]
    """
    apart = np.array(group)
    again = np.isin(apart, known)
    lowest = min(apart.min(initial=0), np.min(known, initial=0))
    apart[again] = lowest - 1 - np.arange(again.sum())
    return apart


def opened(source: str, label: str) -> Dataset:
    """Return a dataset of answers; it stays in memory while the file does not change.

    Raises:
        SurrogateError: no such file, or it has no such label.
    """
    path = shipped.resolve(source)
    if not path.exists():
        raise SurrogateError(f"answers: no such file: {source}")
    try:
        data = shipped.opened(path)
    except DataError as error:
        raise SurrogateError(f"answers: {error}") from error
    if label not in data.properties:
        raise SurrogateError(
            f"answers: {source} has no label {label!r}; it has: "
            f"{', '.join(data.properties)}"
        )
    return data


def _labels(data: Dataset, key: str) -> dict[str, float]:
    """Return id → label, of the records that have it."""
    return {c.id: c.labels[key].value for c in data if key in c.labels}
