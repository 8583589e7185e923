"""A potential of one's own is a trend and a zero-shot surrogate like any other."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from typing_extensions import override

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError, SurrogateError
from surrogates import load
from surrogates.featurizers.formation import elemental_energy, formation_energies
from surrogates.featurizers.own_potential import own_potential
from surrogates.recipes import (
    AnySurrogate,
    GaussianProcessRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
    recipe_of,
)

EMT_PLACE = "ase.calculators.emt:EMT"


class Counted(EMT):
    """ASE's effective medium theory; says how often it was asked."""

    version: ClassVar[str] = "1"
    asked: ClassVar[int] = 0

    @override
    def get_potential_energy(self, *args: Any, **kwargs: Any) -> Any:
        type(self).asked += 1
        return super().get_potential_energy(*args, **kwargs)  # type: ignore[no-untyped-call]


class Rows:
    """Effective medium theory as an embedding: a constant, then eV/atom."""

    name, version, width = "rows", "1", 2

    def __call__(self, crystals: Sequence[Crystal]) -> np.ndarray:
        out = np.ones((len(crystals), 2))
        for row, crystal in zip(out, crystals, strict=True):
            atoms = crystal.to_atoms()
            atoms.calc = EMT()
            row[1] = atoms.get_potential_energy() / len(atoms)
        return out


class Odd:
    """An ASE-like calculator of whatever it is told to answer."""

    version = "1"
    answer: ClassVar[Any] = 0.0

    def get_potential_energy(self, atoms: Any = None, **_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer * len(atoms)

    # what ASE's Atoms ask of a calculator
    def calculation_required(self, atoms: Any, what: Any) -> bool:
        return True


def number() -> float:
    return 3.0


@pytest.fixture(scope="module", autouse=True)
def energies_of_this_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Elements are the dear part: every potential is asked about them once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATDISCO_CACHE", str(tmp_path_factory.mktemp("cache")))
        own_potential.cache_clear()
        elemental_energy.cache_clear()
        yield
    own_potential.cache_clear()
    elemental_energy.cache_clear()


@pytest.fixture
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATDISCO_CACHE", str(tmp_path / "cache"))
    own_potential.cache_clear()


def alloys() -> list[Crystal]:
    """B2 and L1_0 alloys of EMT's metals at several volumes."""
    made = []
    metals = ["Al", "Cu", "Ni", "Pd"]
    radius = {m: bulk(m).cell.lengths()[0] for m in metals}
    for i, a in enumerate(metals):
        for b in metals[i + 1 :]:
            edge = 0.57 * (radius[a] + radius[b])
            for k, scale in enumerate((0.95, 0.97, 1.0, 1.03, 1.06)):
                atoms = bulk(a + b, "cesiumchloride", a=edge * scale)
                made.append(Crystal.from_atoms(atoms, f"{a}{b}-{k}"))
    return made


ALLOYS = alloys()


def labelled(crystals: Sequence[Crystal]) -> Dataset:
    """The 'truth': formation energies of EMT and something smooth on top."""
    truth = formation_energies(EMT_PLACE, crystals)
    more = [0.03 * np.tanh(c.structure.volume / c.n_atoms - 14.0) for c in crystals]
    return Dataset(
        "alloys",
        tuple(
            c.with_labels({"e": Label(float(t + m), "eV/atom")})
            for c, t, m in zip(crystals, truth, more, strict=True)
        ),
    )


def test_energies_are_over_the_potentials_own_elements() -> None:
    metals = [Crystal.from_atoms(bulk(m), m) for m in ("Al", "Cu", "Ni")]
    np.testing.assert_allclose(formation_energies(EMT_PLACE, metals), 0, atol=0.02)
    rows = formation_energies(f"{__name__}:Rows", ALLOYS[:5])
    np.testing.assert_allclose(
        rows, formation_energies(EMT_PLACE, ALLOYS[:5]), atol=1e-5
    )


def test_a_process_over_it_learns_what_it_gets_wrong(tmp_path: Path) -> None:
    whole = labelled(ALLOYS)
    learn, test = whole.take(np.arange(0, 30, 2)), whole.take(np.arange(1, 30, 2))
    y = test.values("e")
    trend = EMT_PLACE
    over = GaussianProcessRecipe(trend=trend, threads=1).build(0)
    alone = GaussianProcessRecipe(threads=1).build(0)
    zero = ZeroShotRecipe(potential=trend, threads=1).build(0)
    for surrogate in (over, alone, zero):
        surrogate.fit(learn, "e")
    error = {
        s: np.abs(s.predict(test.crystals).mean - y).mean() for s in (over, alone, zero)
    }
    assert error[over] < 0.7 * error[alone] and error[zero] < error[alone]
    assert trend in over.describe()["surrogate"]
    assert trend in zero.describe()["surrogate"]
    for k, surrogate in enumerate((over, zero)):
        surrogate.save(tmp_path / str(k))
        loaded = load(tmp_path / str(k)).predict(test.crystals)
        np.testing.assert_array_equal(
            loaded.mean, surrogate.predict(test.crystals).mean
        )


@pytest.mark.usefixtures("nothing_cached")
def test_each_structure_goes_through_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Counted.asked = 0
    place = f"{__name__}:Counted"
    first = own_potential(place).energies(ALLOYS[:5])
    assert Counted.asked == 5
    again = own_potential(place).energies([*ALLOYS[:6], ALLOYS[0]])
    assert Counted.asked == 6
    np.testing.assert_array_equal(again[:5], first)
    monkeypatch.setattr(Counted, "version", "2")
    own_potential.cache_clear()
    own_potential(place).energies(ALLOYS[:5])
    assert Counted.asked == 11, "another version is another cache"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (float("nan"), r"AlCu-1: .*test_own_potential:Odd says nan eV/atom"),
        (float("inf"), r"AlCu-1: .*says inf eV/atom, expected between -100"),
        (-5858.0, r"AlCu-1: .*says -5.86e\+03 eV/atom"),
        (
            RuntimeError("out of\nmemory"),
            r"AlCu-1: .*failed \(RuntimeError: out of mem",
        ),
    ],
    ids=["nan", "inf", "huge", "raises"],
)
def test_what_goes_wrong_is_a_sentence_with_the_crystal(
    answer: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Odd, "answer", answer)
    with pytest.raises(SurrogateError, match=message):
        own_potential(f"{__name__}:Odd").energies(ALLOYS[1:3])
    with pytest.raises(SurrogateError, match=r"no simple crystal of Al"):
        elemental_energy(f"{__name__}:Odd", "Al")


