"""Split a dataset so that the test says something about new materials.

Records that belong together (same formula, chemical system, prototype, ...) stay on
one side, and whatever the kind, near-copies (level ``similar`` of
:data:`matdisco.data.fingerprints.TOLERANCES`) never straddle two parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.duplicates import connected, group_duplicates
from matdisco.data.fingerprints import Level, space_group
from matdisco.data.outliers import composition_features
from matdisco.errors import DataError
from matdisco.recipe import Recipe

Kind = Literal[
    "random", "formula", "chemical_system", "prototype", "space_group", "cluster",
    "time", "element",
]  # fmt: skip
_FILE = "splits.json"
_SYMPREC = 0.1  # Å; as the Materials Project and matbench assign space groups


class SplitRecipe(Recipe):
    """How to cut a dataset into parts."""

    kind: Kind = "random"
    """What must stay together. ``time`` tests on the newest, ``element`` on all
    records with one of ``elements``, ``cluster`` keeps clusters whole that are near in
    composition, or in the latents that are given."""
    parts: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
    """Name and share of each part; shares add up to 1."""
    folds: int = 0
    """If not 0: this many parts of equal size, named ``fold-0`` ..., instead."""
    elements: tuple[str, ...] = ()
    """For ``kind: element``: what the test part holds and no other part has."""
    clusters: int = 20
    """For ``kind: cluster``: number of k-means clusters."""
    guard: Level | None = "similar"
    """Near-copies that stay together; null only where there are certainly none."""
    seed: int = 0
    """Of everything random in it."""

    @model_validator(mode="after")
    def _consistent(self) -> SplitRecipe:
        if not self.folds and abs(sum(self.parts.values()) - 1) > 1e-6:
            raise ValueError(
                f"expected shares that add up to 1, got {sum(self.parts.values()):g}"
            )
        if self.kind == "element" and not self.elements:
            raise ValueError("kind element needs elements, for example [Li]")
        if self.folds == 1 or self.folds < 0:
            raise ValueError(f"expected 0 or at least 2 folds, got {self.folds}")
        return self

    def build(
        self,
        dataset: Dataset,
        *,
        workers: int = 1,
        latents: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the row numbers of each part, ascending.

        Args:
            dataset: what to cut.
            workers: processes for the search for near-copies.
            latents: for ``kind: cluster``, one row per record, for example of a
                pretrained potential; composition features if None.

        Raises:
            DataError: the dataset lacks what the kind needs (dates, the element), or
                the latents are of other data.
        """
        return split(dataset, self, workers=workers, latents=latents)


def split(
    dataset: Dataset,
    recipe: SplitRecipe,
    *,
    workers: int = 1,
    latents: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Cut a dataset; see :class:`SplitRecipe`."""
    n = len(dataset)
    group = _keys(dataset, recipe, latents)
    if recipe.guard is not None:
        copies = group_duplicates(dataset.crystals, recipe.guard, workers=workers)
        group = connected([*copies, *_members(group)], n)
    shares = (
        {f"fold-{i}": 1 / recipe.folds for i in range(recipe.folds)}
        if recipe.folds
        else dict(recipe.parts)
    )
    if recipe.kind == "time":
        return _by_time(dataset, group, shares)
    if recipe.kind == "element":
        return _by_element(dataset, group, recipe)
    return _fill(group, shares, recipe.seed)


def save_split(
    folder: str | Path,
    name: str,
    dataset: Dataset,
    recipe: SplitRecipe,
    parts: Mapping[str, Sequence[int] | np.ndarray],
) -> Path:
    """Add a named split to ``splits.json`` in the dataset's folder."""
    path = Path(folder) / _FILE
    have: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    have[name] = {
        "recipe": recipe.model_dump(mode="json"),
        "content_hash": dataset.content_hash,
        "parts": {k: [dataset.ids[int(i)] for i in v] for k, v in parts.items()},
    }
    scratch = path.with_name(f".{_FILE}.tmp")
    scratch.write_text(json.dumps(have, indent=1) + "\n")
    scratch.replace(path)
    return path


def load_split(folder: str | Path, name: str, dataset: Dataset) -> dict[str, Dataset]:
    """Return the parts of a stored split.

    Raises:
        DataError: no such split, or it was made for other data.
    """
    path = Path(folder) / _FILE
    have = json.loads(path.read_text()) if path.exists() else {}
    if name not in have:
        raise DataError(
            f"{path}: no split {name!r}; known: {', '.join(have) or 'none'}"
        )
    if have[name]["content_hash"] != dataset.content_hash:
        raise DataError(
            f"{path}: split {name!r} was made for content "
            f"{have[name]['content_hash'][:16]}, not {dataset.content_hash[:16]}; "
            "split again"
        )
    row = {k: i for i, k in enumerate(dataset.ids)}
    return {
        part: dataset.take([row[i] for i in ids])
        for part, ids in have[name]["parts"].items()
    }


def _members(group: np.ndarray) -> list[list[int]]:
    """Return the rows of each group of two and more."""
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return [rows.tolist() for rows in np.split(order, cuts) if len(rows) > 1]


def _keys(
    dataset: Dataset, recipe: SplitRecipe, latents: np.ndarray | None
) -> np.ndarray:
    """Give each record the number of its group, before near-copies are joined."""
    if recipe.kind in ("random", "time", "element"):
        return np.arange(len(dataset))
    if recipe.kind == "cluster":
        return _clusters(dataset, recipe, latents)
    key: Callable[[Crystal], object] = {
        "formula": lambda c: c.formula,
        "chemical_system": lambda c: c.chemical_system,
        "prototype": prototype,
        "space_group": lambda c: space_group(c.structure, _SYMPREC),
    }[recipe.kind]
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key(c), len(numbers)) for c in dataset])


