"""Screening rules: on textbook compounds, on altered copies, on real crystals."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition, Lattice, Structure

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.screening.facts import fact, facts
from matdisco.screening.oxidation import balance
from matdisco.screening.recipe import ScreeningRecipe
from matdisco.screening.screen import Screen, ScreeningReport, describe


def screen(**blocks) -> Screen:
    return ScreeningRecipe.model_validate(blocks).build()


def cubic(a: float, *symbols: str, id: str = "x") -> Crystal:  # noqa: A002
    spots = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal(
        id, Structure(Lattice.cubic(a), list(symbols), spots[: len(symbols)])
    )


def rule(screen: Screen, crystal: Crystal) -> str | None:
    rejected = screen.judge(crystal).rejected
    return rejected and rejected.rule


SRTIO3 = ("Sr", "Ti", "O", "O", "O")


@pytest.mark.parametrize(
    ("formula", "neutral"),
    [("NaCl", True), ("Fe3O4", True), ("BaTiO3", True), ("Na2O2", True),
     ("NaCl2", False), ("AlF5", False), ("MgCaF3", False)],
)  # fmt: skip
def test_charges_of_textbook_compounds(formula, neutral):
    counts = {str(e): int(n) for e, n in Composition(formula).items()}
    assert balance(counts).neutral == neutral
    # a multiple of the formula unit is the same compound
    assert balance({e: 3 * n for e, n in counts.items()}).neutral == neutral


def test_each_rule_rejects_what_it_is_for():
    whole = screen(elements={"rohs": False, "hhi_production": 6000})
    assert rule(whole, cubic(3.9, *SRTIO3)) is None
    assert rule(whole, cubic(3.0, "Ni", "Al", id="alloy")) is None
    assert rule(whole, cubic(3.9, "Pb", "Ti", "O", "O", "O")) == "elements"
    assert rule(whole, cubic(3.9, "Sr", "U", "O", "O", "O")) == "elements"
    assert rule(whole, cubic(3.9, "La", "Y", "O", "O", "O")) == "elements"  # HHI
    assert rule(whole, cubic(3.9, "Mg", "Ca", "F", "F", "F")) == "charge_balance"
    assert rule(whole, cubic(3.0, *SRTIO3, id="small")) == "density"
    assert rule(whole, cubic(9.0, *SRTIO3, id="large")) == "density"
    close = Structure(Lattice.cubic(3.9), SRTIO3,
                      [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.4], [0.5, 0, 0.5],
                       [0, 0.5, 0.5]])  # fmt: skip
    assert rule(whole, Crystal("close", close)) == "distances"
    assert rule(whole, cubic(3.95, *SRTIO3, id="again")) == "duplicates"


def test_severity_decides_and_flags_travel():
    flagging = screen(charge_balance={"severity": "flag"})
    odd = cubic(4.0, "Mg", "Ca", "F", "F", "F")
    screened = flagging.judge(odd)
    assert screened.rejected is None
    assert "charge_balance" in screened.crystal.source["flags"]
    off = screen(charge_balance={"severity": "off"})
    assert off.judge(odd).findings == ()
    report = ScreeningReport()
    report.add(screened)
    assert describe(report.summary()).endswith("1 flagged (charge_balance 1)")


def test_novelty_is_judged_by_a_reference_set(tmp_path):
    path = Dataset("known", (cubic(3.905, *SRTIO3),)).save(tmp_path / "k.parquet")
    novel = screen(novelty={"against": [str(path)]})
    doubled = cubic(3.9, *SRTIO3).structure * (1, 1, 2)
    finding = novel.judge(Crystal("supercell", doubled)).rejected
    assert finding is not None and finding.rule == "novelty"
    assert finding.numbers["match"] == "x" and str(path) in finding.message
    assert rule(novel, cubic(4.1, "Ba", "Ti", "O", "O", "O")) is None


@pytest.mark.parametrize(
    ("level", "a", "sentence"),
    [
        ("same", 5.62, "the same crystal as x (pool)"),
        ("same", 7.0, "the same crystal as x (pool) at 1.95 times its volume; relaxing "
                      "the cell would make them one"),
        ("similar", 5.62, "of one prototype with x (pool)"),
        ("similar", 7.0, "of one prototype with x (pool) at 1.95 times its volume"),
    ],
)  # fmt: skip
def test_duplicates_are_compared_at_one_volume_and_say_so(level, a, sentence):
    asked = screen(duplicates={"level": level}, density={"severity": "off"})
    for edge, id_ in ((5.6, "x"), (a, "y")):
        salt = Structure.from_ase_atoms(bulk("NaCl", "rocksalt", edge, cubic=True))
        finding = asked.judge(Crystal(id_, salt)).rejected
    assert finding is not None and finding.message == sentence
    assert finding.numbers["volume_ratio"] == pytest.approx((a / 5.6) ** 3, abs=1e-4)


def altered(structure: Structure, rng: np.random.Generator) -> list[Structure]:
    """The same crystal as a supercell, rotated and shifted, strained and rattled."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = structure.lattice.matrix @ (q * np.sign(np.diag(r)))
    order = rng.permutation(len(structure))
    species = [structure[int(i)].specie for i in order]
    shifted = Structure(turned, species, (structure.frac_coords + rng.random(3))[order])
    rattled = structure.copy()
    rattled.perturb(0.04)
    rattled.apply_strain(0.02)
    return [structure * (2, 1, 1), shifted, rattled]


