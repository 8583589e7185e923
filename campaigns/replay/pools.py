"""Labelled pools: the replay knows the answers, the strategies do not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from campaigns.replay.hulls import HullTruth, hull_truth
from campaigns.replay.recipes import (
    DatasetPool,
    Fidelities,
    ReplayConfig,
    SitesRecipe,
    TablePool,
)
from campaigns.replay.tables import (
    Rows,
    all_answered,
    cheaper_columns,
    decorated,
    logged,
    read_table,
)
from campaigns.replay.targets import Front, Stable
from campaigns.replay.wanted import least_merits, mark, numbered, signs
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError


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
    """Answers of the goals turned so that higher is better, shape (n, goals)."""
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
    """Reference point of the hypervolume, in merits, shape (goals,)."""
    limits: tuple[float | None, ...] = ()
    """Least useful merit of each goal, None where there is no limit."""
    margins: np.ndarray | None = None
    """By how much each candidate meets each limit that has no goal, below zero where it
    does not, shape (n, limits); None where there are none."""
    truth: HullTruth | None = None
    """The hull of the whole pool, where stable phases are wanted."""
    cheaper: np.ndarray | None = None
    """Answers of the cheaper fidelities, cheapest first, with the sign of the merit,
    shape (n, fidelities); None where there are none."""
    cache: Path | None = None
    """Folder for feature tables; None keeps none."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def low_wanted(self) -> bool:
        """Whether the first target is minimised."""
        return bool(np.array_equal(self.merit[:, 0], -self.values[:, 0]))

    @property
    def worth(self) -> np.ndarray:
        """The first merit; what misses a limit counts as the worst, shape (n,)."""
        first = self.merit[:, 0]
        if self.margins is None:
            return first
        return np.where((self.margins >= 0).all(axis=1), first, first.min())

    @cached_property
    def phases(self) -> np.ndarray:
        """Which of the things wanted each candidate is, from 0; -1 is none, shape (n,).

        Several candidates that relax into one stable phase are one thing to find.
        """
        if self.truth is not None:
            return self.truth.phase
        return numbered(self.wanted)

    @property
    def count(self) -> int:
        """How many things there are to find."""
        return int(self.phases.max()) + 1

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
        return decorated(recipe, self.ids, edges, self.sites)

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
            *([] if self.cheaper is None else [digest(self.cheaper.round(6).tolist())]),
        ):
            found.update(part.encode())
        return found.hexdigest()


def load(config: ReplayConfig, cache: Path | None = None) -> Pool:
    """Read the pool of a replay; ``cache`` is a folder for its feature tables.

    Raises:
        ConfigError: the file, a column or a value is not as the recipe says.
    """
    recipe = config.pool
    rows = (
        read_table(recipe, config)
        if isinstance(recipe, TablePool)
        else _read_dataset(recipe, config)
    )
    pool = replace(_pool(config, rows), cache=cache)
    if config.fidelities is None:
        return pool
    return replace(pool, cheaper=_cheaper(config.fidelities, rows, pool))


def _cheaper(fidelities: Fidelities, rows: Rows, pool: Pool) -> np.ndarray:
    """Return the answers of all cheaper fidelities, (n, fidelities), as merits."""
    from campaigns.replay.features import table

    columns, given = [], 0
    for recipe in fidelities.cheaper:
        if recipe.column is not None:
            assert rows.cheaper is not None
            columns.append(rows.cheaper[:, given])
            given += 1
        elif not pool.has_structures:
            raise ConfigError(
                f"fidelities.cheaper: {recipe.name}: a pool without structures has no "
                "energies of a potential; give the column that holds the answers"
            )
        else:
            columns.append(table(pool, ("chgnet",))[:, -1])  # the energy
    sign = -1.0 if pool.low_wanted else 1.0
    return sign * np.column_stack(columns)


def _read_dataset(recipe: DatasetPool, config: ReplayConfig) -> Rows:
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

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
    further = cheaper_columns(config)
    for name in further:
        if name not in data.properties:
            raise ConfigError(
                f"fidelities.cheaper: {recipe.path} has no label {name!r}; it has: "
                f"{', '.join(data.properties)}"
            )
    cheap = np.array([data.values(name)[kept] for name in further]).T
    cheap = cheap.reshape(len(kept), len(further))
    all_answered(cheap, further, recipe.path)
    data, numbers = data.take(kept), logged(numbers[kept], config.targets, recipe.path)
    empty = np.zeros((len(data), 0))
    return Rows(data.ids, numbers, empty, crystals=data.crystals, cheaper=cheap)


def _pool(config: ReplayConfig, rows: Rows) -> Pool:
    least = config.initial + config.batch_size
    if len(rows.ids) < least:
        raise ConfigError(
            f"pool: {len(rows.ids)} candidates with answers, expected at least {least} "
            "(initial + one batch)"
        )
    turned = rows.values * signs(config.targets)
    merit, margins = np.split(turned, [len(config.goals)], axis=1)
    turn = signs(config.goals)
    margins = margins - least_merits(config.targets[len(config.goals) :])
    useful = (margins >= 0).all(axis=1)
    truth = None
    if isinstance(config.wanted, Stable):
        truth = hull_truth(rows.crystals, rows.values[:, 0])
        wanted = truth.phase >= 0
    else:
        wanted = mark(config.wanted, config.goals, merit, useful)
    if not wanted.any():
        raise ConfigError("wanted: no candidate of the pool counts as found")
    reference = None
    if isinstance(config.wanted, Front):
        given = config.wanted.reference
        reference = np.median(merit, axis=0)
        if given is not None:
            point = np.array(given)[None]
            reference = (logged(point, config.goals, "wanted.reference") * turn)[0]
    return Pool(
        config.name, rows.ids, rows.values, merit, wanted, rows.columns, rows.formulas,
        rows.crystals, rows.sites or {}, rows.cells, reference,
        tuple(float(v) if np.isfinite(v) else None for v in least_merits(config.goals)),
        margins if margins.shape[1] else None, truth,
    )  # fmt: skip
