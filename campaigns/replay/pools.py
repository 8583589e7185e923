"""Labelled pools: the replay knows the answers, the strategies do not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.replay.recipes import (
    AnyPool,
    AnyWanted,
    DatasetPool,
    Front,
    ReplayConfig,
    SitesRecipe,
    Stable,
    TablePool,
    Target,
    Threshold,
)
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates, their answers, and which of them are wanted."""

    name: str
    """Name of the replay."""
    ids: tuple[str, ...]
    """One per candidate."""
    values: np.ndarray
    """Answers in the targets' units (logarithms where asked), shape (n, targets)."""
    merit: np.ndarray
    """Answers turned so that higher is better, shape (n, targets)."""
    wanted: np.ndarray
    """Which candidates count as found, shape (n,), bool."""
    columns: np.ndarray
    """Numeric features as the table gives them, shape (n, d)."""
    formulas: tuple[str, ...]
    """Chemical formulas; empty where there are none."""
    given: tuple[Crystal, ...]
    """Structures as the file has them; empty where there are none."""
    sites: Mapping[str, tuple[tuple[str, ...], ...]]
    """Site name to the elements on it, per candidate; for pools built from sites."""
    cells: tuple[SitesRecipe, np.ndarray] | None = None
    """How sites make cells, and the cell edges (Å), shape (n,)."""
    reference: np.ndarray | None = None
    """Reference point of the hypervolume, in merits, shape (targets,)."""
    cache: Path | None = None
    """Folder for feature tables; None keeps none."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_structures(self) -> bool:
        """Whether there are crystals."""
        return bool(self.given) or self.cells is not None

    @cached_property
    def crystals(self) -> tuple[Crystal, ...]:
        """The structures, built when first needed; empty where there are none."""
        if self.cells is None:
            return self.given
        recipe, edges = self.cells
        return _decorated(recipe, self.ids, edges, self.sites)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of ids, answers, features and structures."""
        from matdisco.recipe import digest

        found = hashlib.sha256()
        for part in (
            digest(list(self.ids)),
            digest(np.round(self.values, 10).tolist()),
            digest(np.round(self.columns, 10).tolist()),
            digest(list(self.formulas)),
            digest([c.structure_hash for c in self.given]),
            digest({k: list(v) for k, v in self.sites.items()}),
            digest(np.round(self.cells[1], 6).tolist() if self.cells else []),
        ):
            found.update(part.encode())
        return found.hexdigest()


def load(config: ReplayConfig, cache: Path | None = None) -> Pool:
    """Read the pool of a replay; ``cache`` is a folder for its feature tables.

    Raises:
        ConfigError: the file, a column or a value is not as the recipe says.
    """
    return replace(_POOLS[config.pool.kind](config.pool, config), cache=cache)


def _from_table(recipe: AnyPool, config: ReplayConfig) -> Pool:
    assert isinstance(recipe, TablePool)
    frame = _read(recipe)
    names = [t.column for t in config.targets]
    _require(recipe, frame, [
        *names, *recipe.columns, *recipe.where,
        *filter(None, (recipe.id, recipe.formula)),
        *([recipe.sites.edge, *recipe.sites.positions] if recipe.sites else []),
        *(["lattice", "species", "frac_coords"] * (recipe.structure == "columns")),
    ])  # fmt: skip
    for column, values in recipe.where.items():
        frame = frame[frame[column].astype(str).isin(values)]
    numbers = np.column_stack([_numbers(frame, t, recipe.path) for t in config.targets])
    kept = np.isfinite(numbers).all(axis=1)
    frame, numbers = frame[kept].reset_index(drop=True), numbers[kept]
    features = frame[list(recipe.columns)].to_numpy(dtype=float)
    if recipe.average_repeats:
        features, inverse = np.unique(features, axis=0, return_inverse=True)
        sums = np.zeros((len(features), numbers.shape[1]))
        np.add.at(sums, inverse.ravel(), numbers)
        numbers = sums / np.bincount(inverse.ravel())[:, None]
        frame = frame.iloc[np.unique(inverse.ravel(), return_index=True)[1]]
    labels = (
        frame[recipe.id].astype(str)
        if recipe.id
        else [f"row-{i:06d}" for i in range(len(frame))]
    )
    ids = tuple(labels)
    formulas = tuple(frame[recipe.formula].astype(str)) if recipe.formula else ()
    sites: dict[str, tuple[tuple[str, ...], ...]] = {}
    crystals: tuple[Crystal, ...] = ()
    cells = None
    if recipe.sites is not None:
        sites = _occupants(recipe.sites, frame, recipe.path)
        cells = recipe.sites, frame[recipe.sites.edge].to_numpy(dtype=float)
    elif recipe.structure == "columns":
        crystals = tuple(
            Crystal.from_arrays(
                i, np.reshape(r.lattice, (3, 3)), list(r.species),
                np.reshape(r.frac_coords, (-1, 3)),
            )
            for i, r in zip(ids, frame.itertuples(), strict=True)
        )  # fmt: skip
    return _pool(config, ids, numbers, features, formulas, crystals, sites, cells)


