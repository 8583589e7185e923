"""Evaluators: physics against the literature and ASE, failures typed, limits kept."""

import json
import os
import signal
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from evaluators import log_lines

from matdisco.candidates.volume import atomic_volume
from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import Evaluation, FailureKind, evaluation_key
from matdisco.evaluators.calculators import CalculatorRecipe
from matdisco.evaluators.execution import WorkerPool
from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.function import FunctionRecipe
from matdisco.evaluators.results import read_result, write_result


def crystal(atoms, name="x"):
    return Crystal.from_atoms(atoms, name)


def evaluate(recipe, thing, folder):
    return recipe.build().evaluate(thing, folder)


def test_emt_relaxation_reaches_the_known_copper(tmp_path):
    stretched = bulk("Cu", a=3.75)
    answer = evaluate(CalculatorRecipe(calculator="emt"), crystal(stretched), tmp_path)
    # EMT's own copper: a = 3.59 Å, E = -0.007 eV (ASE test suite)
    a = (answer.relaxed.structure.volume * 4) ** (1 / 3)
    assert a == pytest.approx(3.59, abs=0.01)
    assert answer.labels["energy_per_atom"].value == pytest.approx(-0.007, abs=1e-3)
    assert answer.labels["max_force"].value < 0.05


def test_single_point_is_what_ase_says(tmp_path):
    atoms = bulk("Ni", cubic=True)
    atoms.rattle(0.05, seed=1)
    recipe = CalculatorRecipe(calculator="emt", relax=None)
    answer = evaluate(recipe, crystal(atoms), tmp_path)
    atoms.calc = EMT()
    expected = atoms.get_potential_energy() / 4
    assert answer.labels["energy_per_atom"].value == pytest.approx(expected, abs=1e-7)
    force = np.linalg.norm(atoms.get_forces(), axis=1).max()
    assert answer.labels["max_force"].value == pytest.approx(force, abs=1e-5)


def test_chgnet_finds_the_lattice_and_energy_of_nial(tmp_path):
    pytest.importorskip("chgnet")
    b2 = Atoms(
        "AlNi", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.0] * 3, pbc=True
    )
    answer = evaluate(CalculatorRecipe(), crystal(b2), tmp_path)
    # experiment: a = 2.887 Å; PBE: 2.89 Å
    a = answer.relaxed.structure.volume ** (1 / 3)
    assert a == pytest.approx(2.89, abs=0.02)
    assert answer.labels["energy_per_atom"].value == pytest.approx(-5.4105, abs=2e-3)
    assert answer.provenance["versions"]["chgnet"]
    assert answer.provenance["functional"] == "PBE(+U), MP2020-corrected"


@pytest.mark.parametrize(
    ("atoms", "kind"),
    [
        (bulk("Cu", a=7.0), FailureKind.EXPLODED),
        (bulk("Cu", a=2.2), FailureKind.VOLUME_COLLAPSE),
        (
            Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0.4]], cell=[2.9] * 3, pbc=True),
            FailureKind.EXPLODED,
        ),
    ],
)
def test_wrecks_are_recognised(atoms, kind, tmp_path):
    from matdisco.evaluators.base import EvaluationFailed

    with pytest.raises(EvaluationFailed) as caught:
        evaluate(CalculatorRecipe(calculator="emt"), crystal(atoms), tmp_path)
    assert caught.value.kind == kind


def test_the_densest_of_real_crystals_are_no_wrecks():
    from matdisco.evaluators.relax import check_alive

    # AlHO2, mp20: 0.30 of its elements' volumes; YbSiO3 and MgO are nearly as dense.
    # Their equations of state reach six per cent below that
    natural = sum(map(atomic_volume, ("Al", "H", "O", "O")))
    side = (0.94 * 0.3043 * natural) ** (1 / 3)
    atoms = Atoms("AlHO2", cell=[side] * 3, pbc=True, scaled_positions=[
        [0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])  # fmt: skip
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((4, 3)))
    check_alive(atoms)


def test_a_relaxation_out_of_steps_says_so(tmp_path):
    from matdisco.evaluators.base import EvaluationFailed

    recipe = CalculatorRecipe.model_validate(
        {"calculator": "emt", "relax": {"steps": 2, "fmax": 0.001}}
    )
    atoms = bulk("Cu", a=3.9, cubic=True)
    atoms.rattle(0.1, seed=2)
    with pytest.raises(EvaluationFailed, match="after 2 steps") as caught:
        evaluate(recipe, crystal(atoms), tmp_path)
    assert caught.value.kind == FailureKind.NOT_CONVERGED


def test_key_depends_on_structure_and_recipe_only():
    a, b = crystal(bulk("Cu"), "a"), crystal(bulk("Cu"), "b")
    emt = CalculatorRecipe(calculator="emt")
    assert evaluation_key(a, emt) == evaluation_key(b, emt)
    assert evaluation_key(a, emt) != evaluation_key(a, CalculatorRecipe())
    assert evaluation_key(a, emt) != evaluation_key(crystal(bulk("Ag")), emt)


