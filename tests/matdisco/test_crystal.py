"""Crystals: identity, round trips, and ASE as the referee."""

import json

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from matdisco.crystal import Crystal, Label
from matdisco.errors import DataError

numbers = st.floats(-5, 5, allow_nan=False, width=32)


@st.composite
def crystals(draw):
    n = draw(st.integers(1, 6))
    species = draw(
        st.lists(st.sampled_from(["Al", "Ni", "O", "U"]), min_size=n, max_size=n)
    )
    positions = np.array(
        draw(st.lists(st.tuples(numbers, numbers, numbers), min_size=n, max_size=n))
    )
    cell = np.eye(3) * draw(st.floats(2, 9)) + np.array(
        draw(st.lists(st.floats(-0.3, 0.3), min_size=9, max_size=9))
    ).reshape(3, 3)
    return Crystal.from_arrays(
        "x", cell, species, positions,
        labels={"energy": Label(draw(numbers), "eV", "test", 0.1)},
        source={"file": "a"},
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(crystals())
def test_round_trip_through_json_keeps_everything(crystal):
    back = Crystal.from_dict(json.loads(json.dumps(crystal.to_dict())))
    assert back.structure_hash == crystal.structure_hash
    assert back.to_dict() == crystal.to_dict()
    assert back.labels == crystal.labels


@settings(max_examples=30, deadline=None)
@given(crystals())
def test_round_trip_through_ase(crystal):
    back = Crystal.from_atoms(crystal.to_atoms(), "x")
    np.testing.assert_allclose(
        back.structure.lattice.matrix, crystal.structure.lattice.matrix, atol=1e-9
    )
    np.testing.assert_allclose(
        back.structure.frac_coords, crystal.structure.frac_coords, atol=1e-6
    )


def test_hash_tells_structures_apart_and_ignores_the_name():
    a = Crystal.from_atoms(bulk("Cu"), "a")
    assert a.structure_hash == Crystal.from_atoms(bulk("Cu"), "b").structure_hash
    stretched = bulk("Cu", a=3.62)
    assert a.structure_hash != Crystal.from_atoms(stretched, "a").structure_hash


def test_missing_label_says_what_there_is():
    crystal = Crystal.from_atoms(bulk("Cu"), "cu").with_labels(
        {"energy": Label(1.0, "eV")}
    )
    assert crystal.value("energy") == 1.0
    with pytest.raises(DataError, match="cu: no label 'band_gap'; it has: energy"):
        crystal.value("band_gap")


def test_disordered_crystal_is_refused_by_name():
    from pymatgen.core import Lattice, Structure

    mixed = Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(DataError, match="mixed: has disordered sites"):
        _ = Crystal("mixed", mixed).atomic_numbers
    back = Crystal.from_dict(Crystal("mixed", mixed).to_dict())
    assert not back.structure.is_ordered
