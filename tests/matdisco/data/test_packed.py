from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal, Label
from matdisco.data import store
from matdisco.data.congruence import compare
from matdisco.data.curation.contact_rules import shortest_contact
from matdisco.data.dataset import Dataset
from matdisco.data.fingerprints import TOLERANCES, matcher, primitive
from matdisco.data.packed import PackedCrystal, described, ordered, volume
from matdisco.errors import DataError
from tests.matdisco.data.builders import (
    crystal,
    disguised,
    fluorite,
    perovskite,
    rattled,
    rocksalt,
    wurtzite,
)

MIXED = Structure(
    Lattice.cubic(4.0), [{"Li": 0.5, "Na": 0.25}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
SAME, SIMILAR = (
    {"lengths": t.lengths, "sites": t.sites, "angles": t.angles}
    for t in (TOLERANCES["same"], TOLERANCES["similar"])
)
CHARGED = Structure(Lattice.cubic(4.2), ["Mg2+", "O2-"], [[0, 0, 0], [0.5] * 3])


@pytest.mark.parametrize("structure", [rocksalt(), wurtzite(), MIXED, CHARGED])
def test_a_packed_crystal_is_the_crystal(structure: Structure) -> None:
    plain = crystal(structure, "a", band_gap=1.0)
    packed = PackedCrystal("a", structure, plain.labels, {"file": "x"})
    assert packed.to_dict()["structure"] == plain.to_dict()["structure"]
    assert packed.composition == plain.composition
    assert packed.elements == plain.elements
    assert packed.n_atoms == plain.n_atoms
    assert ordered(packed) == structure.is_ordered
    if structure.is_ordered:
        assert packed.atomic_numbers.tolist() == plain.atomic_numbers.tolist()
    else:
        with pytest.raises(DataError, match="disordered"):
            _ = packed.atomic_numbers
    assert volume(packed) == pytest.approx(structure.volume, rel=1e-7)
    assert packed.structure_hash == plain.structure_hash
    assert pickle.loads(pickle.dumps(packed)) == packed  # noqa: S301 - between processes
    other = described(packed, name="b", labels={"band_gap": Label(2.0, "eV")})
    assert isinstance(other, PackedCrystal)
    assert (other.id, other.value("band_gap"), other.source) == (
        "b",
        2.0,
        {"file": "x"},
    )
    assert packed == Crystal("a", packed.structure, packed.labels, packed.source)


@pytest.mark.parametrize("structure", [rocksalt(), MIXED, CHARGED])
def test_packed_and_plain_are_stored_alike(structure: Structure, tmp_path) -> None:  # type: ignore[no-untyped-def]
    plain = Crystal.from_dict(crystal(structure, "a").to_dict())
    packed = PackedCrystal("a", structure, plain.labels, plain.source)
    one, other = Dataset("d", (plain,)), Dataset("d", (packed,))
    assert one.content_hash == other.content_hash
    first = store.write(one, tmp_path / "one.parquet").read_bytes()
    assert store.write(other, tmp_path / "two.parquet").read_bytes() == first


@given(seed=st.integers(0, 10_000), kind=st.sampled_from([0, 1, 2, 3]))
@settings(max_examples=8, deadline=None)
def test_the_quick_answer_is_the_judges(seed: int, kind: int) -> None:
    rng = np.random.default_rng(seed)
    start = (rocksalt(), fluorite(), perovskite(), wurtzite())[kind]
    one = rattled(start, 0.2 * rng.random(), rng)
    copy = disguised(one, rng)
    mirrored = Structure(
        Lattice(copy.lattice.matrix * [1, 1, -1] * 1.02),  # reflected, and scaled
        copy.species,
        copy.frac_coords,
    )
    a = primitive(one)
    assert a is not None
    b, c = primitive(copy), primitive(mirrored)
    assert b is not None and c is not None
    assert compare(a, b, **SAME) and compare(a, c, **SAME)
    # On primitive cells: the judge's own search for them misses some of these copies.
    for distance in (0.05, 0.1, 0.15, 0.25, 0.6):
        near = primitive(disguised(rattled(one, distance, rng), rng))
        if near is None or len(near) != len(a):
            continue
        for level, bounds in (("same", SAME), ("similar", SIMILAR)):
            answer = compare(a, near, **bounds)
            fits = matcher(level).fit(a, near, skip_structure_reduction=True)
            assert answer is None or answer == fits, (level, distance)


def test_distinct_distortions_are_told_apart_without_the_judge() -> None:
    rng = np.random.default_rng(0)
    cells = [primitive(rattled(perovskite(), 0.25, rng)) for _ in range(6)]
    for i, a in enumerate(cells):
        for b in cells[:i]:
            assert a is not None and b is not None
            assert compare(a, b, **SAME) is False


def test_stackings_of_layers_stay_distinct() -> None:
    """CdCl2 and CdI2 stacking: alike in a skewed cell, not in reduced ones."""
    one = Structure(
        Lattice.rhombohedral(6.908, 30.86), ["Mg", "Cl", "Cl"],
        [[0, 0, 0], [0.264] * 3, [0.736] * 3],
    )  # fmt: skip
    other = Structure(
        Lattice.hexagonal(3.677, 6.416), ["Mg", "Cl", "Cl"],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.786], [2 / 3, 1 / 3, 0.214]],
    )  # fmt: skip
    a, b = primitive(one), primitive(other)
    assert a is not None and b is not None
    assert not matcher("similar").fit(one, other)
    assert not compare(a, b, **SIMILAR)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_the_shortest_contact_is_that_of_a_neighbour_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    cell = np.diag(rng.uniform(2.5, 9, 3)) + rng.uniform(-1.5, 1.5, (3, 3))
    if abs(np.linalg.det(cell)) < 5:
        return
    species = rng.choice(["Li", "O", "Cs", "H"], n).tolist()
    structure = Structure(Lattice(cell), species, rng.uniform(-1, 2, (n, 3)))
    ratio, distance, i, j = shortest_contact(structure, 1.45)
    found = structure.get_neighbor_list(2 * 2.44 * 1.45)
    radii = {"Li": 1.28, "O": 0.66, "Cs": 2.44, "H": 0.31}
    sums = np.array([radii[s] for s in species])
    ratios = found[3] / (sums[found[0]] + sums[found[1]])
    if len(ratios) and ratios.min() < 1.45:
        assert ratio == pytest.approx(ratios.min())
        near = structure.get_distance(i, j) if i != j else distance
        assert distance == pytest.approx(near)
