"""Write a dataset for other programs: extxyz, ASE db, CIF folder, CSV, Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

from matdisco.data.dataset import Dataset
from matdisco.data.publish import publish
from matdisco.errors import DataError


def export(dataset: Dataset, path: str | Path) -> Path:
    """Write ``dataset``; the name decides the format.

    ===================  ====================================================
    ``NAME.extxyz``      extended XYZ, labels in the comment line (ordered only)
    ``NAME.db``          ASE database (SQLite), labels as ``data`` and key-values
    ``NAME.csv``         one row per record: formula and labels, no structures
    ``NAME.parquet``     the dataset itself
    ``NAME.cif/``        a folder with one CIF per record and ``labels.csv``
    ``NAME/``            a dataset folder with card and Croissant description
    ===================  ====================================================

    Raises:
        DataError: unknown ending, or crystals that the format cannot hold.
    """
    target = Path(path)
    writers: dict[str, Callable[[Dataset, Path], None]] = {
        ".extxyz": _extxyz,
        ".db": _ase_db,
        ".csv": _csv,
        ".cif": _cif_folder,
    }
    if target.suffix == ".parquet":
        return dataset.save(target)
    if not target.suffix:
        publish(dataset, target)
        return target
    if target.suffix not in writers:
        known = ", ".join([*writers, ".parquet"])
        raise DataError(
            f"{target}: no export format ends in {target.suffix!r}; known: {known}, "
            "or no ending for a dataset folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    writers[target.suffix](dataset, target)
    return target


def _ordered(dataset: Dataset, what: str) -> None:
    mixed = [c.id for c in dataset if not c.structure.is_ordered]
    if mixed:
        raise DataError(
            f"dataset {dataset.name}: {len(mixed):,} crystals have disordered sites, "
            f"for example {mixed[0]}; {what} cannot hold them, use CIF or Parquet"
        )


def _extxyz(dataset: Dataset, path: Path) -> None:
    from ase.io import write

    _ordered(dataset, "extxyz")
    frames = []
    for crystal in dataset:
        atoms = crystal.to_atoms()
        atoms.info["id"] = crystal.id
        for key, label in crystal.labels.items():
            atoms.info[key] = label.value
            atoms.info[f"{key}_unit"] = label.unit
        frames.append(atoms)
    # "energy" stays an info key: ase would take it for a calculator's otherwise
    write(path, frames, format="extxyz", write_results=False)


def _ase_db(dataset: Dataset, path: Path) -> None:
    from ase.db import connect

    _ordered(dataset, "an ASE database")
    path.unlink(missing_ok=True)
    with connect(path) as database:
        for crystal in dataset:
            pairs = {_db_key(k): v.value for k, v in crystal.labels.items()}
            database.write(
                crystal.to_atoms(),
                key_value_pairs={"matdisco_id": f"id:{crystal.id}", **pairs},
                data={"crystal": crystal.to_dict()},
            )
        units = {_db_key(k): u for k, u in _units(dataset).items()}
        database.metadata = {"title": dataset.name, "units": units}


def _csv(dataset: Dataset, path: Path) -> None:
    units = _units(dataset)
    head = [f"{k} ({units[k]})" if units[k] else k for k in dataset.properties]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "formula", "chemical_system", "n_atoms", *head])
        for c in dataset:
            values = [
                c.labels[k].value if k in c.labels else "" for k in dataset.properties
            ]
            writer.writerow([c.id, c.formula, c.chemical_system, c.n_atoms, *values])


def _cif_folder(dataset: Dataset, path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    width = len(str(len(dataset)))
    for number, crystal in enumerate(dataset):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", crystal.id)[:100]
        (path / f"{number:0{width}d}-{name}.cif").write_text(crystal.to_cif())
    _csv(dataset, path / "labels.csv")


def _units(dataset: Dataset) -> dict[str, str]:
    units: dict[str, str] = {}
    for crystal in dataset:
        for key, label in crystal.labels.items():
            if units.setdefault(key, label.unit) != label.unit:
                raise DataError(
                    f"dataset {dataset.name}: {key} has two units, {units[key]!r} and "
                    f"{label.unit!r} ({crystal.id}); curate it first"
                )
    return units


def _db_key(key: str) -> str:
    """Return a key that ASE's database accepts."""
    return re.sub(r"[^A-Za-z0-9_]", "_", key)