def _from_dataset(recipe: AnyPool, config: ReplayConfig) -> Pool:
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

    assert isinstance(recipe, DatasetPool)
    path = resolve(recipe.path)
    if not path.exists():
        raise ConfigError(f"pool.path: no such file: {recipe.path}")
    data = Dataset.open(path)
    numbers = np.column_stack([data.values(t.column) for t in config.targets])
    for target, column in zip(config.targets, numbers.T, strict=True):
        if not np.isfinite(column).any():
            raise ConfigError(
                f"targets: {recipe.path} has no label {target.column!r}; it has: "
                f"{', '.join(data.properties)}"
            )
    kept = np.flatnonzero(np.isfinite(numbers).all(axis=1))
    data, numbers = data.take(kept), _logged(numbers[kept], config.targets, recipe.path)
    empty = np.zeros((len(data), 0))
    return _pool(config, data.ids, numbers, empty, (), data.crystals, {})


_POOLS = {"table": _from_table, "dataset": _from_dataset}


def _pool(
    config: ReplayConfig,
    ids: Sequence[str],
    values: np.ndarray,
    columns: np.ndarray,
    formulas: tuple[str, ...],
    crystals: tuple[Crystal, ...],
    sites: Mapping[str, tuple[tuple[str, ...], ...]],
    cells: tuple[SitesRecipe, np.ndarray] | None = None,
) -> Pool:
    least = config.initial + config.batch_size
    if len(ids) < least:
        raise ConfigError(
            f"pool: {len(ids)} candidates with answers, expected at least {least} "
            "(initial + one batch)"
        )
    turn = signs(config.targets)
    merit = values * turn
    wanted = mark(config.wanted, config.targets, merit, crystals)
    if not wanted.any():
        raise ConfigError("wanted: no candidate of the pool counts as found")
    reference = None
    if isinstance(config.wanted, Front):
        given = config.wanted.reference
        reference = np.median(merit, axis=0)
        if given is not None:
            point = np.array(given)[None]
            reference = (_logged(point, config.targets, "wanted.reference") * turn)[0]
    return Pool(
        config.name, tuple(ids), values, merit, wanted, columns, formulas, crystals,
        sites, cells, reference,
    )  # fmt: skip


def signs(targets: Sequence[Target]) -> np.ndarray:
    """Return 1 where a target is maximised and -1 where it is minimised."""
    return np.array([1.0 if t.goal == "maximise" else -1.0 for t in targets])


