"""What a training learns and what judges it, and whether all that it needs is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.duplicates import group_duplicates
from matdisco.data.fingerprints import space_group
from matdisco.data.outliers import composition_features
from matdisco.data.shipped import resolve
from matdisco.data.splits import SplitRecipe, prototype
from matdisco.errors import SurrogateError
from matdisco.properties import Property, get
from surrogates.base import labelled
from surrogates.targets import auxiliary_of, joined, only_auxiliary

if TYPE_CHECKING:
    from campaigns.training import TrainingConfig

_SYMPREC = 0.1  # Å; as splits by space group have it
_KEYS: dict[str, Callable[[Crystal], object]] = {
    "formula": lambda c: c.formula,
    "chemical_system": lambda c: c.chemical_system,
    "prototype": prototype,
    "space_group": lambda c: space_group(c.structure, _SYMPREC),
}
"""Kind of a split → what its parts do not share."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Two datasets and what is learnt."""

    learn: Dataset
    """Labelled records, then those with auxiliary labels alone."""
    test: Dataset
    """Labelled records of the part ``test``; none of them, nor of their like, is in
    ``learn``, not with an auxiliary label either."""
    quantity: Property
    """The target, with the unit of its labels."""
    n_auxiliary: int
    """Records of ``learn`` with auxiliary labels alone."""
    n_apart: int
    """Such records that were left out, being like a record of the test part."""


def parts_of(config: TrainingConfig) -> Parts:
    """Open the dataset and split the records that have the label.

    Raises:
        DataError: the dataset cannot be read or split.
        SurrogateError: no record has the label, or a part would be empty.
    """
    every = Dataset.open(resolve(config.dataset))
    data, _ = labelled(every, config.target)
    if not len(data):
        raise SurrogateError(
            f"{config.dataset}: no record has a label {config.target}; labels in it: "
            f"{', '.join(every.properties) or 'none'}"
        )
    parts = config.split.build(data)
    test = data.take(parts["test"])
    rows = np.sort(np.concatenate([v for k, v in parts.items() if k != "test"]))
    if not len(test) or not len(rows):
        raise SurrogateError(
            f"{config.dataset}: the split leaves {len(rows)} records to learn and "
            f"{len(test)} to judge; choose other shares or another kind"
        )
    more = only_auxiliary(every, config.target, auxiliary_of(config.surrogate))
    learn = data.take(rows)
    kept = unlike(more, test, learn, config.split)
    quantity = quantity_of(data, config.target)
    apart = len(more) - len(kept)
    return Parts(joined(learn, kept), test, quantity, len(kept), apart)


def quantity_of(dataset: Dataset, key: str) -> Property:
    """Return a label's property; of the user's own keys the unit is the labels'."""
    known = get(key)
    labels = (c.labels[key] for c in dataset.crystals if key in c.labels)
    unit = known.unit or next((label.unit for label in labels), "")
    return replace(known, unit=unit)


def unlike(more: Dataset, test: Dataset, learn: Dataset, split: SplitRecipe) -> Dataset:
    """Return the records of ``more`` that may be learnt though ``test`` judges.

    A label by a cheaper method says nearly what the test asks. So a record stays out
    that the split would have kept with one of the test part: of its chemical system
    (formula, ...), with an element or a date that only the test has, nearer to it in
    composition than to what is learnt (clusters), or a near-copy whatever the kind.
    Where every candidate will have the cheap label when it is to be predicted, that
    label belongs into ``answers`` of a Gaussian process instead.
    """
    if not len(more):
        return more
    out = _kin(more.crystals, test.crystals, learn.crystals, split)
    if split.guard is not None:
        # a group is what is like its first member: ask the test part, and the others
        n, m = len(test), len(more)
        led = group_duplicates([*test.crystals, *more.crystals], split.guard)
        out[[i - n for g in led if g[0] < n for i in g if i >= n]] = True
        led = group_duplicates([*more.crystals, *test.crystals], split.guard)
        out[[i for g in led if g[-1] >= m for i in g if i < m]] = True
    return more.take(np.flatnonzero(~out))


def _kin(
    more: Sequence[Crystal],
    test: Sequence[Crystal],
    learn: Sequence[Crystal],
    split: SplitRecipe,
) -> np.ndarray:
    """Return which records the split would have put with the test part, shape (n,)."""
    if split.kind in _KEYS:
        key = _KEYS[split.kind]
        tested = {key(c) for c in test}
        return np.array([key(c) in tested for c in more])
    if split.kind == "element":
        return np.array([bool(set(split.elements) & set(c.elements)) for c in more])
    if split.kind == "time":
        first = min(str(c.source.get("date", "")) for c in test)
        dates = [str(c.source.get("date", "")) for c in more]
        return np.array([not date or date >= first for date in dates])
    if split.kind == "cluster":
        x, x_test, x_learn = (
            composition_features([c.composition.remove_charges() for c in part])
            for part in (more, test, learn)
        )
        spread = np.maximum(x_learn.std(axis=0), 1e-9)
        to_test = cdist(x / spread, x_test / spread).min(axis=1)
        near: np.ndarray = to_test <= cdist(x / spread, x_learn / spread).min(axis=1)
        return near
    return np.zeros(len(more), dtype=bool)  # random: near-copies alone


def require_all(config: TrainingConfig) -> None:
    """Look for what the surrogate needs before anything is computed.

    Raises:
        SurrogateError: no CUDA card where one is asked for, no dataset to pretrain on
            or with answers, or features of one's own that cannot be imported.
    """
    for recipe in (config.surrogate, *getattr(config.surrogate, "candidates", ())):
        if getattr(recipe, "device", "auto") == "cuda":
            from surrogates.compute import device_of

            device_of("cuda")
        if base := getattr(recipe, "pretrain", None):
            from surrogates.pretraining import pretraining_records

            key = getattr(recipe, "pretrain_target", None) or config.target
            pretraining_records(base, key)
        if answers := getattr(recipe, "answers", None):
            answers.build(config.target)
        for name in str(getattr(recipe, "features", "")).split("+"):
            if ":" in name:
                from surrogates.featurizers.table import embedding

                embedding(name)
        for name in ("trend", "potential"):
            if ":" in (place := str(getattr(recipe, name, ""))):
                from surrogates.featurizers.own_potential import own_potential

                own_potential(place)
