"""Neighbour lists against pymatgen, merging against the unmerged graph, bad input."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.graph_store import GraphStore
from surrogates.graphs import PackedGraphs, merged, pack
from surrogates.neighbors import FADE, NeighborLists, nearest, within
from surrogates.testing import toy_crystals, variants

CRYSTALS = toy_crystals(12)


@pytest.fixture(params=[True, False], ids=["numba", "plain"])
def compiled(request: pytest.FixtureRequest) -> bool:
    if request.param:
        pytest.importorskip("numba")
    return bool(request.param)


def cubic(*species: str, a: float = 3.6) -> Crystal:
    """fcc sites filled in order."""
    spots = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Crystal.from_arrays(
        "".join(species), a * np.eye(3), list(species), np.array(spots[: len(species)])
    )


Edge = tuple[int, int, tuple[int, ...]]


def edges_of(lists: NeighborLists, row: int) -> dict[Edge, float]:
    """Edges of one crystal with their distances."""
    here = slice(lists.edge_offsets[row], lists.edge_offsets[row + 1])
    columns = lists.centers[here], lists.neighbors[here], lists.images[here]
    keys = zip(*(c.tolist() for c in columns), strict=True)
    found = {
        (i, j, tuple(n)): d
        for (i, j, n), d in zip(keys, lists.distances[here], strict=True)
    }
    assert len(found) == len(lists.distances[here]), "an edge is listed twice"
    return found


def pymatgen_edges(structure: Structure, radius: float) -> dict[Edge, float]:
    i, j, n, d = structure.get_neighbor_list(radius)
    keys = zip(i.tolist(), j.tolist(), map(tuple, n.astype(int)), strict=True)
    return dict(zip(keys, d, strict=True))


def same_edges(mine: dict[Edge, float], theirs: dict[Edge, float]) -> None:
    assert mine.keys() == theirs.keys()
    for edge, d in theirs.items():
        assert mine[edge] == pytest.approx(d, abs=1e-8)


@pytest.mark.parametrize("radius", [3.0, 5.5])
def test_within_equals_pymatgen_edge_by_edge(radius: float, compiled: bool) -> None:
    found = within(CRYSTALS, radius, compiled=compiled)
    for row, crystal in enumerate(CRYSTALS):
        same_edges(edges_of(found, row), pymatgen_edges(crystal.structure, radius))


@st.composite
def cells(draw: st.DrawFn) -> Structure:
    """Cells of any shape: needles and plates, sheared by up to two vectors."""
    lengths = [draw(st.floats(1.5, 25.0)) for _ in range(3)]
    lower = np.diag(lengths)
    for row, column in ((1, 0), (2, 0), (2, 1)):
        lower[row, column] = draw(st.floats(-2.0, 2.0)) * lengths[column]
    turn = np.linalg.qr(
        np.random.default_rng(draw(st.integers(0, 99))).normal(size=(3, 3))
    )[0]
    n = draw(st.integers(1, 6))
    spots = [[draw(st.floats(-1.5, 1.5)) for _ in range(3)] for _ in range(n)]
    return Structure(Lattice(lower @ turn), ["Al"] * n, spots)


@given(cells(), st.floats(2.0, 7.0))
@settings(max_examples=60, deadline=None)
def test_any_cell_equals_pymatgen(structure: Structure, radius: float) -> None:
    pytest.importorskip("numba")
    theirs = pymatgen_edges(structure, radius + 1e-6)
    assume(not theirs or min(theirs.values()) > 0.11)
    assume(all(abs(d - radius) > 1e-6 for d in theirs.values()))  # either is right
    for compiled in (True, False):
        found = within([structure], radius, compiled=compiled)
        same_edges(edges_of(found, 0), theirs)


def test_tiny_and_huge_cells_equal_pymatgen(compiled: bool) -> None:
    draw = np.random.default_rng(0)
    tiny = Structure(Lattice([[0.9, 0, 0], [0.2, 1.1, 0], [0, 0.3, 1.0]]), ["H"],
                     [[0.3, 0.2, 0.9]])  # fmt: skip
    spots = np.array([[i, j, k] for i in range(7) for j in range(8) for k in range(7)])
    huge = Structure(
        Lattice([[20, 0, 0], [6, 24, 0], [-5, 7, 21]]), ["Fe"] * 392,
        spots / [7, 8, 7] + draw.normal(0, 0.01, (392, 3)),
    )  # fmt: skip
    lonely = Structure(Lattice.cubic(50.0), ["Al"], [[0, 0, 0]])
    found = within([tiny, huge, lonely, tiny], 6.0, compiled=compiled)
    for row, structure in enumerate((tiny, huge, lonely, tiny)):
        same_edges(edges_of(found, row), pymatgen_edges(structure, 6.0))
    assert len(edges_of(found, 2)) == 0


@pytest.mark.parametrize("k", [1, 6, 12, 24])
def test_nearest_holds_the_k_nearest_and_all_ties(k: int, compiled: bool) -> None:
    found = nearest(CRYSTALS, k, compiled=compiled)
    for row, crystal in enumerate(CRYSTALS):
        mine = edges_of(found, row)
        theirs = pymatgen_edges(crystal.structure, 12.0)
        rims = found.rims[found.atom_offsets[row] : found.atom_offsets[row + 1]]
        for atom in range(crystal.n_atoms):
            true = sorted(d for (i, _, _), d in theirs.items() if i == atom)
            assert rims[atom] == pytest.approx(true[k - 1], abs=1e-9)
        limit = {e: d for e, d in theirs.items() if d < FADE * rims[e[0]]}
        same_edges(mine, limit)
    weights = np.bincount(found.atom_of_edge, weights=found.weights)
    assert weights.min() >= k - 1e-9
    assert found.weights.min() >= 0 and found.weights.max() <= 1


def test_with_and_without_numba_the_graphs_are_the_same() -> None:
    pytest.importorskip("numba")
    numbers = np.concatenate([c.atomic_numbers for c in CRYSTALS])
    for lists in (nearest(CRYSTALS, 12), within(CRYSTALS, 4.0), within(CRYSTALS, 1.0)):
        one, two = (merged(numbers, lists, compiled=c) for c in (True, False))
        for name, value in vars(one).items():
            if value is not None:
                other = getattr(two, name)
                assert value.dtype == other.dtype, name
                np.testing.assert_allclose(value, other, atol=1e-6, err_msg=name)


def test_room_for_edges_grows(compiled: bool) -> None:
    """A dense crystal after sparse ones needs far more than the first guess."""
    sparse, dense = cubic("Cu", a=12.0), cubic(*["Cu"] * 4, a=2.0)
    found = within([*[sparse] * 3, *[dense] * 40, sparse], 9.0, compiled=compiled)
    assert len(edges_of(found, 0)) == 0
    for row in (3, 20, 42):
        assert len(edges_of(found, row)) == len(pymatgen_edges(dense.structure, 9.0))


def test_single_atom_cell_and_vacuum() -> None:
    assert len(nearest([cubic("Cu")], 6).distances) == 6
    lonely = cubic("Cu", a=12.0)
    assert len(nearest([lonely], 6).distances) == 6  # the radius adapts
    assert len(within([lonely], 5.0).distances) == 0
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
            if value is not None:
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
    good = CRYSTALS[0]
    for crystal in (mixed, dummy, clash, empty):
        with pytest.raises(SurrogateError, match=crystal.id):
            pack([good, crystal], neighbours=4, cutoff=5.0)


@pytest.mark.parametrize(
    "change", ["position", "cell", "clash", "overlap", "vacuum", "flat"]
)
def test_broken_cells_are_refused_by_name(change: str, compiled: bool) -> None:
    cell, spots = 3 * np.eye(3), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    if change == "position":
        spots[1, 2] = np.nan
    elif change == "cell":
        cell[0, 1] = np.inf
    elif change == "clash":
        spots[1] = [0, 0, 0.999]
    elif change == "overlap":
        cell[2, 2] = 0.05
    elif change == "flat":
        cell[2] = cell[0] / 2 + cell[1] / 2  # in their plane: images without end
    else:
        cell *= 1000.0
    broken = Structure(Lattice(cell), ["Al", "Ni"], spots)
    named = Crystal("broken-9", broken)
    expected = {
        "position": "not finite", "cell": "not finite", "overlap": "its own image",
        "clash": r"atoms 0 and 1 are 0\.003 Å", "vacuum": "fewer than 2 neighbours",
        "flat": "is flat",
    }[change]  # fmt: skip
    for crystals, name in (
        ([CRYSTALS[0], named], "crystal broken-9"),
        ([broken], "structure 0"),
    ):
        with pytest.raises(SurrogateError, match=f"{name}.*{expected}"):
            nearest(crystals, 2, compiled=compiled)


def test_no_crystals_make_no_graphs() -> None:
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