def test_unknown_element_and_checkpoint_are_refused():
    with pytest.raises(SetupError, match="emt does not know Fe"):
        CalculatorRecipe(calculator="emt").check(frozenset({"Fe", "Cu"}))
    with pytest.raises(SetupError, match=r"no checkpoint '9'; known: 0\.3\.0"):
        CalculatorRecipe(checkpoint="9").check(frozenset())


def test_result_files_are_whole_or_absent(tmp_path):
    evaluation = Evaluation("k" * 64, "x", seconds=1.5, provenance={"steps": 3})
    write_result(tmp_path, evaluation)
    assert read_result(tmp_path) == evaluation
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace("1.5", "1.6"))
    assert read_result(tmp_path) is None  # the checksum noticed
    assert (tmp_path / "result.json.damaged").exists()
    path.write_text('{"evaluation": {"key"')
    assert read_result(tmp_path) is None
    assert read_result(tmp_path / "nowhere") is None


def function(name="emt_energy", **settings):
    return FunctionRecipe(
        function=f"evaluators:{name}", returns=("energy_per_atom",), settings=settings
    )


def submit(pool, thing, recipe, root):
    key = evaluation_key(thing, recipe)
    return pool.submit(thing, key, root / key[:16])


def test_two_workers_share_the_work_and_answers_are_found_again(tmp_path):
    log = tmp_path / "log"
    recipe = function(log=str(log), delay=0.1)
    things = [crystal(bulk("Cu", a=3.5 + 0.01 * i), f"c{i}") for i in range(6)]
    execution = ExecutionRecipe(workers=2, timeout=30)
    with WorkerPool(recipe, execution, tmp_path / "logs") as pool:
        answers = [submit(pool, t, recipe, tmp_path).result(60) for t in things]
    assert len({a.provenance["pid"] for a in answers}) in (1, 2)
    with WorkerPool(recipe, execution, tmp_path / "logs") as pool:
        again = [submit(pool, t, recipe, tmp_path).result(60) for t in things]
    assert again == answers
    assert sorted(log_lines(log)) == [f"c{i}" for i in range(6)]  # each computed once


def test_an_orphan_finishes_and_its_answer_is_waited_for(tmp_path):
    """A worker outlives its driver, leaves its result, and nobody computes it again."""
    import subprocess
    import sys

    log = tmp_path / "log"
    recipe = function(log=str(log), delay=3.0)
    thing = crystal(bulk("Cu"), "cu")
    key = evaluation_key(thing, recipe)
    job = {
        "crystal": thing.to_dict(), "key": key, "folder": str(tmp_path / key[:16]),
        "attempt": 1, "timeout": 30,
    }  # fmt: skip
    orphan = subprocess.Popen(
        [sys.executable, "-m", "matdisco.evaluators.worker", recipe.model_dump_json()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert json.loads(orphan.stdout.readline())["event"] == "ready"
    orphan.stdin.write(json.dumps(job).encode() + b"\n")
    orphan.stdin.flush()
    assert json.loads(orphan.stdout.readline())["event"] == "started"
    orphan.stdin.close()  # the driver dies
    orphan.stdout.close()
    with WorkerPool(recipe, ExecutionRecipe(workers=1), tmp_path / "logs") as pool:
        answer = submit(pool, thing, recipe, tmp_path).result(60)
    assert answer.provenance["pid"] == orphan.pid
    assert log_lines(log) == ["cu"]
    orphan.wait()


def test_a_timeout_kills_the_whole_process_group(tmp_path):
    recipe = function("treacherous", share=0.0)
    slow = function(delay=60.0)
    thing = crystal(bulk("Cu"), "cu")
    execution = ExecutionRecipe(workers=1, timeout=1.0)
    clock = time.monotonic()
    with WorkerPool(slow, execution, tmp_path / "logs") as pool:
        answer = submit(pool, thing, slow, tmp_path).result(60)
        assert answer.failure.kind == FailureKind.TIMEOUT
        # the next job gets a fresh worker
        again = submit(pool, crystal(bulk("Ag"), "ag"), slow, tmp_path).result(60)
        assert again.failure.kind == FailureKind.TIMEOUT
    assert time.monotonic() - clock < 50
    assert read_result(tmp_path / evaluation_key(thing, slow)[:16]) == answer
    assert recipe.digest() != slow.digest()


def test_a_killed_worker_is_replaced_and_the_job_tried_again(tmp_path):
    recipe = function(delay=1.0)
    thing = crystal(bulk("Cu"), "cu")
    execution = ExecutionRecipe(workers=1, timeout=30, retries=1)
    with WorkerPool(recipe, execution, tmp_path / "logs") as pool:
        warm = submit(pool, crystal(bulk("Ag"), "ag"), recipe, tmp_path).result(60)
        future = submit(pool, thing, recipe, tmp_path)
        time.sleep(0.5)
        os.kill(warm.provenance["pid"], signal.SIGKILL)
        answer = future.result(60)
    assert answer.ok
    assert answer.attempts == 2
