"""The door for everybody: a table of predictions, no code of ours or theirs.

A CSV or Parquet file with one row per material: an id, a prediction, and where known
the true value, a standard deviation, a formula and a fold. The true values may be in a
second table. Files of Matbench Discovery are read as they are: predictions in
``e_form_per_atom_MODEL``, its summary of the WBM test set as the second table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import DataError
from surrogates.assessment.subject import Guess, Subject

if TYPE_CHECKING:
    import pandas as pd

WBM_ENERGY = "e_form_per_atom_mp2020_corrected"
WBM_HULL = "e_above_hull_mp2020_corrected_ppd_mp"
"""What Matbench Discovery calls the true formation energy and distance to the hull."""
WBM_PREFIX = "e_form_per_atom_"
"""Of its columns of predictions, and of these that are none:"""
WBM_OTHERS = frozenset({WBM_ENERGY, f"{WBM_PREFIX}wbm", f"{WBM_PREFIX}uncorrected"})
WBM_DECIMALS = 3
"""It rounds all energies so before it counts (``preds/discovery.py``, July 2026)."""
NAMES = {
    "id": ("id", "material_id", "mbid", "mp_id", "name"),
    "mean": ("mean", "prediction", "predicted", "pred", "y_pred", "e_form_per_atom"),
    "std": ("std", "sigma", "uncertainty", "y_std"),
    "target": ("target", "true", "truth", "y", "y_true", WBM_ENERGY),
    "formula": ("formula", "composition"),
    "fold": ("fold",),
    "hull": ("e_above_hull", "energy_above_hull", "each_true", WBM_HULL),
    "unique": ("unique_prototype",),
}
"""What each column may be called, the first that is there counts."""
WORDS = {"mean": "prediction", "target": "true value"}


@dataclass(frozen=True, eq=False)
class Table:
    """A read predictions file."""

    path: Path
    """Where it was."""
    column: str
    """The column of predictions."""
    truth: str | None
    """The column of true values."""
    ids: tuple[str, ...]
    """Row names, unique."""
    guess: Guess
    """The predictions, in the order of ``ids``."""
    target: np.ndarray | None
    """True values, where the file has them."""
    formula: tuple[str, ...] | None
    """Formulas, where the file has them."""
    fold: np.ndarray | None
    """The fold in which each row was tested, where the file has it."""
    hull: np.ndarray | None
    """True energy above hull, eV/atom, where the file has it."""
    sha256: str
    """Of the file."""
    unique: np.ndarray | None = None
    """Whether a material's prototype is new, where the file says so."""
    decimals: int | None = None
    """To which energies are rounded before stable ones are counted."""

    def subject(self) -> Subject:
        """Return the table as a subject that answers for its own ids."""
        row = {name: i for i, name in enumerate(self.ids)}

        def predict(crystals: Sequence[Crystal]) -> Guess:
            at = np.array([row.get(c.id, -1) for c in crystals], dtype=int)
            mean = np.where(at >= 0, self.guess.mean[at], np.nan)
            std = self.guess.std
            return Guess(
                mean, None if std is None else np.where(at >= 0, std[at], np.nan)
            )

        name = self.column if self.column not in NAMES["mean"] else self.path.stem
        name = name.removeprefix(WBM_PREFIX)
        return Subject(
            name,
            "predictions",
            {"file": self.path.name, "column": self.column, "sha256": self.sha256},
            predict=predict,
        )


