"""How fast curation is, beside the plain loop that it replaces (CPU seconds)."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure

from matdisco.data.catalog import load
from matdisco.data.curation import curate
from matdisco.data.dataset import Dataset
from matdisco.data.duplicates import group_duplicates
from matdisco.data.workers import cores
from tests.matdisco.data.builders import crystal, perovskite, rattled

pytestmark = pytest.mark.benchmark

RESULTS = Path(__file__).parents[3] / "bench-results"

COMMAND = "from campaigns.cli import main; main()"
BIG = [e.symbol for e in Element if e.is_alkali or e.is_alkaline or e.is_lanthanoid]
SMALL = [e.symbol for e in Element if e.is_transition_metal and e.Z < 57]

ANIONS = ("O", "F", "N", "S", "Cl", "H", "Se", "Br", "I", "P", "C", "B")


def structures(count: int, compositions: int = 0) -> Iterator[Structure]:
    """ABX2Y cells, slightly distorted; each fifth repeats the one before, doubled.

    Compositions hardly repeat, as in real collections (12,000 formulas among 14,258
    of MP-20), unless ``compositions`` says how many there are.
    """
    rng = np.random.default_rng(0)
    every = [(a, b, x, y) for x in ANIONS for y in ANIONS for a in BIG for b in SMALL]
    chosen = every[: compositions or None]
    for i in range(count):
        one = i - (i % 5 == 4)
        a, b, x, y = chosen[one % len(chosen)]
        # another distortion next time round
        own = np.random.default_rng([one // len(chosen), one])
        s = perovskite(a, b, 3.7 + 0.4 * own.random())
        s.replace(2, x)
        s.replace(3, x)
        s.replace(4, y)
        s = rattled(s, 0.25, own)
        if i % 5 == 4:
            s.make_supercell([1, 1, 2])
            s.translate_sites(range(len(s)), rng.random(3))
        yield s


def write(folder: Path, count: int) -> Path:
    """Write one CIF per structure, in subfolders of a thousand."""
    for i, s in enumerate(structures(count)):
        path = folder / f"{i // 1000:03d}" / f"{i:06d}.cif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(cif_text(s))
    return folder


def cif_text(s: Structure) -> str:
    """Return a CIF in P1; pymatgen's writer takes five times as long."""
    cell = zip(("length_a", "length_b", "length_c", "angle_alpha", "angle_beta",
                "angle_gamma"), s.lattice.parameters, strict=True)  # fmt: skip
    lines = ["data_x", *(f"_cell_{k} {v:.8f}" for k, v in cell)]
    amounts = s.composition.get_el_amt_dict().items()
    formula = " ".join(f"{e}{n:g}" for e, n in amounts)
    lines += [f"_chemical_formula_sum '{formula}'", f"_cell_volume {s.volume:.8f}"]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_"]
    columns = "type_symbol label fract_x fract_y fract_z occupancy"
    lines += [f"_atom_site_{k}" for k in columns.split()]
    for i, site in enumerate(s):
        x, y, z = site.frac_coords
        name = site.specie.symbol
        lines.append(f"{name} {name}{i} {x:.8f} {y:.8f} {z:.8f} 1")
    return "\n".join(lines) + "\n"


def curated_by_command(source: Path, to: Path) -> dict[str, float]:
    """Run ``matdisco data curate`` on all cores; seconds, CPU seconds, peak MB.

    Memory is the sum over all its processes of what each holds alone and its share
    of what they share (PSS), looked at twice a second.
    """
    words = ["data", "curate", str(source), "--to", str(to)]
    start = time.perf_counter()
    before = os.times()
    process = psutil.Popen([sys.executable, "-c", COMMAND, *words],
                           stdout=subprocess.DEVNULL)  # fmt: skip
    peak = 0.0
    while process.poll() is None:
        total = 0
        for one in (process, *_children(process)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
        peak = max(peak, total / 1e6)
        time.sleep(0.5)
    after = os.times()
    assert process.returncode == 0
    used = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return {"wall_s": time.perf_counter() - start, "cpu_s": used, "peak_MB": peak}


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


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


def plain_loop(folder: Path) -> tuple[int, float]:
    """What people write: parse all, group all. Returns groups and CPU seconds."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [Structure.from_file(p) for p in sorted(folder.rglob("*.cif"))]
    judge = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=2)
    return len(judge.group_structures(found)), time.process_time() - start


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_curation_of_cifs_beside_a_plain_loop(count: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "cifs", count)
    ours = curated_by_command(folder, tmp_path / "ds")
    start = time.perf_counter()
    groups, cpu = plain_loop(folder)
    theirs = time.perf_counter() - start
    records = len(Dataset.open(tmp_path / "ds"))
    ratio = theirs / ours["wall_s"]
    print(f"\n{count:,} CIFs: curation {ours['wall_s']:.1f} s on {cores()} cores "
          f"({ours['cpu_s']:.0f} CPU s, {ours['peak_MB']:.0f} MB), plain loop "
          f"{theirs:.1f} s ({cpu:.0f} CPU s), ratio {ratio:.2f}; {records:,} records, "
          f"{groups:,} groups")  # fmt: skip
    record(
        f"curation-{count}-cifs", cores=cores(), **ours, plain_loop_s=theirs,
        plain_loop_cpu_s=cpu, ratio=ratio,
    )  # fmt: skip


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("count", [5_000, 25_000, 100_000])
def test_curation_grows_near_linearly(count: int, tmp_path: Path) -> None:
    ours = curated_by_command(write(tmp_path / "cifs", count), tmp_path / "ds")
    each = 1e3 * ours["cpu_s"] / count
    print(f"\n{count:,} CIFs: {ours}, {each:.2f} CPU ms and "
          f"{1e3 * ours['peak_MB'] / count:.1f} kB per file")  # fmt: skip
    record("curation-growth", count=count, cores=cores(), **ours, cpu_ms_per_file=each)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("compositions", [0, 200])
def test_deduplication_grows_near_linearly(compositions: int) -> None:
    """Few compositions: every record has 10 to 40 near ones to be told apart from."""
    seconds = {}
    for count in (2_000, 8_000):
        made = structures(count, compositions)
        crystals = [crystal(s, str(i)) for i, s in enumerate(made)]
        start = time.process_time()
        groups = group_duplicates(crystals)
        seconds[count] = time.process_time() - start
        assert len(groups) > 0.99 * count * 4 // 5  # a few distortions are alike
    exponent = float(np.log(seconds[8_000] / seconds[2_000]) / np.log(4))
    print(f"\nduplicates, {compositions or 'many'} compositions: {seconds} CPU s, "
          f"exponent {exponent:.2f}")  # fmt: skip
    record("deduplication-growth", compositions=compositions, exponent=exponent,
           **{f"cpu_s_{n}": t for n, t in seconds.items()})  # fmt: skip


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
