"""Datasets that come with the package, named ``shipped:NAME``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from matdisco.data.dataset import Dataset

PREFIX = "shipped:"
FOLDER = Path(__file__).parent / "sets"


def names() -> list[str]:
    """Return the names of all shipped datasets, prefix included."""
    return [PREFIX + p.stem for p in sorted(FOLDER.glob("*.parquet"))]


def resolve(name: str | Path) -> Path:
    """Return the file of ``shipped:NAME``, or the path itself.

    Raises:
        ConfigError: no shipped dataset has that name.
    """
    text = str(name)
    if not text.startswith(PREFIX):
        return Path(text)
    path = FOLDER / f"{text.removeprefix(PREFIX)}.parquet"
    if not path.exists():
        raise ConfigError(f"no shipped dataset {text!r}; known: {', '.join(names())}")
    return path


def opened(path: Path) -> Dataset:
    """Return the dataset in a file, in memory while the file does not change.

    Raises:
        DataError: it is no dataset.
    """
    stat = path.stat()
    return _opened(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _opened(path: Path, mtime: int, size: int) -> Dataset:
    from matdisco.data.dataset import Dataset

    return Dataset.open(path)
