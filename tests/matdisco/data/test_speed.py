"""How fast curation is, beside the plain loop that it replaces (CPU seconds)."""

from __future__ import annotations

import csv
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure

from matdisco.data.catalog import load
from matdisco.data.curation import curate
from matdisco.data.curation.files import curate_files
from matdisco.data.duplicates import group_duplicates
from matdisco.data.workers import cores
from tests.matdisco.data.builders import crystal, perovskite, rattled

pytestmark = pytest.mark.benchmark

RESULTS = Path(__file__).parents[3] / "bench-results"

BIG = [e.symbol for e in Element if e.is_alkali or e.is_alkaline or e.is_lanthanoid]
SMALL = [e.symbol for e in Element if e.is_transition_metal and e.Z < 57]

ANIONS = ("O", "F", "N", "S", "Cl", "H", "Se", "Br", "I", "P", "C", "B")


def structures(count: int) -> Iterator[Structure]:
    """ABX3 cells, slightly distorted; each fifth repeats the one before, doubled.

    Compositions repeat only every few thousand cells, as in real collections (12,000
    formulas among 14,258 of MP-20).
    """
    rng = np.random.default_rng(0)
    pairs = [(a, b, x) for x in ANIONS for a in BIG for b in SMALL]
    for i in range(count):
        a, b, x = pairs[(i - (i % 5 == 4)) % len(pairs)]
        shell = (i - (i % 5 == 4)) // len(pairs)  # another distortion next time round
        own = np.random.default_rng([shell, i - (i % 5 == 4)])
        s = perovskite(a, b, 3.7 + 0.4 * own.random())
        s.replace_species({"O": x})
        s = rattled(s, 0.25, own)
        if i % 5 == 4:
            s.make_supercell([1, 1, 2])
            s.translate_sites(range(len(s)), rng.random(3))
        yield s


def write(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i, s in enumerate(structures(count)):
        s.to(filename=str(folder / f"{i:06d}.cif"), fmt="cif")
    return folder


def record(name: str, **row: float) -> None:
    """Add a row to the table of this benchmark."""
    path = RESULTS / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow({k: round(v, 3) for k, v in row.items()})


def plain_loop(folder: Path) -> int:
    """What people write: parse all, group all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [Structure.from_file(p) for p in sorted(folder.glob("*.cif"))]
    return len(
        StructureMatcher(ltol=0.05, stol=0.05, angle_tol=2).group_structures(found)
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_curation_of_cifs_beside_a_plain_loop(count: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "cifs", count)
    start = time.perf_counter()
    dataset, report = curate_files([folder], tmp_path / "ds", workers=cores())
    ours = time.perf_counter() - start
    start = time.perf_counter()
    groups = plain_loop(folder)
    theirs = time.perf_counter() - start
    print(f"\n{count:,} CIFs: curation {ours:.1f} s on {cores()} cores, plain loop "
          f"{theirs:.1f} s, ratio {theirs / ours:.2f}; {len(dataset):,} records, "
          f"{groups:,} groups")  # fmt: skip
    assert len(report) == count
    record(
        f"curation-{count}-cifs", cores=cores(), curation_s=ours, plain_loop_s=theirs,
        ratio=theirs / ours,
    )  # fmt: skip


@pytest.mark.timeout(3600)
def test_deduplication_grows_near_linearly() -> None:
    seconds = {}
    for count in (2_000, 8_000):
        crystals = [crystal(s, str(i)) for i, s in enumerate(structures(count))]
        start = time.process_time()
        group_duplicates(crystals)
        seconds[count] = time.process_time() - start
    exponent = np.log(seconds[8_000] / seconds[2_000]) / np.log(4)
    print(f"\nduplicates: {seconds} CPU s, exponent {exponent:.2f}")
    record("deduplication-growth", exponent=exponent)


@pytest.mark.timeout(1200)
def test_all_perovskites_curate_in_three_minutes(
    shared: Callable[[str], Path],
) -> None:
    start = time.perf_counter()
    data = load("perov-5", shared("perovskites"))
    dataset, report = curate(data, workers=cores())
    seconds = time.perf_counter() - start
    print(f"\n{len(report):,} perovskites: {seconds:.0f} s on {cores()} cores, "
          f"{report.outcomes}")  # fmt: skip
    assert len(dataset) > 18_000
    record("curation-perovskites", cores=cores(), records=len(report), seconds=seconds)
