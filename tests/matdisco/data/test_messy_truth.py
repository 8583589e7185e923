"""Planted defects in real records, against the key that lists them."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from matdisco.data.catalog import load
from matdisco.data.curation import CurationRecipe, CurationReport, Line
from matdisco.data.curation.curate import as_entry, settle
from matdisco.data.curation.files import curate_entries
from matdisco.data.curation.recipe import check
from matdisco.data.readers import ColumnMap

pytestmark = pytest.mark.slow

TABLES = {
    "lab_a*.csv": {
        "id": "sample", "formula": "formula",
        "labels": {"bulk_modulus": {"column": "K_VRH", "unit": "GPa"},
                   "shear_modulus": {"column": "G_VRH", "unit": "GPa"}},
    },
    "lab_b*.csv": {
        "id": "Probe", "formula": "Kristall", "decimal": ",",
        "labels": {
            "bulk_modulus": {"column": "Kompressionsmodul [kbar]", "unit": "kbar"},
            "shear_modulus": {"column": "Schubmodul [kbar]", "unit": "kbar"}},
    },
    "lab_c*.json": {
        "id": "id", "structure": "structure",
        "labels": {"band_gap": {"column": "band_gap", "unit": "eV"}},
    },
    "lab_e*.tsv": {
        "id": "entry", "formula": "composition",
        "labels": {"ionic_conductivity": {"column": "sigma", "unit_column": "unit"}},
    },
}  # fmt: skip
ANOTHER_CELL = {
    "conventional_cell", "permuted_and_shifted_origin", "rattled_0.02A",
    "supercell_2x1x1",
}  # fmt: skip
NO_DEFECT = {"clean", "unit_kbar_decimal_comma"}  # the latter is said in the header


def test_planted_defects_are_found_and_clean_records_left_alone(
    shared: Callable[[str], Path],
) -> None:
    derived = shared("messy") / "derived"
    report = _curated(derived, shared)
    lines = _by_truth_key(report)
    place = {x.entry.id.split("~")[0]: x.kept_as for x in report}
    found: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    touched = set()
    text = (derived / "truth.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        if row["defect"] in NO_DEFECT:
            continue
        key = row["file"], row["record"]
        touched.add(key)
        kind = f"{'cif' if 'cif' in row['file'] else row['file'][:5]} {row['defect']}"
        planted[kind] += 1
        found[kind] += _is_found(row, lines[key], report, place)
    for kind, count in sorted(planted.items()):
        print(f"{kind:<46}{found[kind]:>4} of {count}")
    assert all(found[k] >= 0.95 * n for k, n in planted.items())

    controls = {k: v for k, v in lines.items() if k not in touched}
    alarms = [k for k, v in controls.items() if any(_alarm(x, touched) for x in v)]
    print(f"false alarms: {len(alarms)} of {len(controls)} clean records: {alarms}")
    assert len(alarms) < 0.02 * len(controls)


def _curated(derived: Path, shared: Callable[[str], Path]) -> CurationReport:
    """Curate everything beside the structures of the two sets it was made from."""
    recipe = CurationRecipe()
    known = [
        replace(c, labels={}, source={"material_id": c.id})
        for name, folder in (("elastic", "elastic_tensor_2015"),
                             ("dielectric", "dielectric_constant"))
        for c in load(name, shared(folder))
    ]  # fmt: skip
    entries = [check(as_entry(c, i), recipe.rules) for i, c in enumerate(known)]
    columns = {k: ColumnMap.from_mapping(v, source=k) for k, v in TABLES.items()}
    sources = [*sorted(derived.glob("lab_*")), derived / "cif_bundle"]
    entries += curate_entries(sources, recipe, frames="all", columns=columns)
    return settle(entries, recipe, name="messy")[1]


def _by_truth_key(report: CurationReport) -> dict[tuple[str, str], list[Line]]:
    out: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in report:
        path, entry = line.entry.path, line.entry
        if path.startswith("cif_bundle"):
            out[path, ""].append(line)
        elif path.startswith("lab_d"):
            out[path, str(entry.record)].append(line)
        elif path.startswith("lab_b") and line.outcome == "rejected":
            out[path, f"line {entry.record + 2}"].append(line)
        elif path.startswith("lab"):
            out[path, entry.id.split("~")[0]].append(line)
    return out


def _is_found(
    row: dict[str, str],
    lines: list[Line],
    report: CurationReport,
    place: dict[str, str],
) -> bool:
    if row["defect"] in ANOTHER_CELL:  # recognised as the material that it is
        return any(x.kept_as and x.kept_as == place[row["material_id"]] for x in lines)
    kept = {x.kept_as for x in report if x.outcome == "merged"}
    for line in lines:
        for finding in line.entry.findings:
            if finding.severity != "note" or finding.rule in (
                "duplicate", "missing-label", "unit-unstated",
            ):  # fmt: skip
                return True
        if "dup" in row["defect"] or "repeat" in row["defect"]:
            return line.entry.id in kept  # the one the other was merged into
        if any(_is_right(x.value, row["correct"]) for x in line.entry.labels.values()):
            return True  # 3.13 eV read as such, 670 meV as 0.67 eV
    return False


def _is_right(value: float, text: str) -> bool:
    try:
        return abs(value - float(text)) <= 2e-3 * abs(float(text))
    except ValueError:
        return False


def _alarm(line: Line, touched: set[tuple[str, str]]) -> bool:
    for finding in line.entry.findings:
        if finding.rule == "label-conflict" and any(
            f"({record})" in finding.message for _, record in touched
        ):
            continue  # contradicted by a planted record: nobody can say which is right
        if finding.severity in ("reject", "quarantine"):
            return True
        if finding.rule == "missing-label":
            return True
    return False
