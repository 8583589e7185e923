"""How fast candidates are made and screened: a table under bench-results/."""

from __future__ import annotations

import resource
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matdisco.candidates.orderings import OrderingCandidates
from matdisco.candidates.prototypes import PrototypeCandidates
from matdisco.candidates.random_symmetric import RandomSymmetricCandidates
from matdisco.candidates.streaming import PoolWriter
from matdisco.candidates.substitution import SubstitutionCandidates
from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.screening.recipe import ScreeningRecipe

RESULTS = Path(__file__).parents[2] / "bench-results"
METALS = (
    *("Al", "Ni", "Ti", "Cu", "Fe", "Co", "Cr", "Mn", "V", "Zr", "Nb", "Mo"),
    *("Hf", "Ta", "W", "Mg", "Zn", "Sc", "Y", "La", "Pd", "Pt", "Ag", "Au"),
)
ION_SPACE = (
    *("Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "Ti", "Zr"),
    *("Al", "Si", "Fe", "Mn", "Zn", "O", "S", "F", "Cl"),
)


def rate(iterator, n: int) -> tuple[int, float]:
    next(iterator)  # importing and reading tables is not making
    clock = time.process_time()
    made = sum(1 for _ in islice(iterator, n))
    return made, time.process_time() - clock


@pytest.fixture
def real(shared_data):
    import pandas as pd

    table = pd.read_parquet(shared_data / "mp20_biternary" / "data.parquet")
    return tuple(
        Crystal(
            str(row.material_id),
            Structure(
                Lattice(np.reshape(row.lattice, (3, 3))), list(row.species),
                np.reshape(row.frac_coords, (-1, 3)),
            ),
        )
        for row in table.iloc[::20].itertuples()
    )  # fmt: skip


@pytest.mark.benchmark
def test_candidates_and_screening_per_second(real, tmp_path):
    known = Dataset("real", real).save(tmp_path / "real.parquet")
    sources = {
        "prototypes": (PrototypeCandidates(elements=METALS), 5000),
        "orderings": (
            OrderingCandidates(lattice="fcc", elements=("Cu", "Au"), max_cells=8),
            600,
        ),
        "substitution": (
            SubstitutionCandidates(parents=str(known), elements=ION_SPACE),
            300,
        ),
        "random_symmetric": (
            RandomSymmetricCandidates(elements=("Ti", "Sr", "O"), n=20),
            20,
        ),
    }
    lines = ["| what | crystals | per CPU second |", "| --- | --- | --- |"]
    for name, (recipe, n) in sources.items():
        made, seconds = rate(recipe.stream(), n)
        lines.append(f"| make: {name} | {made:,} | {made / seconds:,.0f} |")
    writer = PoolWriter(tmp_path / "pool.parquet", "pool")
    clock = time.process_time()
    for crystal in islice(PrototypeCandidates(elements=METALS).stream(), 10_000):
        writer.add(crystal)
    writer.finish()
    seconds = time.process_time() - clock
    lines.append(f"| make and write: prototypes | 10,000 | {10_000 / seconds:,.0f} |")
    off = {name: {"severity": "off"} for name in ScreeningRecipe.model_fields}
    for name in [*ScreeningRecipe.model_fields, "all"]:
        asked = {} if name == "all" else {**off, name: {}}
        screen = ScreeningRecipe.model_validate(asked).build()
        clock = time.process_time()
        rejected = sum(screen.judge(c).rejected is not None for c in real)
        seconds = max(time.process_time() - clock, 1e-9)
        lines.append(
            f"| screen: {name} ({100 * rejected / len(real):.1f} % of real crystals "
            f"rejected) | {len(real):,} | {len(real) / seconds:,.0f} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    lines.append(f"| peak memory, MB | | {peak:,.0f} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "candidates.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
