"""Public sets without structures: their tables, checked and written out as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pandas.api.types import is_numeric_dtype

from matdisco.data.catalog.recipe import PublicSet, TableSet
from matdisco.data.catalog.source import instructions, stated
from matdisco.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a set, as published."""

    name: str
    """Its place in the set, without ending."""
    rows: pd.DataFrame
    about: TableSet
    source: dict[str, str]
    """Name, licence, url, citation and checksum of the file."""


def load_tables(key: str, public: PublicSet, source: str | Path) -> list[Table]:
    """Read the tables of a set from a folder or from one of its files.

    Args:
        key: name of the set.
        public: what the catalog says about it.
        source: a folder that holds its files somewhere below, or one file.

    Raises:
        DataError: nothing of the set is there, a column is missing, or a value of a
            pool is no number; says which file, column and line.
    """
    root = Path(source)
    out = []
    for about in public.tables:
        for path in _matching(root, about.names):
            rows = _read(path)
            _check(path, rows, about)
            name = (Path(about.names).parent / path.name.split(".")[0]).as_posix()
            _, said = stated(path, about.sha256, public)
            out.append(Table(name, rows, about, said))
    if not out:
        raise DataError(
            f"{key}: found none of its files in {source}. {instructions(key, public)}"
        )
    return out


def write_tables(
    key: str, public: PublicSet, tables: list[Table], folder: str | Path
) -> list[Path]:
    """Write each table as UTF-8 CSV, and ``card.md`` beside them."""
    root = Path(folder)
    paths = []
    for table in tables:
        path = root / f"{table.name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.rows.to_csv(path, index=False)
        paths.append(path)
    card = root / "card.md"
    card.write_text(tables_card(key, public, tables), encoding="utf-8")
    return [*paths, card]


def tables_card(key: str, public: PublicSet, tables: list[Table]) -> str:
    """Return what a reader must know, as Markdown."""
    out = [f"# {public.title}", "", public.description, ""]
    out += [f"Read by {public.read_by}.", ""]
    for table in tables:
        out += [f"## {table.name}.csv", "", *_described(table), ""]
    out += ["## Sources and licences", ""]
    out += [
        f"- {s['name']}: {s['licence']}; url {s['url']}; sha256 {s['sha256']}"
        for s in (t.source for t in tables)
    ]
    out += ["", f"Please cite: {public.citation}", "", "## Known limits", ""]
    out += [f"- {text}" for text in public.limits] or ["None stated."]
    return "\n".join([*out, "", f"Catalog name: `{key}`.", ""])


def _described(table: Table) -> Iterator[str]:
    frame = table.rows
    yield f"{len(frame):,} rows."
    if table.about.pool:
        designs = len(frame.drop_duplicates(list(frame.columns[:-1])))
        yield f"{designs:,} distinct designs."
    yield from ("", "| column | what | values | least | greatest |",
                "| --- | --- | ---: | ---: | ---: |")  # fmt: skip
    for column in frame.columns:
        values = frame[column].dropna()
        ends = ("", "")
        if is_numeric_dtype(values) and len(values):
            ends = (f"{values.min():.6g}", f"{values.max():.6g}")
        what = table.about.columns.get(str(column), "")
        yield f"| {column} | {what} | {len(values):,} | {ends[0]} | {ends[1]} |"


def _matching(root: Path, pattern: str) -> list[Path]:
    if root.is_file():
        return [root] if root.match(pattern) else []
    return sorted(p for p in root.rglob(pattern) if p.is_file())


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # some of these files begin with a byte-order mark
        return pd.read_csv(path, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: expected a table, found {error}") from error


def _check(path: Path, rows: pd.DataFrame, about: TableSet) -> None:
    missing = [c for c in about.columns if c not in rows.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(about.columns)}, found "
            f"{', '.join(map(str, rows.columns))}; {', '.join(missing)} missing"
        )
    if not about.pool:
        return
    import pandas as pd

    for column in rows.columns:
        numbers = pd.to_numeric(rows[column], errors="coerce").to_numpy(float)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if len(bad):
            raise DataError(
                f"{path}: column {column!r}, line {bad[0] + 2}: expected a number, "
                f"found {rows[column].iloc[bad[0]]!r}"
            )
