from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Lattice, Structure

from matdisco.crystal import Crystal, Label
from matdisco.data.curation import CurationRecipe, Entry
from matdisco.data.curation.cell_rules import (
    CellRule,
    HandednessRule,
    SpeciesRule,
    WrapRule,
)
from matdisco.data.curation.contact_rules import BOHR, LengthUnitRule, OverlapRule
from matdisco.data.curation.content_rules import ChargeRule, DeclaredRule
from matdisco.data.curation.formulas import recased
from matdisco.data.curation.label_rules import (
    PoissonRule,
    RangeRule,
    SentinelRule,
    UnitRule,
)
from matdisco.data.curation.recipe import check
from matdisco.data.fingerprints import same_structure
from matdisco.errors import ConfigError
from tests.matdisco.data.builders import (
    crystal,
    fluorite,
    perovskite,
    rocksalt,
    wurtzite,
)

CLEAN = [rocksalt(), fluorite(), perovskite(), wurtzite()]


def entry(c: Crystal | None, **declared: object) -> Entry:
    return Entry("x", c, dict(c.labels) if c else {}, declared)


def labelled(**labels: Label) -> Entry:
    return Entry("x", crystal(rocksalt()), labels)


def findings(e: Entry) -> list[tuple[str, str]]:
    return [(f.rule, f.severity) for f in e.findings]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CLEAN), st.floats(0.93, 1.1))
def test_no_rule_touches_a_clean_crystal(structure: Structure, scale: float) -> None:
    scaled = structure.copy()
    scaled.scale_lattice(structure.volume * scale**3)
    clean = entry(
        crystal(scaled, band_gap=1.0),
        formula=structure.formula,
        volume=scaled.volume,
        n_atoms=len(scaled),
    )
    assert check(clean, CurationRecipe().rules) == clean


def test_a_cell_without_volume_is_rejected() -> None:
    flat = Structure(np.diag([4.0, 4.0, 0.01]), ["Al"], [[0, 0, 0]])
    assert findings(CellRule().apply(entry(crystal(flat)))) == [("cell", "reject")]


