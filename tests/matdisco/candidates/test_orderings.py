"""Orderings of crystals whose file shares sites or leaves them partly empty."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from pydantic import ValidationError
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from matdisco.candidates.base import counts_of
from matdisco.candidates.orderings import OrderingCandidates
from matdisco.candidates.sublattices import Sublattice
from matdisco.errors import ConfigError
from matdisco.testing import check_candidates

ALL = {"occupancy_tolerance": None}


def written(folder, *species: dict[str, float]) -> str:
    """Write a cell with a site for each of the species; return the file's path."""
    spots = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    structure = Structure(Lattice.tetragonal(4.0, 4.4), species, spots[: len(species)])
    structure.to(str(folder / "parent.cif"))
    return str(folder / "parent.cif")


def by_hand(structure: Structure, choices: list[list[str]], n: int) -> list[Structure]:
    """Decorate every cell of n primitive cells; keep one of each, judged by pymatgen.

    ``He`` holds the place of vacancies while crystals are compared.
    """
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, scale=False)
    found: list[Structure] = []
    for a, c in product(range(1, n + 1), repeat=2):
        f = n // (a * c)
        if a * c * f != n:
            continue
        for b, d, e in product(range(a), range(a), range(c)):
            cell = structure * [[a, 0, 0], [b, c, 0], [d, e, f]]
            kinds = [int(site.properties["kind"]) for site in cell]
            for symbols in product(*(choices[k] for k in kinds)):
                one = Structure(cell.lattice, symbols, cell.frac_coords)
                if len(one.get_primitive_structure()) == len(cell) and not any(
                    matcher.fit(one, other) for other in found
                ):
                    found.append(one)
    return found


@pytest.mark.parametrize(
    ("species", "choices", "limits"),
    [
        ([{"Li": 0.5}, {"O": 1.0}], [["Li", "He"], ["O"]], {}),
        ([{"Li": 0.5}, {"O": 1.0}], [["Li", "He"], ["O"]], ALL),
        (
            [{"Cu": 0.5, "Au": 0.5}, {"Cu": 0.5}],
            [["Cu", "Au"], ["Cu", "He"]],
            {},
        ),
    ],
)
def test_vacancies_are_enumerated_as_by_hand(tmp_path, species, choices, limits):
    pytest.importorskip("icet")
    path = written(tmp_path, *species)
    recipe = OrderingCandidates(parent=path, max_cells=2, volume="as_given", **limits)
    made = list(recipe.stream())
    whole = Structure(
        Lattice.tetragonal(4.0, 4.4), [c[0] for c in choices],
        [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties={"kind": [0, 1]},
    )  # fmt: skip
    expected: Counter[str] = Counter()
    for n in (1, 2):
        for one in by_hand(whole, choices, n):
            kept = [s.specie.symbol for s in one if s.specie.symbol != "He"]
            shares = all(
                abs(kept.count(e) / n - sum(s.get(e, 0) for s in species)) < 0.01
                for e in {e for s in species for e in s}
            )
            if limits or shares:
                expected["".join(sorted(kept))] += 1
    assert Counter("".join(sorted(counts_text(c))) for c in made) == expected
    assert len(made) <= recipe.estimate().count
    if not limits:
        check_candidates(recipe)
    for crystal in made:
        sites = crystal.n_atoms + crystal.source.get("vacancies", 0)
        assert crystal.structure.volume / (4.0 * 4.0 * 4.4) == pytest.approx(sites / 2)


def counts_text(crystal):
    return [e for e, n in counts_of(crystal).items() for _ in range(n)]


def test_the_file_gives_the_composition_unless_it_is_freed(tmp_path):
    pytest.importorskip("icet")
    path = written(tmp_path, {"Ti": 0.25, "Zr": 0.75}, {"N": 1.0})
    with pytest.raises(
        ConfigError, match=r"Ti 0\.25, Zr 0\.75\) within 0\.01; cells of 4"
    ):
        OrderingCandidates(parent=path, max_cells=3).estimate()
    kept = OrderingCandidates(parent=path, max_cells=4)
    assert {c.formula for c in kept.stream()} == {"Zr3TiN4"}
    free = OrderingCandidates(parent=path, max_cells=2, occupancy_tolerance=None)
    assert {c.formula for c in free.stream()} == {"TiN", "ZrN", "ZrTiN2"}
    near = OrderingCandidates(parent=path, max_cells=3, occupancy_tolerance=0.1)
    assert {c.formula for c in near.stream()} == {"Zr2TiN3"}
    limits = kept.limits()
    assert limits({"Zr": 6, "Ti": 2, "N": 8}) is None
    assert "Ti is 0.25 of the atoms" in str(limits({"Zr": 1, "Ti": 1, "N": 2}))
    assert str(limits({"Zr": 3, "Hf": 1, "N": 4})).startswith("elements: Hf")


def test_thirds_are_no_vacancies_and_mix_frees_its_sites(tmp_path):
    pytest.importorskip("icet")
    thirds = written(tmp_path, {"Ti": 0.33, "Zr": 0.33, "Hf": 0.33}, {"N": 1.0})
    made = list(OrderingCandidates(parent=thirds, max_cells=3).stream())
    assert made and {c.formula for c in made} == {"HfZrTiN3"}
    holes = written(tmp_path, {"Ti": 0.5}, {"N": 1.0})
    mixed = OrderingCandidates(parent=holes, max_cells=1, mix={"Ti": ("Ti", "Zr")})
    assert {c.formula for c in mixed.stream()} == {"TiN", "ZrN", "N2"}


def test_what_cannot_be_ordered_is_told(tmp_path):
    whole = written(tmp_path, {"Ti": 1.0}, {"N": 1.0})
    with pytest.raises(ConfigError, match="every site is wholly occupied by one"):
        OrderingCandidates(parent=whole).estimate()
    with pytest.raises(ValidationError, match="as_given needs a parent file"):
        OrderingCandidates(lattice="fcc", elements=("Cu", "Au"), volume="as_given")


def test_labellings_are_counted_without_making_them():
    shared = Sublattice(("Au", "Cu", "X"), (0.5, 0.25, 0.25), 2)
    for n, tolerance in ((2, 0.01), (3, 0.2), (2, None)):
        bounds = shared.bounds(tolerance)
        ways = sum(
            all(
                low - 1e-9 <= labels.count(s) / (2 * n) <= high + 1e-9
                for s, (low, high) in zip(shared.symbols, bounds, strict=True)
            )
            for labels in product(shared.symbols, repeat=2 * n)
        )
        assert shared.labellings(n, tolerance) == ways > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mix": {"Mg": ("Mg", "Xx")}}, "unknown element 'Xx'"),
        ({"mix": {"Mg": ("X",)}}, "expected elements that may sit on its sites"),
        ({"fractions": {"Cu": (0.9, 0.1)}}, "the lower one first"),
        ({"fractions": {"Cu": (0.5, 30)}}, "two numbers from 0 to 1"),
    ],
)
def test_shares_and_mixtures_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        OrderingCandidates.from_mapping(
            {"lattice": "fcc", "elements": ["Cu", "Au"], **settings}, source="x"
        )


