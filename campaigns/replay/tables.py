"""Tables of candidates: columns read, checked, turned into numbers and structures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.replay.recipes import ReplayConfig, SitesRecipe, TablePool
from campaigns.replay.targets import Target
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Rows:
    """What a file holds of a pool; one entry per candidate in each."""

    ids: tuple[str, ...]
    """Unique."""
    values: np.ndarray
    """Answers in the targets' units (logarithms where asked), shape (n, targets)."""
    columns: np.ndarray
    """Numeric features, shape (n, d)."""
    formulas: tuple[str, ...] = ()
    """Chemical formulas; empty where there are none."""
    crystals: tuple[Crystal, ...] = ()
    """Structures; empty where there are none."""
    sites: Mapping[str, tuple[tuple[str, ...], ...]] | None = None
    """Site name to the elements on it."""
    cells: tuple[SitesRecipe, np.ndarray] | None = None
    """How sites make cells, and the cell edges (Å), shape (n,)."""
    cheaper: np.ndarray | None = None
    """Answers of cheaper fidelities that are columns, shape (n, such fidelities)."""


def read_table(recipe: TablePool, config: ReplayConfig) -> Rows:
    """Read a table.

    Raises:
        ConfigError: the file, a column or a value is not as the recipe says.
    """
    frame = _read(recipe)
    names = [t.column for t in config.targets]
    further = cheaper_columns(config)
    _require(recipe, frame, [
        *names, *further, *recipe.columns, *recipe.where,
        *filter(None, (recipe.id, recipe.formula)),
        *([recipe.sites.edge, *recipe.sites.positions] if recipe.sites else []),
        *(["lattice", "species", "frac_coords"] * (recipe.structure == "columns")),
    ])  # fmt: skip
    for column, values in recipe.where.items():
        frame = frame[frame[column].astype(str).isin(values)]
    numbers = np.column_stack([_numbers(frame, t, recipe.path) for t in config.targets])
    kept = np.isfinite(numbers).all(axis=1)
    frame, numbers = frame[kept].reset_index(drop=True), numbers[kept]
    cheap = frame[further].to_numpy(dtype=float)
    all_answered(cheap, further, recipe.path)
    features = frame[list(recipe.columns)].to_numpy(dtype=float)
    if recipe.average_repeats:
        features, inverse = np.unique(features, axis=0, return_inverse=True)
        several = np.column_stack([numbers, cheap])
        sums = np.zeros((len(features), several.shape[1]))
        np.add.at(sums, inverse.ravel(), several)
        means = sums / np.bincount(inverse.ravel())[:, None]
        numbers, cheap = np.split(means, [numbers.shape[1]], axis=1)
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
    return Rows(ids, numbers, features, formulas, crystals, sites, cells, cheap)


def cheaper_columns(config: ReplayConfig) -> list[str]:
    """Return the columns that hold answers of cheaper fidelities."""
    if config.fidelities is None:
        return []
    return [c.column for c in config.fidelities.cheaper if c.column is not None]


def all_answered(cheap: np.ndarray, names: Sequence[str], where: str) -> None:
    """Check that cheaper answers, shape (n, names), are there for every candidate.

    Raises:
        ConfigError: says which is missing, and how often.
    """
    missing = (~np.isfinite(cheap)).sum(axis=0)
    for name, count in zip(names, missing, strict=True):
        if count:
            raise ConfigError(
                f"fidelities.cheaper: {where}: column {name!r} has no number for "
                f"{count} of {len(cheap)} candidates with a target; a replay needs "
                "every answer that a strategy may ask for"
            )


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
    result: np.ndarray = logged(numbers, (target,), path)[:, 0]
    return result


def logged(numbers: np.ndarray, targets: Sequence[Target], where: str) -> np.ndarray:
    """Return numbers (n, targets) with logarithms where a target asks for them.

    Raises:
        ConfigError: a number that has no logarithm; ``where`` says whose.
    """
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


def decorated(
    recipe: SitesRecipe,
    ids: Sequence[str],
    edges: np.ndarray,
    sites: Mapping[str, tuple[tuple[str, ...], ...]],
) -> tuple[Crystal, ...]:
    """Return one cubic crystal per candidate, its elements on the ideal sites."""
    points = np.array([p for group in recipe.positions.values() for p in group])
    crystals = []
    for i, (name, edge) in enumerate(zip(ids, edges, strict=True)):
        species = [s for column in recipe.positions for s in sites[column][i]]
        crystals.append(Crystal.from_arrays(name, edge * np.eye(3), species, points))
    return tuple(crystals)