def test_an_element_it_does_not_know_is_a_sentence() -> None:
    titanium = Crystal.from_atoms(bulk("Ti", "fcc", a=4.1), "ti-1")
    with pytest.raises(SurrogateError, match=r"ti-1: .*emt:EMT.*NotImplementedError"):
        formation_energies(EMT_PLACE, [titanium])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere.at.all:Thing", "cannot import it.*PYTHONPATH"),
        ("json:dumps", "calling it failed"),
        (f"{__name__}:number", "expected an ASE calculator.* got float"),
    ],
)
def test_what_is_no_potential_is_told(place: str, message: str) -> None:
    with pytest.raises(SurrogateError, match=message):
        own_potential(place)


def test_what_is_in_no_file_needs_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ModuleType("typed")
    made = type("Typed", (), {"get_potential_energy": lambda *_: 0.0})
    made.__module__ = "typed"
    monkeypatch.setattr(typed, "Typed", made, raising=False)
    monkeypatch.setitem(sys.modules, "typed", typed)
    with pytest.raises(
        SurrogateError, match="in no file; give it an attribute version"
    ):
        own_potential("typed:Typed")
    monkeypatch.setattr(made, "version", "1", raising=False)
    assert own_potential("typed:Typed").fingerprint == "1"


def test_a_recipe_takes_names_and_places_alone() -> None:
    assert GaussianProcessRecipe(trend=EMT_PLACE).packages == ()
    assert ZeroShotRecipe(potential="sevennet").packages == (("sevenn", "sevennet"),)
    with pytest.raises(ConfigError, match=r"unknown potential 'chgnt'.*chgnet"):
        recipe_of({"kind": "gaussian_process", "trend": "chgnt"}, "here")
    assert RandomForestRecipe().packages == ()


def test_a_checkpoint_refuses_without_its_potential_or_with_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "mine" / "my_own_emt.py"
    module.parent.mkdir()
    text = "from ase.calculators.emt import EMT\nclass Mine(EMT):\n    pass\n"
    module.write_text(text)
    monkeypatch.syspath_prepend(str(module.parent))
    recipes: tuple[AnySurrogate, ...] = (
        GaussianProcessRecipe(trend="my_own_emt:Mine", threads=1),
        ZeroShotRecipe(potential="my_own_emt:Mine", threads=1),
    )
    for k, recipe in enumerate(recipes):
        surrogate = recipe.build(0)
        surrogate.fit(labelled(ALLOYS[:5]), "e")
        surrogate.save(tmp_path / str(k))
        load(tmp_path / str(k))
    module.write_text(text + "# other weights\n")
    own_potential.cache_clear()
    for k in range(2):
        with pytest.raises(SurrogateError, match=r"'my_own_emt:Mine' in another vers"):
            load(tmp_path / str(k))
    module.unlink()
    del sys.modules["my_own_emt"]
    own_potential.cache_clear()
    for k in range(2):
        with pytest.raises(SurrogateError, match=r"'my_own_emt:Mine': cannot import"):
            load(tmp_path / str(k))