def test_an_angle_of_179_degrees_is_rejected() -> None:
    cell = Lattice.from_parameters(6, 6, 5, 179.5, 90, 90)
    odd = crystal(Structure(cell, ["Al", "Ni"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert findings(CellRule().apply(entry(odd)))[0] == ("cell", "reject")


def test_a_left_handed_cell_is_turned_and_stays_the_same_crystal() -> None:
    structure = wurtzite()
    left = Structure(
        structure.lattice.matrix * [[1], [1], [-1]],
        structure.species,
        structure.frac_coords * [1, 1, -1],
    )
    mended = HandednessRule().apply(entry(crystal(left)))
    assert findings(mended) == [("left-handed", "mend")]
    assert mended.crystal is not None
    assert np.linalg.det(mended.crystal.structure.lattice.matrix) > 0
    assert same_structure(mended.crystal, crystal(structure))


def test_atoms_far_outside_are_brought_home() -> None:
    structure = rocksalt()
    structure.translate_sites([0], [3, -2, 5], to_unit_cell=False)
    mended = WrapRule().apply(entry(crystal(structure)))
    assert findings(mended) == [("outside-cell", "mend")]
    assert mended.crystal is not None
    assert same_structure(mended.crystal, crystal(rocksalt()))


def test_dummy_species_and_overfull_sites_are_rejected() -> None:
    dummy = Structure(Lattice.cubic(4), [DummySpecies("Xq"), "O"], [[0] * 3, [0.5] * 3])
    assert findings(SpeciesRule().apply(entry(crystal(dummy)))) == [
        ("species", "reject")
    ]


@pytest.mark.parametrize("structure", CLEAN, ids=lambda s: s.reduced_formula)
def test_a_cell_in_bohr_is_converted(structure: Structure) -> None:
    wrong = Structure(
        structure.lattice.matrix / BOHR, structure.species, structure.frac_coords
    )
    mended = LengthUnitRule().apply(entry(crystal(wrong)))
    assert findings(mended) == [("length-unit", "mend")]
    assert mended.crystal is not None
    assert mended.crystal.structure.volume == pytest.approx(structure.volume)
    only_noted = LengthUnitRule(severity="quarantine").apply(entry(crystal(wrong)))
    assert only_noted.crystal is not None
    assert only_noted.crystal.structure == wrong


def test_a_volume_declared_in_bohr_does_not_contradict_the_mended_cell() -> None:
    wrong = Structure(
        rocksalt().lattice.matrix / BOHR, rocksalt().species, rocksalt().frac_coords
    )
    mended = check(entry(crystal(wrong), volume=wrong.volume), CurationRecipe().rules)
    assert findings(mended) == [("length-unit", "mend")]


def test_solid_argon_is_not_in_bohr() -> None:
    faces = rocksalt().frac_coords[:4]
    argon = Structure(Lattice.cubic(5.26), ["Ar"] * 4, faces)
    assert not LengthUnitRule().apply(entry(crystal(argon))).findings


def test_overlapping_atoms_are_rejected_with_their_distance() -> None:
    structure = rocksalt()
    structure.append("O", [0.02, 0, 0])
    found = OverlapRule().apply(entry(crystal(structure)))
    assert findings(found) == [("overlap", "reject")]
    assert "0.08 Å apart" in found.findings[0].message


def test_split_sites_may_be_close() -> None:
    structure = Structure(
        Lattice.cubic(4.2),
        [{"Li": 0.5}, {"Li": 0.5}, "F"],
        [[0, 0, 0], [0.05, 0, 0], [0.5, 0.5, 0.5]],
    )
    assert not OverlapRule().apply(entry(crystal(structure))).findings


@pytest.mark.parametrize(
    "declared",
    [{"formula": "NaCl"}, {"volume": 80.0}, {"n_atoms": 7}, {"formula": "MgO", "z": 3}],
)
def test_a_false_declaration_is_quarantined(declared: dict[str, object]) -> None:
    found = DeclaredRule().apply(entry(crystal(rocksalt()), **declared))
    assert findings(found) == [("declared", "quarantine")]


@pytest.mark.parametrize(
    "declared",
    [{"formula": "Mg4 O4", "z": 4}, {"formula": "MgO", "z": 4}, {"volume": 74.6}, {}],
)
def test_a_true_declaration_is_not(declared: dict[str, object]) -> None:
    assert not DeclaredRule().apply(entry(crystal(rocksalt()), **declared)).findings


def test_charges_that_do_not_add_up_are_quarantined() -> None:
    right = rocksalt().add_oxidation_state_by_element({"Mg": 2, "O": -2})
    wrong = rocksalt().add_oxidation_state_by_element({"Mg": 2, "O": -1})
    assert not ChargeRule().apply(entry(crystal(right))).findings
    assert findings(ChargeRule().apply(entry(crystal(wrong)))) == [
        ("charge", "quarantine")
    ]


@pytest.mark.parametrize("value", [-999.0, 9999.0, 1e30, float("nan"), float("inf")])
def test_missing_values_in_disguise_are_taken_off(value: float) -> None:
    mended = SentinelRule().apply(labelled(band_gap=Label(value, "eV")))
    assert findings(mended) == [("sentinel", "mend")]
    assert "band_gap" not in mended.labels


def test_a_converted_sentinel_is_still_one() -> None:
    rule = SentinelRule()
    assert rule.apply(labelled(bulk_modulus=Label(-99.9, "GPa"))).findings
    assert not rule.apply(labelled(bulk_modulus=Label(99.9, "GPa"))).findings
    energy = Label(-0.999, "eV/atom")
    assert not rule.apply(labelled(formation_energy_per_atom=energy)).findings


def test_zero_is_missing_only_where_no_solid_has_it() -> None:
    rule = SentinelRule()
    assert not rule.apply(labelled(band_gap=Label(0.0, "eV"))).findings
    assert rule.apply(labelled(bulk_modulus=Label(0.0, "GPa"))).findings


@pytest.mark.parametrize(
    ("label", "value"),
    [(Label(670.0, "meV"), 0.67), (Label(0.02463, "Ha"), 0.67)],
)
def test_known_units_are_converted(label: Label, value: float) -> None:
    mended = UnitRule().apply(labelled(band_gap=label))
    assert findings(mended) == [("unit", "mend")]
    assert mended.labels["band_gap"].value == pytest.approx(value, rel=1e-3)
    assert mended.labels["band_gap"].unit == "eV"


@pytest.mark.parametrize("unit", ["", "GPa", "furlong"])
def test_unstated_or_wrong_units_are_quarantined(unit: str) -> None:
    found = UnitRule().apply(labelled(band_gap=Label(1.0, unit)))
    assert findings(found) == [("unit", "quarantine")]


def test_energies_per_cell_become_energies_per_atom() -> None:
    found = UnitRule().apply(labelled(formation_energy_per_atom=Label(-8.0, "eV")))
    assert found.labels["formation_energy_per_atom"].value == pytest.approx(-1.0)


def test_impossible_values_are_quarantined() -> None:
    found = RangeRule().apply(labelled(shear_modulus=Label(-65.0, "GPa")))
    assert findings(found) == [("range", "quarantine")]


@pytest.mark.parametrize(
    ("bulk", "shear", "right"),
    [(160, 80, True), (20.9, 39.9, False), (2217, 79, False), (443, 535, True)],
)
def test_moduli_must_fit_together(bulk: float, shear: float, right: bool) -> None:
    found = PoissonRule().apply(
        labelled(bulk_modulus=Label(bulk, "GPa"), shear_modulus=Label(shear, "GPa"))
    )
    assert bool(found.findings) is not right


@pytest.mark.parametrize(
    ("text", "first"),
    [("rbbr", "RbBr"), ("scco2", "ScCo2"), ("hf5si3", "Hf5Si3"), ("x7", None)],
)
def test_lost_capitals_are_restored(text: str, first: str | None) -> None:
    assert (recased(text) or [None])[0] == first


def test_a_mistyped_rule_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"rules\.overlop.*did you mean overlap"):
        CurationRecipe.from_mapping({"rules": {"overlop": {}}}, source="c.yaml")


def test_rules_can_be_switched_off() -> None:
    recipe = CurationRecipe.from_mapping(
        {"rules": {"overlap": {"enabled": False}}}, source="c.yaml"
    )
    assert "overlap" not in [r.name for r in recipe.rules.enabled()]
