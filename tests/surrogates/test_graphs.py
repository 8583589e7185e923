"""Neighbour lists against pymatgen, merging against the unmerged graph, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.graph_store import GraphStore
from surrogates.graphs import PackedGraphs, pack
from surrogates.neighbors import FADE, nearest, within
from surrogates.testing import toy_crystals, variants

CRYSTALS = toy_crystals(12)


def cubic(*species: str, a: float = 3.6) -> Crystal:
    """fcc sites filled in order."""
    spots = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Crystal.from_arrays(
        "".join(species), a * np.eye(3), list(species), np.array(spots[: len(species)])
    )


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda c: c.id)
@pytest.mark.parametrize("radius", [3.0, 5.5])
def test_within_equals_pymatgen_edge_by_edge(crystal: Crystal, radius: float) -> None:
    ours = within(crystal, radius)
    i, j, images, d = crystal.structure.get_neighbor_list(radius)
    theirs = sorted(zip(i, j, map(tuple, images.astype(int)), strict=True))
    mine = sorted(
        zip(ours.centers, ours.neighbors, map(tuple, ours.images), strict=True)
    )
    assert mine == theirs
    np.testing.assert_allclose(np.sort(ours.distances), np.sort(d), atol=1e-10)


@pytest.mark.parametrize("k", [1, 6, 12, 20])
def test_nearest_holds_the_k_nearest_and_all_ties(k: int) -> None:
    for crystal in CRYSTALS:
        found = nearest(crystal, k)
        i, _, _, d = crystal.structure.get_neighbor_list(12.0)
        for atom in range(crystal.n_atoms):
            true = np.sort(d[i == atom])
            limit = FADE * true[k - 1]
            mine = np.sort(found.distances[found.centers == atom])
            np.testing.assert_allclose(mine, true[true < limit], atol=1e-9)
            weights = found.weights[found.centers == atom]
            assert weights.sum() >= k - 1e-9
            assert (weights >= 0).all() and (weights <= 1).all()


def test_single_atom_cell_and_vacuum() -> None:
    assert len(nearest(cubic("Cu"), 6).distances) == 6
    lonely = cubic("Cu", a=12.0)
    assert len(nearest(lonely, 6).distances) == 6  # the radius adapts
    assert len(within(lonely, 5.0).distances) == 0
    alone = pack([lonely], neighbours=None, cutoff=5.0)
    assert len(alone.numbers) == 1 and len(alone.distance) == 0


def test_equal_atoms_and_bonds_are_merged() -> None:
    graphs = pack([cubic(*["Cu"] * 4), cubic("Au", "Cu", "Cu", "Cu")], neighbours=12,
                  cutoff=8.0)  # fmt: skip
    copper, ordered = graphs.take([0]), graphs.take([1])
    assert len(copper.numbers) == 1 and copper.weight.sum() == pytest.approx(12)
    assert ordered.numbers.tolist() in ([79, 29], [29, 79])
    assert sorted(ordered.share.tolist()) == [0.25, 0.75]
    bonds = {
        (ordered.numbers[t], ordered.numbers[s]): w
        for s, t, w in zip(ordered.source, ordered.target, ordered.weight, strict=True)
    }
    assert bonds == {(79, 29): 12, (29, 79): 4, (29, 29): 8}


@pytest.mark.parametrize("k", [6, None])
def test_merged_graph_is_the_same_for_every_cell_choice(k: int | None) -> None:
    for crystal in CRYSTALS:
        one = pack([crystal], neighbours=k, cutoff=5.0)
        for other in variants(crystal).values():
            two = pack([other], neighbours=k, cutoff=5.0)
            assert len(one.numbers) == len(two.numbers)
            assert len(one.distance) == len(two.distance)
            np.testing.assert_allclose(
                np.sort(one.distance), np.sort(two.distance), atol=1e-5
            )
            assert one.share.sum() == pytest.approx(1.0)


@given(st.lists(st.integers(0, 11), max_size=20))
@settings(max_examples=30, deadline=None)
def test_take_concatenate_and_store_agree(rows: list[int]) -> None:
    graphs = pack(CRYSTALS, neighbours=6, cutoff=5.0)
    store = GraphStore(neighbours=6, cutoff=5.0)
    store.get(CRYSTALS[5:])
    for other in (
        PackedGraphs.concatenate([graphs.take([r]) for r in rows] or [graphs.take([])]),
        store.get([CRYSTALS[r] for r in rows]),
    ):
        mine = graphs.take(rows)
        for name, value in vars(mine).items():
            assert np.array_equal(value, getattr(other, name)), name


def test_what_cannot_be_a_graph_is_refused_by_name() -> None:
    lattice = Lattice.cubic(3.0)
    mixed = Crystal(
        "mixed-7", Structure(lattice, [{"Al": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    )
    dummy = Crystal("dummy-1", Structure(lattice, ["X"], [[0, 0, 0]]))
    clash = Crystal.from_arrays(
        "clash-2", 3 * np.eye(3), ["Al", "Al"], np.array([[0, 0, 0], [0, 0, 0.001]])
    )
    empty = Crystal("empty-3", Structure(lattice, [], []))
    for crystal in (mixed, dummy, clash, empty):
        with pytest.raises(SurrogateError, match=crystal.id):
            pack([crystal], neighbours=4, cutoff=5.0)
    assert len(pack([], neighbours=4, cutoff=5.0)) == 0


def test_positions_that_are_no_numbers_are_refused():
    import numpy as np
    import pytest

    from matdisco.crystal import Crystal
    from matdisco.errors import SurrogateError
    from surrogates.graphs import atomic_numbers

    spots = np.array([[0.0, np.nan, 0.0]])
    broken = Crystal.from_arrays("broken", 3 * np.eye(3), ["Al"], spots)
    with pytest.raises(SurrogateError, match="broken: a cell vector or an atom's"):
        atomic_numbers(broken)
