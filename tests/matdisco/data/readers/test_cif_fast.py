"""The fast CIF path gives what pymatgen gives, or leaves the work to it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from matdisco.data.readers import cif, cif_fast

from . import samples


def same(a: Structure, b: Structure) -> bool:
    if len(a) != len(b) or not np.allclose(a.lattice.parameters, b.lattice.parameters):
        return False
    nearest = a.lattice.get_all_distances(a.frac_coords, b.frac_coords)
    partner = nearest.argmin(axis=1)
    return (
        nearest.min(axis=1).max() < 2e-3
        and len(set(partner)) == len(a)
        and all(
            s.species.almost_equals(b[int(j)].species)
            for s, j in zip(a, partner, strict=True)
        )
    )


# made when asked for: pymatgen takes a second for a space group
STRUCTURES = {
    "rocksalt": lambda: Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ),
    "wurtzite": lambda: Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.8, 6.3), ["Zn", "S"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]],
    ),
    "corundum": lambda: Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"],
        [[0, 0, 0.352], [0.306, 0, 0.25]],
    ),
    "mixed": lambda: Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9),
        [{"Ca": 0.25, "Sr": 0.5}, "Ti", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
    ),
    "triclinic": lambda: Structure(
        Lattice.from_parameters(4, 5, 6, 80, 95, 110), ["Fe", "O", "O"],
        [[0.1, 0.2, 0.3], [0.4, 0.9, 0.7], [0.66, 0.3331, 0.05]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("symprec", [None, 0.01])
def test_same_as_pymatgen(name: str, symprec: float | None) -> None:
    structure = STRUCTURES[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spglib's, not ours
        text = str(CifWriter(structure, symprec=symprec, refine_struct=False))
    fast = cif_fast.read(text)
    assert fast is not None
    slow, _ = cif._parse(text, 1.0)
    assert same(fast, slow)
    assert same(fast, structure)


@pytest.mark.parametrize(
    "change",
    [
        ("O1 O 0.5 0.5 0.5 1", "O1 O 0.5 0.5 0.5 1.2"),
        ("O1 O 0.5 0.5 0.5 1", "O1 O2- 0.5 0.5 0.5 1"),
        ("O1 O 0.5 0.5 0.5 1", "O1 O 0.5 ? 0.5 1"),
        ("'Mg O'", "'Mg2 O'"),
        ("Mg2 Mg 0 0.5 0.5 1", "Mg2 Mg 0 0 0 1"),
        ("_atom_site_occupancy", "_atom_site_calc_flag"),
    ],
)
def test_what_is_not_plain_is_left_to_pymatgen(change: tuple[str, str]) -> None:
    text = samples.CIF.replace(*change)
    assert text != samples.CIF
    assert cif_fast.read(samples.CIF) is not None
    assert cif_fast.read(text) is None
