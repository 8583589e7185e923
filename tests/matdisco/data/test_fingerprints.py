from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matdisco.data.duplicates import connected, group_duplicates
from matdisco.data.fingerprints import (
    TOLERANCES,
    bare,
    fingerprint,
    matcher,
    profile,
    same_structure,
    space_group,
)
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

PROTOTYPES = [rocksalt(), fluorite(), perovskite(), wurtzite()]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PROTOTYPES), st.integers(0, 10_000))
def test_fingerprint_ignores_the_description(structure: Structure, seed: int) -> None:
    other = disguised(structure, np.random.default_rng(seed))
    assert profile(other) == pytest.approx(profile(structure), abs=1e-9)
    assert fingerprint(crystal(other)) == fingerprint(crystal(structure))
    assert same_structure(crystal(other), crystal(structure))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PROTOTYPES), st.integers(0, 10_000))
def test_a_rattled_strained_copy_stays_on_the_shortlist(
    structure: Structure, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    other = disguised(structure, rng)
    other = rattled(other, 0.05, rng)
    strain = rng.uniform(-0.015, 0.015, (3, 3))
    other = Structure(
        Lattice(other.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2)),
        other.species,
        other.frac_coords,
    )
    distance = 1 - profile(other) @ profile(structure)
    assert distance < TOLERANCES["same"].profile / 2


def test_swapping_the_cations_is_another_crystal() -> None:
    one, other = perovskite("Sr", "Ti"), perovskite("Ti", "Sr")
    assert fingerprint(crystal(one)) != fingerprint(crystal(other))
    assert not same_structure(crystal(one), crystal(other))


def test_volume_is_part_of_the_fingerprint_but_not_of_the_judgement() -> None:
    one, other = crystal(rocksalt(edge=4.21)), crystal(rocksalt(edge=4.25))
    assert fingerprint(one) != fingerprint(other)
    assert same_structure(one, other)


def test_oxidation_states_and_spins_do_not_matter() -> None:
    decorated = rocksalt().add_oxidation_state_by_element({"Mg": 2, "O": -2})
    assert fingerprint(crystal(decorated)) == fingerprint(crystal(rocksalt()))
    assert same_structure(crystal(decorated), crystal(rocksalt()))


def test_disordered_crystals_have_fingerprints() -> None:
    mixed = rocksalt()
    mixed.replace_species({"Mg": {"Mg": 0.6, "Ca": 0.4}})
    turned = disguised(mixed, np.random.default_rng(1))
    assert fingerprint(crystal(mixed)) == fingerprint(crystal(turned))
    assert same_structure(crystal(mixed), crystal(turned))


def test_space_groups() -> None:
    assert [space_group(s) for s in PROTOTYPES] == [225, 225, 221, 186]


def test_a_flat_cell_is_refused_with_its_volume() -> None:
    flat = Structure(np.diag([3.0, 3.0, 1e-6]), ["Al"], [[0, 0, 0]])
    with pytest.raises(DataError, match="cell with volume"):
        profile(flat)


def test_groups_keep_input_order_and_every_index() -> None:
    rng = np.random.default_rng(0)
    structures = [
        rocksalt(), perovskite(), disguised(rocksalt(), rng), wurtzite(),
        rocksalt("Ca"), disguised(perovskite(), rng), perovskite("Ti", "Sr"),
    ]  # fmt: skip
    groups = group_duplicates([crystal(s, str(i)) for i, s in enumerate(structures)])
    assert groups == [[0, 2], [1, 5], [3], [4], [6]]


def test_md_frames_are_not_duplicates_but_are_similar() -> None:
    rng = np.random.default_rng(3)
    frames = []
    for i in range(4):
        frame = rocksalt()
        frame.make_supercell([2, 1, 1])
        frames.append(crystal(rattled(frame, 0.25, rng), str(i)))
    assert len(group_duplicates(frames, "same")) == 4
    assert len(group_duplicates(frames, "similar")) == 1


def test_components_join_overlapping_groups() -> None:
    assert connected([[3, 1], [1, 4], [0]], 5).tolist() == [0, 1, 2, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["same", "similar"])
def test_groups_equal_pymatgens_on_mixed_records(
    level: str, shared: Callable[[str], Path]
) -> None:
    """2,000 records of four sets, 500 of them altered copies; 100 % both ways."""
    rng = np.random.default_rng(1)
    crystals = []
    counts = {
        "perovskites": 400, "mp20_biternary": 500,
        "elastic_tensor_2015": 300, "dielectric_constant": 300,
    }  # fmt: skip
    for name, count in counts.items():
        table = pd.read_parquet(shared(name) / "data.parquet")
        for row in table.sample(count, random_state=3).itertuples():
            structure = Structure(
                np.reshape(row.lattice, (3, 3)),
                list(row.species),
                np.reshape(row.frac_coords, (-1, 3)),
            )
            crystals.append(crystal(structure, f"{name}-{len(crystals)}"))
    for n, i in enumerate(rng.choice(len(crystals), 500, replace=False)):
        copy = disguised(crystals[i].structure, rng)
        if n % 3:
            copy = rattled(copy, [0.02, 0.3][n % 2], rng)
        if n % 4 == 0:
            copy.scale_lattice(copy.volume * 1.03)
        crystals.append(crystal(copy, f"copy-{n}"))
    crystals = [crystals[i] for i in rng.permutation(len(crystals))]

    structures = [bare(c.structure) for c in crystals]
    number = {id(s): i for i, s in enumerate(structures)}
    theirs = matcher(level).group_structures(structures)  # type: ignore[arg-type]
    wanted = _pairs([sorted(number[id(s)] for s in g) for g in theirs])
    found = _pairs(group_duplicates(crystals, level))  # type: ignore[arg-type]
    precision = len(found & wanted) / len(found)
    recall = len(found & wanted) / len(wanted)
    print(f"{level}: {len(wanted)=} {precision=:.4f} {recall=:.4f}")
    assert min(precision, recall) > 0.995


def _pairs(groups: list[list[int]]) -> set[tuple[int, int]]:
    return {(a, b) for g in groups for n, a in enumerate(g) for b in g[n + 1 :]}