def mark(
    wanted: AnyWanted,
    targets: Sequence[Target],
    merit: np.ndarray,
    crystals: Sequence[Crystal],
) -> np.ndarray:
    """Return which candidates count as found, shape (n,).

    Args:
        wanted: the rule.
        targets: what the columns of ``merit`` are.
        merit: higher is better, shape (n, targets).
        crystals: for the hull; minus ``merit`` is then the energy per atom.
    """
    if isinstance(wanted, Front):
        return pareto(merit)
    first = merit[:, 0]
    if isinstance(wanted, Threshold):
        limit = _logged(np.array([[wanted.value]]), targets[:1], "wanted.value")[0, 0]
        result: np.ndarray = first > signs(targets)[0] * limit
        return result
    if isinstance(wanted, Stable):
        from matdisco.thermo import Hull

        if not crystals:
            raise ConfigError("wanted: kind stable needs a pool with structures")
        elements = sorted({e for c in crystals for e in c.elements})
        hull = Hull.of([c.composition for c in crystals], -first, elements)
        stable: np.ndarray = hull.stable & (hull.x.max(axis=1) < 1 - 1e-9)
        return stable
    count = max(1, round(wanted.fraction * len(first)))
    best = np.argsort(-first, kind="stable")[:count]
    chosen = np.zeros(len(first), dtype=bool)
    chosen[best] = True
    return chosen


def pareto(merit: np.ndarray) -> np.ndarray:
    """Return which rows no other row dominates, shape (n,).

    >>> pareto(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])).tolist()
    [True, True, False]
    """
    keep = np.ones(len(merit), dtype=bool)
    for i, row in enumerate(merit):
        at_least = (merit >= row).all(axis=1)
        keep[i] = not (at_least & (merit > row).any(axis=1)).any()
    return keep


def _read(recipe: TablePool) -> pd.DataFrame:
    import pandas as pd

    path = Path(recipe.path)
    if not path.exists():
        raise ConfigError(
            f"pool.path: no such file: {path} (relative to {Path.cwd()}); put the "
            "table there or change the path"
        )
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, encoding="utf-8-sig")


def _require(recipe: TablePool, frame: pd.DataFrame, names: Sequence[str]) -> None:
    from matdisco.recipe import nearest

    for name in names:
        if name not in frame.columns:
            known = [str(c) for c in frame.columns]
            raise ConfigError(
                f"{recipe.path}: no column {name!r}{nearest(name, known)}"
            )


def _numbers(frame: pd.DataFrame, target: Target, path: str) -> np.ndarray:
    import pandas as pd

    column = frame[target.column]
    if column.dtype == object or str(column.dtype) in ("str", "string", "category"):
        text = column.astype(str).str.strip()
        bound = text.str.match(r"^[<>]")
        if target.censored == "drop":
            text = text.where(~bound)
        column = pd.to_numeric(text.str.lstrip("<> "), errors="coerce")
    numbers = column.to_numpy(dtype=float)[:, None]
    result: np.ndarray = _logged(numbers, (target,), path)[:, 0]
    return result


def _logged(numbers: np.ndarray, targets: Sequence[Target], where: str) -> np.ndarray:
    numbers = numbers.copy()
    for i, target in enumerate(targets):
        if target.log:
            bad = numbers[:, i] <= 0
            if bad.any():
                raise ConfigError(
                    f"{where}: {target.column}: {int(bad.sum())} values are not "
                    "positive; log: true needs positive ones"
                )
            numbers[:, i] = np.log10(numbers[:, i])
    return numbers


def _occupants(
    recipe: SitesRecipe, frame: pd.DataFrame, path: str
) -> dict[str, tuple[tuple[str, ...], ...]]:
    sites: dict[str, Any] = {}
    for name, positions in recipe.positions.items():
        rows = [tuple(re.findall("[A-Z][a-z]?", str(v))) for v in frame[name]]
        wrong = [i for i, r in enumerate(rows) if len(r) != len(positions)]
        if wrong:
            raise ConfigError(
                f"{path}: row {wrong[0]}: {name} is {frame[name].iloc[wrong[0]]!r}, "
                f"expected {len(positions)} element symbols"
            )
        sites[name] = tuple(rows)
    return sites


def _decorated(
    recipe: SitesRecipe,
    ids: Sequence[str],
    edges: np.ndarray,
    sites: Mapping[str, tuple[tuple[str, ...], ...]],
) -> tuple[Crystal, ...]:
    points = np.array([p for group in recipe.positions.values() for p in group])
    crystals = []
    for i, (name, edge) in enumerate(zip(ids, edges, strict=True)):
        species = [s for column in recipe.positions for s in sites[column][i]]
        crystals.append(Crystal.from_arrays(name, edge * np.eye(3), species, points))
    return tuple(crystals)
