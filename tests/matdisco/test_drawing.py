"""Pictures of crystals: well-formed, complete, told apart, safe."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal, Label
from matdisco.drawing import (
    ALIKE,
    MOST_ATOMS,
    Scene,
    _distance,
    crystal_html,
    crystal_svg,
    formula_html,
    legend,
    palette,
)

SVG = "{http://www.w3.org/2000/svg}"


def caesium_chloride(a: str = "Ni", b: str = "Al") -> Crystal:
    structure = Structure(Lattice.cubic(2.88), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal("B2", structure)


def test_atoms_on_faces_appear_on_all_of_them() -> None:
    scene = Scene.of(caesium_chloride())
    assert scene.species.count("Ni") == 8
    assert scene.species.count("Al") == 1
    corners = scene.positions[[s == "Ni" for s in scene.species]]
    assert np.allclose(np.abs(corners), 1.44)


def test_float_noise_at_a_face_does_not_lose_images() -> None:
    structure = Structure(Lattice.cubic(3), ["Fe"], [[1 - 1e-9, 1e-12, -1e-10]])
    assert len(Scene.of(Crystal("x", structure)).species) == 8


def test_sticks_join_nearest_neighbours_only() -> None:
    scene = Scene.of(caesium_chloride())
    assert len(scene.bonds) == 8  # the centre to its corners, not along the edges
    assert all("Al" in (scene.species[i], scene.species[j]) for i, j in scene.bonds)


def test_svg_is_well_formed_and_holds_every_ball() -> None:
    root = ET.fromstring(crystal_svg(caesium_chloride(), 100))
    assert len(root.findall(f"{SVG}circle")) == 2 * 9  # ball and highlight
    assert root.get("width") == "100"
    assert "AlNi" in root.get("aria-label")
    for circle in root.findall(f"{SVG}circle"):
        assert 0 <= float(circle.get("cx")) <= 100
        assert 0 <= float(circle.get("cy")) <= 100


def test_cell_has_twelve_edges_of_right_length() -> None:
    structure = Structure(
        Lattice.from_parameters(2, 3, 4, 80, 95, 110), ["Ti"], [[0] * 3]
    )
    lengths = np.linalg.norm(
        np.diff(Scene.of(Crystal("t", structure)).edges, axis=1), axis=2
    )
    assert np.allclose(np.sort(lengths.ravel()), np.repeat([2, 3, 4], 4))


def test_html_escapes_what_came_from_files() -> None:
    crystal = Crystal(
        "<script>alert(1)</script>",
        caesium_chloride().structure,
        labels={"energy_per_atom": Label(-5.0, "eV/atom", "<b>me</b>", 0.1)},
        source={"prototype": "<i>x</i>"},
    )
    html = crystal_html(crystal)
    assert "<script" not in html
    assert "<b>me" not in html
    assert "<i>x" not in html
    assert "-5.0000 ± 0.1 eV/atom" in html


def test_crystal_shows_itself_in_jupyter() -> None:
    assert "<svg" in caesium_chloride()._repr_html_()


@pytest.mark.parametrize(
    "elements", [("Al", "Ni", "Ti"), ("Co", "Cr", "Fe", "Mn", "Ni", "V"), ("Ag", "Au")]
)
def test_colours_can_be_told_apart(elements: tuple[str, ...]) -> None:
    colours = palette(elements)
    assert set(colours) == set(elements)
    for element in elements:
        others = [c for e, c in colours.items() if e != element]
        assert _distance(colours[element], others) >= ALIKE - 1e-9


def test_colours_do_not_depend_on_the_order_of_elements() -> None:
    assert palette(("Ti", "Al", "Ni")) == palette(("Al", "Ni", "Ti"))


def test_one_legend_entry_per_element() -> None:
    assert legend(caesium_chloride()).count("border-radius") == 2


def test_disordered_and_huge_cells_are_drawn() -> None:
    mixed = Structure(Lattice.cubic(3), [{"Fe": 0.7, "Al": 0.3}], [[0, 0, 0]])
    assert set(Scene.of(Crystal("m", mixed)).species) == {"Fe"}
    n = MOST_ATOMS + 1
    places = np.random.default_rng(0).random((n, 3))
    big = Structure(Lattice.cubic(30), ["Si"] * n, places)
    scene = Scene.of(Crystal("big", big))
    assert len(scene.species) == n
    assert scene.bonds == ()


def test_scene_is_plain_data() -> None:
    data = json.loads(json.dumps(Scene.of(caesium_chloride()).to_dict()))
    assert len(data["atoms"]) == 9
    assert {e["symbol"] for e in data["elements"]} == {"Al", "Ni"}
    assert np.array(data["cell"]).shape == (3, 3)


def test_formula_with_decimals_and_markup() -> None:
    assert formula_html("Fe0.5Ni12") == "Fe<sub>0.5</sub>Ni<sub>12</sub>"
    assert "<b>" not in formula_html("<b>")
