"""Formation energies by a potential: elements are zero, compounds are not."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal as spacegroup

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates import load
from surrogates.checkpoint import Checkpoint, read, write
from surrogates.featurizers.formation import elemental_energy, formation_energies
from surrogates.featurizers.table import features
from surrogates.tabular.recipes import GaussianProcessRecipe, ZeroShotRecipe

POTENTIALS = {
    name: pytest.mark.skipif(find_spec(package) is None, reason=f"{package} missing")
    for name, package in (("chgnet", "chgnet"), ("sevennet", "sevenn"))
}
EACH = pytest.mark.parametrize(
    "potential", [pytest.param(n, marks=mark) for n, mark in POTENTIALS.items()]
)


def one(name: str, atoms: object) -> Crystal:
    return Crystal.from_atoms(atoms, name)  # type: ignore[arg-type]


COMPOUNDS = [
    one("NiAl", bulk("NiAl", "cesiumchloride", a=2.887)),
    one("NaCl", bulk("NaCl", "rocksalt", a=5.64)),
    one(
        "TiAl",
        spacegroup(
            ("Ti", "Al"), [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=123,
            cellpar=[2.829, 2.829, 4.077, 90, 90, 90],
        ),
    ),
]  # fmt: skip
MEASURED = np.array([-0.66, -2.13, -0.39])
"""eV/atom: NiAl and TiAl by calorimetry (O. Kubaschewski et al., Materials
Thermochemistry, 1993), NaCl -411.1 kJ/mol (CODATA)."""


REFERENCES = {"O": -4.95, "N": -8.34, "C": -9.23, "Si": -5.42, "H": -3.39, "W": -12.96}
"""eV/atom of the stable elements in the Materials Project, uncorrected PBE, on which
both potentials were trained."""


@EACH
def test_elements_are_where_their_potential_learnt_them(potential: str) -> None:
    for symbol, energy in REFERENCES.items():
        found = elemental_energy(potential, symbol, 1)
        assert found == pytest.approx(energy, abs=0.25), symbol


@EACH
def test_metals_are_zero_and_compounds_are_not(potential: str) -> None:
    metals = [
        one("Al", bulk("Al", "fcc", a=4.04)),
        one("Ni", bulk("Ni", "fcc", a=3.51)),
        one("Ti", bulk("Ti", "hcp", a=2.94, c=4.64)),
    ]
    found = formation_energies(potential, metals, n_threads=1)
    np.testing.assert_allclose(found, 0.0, atol=0.03)
    found = formation_energies(potential, COMPOUNDS, n_threads=1)
    # uncorrected PBE binds chlorides less than nature does
    np.testing.assert_allclose(found, MEASURED, atol=0.35)
    np.testing.assert_allclose(found[[0, 2]], MEASURED[[0, 2]], atol=0.1)


@EACH
def test_a_larger_cell_has_the_same_energy(potential: str) -> None:
    pair = [one("x", bulk("Al", "fcc", a=4.1)), one("y", bulk("Al", "fcc", a=4.1) * 2)]
    small, large = formation_energies(potential, pair, n_threads=1)
    assert small == pytest.approx(large, abs=1e-4)
    column = features(f"{potential}_formation", pair, n_threads=1)
    assert column.shape == (2, 1) and column[0, 0] == small


@pytest.mark.skipif(find_spec("chgnet") is None, reason="chgnet missing")
def test_an_element_that_a_potential_does_not_know_is_a_sentence() -> None:
    with pytest.raises(SurrogateError, match="does not know the element"):
        elemental_energy("chgnet", "Am", 1)


@pytest.mark.skipif(find_spec("chgnet") is None, reason="chgnet missing")
@pytest.mark.parametrize(
    "build",
    [
        lambda: ZeroShotRecipe(threads=1).build(0),
        lambda: GaussianProcessRecipe(trend="chgnet", threads=1).build(0),
    ],
    ids=["zero_shot", "delta"],
)
def test_a_checkpoint_on_total_energies_is_refused(
    tmp_path: Path, build: Callable[[], object]
) -> None:
    rows = [
        one(f"{a:.2f}", bulk("NiAl", "cesiumchloride", a=a))
        for a in np.linspace(2.8, 3.0, 6)
    ]
    rows = [c.with_labels({"x": Label(float(k), "eV")}) for k, c in enumerate(rows)]
    surrogate = build()
    surrogate.fit(Dataset("NiAl", tuple(rows)), "x")  # type: ignore[attr-defined]
    surrogate.save(tmp_path / "now")  # type: ignore[attr-defined]
    assert load(tmp_path / "now").predict(rows[:2]).mean.shape == (2,)
    whole = read(tmp_path / "now")
    own = {k: v for k, v in whole.state["own"].items() if k != "over"}
    state = {**whole.state, "own": own}
    write(tmp_path / "before", Checkpoint(whole.recipe, state, whole.arrays))
    with pytest.raises(SurrogateError, match=r"before: .* total energies.* fit it"):
        load(tmp_path / "before")
