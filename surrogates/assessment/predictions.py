"""The door for everybody: a table of predictions, no code of ours or theirs.

A CSV or Parquet file with one row per material: an id, a prediction, and where known
the true value, a standard deviation, a formula and a fold.
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

NAMES = {
    "id": ("id", "material_id", "mbid", "mp_id", "name"),
    "mean": ("mean", "prediction", "predicted", "pred", "y_pred", "e_form_per_atom"),
    "std": ("std", "sigma", "uncertainty", "y_std"),
    "target": ("target", "true", "truth", "y", "y_true"),
    "formula": ("formula", "composition"),
    "fold": ("fold",),
    "hull": ("e_above_hull", "energy_above_hull", "each_true"),
}
"""What each column may be called, the first that is there counts."""


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
        return Subject(
            name,
            "predictions",
            {"file": self.path.name, "column": self.column, "sha256": self.sha256},
            predict=predict,
        )


def read_predictions(
    path: Path, *, column: str | None = None, sigma: str | None = None
) -> Table:
    """Read a predictions file.

    Args:
        path: ``.csv``, ``.csv.gz`` or ``.parquet``.
        column: the column of predictions; found by its name when not given.
        sigma: the column of standard deviations; found by its name when not given.

    Raises:
        DataError: unreadable, a column missing or not numeric, an id twice.
    """
    table = _frame(path)
    ids = _find(table, path, "id", None, required=True)
    chosen = _find(table, path, "mean", column, required=True)
    spread = _find(table, path, "std", sigma, required=False)
    assert ids is not None and chosen is not None
    names = [str(v) for v in table[ids]]
    double = table[ids][table[ids].duplicated()]
    if len(double):
        raise DataError(
            f"{path}: id {double.iloc[0]!r} occurs more than once in column {ids}; "
            "expected one row per material"
        )
    mean = _numbers(table, path, chosen)
    std = None if spread is None else _numbers(table, path, spread)
    if std is not None and (std < 0).any():
        at = int(np.flatnonzero(std < 0)[0])
        raise DataError(
            f"{path}: row {at + 1} ({names[at]}): {spread} is {std[at]:g}, expected a "
            "standard deviation above 0"
        )
    rest = {k: _find(table, path, k, None, required=False) for k in NAMES}
    target, formula, fold, hull = (
        rest[k] for k in ("target", "formula", "fold", "hull")
    )
    return Table(
        path,
        chosen,
        target,
        tuple(names),
        Guess(mean, std),
        None if target is None else _numbers(table, path, target),
        None if formula is None else tuple(str(v) for v in table[formula]),
        None if fold is None else table[fold].to_numpy(),
        None if hull is None else _numbers(table, path, hull),
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


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
    if found is None and required:
        hint = " (name it with --column)" if what == "mean" else ""
        raise DataError(
            f"{path}: no column for the {'prediction' if what == 'mean' else what}; "
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