def read_predictions(
    path: Path,
    *,
    column: str | None = None,
    sigma: str | None = None,
    truth: Path | None = None,
) -> Table:
    """Read a predictions file.

    Args:
        path: ``.csv``, ``.csv.gz`` or ``.parquet``.
        column: the column of predictions; found by its name when not given.
        sigma: the column of standard deviations; found by its name when not given.
        truth: a second table with the true values. Its materials are all judged; those
            without a prediction count as not answered.

    Raises:
        DataError: unreadable, a column missing or not numeric, an id twice, a
            prediction for a material that the second table does not have.
    """
    table = _frame(path)
    ids = _ids(table, path)
    chosen = _find(table, path, "mean", column, required=True)
    spread = _find(table, path, "std", sigma, required=False)
    assert chosen is not None
    mean = _numbers(table, path, chosen)
    std = None if spread is None else _numbers(table, path, spread)
    if std is not None and (std < 0).any():
        at = int(np.flatnonzero(std < 0)[0])
        raise DataError(
            f"{path}: row {at + 1} ({ids[at]}): {spread} is {std[at]:g}, expected a "
            "standard deviation above 0"
        )
    guess, known, rest = Guess(mean, std), path, table
    sha = hashlib.sha256(path.read_bytes())
    if truth is not None:
        known, rest = truth, _frame(truth)
        sha.update(truth.read_bytes())
        ids, guess = _matched(path, ids, guess, truth, _ids(rest, truth))
    target, formula, fold, hull, unique = (
        _find(rest, known, k, None, required=k == "target" and truth is not None)
        for k in ("target", "formula", "fold", "hull", "unique")
    )
    return Table(
        path,
        chosen,
        target,
        tuple(ids),
        guess,
        None if target is None else _numbers(rest, known, target),
        None if formula is None else tuple(str(v) for v in rest[formula]),
        None if fold is None else rest[fold].to_numpy(),
        None if hull is None else _numbers(rest, known, hull),
        sha.hexdigest(),
        None if unique is None else _flags(rest, known, unique),
        WBM_DECIMALS if hull == WBM_HULL else None,
    )


def _matched(
    path: Path, ids: list[str], guess: Guess, truth: Path, wanted: list[str]
) -> tuple[list[str], Guess]:
    """Return the predictions in the order of a table of true values."""
    row = {name: i for i, name in enumerate(ids)}
    strange = row.keys() - set(wanted)
    if strange:
        raise DataError(
            f"{path}: {len(strange):,} of its materials are not in {truth}, such as "
            f"{min(strange)!r}"
        )
    at = np.array([row.get(name, -1) for name in wanted], dtype=int)
    found = guess.take(at)  # the last row stands in for none
    mean = np.where(at >= 0, found.mean, np.nan)
    std = None if found.std is None else np.where(at >= 0, found.std, np.nan)
    return wanted, Guess(mean, std)


def _ids(table: pd.DataFrame, path: Path) -> list[str]:
    """Return the materials, each once."""
    column = _find(table, path, "id", None, required=True)
    assert column is not None
    double = table[column][table[column].duplicated()]
    if len(double):
        raise DataError(
            f"{path}: id {double.iloc[0]!r} occurs more than once in column {column}; "
            "expected one row per material"
        )
    return [str(v) for v in table[column]]


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path)
    except (OSError, ValueError, pd.errors.ParserError, ImportError) as error:
        raise DataError(f"{path}: not a readable table: {error}") from error


def _find(
    table: pd.DataFrame, path: Path, what: str, wanted: str | None, *, required: bool
) -> str | None:
    have = [str(c) for c in table.columns]
    if wanted is not None:
        if wanted not in have:
            raise DataError(f"{path}: no column {wanted!r}; it has {', '.join(have)}")
        return wanted
    found = next((n for n in NAMES[what] if n in have), None)
    if found is None and what == "mean":
        named = [c for c in have if c.startswith(WBM_PREFIX) and c not in WBM_OTHERS]
        if len(named) > 1:
            raise DataError(
                f"{path}: several columns of predictions, {', '.join(named)}; choose "
                "one with --column"
            )
        found = named[0] if named else None
    if found is None and required:
        hint = " (name it with --column)" if what == "mean" else ""
        raise DataError(
            f"{path}: no column for the {WORDS.get(what, what)}; "
            f"expected one of {', '.join(NAMES[what])}{hint}, found {', '.join(have)}"
        )
    return found


def _numbers(table: pd.DataFrame, path: Path, column: str) -> np.ndarray:
    import pandas as pd

    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values) & table[column].notna().to_numpy())
    if len(bad):
        raise DataError(
            f"{path}: row {bad[0] + 1}, column {column}: expected a number, found "
            f"{table[column].iloc[int(bad[0])]!r}"
        )
    return values


def _flags(table: pd.DataFrame, path: Path, column: str) -> np.ndarray:
    words = {"true": True, "1": True, "false": False, "0": False}
    values = [words.get(str(v).lower().removesuffix(".0")) for v in table[column]]
    if None in values:
        at = values.index(None)
        raise DataError(
            f"{path}: row {at + 1}, column {column}: expected true or false, found "
            f"{table[column].iloc[at]!r}"
        )
    return np.array(values, dtype=bool)