def prototype(crystal: Crystal) -> str:
    """Return anonymous formula and space group, for example ``ABC3:221``."""
    formula = crystal.composition.anonymized_formula
    return f"{formula}:{space_group(crystal.structure, _SYMPREC)}"


def _clusters(
    dataset: Dataset, recipe: SplitRecipe, latents: np.ndarray | None
) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    if latents is None:
        bare = [c.composition.remove_charges() for c in dataset]
        features = composition_features(bare)
    else:
        features = np.asarray(latents, dtype=float)
    if features.ndim != 2 or len(features) != len(dataset):
        raise DataError(
            f"dataset {dataset.name}: expected latents of shape ({len(dataset)}, d), "
            f"got {features.shape}"
        )
    count = min(recipe.clusters, len({c.formula for c in dataset}))
    model = KMeans(count, n_init=4, random_state=recipe.seed)
    labels: np.ndarray = model.fit_predict(StandardScaler().fit_transform(features))
    return labels


def _fill(
    group: np.ndarray, shares: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Deal whole groups to the part that is furthest below its share."""
    rng = np.random.default_rng(seed)
    numbers, sizes = np.unique(group, return_counts=True)
    order = rng.permutation(len(numbers))
    # Large groups first: the small ones then even out what they leave.
    order = order[np.argsort(-sizes[order], kind="stable")]
    names = list(shares)
    goal = np.array([shares[k] for k in names]) * len(group)
    have = np.zeros(len(names))
    home = np.empty(len(numbers), dtype=int)
    for i in order:
        # Ties are broken at random, in proportion to what is still missing.
        missing = np.maximum(goal - have, 0)
        weight = missing if missing.sum() > 0 else goal
        fits = missing >= sizes[i]
        weight = weight * fits if (weight * fits).sum() > 0 else weight
        home[i] = (
            int(rng.choice(len(names), p=weight / weight.sum()))
            if fits.any()
            else int(np.argmax(missing))
        )
        have[home[i]] += sizes[i]
    part = home[np.searchsorted(numbers, group)]
    return {k: np.flatnonzero(part == i) for i, k in enumerate(names)}


def _by_time(
    dataset: Dataset, group: np.ndarray, shares: Mapping[str, float]
) -> dict[str, np.ndarray]:
    dates = [str(c.source.get("date", "")) for c in dataset]
    missing = sum(not d for d in dates)
    if missing:
        raise DataError(
            f"dataset {dataset.name}: {missing:,} of {len(dates):,} records have no "
            "date; a split by time needs 'date' in every source"
        )
    # A group is as old as its oldest member: knowing that one is knowing them all.
    oldest: dict[int, str] = {}
    for date, number in zip(dates, group.tolist(), strict=True):
        oldest[number] = min(date, oldest.get(number, date))
    order = sorted(
        range(len(dates)), key=lambda i: (oldest[int(group[i])], group[i], i)
    )
    edges = np.round(np.cumsum(list(shares.values())) * len(order)).astype(int)
    out: dict[str, list[int]] = {k: [] for k in shares}
    names, part = list(shares), 0
    for place, i in enumerate(order):
        starts = place == 0 or group[order[place - 1]] != group[i]
        while starts and place >= edges[part] and part < len(names) - 1:
            part += 1
        out[names[part]].append(i)
    return {k: np.array(sorted(v), dtype=int) for k, v in out.items()}


def _by_element(
    dataset: Dataset, group: np.ndarray, recipe: SplitRecipe
) -> dict[str, np.ndarray]:
    out = np.array([bool(set(recipe.elements) & set(c.elements)) for c in dataset])
    if not out.any():
        raise DataError(
            f"dataset {dataset.name}: no record holds {', '.join(recipe.elements)}"
        )
    rest = np.flatnonzero(~out)
    others = {k: v for k, v in recipe.parts.items() if k != "test"}
    total = sum(others.values())
    parts = _fill(group[rest], {k: v / total for k, v in others.items()}, recipe.seed)
    return {**{k: rest[v] for k, v in parts.items()}, "test": np.flatnonzero(out)}