def test_altered_copies_are_found_and_neighbours_kept(monkeypatch):
    from matdisco.candidates.prototypes import PrototypeCandidates

    np.random.seed(0)  # pymatgen's perturb draws from the global generator
    rng = np.random.default_rng(0)
    pool = list(PrototypeCandidates(elements=("Cu", "Au"), max_atoms=4).stream())
    seen = screen(density={"severity": "off"})
    new = [c for c in pool if rule(seen, c) is None]
    assert len(new) >= 0.95 * len(pool)
    copies = [
        Crystal(f"{c.id}+{k}", s)
        for c in new[::6]
        for k, s in enumerate(altered(c.structure, rng))
    ]
    found = [rule(seen, c) == "duplicates" for c in copies]
    assert np.mean(found) >= 0.95


def test_facts_agree_with_pymatgen_and_name_their_sources():
    model = HHIModel()
    for symbol in ("Ti", "Nd", "O", "Pt", "Li"):
        assert fact("hhi_production", symbol) == model.get_hhi_production(symbol)
        assert fact("hhi_reserve", symbol) == model.get_hhi_reserve(symbol)
    for one in facts().values():
        assert one.source and 2000 < one.dated < 2100 and one.values
    assert fact("price", "Og") is None and fact("rohs", "Pb")


def test_an_unknown_value_passes_or_not_as_asked():
    compound = cubic(4.0, "Sr", "Ti", "O", "O", "O")
    assert rule(screen(elements={"price": 1e6}), compound) is None
    strict = screen(elements={"hhi_production": 9000, "unknown": False})
    assert rule(strict, cubic(5.0, "Rn", "H")) == "elements"


def test_few_real_crystals_are_rejected(shared_data):
    import pandas as pd

    table = pd.read_parquet(shared_data / "mp20_biternary" / "data.parquet")
    whole = screen(elements={"severity": "off"}, duplicates={"severity": "off"})
    report = ScreeningReport()
    for row in table.iloc[::70].itertuples():
        structure = Structure(
            Lattice(np.reshape(row.lattice, (3, 3))), list(row.species),
            np.reshape(row.frac_coords, (-1, 3)),
        )  # fmt: skip
        report.add(whole.judge(Crystal(str(row.material_id), structure)))
    assert report.made > 200 and report.kept / report.made > 0.97
