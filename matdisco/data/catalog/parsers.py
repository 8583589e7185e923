"""Parsers of the forms in which public datasets come; each yields crystals."""

from __future__ import annotations

import gzip
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from matdisco.crystal import Crystal, Label
from matdisco.data.catalog.recipe import FileSet, Parser
from matdisco.data.readers.base import LIMITS
from matdisco.data.readers.cells import read_cell

_BATCH = 2000  # rows held at once


def parse(path: Path, form: FileSet) -> Iterator[Crystal]:
    """Yield the crystals of one file; rows without a structure are left out."""
    yield from _PARSERS[form.parser](path, form)


def _table(path: Path, form: FileSet) -> Iterator[Crystal]:
    for number, row in enumerate(_parquet_rows(path)):
        structure = Structure(
            np.reshape(row["lattice"], (3, 3)),
            list(row["species"]),
            np.reshape(row["frac_coords"], (-1, 3)),
        )
        yield _crystal(structure, row, number, form)


def _cif_table(path: Path, form: FileSet) -> Iterator[Crystal]:
    from pymatgen.io.cif import CifParser

    rows = _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)
    for number, row in enumerate(rows):
        text = row.get(form.structure or "cif")
        if not isinstance(text, str) or not text.strip():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser comments on rounding
            parser = CifParser.from_str(text, occupancy_tolerance=1.05)
            structure = parser.parse_structures(primitive=False)[0]
        yield _crystal(structure, row, number, form)


def _matbench(path: Path, form: FileSet) -> Iterator[Crystal]:
    data = _json(path)
    columns = list(data["columns"])
    for number, values in enumerate(data["data"]):
        row = dict(zip(columns, values, strict=True))
        structure = row.pop("structure")
        # Matbench ids count from 1 in file order, four or five digits wide.
        width = max(4, len(str(len(data["data"]))))
        task = path.name.split(".")[0].replace("matbench_", "").replace("_", "-")
        row["id"] = f"mb-{task}-{number + 1:0{width}d}"
        own = form.model_copy(update={"id": "id"})
        yield _crystal(Structure.from_dict(structure), row, number, own)


def _jarvis(path: Path, form: FileSet) -> Iterator[Crystal]:
    for number, row in enumerate(_json(path)):
        atoms = row["atoms"]
        structure = Structure(
            atoms["lattice_mat"],
            [s.strip() for s in atoms["elements"]],
            atoms["coords"],
            coords_are_cartesian=bool(atoms.get("cartesian", False)),
        )
        yield _crystal(structure, row, number, form)


def _optimade(path: Path, form: FileSet) -> Iterator[Crystal]:
    for number, row in enumerate(_parquet_rows(path)):
        structure = Structure(
            np.array([list(v) for v in row["lattice_vectors"]], float),
            list(row["species_at_sites"]),
            np.array([list(p) for p in row["cartesian_site_positions"]], float),
            coords_are_cartesian=True,
        )
        yield _crystal(structure, row, number, form)


def _frames(path: Path, form: FileSet) -> Iterator[Crystal]:
    from ase.io import iread

    stem = path.name.split(".")[0]
    for number, atoms in enumerate(iread(str(path), index=":")):
        labels = {}
        if atoms.calc is not None:
            energy = float(atoms.get_potential_energy())
            labels["energy"] = Label(energy, "eV", form.method)
            labels["energy_per_atom"] = Label(
                energy / len(atoms), "eV/atom", form.method
            )
            forces = np.linalg.norm(atoms.get_forces(), axis=1)
            labels["max_force"] = Label(float(forces.max()), "eV/Å", form.method)
        source = {k: _plain(atoms.info[k]) for k in form.keep if k in atoms.info}
        yield Crystal.from_atoms(
            atoms,
            f"{stem}-{number:04d}",
            labels=labels,
            source={**source, "record": number, "trajectory": path.name},
        )


_PARSERS: dict[Parser, Callable[[Path, FileSet], Iterator[Crystal]]] = {
    "table": _table,
    "cif_table": _cif_table,
    "matbench": _matbench,
    "jarvis": _jarvis,
    "optimade": _optimade,
    "frames": _frames,
}


def _crystal(
    structure: Structure, row: Mapping[str, Any], number: int, form: FileSet
) -> Crystal:
    labels = {}
    source = {k: _plain(row[k]) for k in form.keep if _plain(row.get(k)) is not None}
    for key, wanted in form.labels.items():
        value = _number(row.get(wanted.column))
        method = wanted.method
        if wanted.method_column:
            method = str(row.get(wanted.method_column) or method)
        if value is not None:
            labels[key] = Label(value, wanted.unit, method)
        elif wanted.limit_column:
            cell = read_cell(row.get(wanted.limit_column), None)
            if cell is not None and cell.limit:
                said = {"limit": cell.limit, "value": cell.value, "unit": wanted.unit}
                source.setdefault(LIMITS, {})[key] = {**said, "method": method}
    name = str(row[form.id]) if form.id and row.get(form.id) else f"row-{number}"
    return Crystal(name, structure, labels, {**source, "record": number})


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pandas as pd

    for chunk in pd.read_csv(path, chunksize=_BATCH):
        for row in chunk.to_dict("records"):
            yield {str(k): v for k, v in row.items()}


def _json(path: Path) -> Any:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return json.load(file)
    return json.loads(path.read_text(encoding="utf-8"))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
