"""Geometry against closed forms, a user's own properties, provenance, largest cells."""

import hashlib
import json

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from campaign_files import small_campaign

from campaigns import Campaign, CampaignConfig
from matdisco.candidates.volume import atomic_radius
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError, SetupError
from matdisco.evaluators.calculators import CalculatorRecipe, _hash_of
from matdisco.evaluators.descriptors import SPACING, bottleneck, clearance, geometry
from matdisco.evaluators.dft.recipe import DftRecipe

GRID = SPACING * 3**0.5 / 2  # Å; what a grid may be off


@pytest.mark.parametrize(
    ("lattice", "void", "way"),
    [
        # centre of the cube, centre of its faces
        ("sc", 3**0.5 / 2, 2**0.5 / 2),
        # octahedral hole; the triangle between it and the tetrahedral one
        ("fcc", 1 / 2, 1 / 6**0.5),
        # tetrahedral hole; the triangle of two short and one long edge around it
        ("bcc", 5**0.5 / 4, 3 / (4 * 2**0.5)),
    ],
)
def test_voids_and_ways_of_the_cubic_lattices(lattice, void, way):
    a, sphere = 3.6, 0.4
    atoms = bulk("Cu", lattice, a=a)
    clear = clearance(atoms, np.array([sphere]))
    assert clear.max() == pytest.approx(void * a - sphere, abs=GRID)
    assert bottleneck(clear) == pytest.approx(way * a - sphere, abs=GRID)
    # the choice of cell does not matter
    other = make_supercell(atoms, [[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    clear = clearance(other, np.array([sphere]))
    assert bottleneck(clear) == pytest.approx(way * a - sphere, abs=GRID)


def test_a_way_must_lead_out_of_the_cell():
    box = np.full((6, 6, 6), -1.0)
    box[1:4, 1:4, 1:4] = 2.0  # a chamber
    assert bottleneck(box) == -1.0
    box[:, 2, 2] = 0.5  # a narrow canal through it along x
    assert bottleneck(box) == 0.5
    winding = np.full((4, 4, 4), -1.0)
    winding[0, 0, :] = winding[1, 0, :] = 1.0  # two straight canals side by side
    assert bottleneck(winding) == 1.0


def test_density_and_packing_of_copper():
    found = geometry(bulk("Cu", a=3.615))
    assert found["density"] == pytest.approx(8.93, abs=0.02)  # g/cm³, CRC Handbook
    share = 4 * (4 / 3 * np.pi * atomic_radius("Cu") ** 3) / 3.615**3
    assert found["packing_fraction"] == pytest.approx(share)


def recipe(**changes):
    return CalculatorRecipe(calculator="emt", **changes)


def test_properties_of_your_own_are_labels_like_any(tmp_path):
    mine = recipe(compute=("geometry",), measure={"pressure": "evaluators:pressure"})
    assert mine.properties()[-1] == "pressure"
    mine.check(frozenset({"Cu"}))
    thing = Crystal.from_atoms(bulk("Cu", a=3.7), "cu")
    answer = mine.build().evaluate(thing, tmp_path / "evaluations" / "cu")
    assert abs(answer.labels["pressure"].value) < 1  # relaxed
    assert answer.labels["void_radius"].unit == "Å"
    assert (tmp_path / "evaluations" / "cu" / "pressure.txt").exists()
    # an energy does not depend on what is measured after it
    assert mine.build().fidelity() == recipe().build().fidelity()
    assert mine.digest() != recipe().digest()
    with pytest.raises(SetupError, match=r"evaluator\.measure\.x: cannot import 'nowh"):
        recipe(measure={"x": "nowhere.at_all:f"}).check(frozenset({"Cu"}))
    with pytest.raises(ValueError, match="bulk_modulus: matdisco's own"):
        recipe(measure={"bulk_modulus": "a:b"})


def test_answers_say_which_physics_they_are(tmp_path):
    assert recipe().engine().details == {"functional": "EMT"}
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"one")
    first = _hash_of(weights)
    weights.write_bytes(b"two")
    assert _hash_of(weights) != first == hashlib.sha256(b"one").hexdigest()
    with pytest.raises(SetupError, match="emt has none and would ignore"):
        recipe(weights=str(weights)).check(frozenset({"Cu"}))
    details = DftRecipe(preset="accurate", cutoff=500).details
    assert details == {
        "functional": "PBE", "cutoff_eV": 500, "kpoint_density_per_A": 5.0,
        "smearing_eV": 0.05,
    }  # fmt: skip


def test_the_hash_of_a_recipe_outlives_new_fields():
    # as computed before `measure` and `max_atoms` were fields
    text = json.dumps(recipe().deciding())
    assert "measure" not in text and "max_atoms" not in text
    assert recipe(max_atoms=7).digest() == recipe().digest()


def test_cells_too_large_for_an_evaluator_are_refused_at_the_start(tmp_path):
    settings = small_campaign(
        evaluator={"kind": "calculator", "calculator": "emt", "max_atoms": 3}
    )
    with pytest.raises(
        ConfigError, match=r"has 4 atoms, more than the 3 that evaluator takes"
    ):
        Campaign.start(CampaignConfig.model_validate(settings), tmp_path / "run")
    settings["evaluator"].pop("max_atoms")
    settings["ladder"] = [
        {"name": "fine", "evaluations": 9, "best": 1, "evaluator": {
            "kind": "calculator", "calculator": "emt", "relax": None, "max_atoms": 2}}
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"raise ladder\[0\]\.evaluator\.max_atoms"):
        Campaign.start(CampaignConfig.model_validate(settings), tmp_path / "run2")
    assert recipe().largest_cell() == 1000
    assert DftRecipe(cutoff=400).largest_cell() == 50
