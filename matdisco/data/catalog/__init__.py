"""Catalog: public datasets by name, read from files that you already have.

>>> sorted(catalog())[:2]
['dielectric_constant', 'elastic_tensor_2015']
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from matdisco.crystal import Crystal
from matdisco.data.catalog.parsers import parse
from matdisco.data.catalog.recipe import FileSet, PublicSet, catalog, lookup
from matdisco.data.catalog.source import instructions, stated
from matdisco.data.curation.curate import unique_names
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError

__all__ = ["FileSet", "PublicSet", "catalog", "given", "load", "lookup"]


def load(name: str, source: str | Path | None, *, progress: bool = False) -> Dataset:
    """Read a named public dataset from local files.

    Args:
        name: as in the catalog, or an alias.
        source: the file, or a folder to look in.
        progress: show a progress bar on a terminal.

    Returns:
        The dataset as published (not curated), with licence, citation and checksums
        on its card.

    Raises:
        DataError: unknown name, a set without structures (says which command reads
            it), or the files are not there (says what to download and where to put it).
    """
    key, public = lookup(name)
    if public.tables:
        raise DataError(
            f"{key}: {public.title} holds no crystal structures, which a dataset is "
            f"made of. `matdisco data get {key} --from FOLDER` writes its tables; they "
            f"are read by {public.read_by}"
        )
    form, files = _find(given(key, public, source), key, public)
    crystals = []
    sources = []
    for path in files:
        checksum, said = stated(path, form.sha256, public)
        sources.append(said)
        rows = tqdm(
            parse(path, form), desc=path.name, disable=None if progress else True
        )
        crystals += [_traced(c, path.name, checksum) for c in rows]
    card = {
        "title": public.title,
        "description": public.description,
        "licence": public.licence,
        "citation": public.citation,
        "url": public.url,
        "limits": list(public.limits),
        "sources": sources,
    }
    return Dataset(key, tuple(unique_names(crystals)), card)


def given(key: str, public: PublicSet, source: str | Path | None) -> Path:
    """Return the source where it exists.

    Raises:
        DataError: it does not; says what to download and where to put it.
    """
    if source is None or not Path(source).exists():
        found = "nothing was given" if source is None else f"{source} does not exist"
        raise DataError(f"{key}: {found}. {instructions(key, public)}")
    return Path(source)


def _find(source: Path, key: str, public: PublicSet) -> tuple[FileSet, list[Path]]:
    if source.is_file():
        for form in public.files:
            if any(source.match(pattern) for pattern in form.names):
                return form, [source]
        # Under another name: believe the ending.
        for form in public.files:
            if any(source.name.endswith(Path(n).suffix) for n in form.names):
                return form, [source]
    for form in public.files:
        found = sorted({p for n in form.names for p in source.rglob(n) if p.is_file()})
        if found:
            return form, found if form.all else found[:1]
    raise DataError(
        f"{key}: found none of its files in {source}. {instructions(key, public)}"
    )


def _traced(crystal: Crystal, name: str, checksum: str) -> Crystal:
    """Return the crystal with the way back to its bytes."""
    source = dict(crystal.source)
    record = source.pop("record", 0)
    step = {"path": name, "member": None, "record": record, "byte_hash": checksum}
    return replace(crystal, source={**source, "lineage": [step]})
