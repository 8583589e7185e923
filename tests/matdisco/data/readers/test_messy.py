"""279 real files of some 20 codes: every one accounted for, none lost."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from matdisco.data import readers
from matdisco.data.readers import Limits, RawRecord

# read "ok" by plain ASE or json, though they hold no atoms at all
EMPTY = {
    "optimade/test_structures_v0.9.7.json": "no-structure",
    "nomad/quantumespresso__Pt_noncol__dos.in": "unsupported",
}


def test_every_messy_file_is_accounted_for(shared: Callable[[str], Path]) -> None:
    folder = shared("messy/raw")
    with (folder.parent / "manifest.csv").open() as file:
        manifest = {row["file"]: row for row in csv.DictReader(file)}
    found: dict[str, list[RawRecord]] = defaultdict(list)
    for record in readers.read(folder, limits=Limits(isolate=False)):
        found[Path(record.path).relative_to(folder).as_posix()].append(record)
    assert set(found) == set(manifest)
    table: Counter[tuple[str, bool]] = Counter()
    for name, row in manifest.items():
        records = found[name]
        good = [r for r in records if r.crystal is not None]
        table[row["status"], bool(good)] += 1
        if not good:
            assert row["status"] == "fail" or name in EMPTY, (name, records[0].findings)
            rules = {f.rule for r in records for f in r.findings}
            assert not rules & {"unknown-format", "unreadable", "time-limit"}, name
            if name in EMPTY:
                assert rules == {EMPTY[name]}
            continue
        crystal = good[-1].crystal
        assert crystal is not None
        if row["natoms"] and row["parser"] not in ("json", "jsonl"):
            assert crystal.n_atoms == int(float(row["natoms"])), name
        energy = float(row["energy_eV"] or "inf")
        if abs(energy) < 1e30:
            assert crystal.value("energy") == pytest.approx(energy, abs=1e-4), name
    assert table["ok", True] == 191
    assert table["ok", False] == len(EMPTY)
    assert table["fail", True] >= 64
    assert sum(table.values()) == 279


def test_a_defect_bundle_of_cifs(shared: Callable[[str], Path]) -> None:
    """What only reading can see; the physics checks of curation see the others."""
    folder = shared("messy/derived") / "cif_bundle"
    with (folder.parent / "truth.csv").open() as file:
        defects = {
            Path(r["file"]).name: r["defect"]
            for r in csv.DictReader(file)
            if r["file"].startswith("cif_bundle")
        }
    records: dict[str, list[RawRecord]] = defaultdict(list)
    for record in readers.read(folder, limits=Limits(isolate=False)):
        records[Path(record.path).name].append(record)
    read = {n for n, rs in records.items() if any(r.crystal for r in rs)}
    assert {n for n, d in defects.items() if d == "clean"} <= read
    refused = {defects[n] for n in records if n not in read}
    assert refused == {
        "truncated", "nan_coord", "occ_gt1", "missing_loop_header", "zero_volume",
        "negative_length", "empty_file", "html_error_page",
    }  # fmt: skip
    (two,) = (rs for n, rs in records.items() if defects[n] == "two_blocks")
    assert len(two) == 2
