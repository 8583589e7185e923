"""What the catalog says about one named public dataset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from matdisco.errors import DataError
from matdisco.recipe import Recipe, nearest

Parser = Literal["table", "cif_table", "matbench", "jarvis", "optimade", "frames"]


class LabelSource(Recipe):
    """One column that becomes a label."""

    column: str
    """Its name in the file."""
    unit: str
    """Its unit; empty for a pure number."""
    method: str = ""
    """How the values were obtained."""
    method_column: str | None = None
    """Column that says it per record."""
    limit_column: str | None = None
    """Column with limits such as ``<1E-10``, where ``column`` has no value."""


class FileSet(Recipe):
    """Files that one parser reads."""

    names: tuple[str, ...]
    """Accepted file names (shell patterns)."""
    all: bool = False
    """Read all that are found, not only the first."""
    parser: Parser
    """``table``: Parquet with lattice, species, frac_coords; ``cif_table``: CSV or
    Parquet with CIF text; ``matbench``, ``jarvis``: their JSON; ``optimade``: Parquet
    with OPTIMADE columns; ``frames``: extended XYZ."""
    id: str | None = None
    """Column with the identifier."""
    structure: str | None = None
    """Column with CIF text."""
    labels: Mapping[str, LabelSource] = {}
    """Property key to column."""
    method: str = ""
    """For ``frames``: how energies were obtained."""
    keep: tuple[str, ...] = ()
    """Columns that go into each record's source."""
    sha256: Mapping[str, str] = {}
    """Known checksums of files."""


class TableSet(Recipe):
    """Tables without structures, written out as they are: one file or a pattern."""

    names: str
    """File name, or a shell pattern of names."""
    columns: Mapping[str, str] = {}
    """Column to what it holds, with its unit."""
    pool: bool = False
    """Rows are candidates of a replay: every column is a finite number."""
    sha256: Mapping[str, str] = {}
    """Known checksums of files."""


class PublicSet(Recipe):
    """A named public dataset."""

    title: str
    """One line."""
    aliases: tuple[str, ...] = ()
    """Other names it answers to."""
    description: str
    """What is in it."""
    licence: str
    """Of packaging and data."""
    url: str
    """Where to get it."""
    citation: str
    """What to cite."""
    limits: tuple[str, ...] = ()
    """What to know before using it."""
    files: tuple[FileSet, ...] = ()
    """Forms in which it is recognised, preferred first."""
    tables: tuple[TableSet, ...] = ()
    """For a set without crystal structures: what it holds."""
    read_by: str = ""
    """For a set without crystal structures: which command reads its tables."""

    @model_validator(mode="after")
    def _readable(self) -> PublicSet:
        if bool(self.files) == bool(self.tables):
            raise ValueError("expected files, or tables for a set without structures")
        if bool(self.tables) != bool(self.read_by):
            raise ValueError("expected read_by with tables, and only then")
        return self


@cache
def catalog() -> Mapping[str, PublicSet]:
    """Return all named sets."""
    import yaml

    path = Path(__file__).with_name("sets.yaml")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: PublicSet.from_mapping(block, source=f"sets.yaml: {name}")
        for name, block in data.items()
    }


def lookup(name: str) -> tuple[str, PublicSet]:
    """Find a set by name or alias.

    Raises:
        DataError: unknown; says the nearest name.
    """
    sets = catalog()
    for key, public in sets.items():
        if name == key or name in public.aliases:
            return key, public
    known = [n for key, p in sets.items() for n in (key, *p.aliases)]
    raise DataError(f"no public dataset is called {name!r}{nearest(name, known)}")
