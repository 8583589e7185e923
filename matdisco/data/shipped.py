"""Datasets that come with the package, named ``shipped:NAME``."""

from __future__ import annotations

from pathlib import Path

from matdisco.errors import ConfigError

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
