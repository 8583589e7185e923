"""How busy workers are, and what the workers cost over a plain ASE loop.

Writes bench-results/execution.md.
"""

import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from campaign_files import small_campaign

from campaigns import Campaign, CampaignConfig
from campaigns.progress import Display
from matdisco.evaluators.base import evaluation_key
from matdisco.evaluators.calculators import CalculatorRecipe
from matdisco.evaluators.execution import WorkerPool
from matdisco.evaluators.execution_recipe import ExecutionRecipe

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
RESULTS = Path("bench-results/execution.md")

LOOP = """
import json, sys, time
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from chgnet.model import CHGNetCalculator
from pymatgen.core import Structure
import torch
torch.set_num_threads(1)
calc = CHGNetCalculator(use_device="cpu")
things = [Structure.from_dict(d) for d in json.load(open(sys.argv[1]))]
from pymatgen.io.ase import AseAtomsAdaptor
def relax(s):
    atoms = AseAtomsAdaptor.get_atoms(s)
    atoms.calc = calc
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.05, steps=250)
    return atoms.get_potential_energy()
relax(things[0])
print("ready", flush=True)
sys.stdin.readline()
wall, cpu = time.perf_counter(), time.process_time()
for thing in things: relax(thing)
print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""


def occupancy(mode, folder, n=80):
    """Return the share of the workers' time, first start to last end, spent working."""
    config = CampaignConfig.model_validate(
        small_campaign(
            evaluator={
                "kind": "function", "function": "evaluators:uneven",
                "returns": ["energy_per_atom"],
                "settings": {"short": 0.4, "long": 3.2, "every": 4},
            },
            execution={"workers": 4, "timeout": 60, "mode": mode, "ahead": 4},
            acquisition={"kind": "log_expected_improvement", "batch_size": 8},
            budget={"evaluations": n},
        )
    )  # fmt: skip
    with Campaign.start(config, folder / mode) as campaign:
        campaign.run(display=Display(quiet=True))
        answers = campaign.state.evaluations.values()
        begun = [
            datetime.fromisoformat(a.provenance["started"]).timestamp() for a in answers
        ]
        ends = [b + a.seconds for b, a in zip(begun, answers, strict=True)]
        return sum(a.seconds for a in answers) / (4 * (max(ends) - min(begun)))


def test_worker_slots_are_busy_in_the_continuous_mode(tmp_path):
    shares = {mode: occupancy(mode, tmp_path) for mode in ("rounds", "continuous")}
    note(
        "Workers busy, 4 workers, 80 evaluations of 0.4 s and one in four of 3.2 s, "
        "the surrogate learning between: "
        f"{shares['rounds']:.0%} with a barrier after each batch of 8, "
        f"{shares['continuous']:.0%} in the continuous mode."
    )
    assert shares["continuous"] > 0.9 > shares["rounds"]


def crystals(n):
    from matdisco.candidates.prototypes import PrototypeCandidates

    recipe = PrototypeCandidates(
        elements=("Al", "Ni", "Ti"), max_atoms=6, sample=n, seed=3
    )
    return list(recipe.build())


def test_relaxations_per_core(tmp_path):
    """Interleaved: this machine is never quiet."""
    pytest.importorskip("chgnet")
    things = crystals(28)
    rows = {"pool, 1": [], "pool, 2": [], "loop, 1": [], "loop, 2": []}
    cpu = {key: [] for key in rows}
    for turn in range(2):
        for workers in (1, 2):
            wall, spent = pool(things, workers, tmp_path / f"{turn}-{workers}")
            rows[f"pool, {workers}"].append(wall)
            cpu[f"pool, {workers}"].append(spent)
            wall, spent = loops(things, workers, tmp_path)
            rows[f"loop, {workers}"].append(wall)
            cpu[f"loop, {workers}"].append(spent)
    best = {key: min(values) for key, values in rows.items()}
    least = {key: min(values) for key, values in cpu.items()}
    lines = [
        "",
        f"CHGNet relaxations of {len(things)} crystals of 1 to 6 atoms, in one run:",
        "",
        "| | wall (s) | CPU (s) |",
        "|---|---|---|",
        *(f"| {key} | {best[key]:.1f} | {least[key]:.1f} |" for key in rows),
        "",
        f"Two workers over one: {best['pool, 1'] / best['pool, 2']:.2f}; two plain "
        f"ASE loops over one: {best['loop, 1'] / best['loop, 2']:.2f}. CPU of a worker "
        f"over the plain ASE loop's: {least['pool, 1'] / least['loop, 1']:.2f}.",
    ]
    note("\n".join(lines))


def pool(things, workers, folder):
    """Return (wall, CPU) seconds of relaxing everything, workers warm."""
    recipe = CalculatorRecipe()
    execution = ExecutionRecipe(workers=workers, timeout=600)
    with WorkerPool(recipe, execution, folder / "logs") as made:

        def submit(thing, place):
            key = evaluation_key(thing, recipe)
            return made.submit(thing, key, folder / place / key[:16])

        warm = [submit(things[0], f"warm-{i}") for i in range(2 * workers)]
        pids = {f.result().provenance["pid"] for f in warm}
        before, clock = cpu_of(pids), time.perf_counter()
        for future in [submit(thing, "real") for thing in things]:
            assert future.result().attempts == 1
        return time.perf_counter() - clock, cpu_of(pids) - before


def cpu_of(pids):
    import psutil

    return sum(sum(psutil.Process(p).cpu_times()[:2]) for p in pids)


def loops(things, count, folder):
    """Return the same of ``count`` plain ASE loops that share the work."""
    import json

    processes = []
    for i in range(count):
        path = folder / f"part-{i}.json"
        path.write_text(json.dumps([t.structure.as_dict() for t in things[i::count]]))
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", LOOP, str(path)], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
    for process in processes:
        while process.stdout.readline().strip() != "ready":
            assert process.poll() is None
    clock = time.perf_counter()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    spent = sum(float(p.communicate()[0].split()[1]) for p in processes)
    return time.perf_counter() - clock, spent


def note(text):
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