def test_mix_names_elements_of_the_file(tmp_path):
    path = str(tmp_path / "mgo.cif")
    spots = [[0, 0, 0], [0.5, 0.5, 0.5]]
    shared = Structure(Lattice.cubic(4.2), [{"Mg": 0.5, "Ca": 0.5}, "O"], spots)
    shared.to(path, fmt="cif")
    # the shared site would be ordered all the same, without a word about zinc
    recipe = OrderingCandidates(parent=path, mix={"Zn": ("Zn", "Mg")}, max_cells=2)
    with pytest.raises(ConfigError, match=r"mix: no Zn in .*, which holds Ca, Mg, O"):
        recipe.estimate()


def test_what_no_cell_can_hold_is_refused_without_enumerating(monkeypatch):
    def never(*_):
        raise AssertionError("enumerated")

    monkeypatch.setattr("icet.tools.enumerate_structures", never)
    huge = {"lattice": "fcc", "elements": ("Cu", "Au"), "max_cells": 12}
    with pytest.raises(ConfigError, match=r"up to 12 primitive cells has the fract"):
        OrderingCandidates(**huge, fractions={"Cu": (0.92, 0.99)}).estimate()
    assert OrderingCandidates(**huge, fractions={"Cu": (0.91, 0.99)}).estimate().count


def test_compositions_are_those_of_the_cells(tmp_path):
    path = str(tmp_path / "two.cif")
    spots = [[0, 0, 0], [0.5, 0.5, 0.5]]
    sites = [{"Mg": 0.5, "Ca": 0.25}, {"O": 0.5, "S": 0.5}]
    Structure(Lattice.cubic(4.2), sites, spots).to(path, fmt="cif")
    recipe = OrderingCandidates(parent=path, occupancy_tolerance=0.3, max_cells=2)
    possible = {
        tuple(sorted(counts.items()))
        for n in (1, 2)
        for counts in recipe._parent().compositions(n, 0.3)
    }
    made = {tuple(sorted(counts_of(c).items())) for c in recipe.stream()}
    assert made == {tuple((e, n) for e, n in c if n) for c in possible} - {()}
