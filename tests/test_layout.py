"""The three packages are this repository's, and the wheel holds them and no more."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("matdisco", "surrogates", "campaigns")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_imported_package_is_this_repositorys(name):
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).parent == ROOT / name
    # PyPI has unrelated projects of the same names
    assert set(packages_distributions().get(name, ["matdisco"])) == {"matdisco"}


def test_the_wheel_holds_the_three_packages_and_their_data(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    subprocess.run([*build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {n.split("/")[0] for n in names}
    assert {t for t in top if not t.endswith(".dist-info")} == set(PACKAGES)
    for needed in (
        "matdisco/py.typed",
        "matdisco/candidates/prototype_index.json",
        "matdisco/data/sets/intermetallics.parquet",
        "matdisco/data/sets/al-ni-ti.parquet",
        "matdisco/data/sets/al-ni-ti-sevennet.parquet",
        "campaigns/report/report.html.j2",
        "matdisco/data/catalog/sets.yaml",
        "campaigns/report/report.js",
        "surrogates/py.typed",
        "campaigns/py.typed",
    ):
        assert needed in names
    assert sum(n.endswith(".parquet") for n in names) == 3
    assert (ROOT / "matdisco/data/sets/intermetallics.parquet").stat().st_size < 2e6


def test_no_compound_of_the_quickstart_is_in_its_training_set():
    from matdisco import Dataset
    from matdisco.data.shipped import resolve

    training = Dataset.open(resolve("shipped:intermetallics"))
    space = {"Al", "Ni", "Ti"}
    assert len(training) > 2000
    assert len(training.elements) == 30
    assert not [c for c in training if len(c.elements) > 1 and set(c.elements) <= space]


def test_the_full_answer_covers_the_quickstart_pool():
    from campaigns.config import CampaignConfig
    from matdisco import Dataset
    from matdisco.data.shipped import resolve

    config = CampaignConfig.load(ROOT / "configs" / "quickstart.yaml")
    pool = config.candidates.build()
    truth = Dataset.open(resolve("shipped:al-ni-ti"))
    assert truth.ids == pool.ids
    same = [
        a.structure_hash == b.structure_hash for a, b in zip(pool, truth, strict=True)
    ]
    assert all(same)
    answered = [c for c in truth if "energy_per_atom" in c.labels]
    failed = [c for c in truth if "failure" in c.source]
    assert len(answered) + len(failed) == len(truth)
    assert len(failed) <= 5


def test_the_second_opinion_is_about_the_same_candidates():
    from matdisco import Dataset
    from matdisco.data.shipped import resolve

    first = Dataset.open(resolve("shipped:al-ni-ti"))
    second = Dataset.open(resolve("shipped:al-ni-ti-sevennet"))
    assert second.ids == first.ids
    assert [c.structure_hash for c in second] == [c.structure_hash for c in first]
    answered = np.isfinite(second.values("energy_per_atom"))
    failed = np.array(["failure" in c.source for c in second])
    assert (answered != failed).all()
    assert failed.sum() == sum(second.card["failed"].values()) == 6
    both = answered & np.isfinite(first.values("formation_energy_per_atom"))
    a, b = (d.values("formation_energy_per_atom")[both] for d in (first, second))
    assert 0.01 < np.median(np.abs(a - b)) < 0.1  # two potentials, eV/atom


def test_importing_costs_nothing_heavy():
    code = (
        "import sys, matdisco, surrogates, campaigns, campaigns.config\n"
        "heavy = {'torch', 'mlflow', 'botorch', 'pymatgen', 'ase', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_shipped_answers_can_be_computed_again(tmp_path):
    """Five records of the shipped sets, relaxed anew, agree with what is shipped."""
    pytest.importorskip("chgnet")
    from campaigns.labelling import LabellingConfig
    from matdisco import Dataset
    from matdisco.data.shipped import resolve

    pytest.importorskip("sevenn")
    for name in ("al-ni-ti", "al-ni-ti-sevennet", "intermetallics"):
        recipe = LabellingConfig.load(ROOT / "configs" / "datasets" / f"{name}.yaml")
        shipped = Dataset.open(resolve(f"shipped:{name}"))
        evaluator = recipe.evaluator.build()
        for crystal in shipped.crystals[:: len(shipped) // 5][:5]:
            if "energy_per_atom" not in crystal.labels:
                continue
            answer = evaluator.evaluate(crystal, tmp_path)
            assert answer.labels["energy_per_atom"].value == pytest.approx(
                crystal.value("energy_per_atom"), abs=1e-3
            )
