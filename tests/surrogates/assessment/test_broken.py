"""Each way to be broken is caught by the check that is made for it, and by no luck.

The honest forest below passes every one of these checks; the broken ones are that same
forest with one thing wrong.
"""

from dataclasses import replace

import numpy as np
import pytest
from assessed import FOREST, QUICK, TARGET
from numpy.linalg import norm

from matdisco.crystal import Crystal
from surrogates.assessment.battery import assess
from surrogates.assessment.doors import open_checkpoint, potential, wrap
from surrogates.assessment.potential import drift
from surrogates.assessment.safety import poisoned
from surrogates.assessment.subject import Guess, Subject, Training
from surrogates.assessment.suite import SuiteRecipe
from surrogates.assessment.trial import relabelled

CAUGHT = {
    "constant": ("efficacy.skill", "efficacy.spread_ratio", "robustness.sees_species"),
    "turns with the frame": ("robustness.rotation",),
    "counts atoms": ("robustness.supercell",),
    "order of atoms": ("robustness.permutation",),
    "absolute positions": ("robustness.translation", "robustness.atom_wrap"),
    "overconfident": ("calibration.rms_z", "calibration.undercoverage_90"),
    "trained on the test set": ("safety.leaked",),
    "poisoned": ("safety.suspect_labels",),
}


def verdicts(subject: Subject, data, suite=QUICK, **rest) -> dict[str, str]:
    card, _ = assess(subject, data, suite, target=TARGET, **rest)
    return {k: m["verdict"] for k, m in card.measures().items()}


@pytest.fixture(scope="module")
def honest(forest, test):
    return verdicts(open_checkpoint(forest), test)


def with_error(subject: Subject, error) -> Subject:
    """Return the subject with ``error(crystal)`` added to each prediction, eV/atom."""

    def predict(crystals):
        found = subject.predict(crystals)
        return Guess(found.mean + [error(c) for c in crystals], found.std)

    return replace(subject, predict=predict)


@pytest.fixture
def broken(forest, train, test, tmp_path):
    good = open_checkpoint(forest)
    centre = float(np.median(train.values(TARGET)))

    def fitted(data) -> Subject:
        surrogate = FOREST.build(0)
        surrogate.fit(data, TARGET)
        surrogate.save(tmp_path / "fitted")
        return open_checkpoint(tmp_path / "fitted")

    def tilt(crystal: Crystal) -> float:
        first = np.array(crystal.structure.lattice.matrix[0])
        return 0.2 * float(first[2] / norm(first))

    def distance(crystal: Crystal) -> float:
        return 0.1 * float(norm(crystal.structure.cart_coords, axis=1).min())

    def make(name: str) -> Subject:
        match name:
            case "constant":
                return replace(
                    good,
                    predict=lambda cs: Guess(
                        np.full(len(cs), centre), np.full(len(cs), 1.0)
                    ),
                )
            case "turns with the frame":
                return with_error(good, tilt)
            case "counts atoms":
                return with_error(good, lambda c: 0.01 * c.n_atoms)
            case "order of atoms":
                return with_error(good, lambda c: 0.02 * float(c.atomic_numbers[0]))
            case "absolute positions":
                return with_error(good, distance)
            case "overconfident":
                return replace(
                    good,
                    predict=lambda cs: (g := good.predict(cs))._replace(std=g.std / 5),
                )
            case "trained on the test set":
                return fitted(replace(train, crystals=(*train[:100], *test)))
            case "poisoned":
                labels = poisoned(train.values(TARGET), 0.1, seed=1)
                return fitted(relabelled(train, TARGET, labels))
        raise AssertionError(name)

    return make


@pytest.mark.parametrize("name", list(CAUGHT))
def test_caught_by_the_right_check(name, broken, honest, test):
    safety = any(check.startswith("safety") for check in CAUGHT[name])
    sections = QUICK.sections if safety else QUICK.sections[:3]
    suite = QUICK.model_copy(update={"sections": sections})
    found = verdicts(broken(name), test, suite)
    for check in CAUGHT[name]:
        assert found[check] == "fail", f"{name}: {check} says {found[check]}"
        assert honest[check] in ("pass", "warn"), f"honest forest fails {check}"
    others = {k for checks in CAUGHT.values() for k in checks} - set(CAUGHT[name])
    if name not in ("constant", "counts atoms"):  # those break several things at once
        false = [k for k in others if found.get(k) == "fail"]
        assert not false, f"{name} also fails {false}"


def test_memory_gives_itself_away_without_any_record(broken, train, test):
    """Even where the training data are unknown, memorised answers are too good."""
    suite = QUICK.model_copy(
        update={"refits": True, "sections": ("safety",), "requires": ()}
    )
    secret = broken("trained on the test set")
    unknown = replace(secret, training=Training())
    found = verdicts(unknown, test, suite)
    assert found["safety.memorised"] != "pass"
    assert "safety.leaked" not in found


def test_training_data_by_name_show_leaks_and_poison(forest, train, test):
    """The same checks for a subject that keeps nothing: the caller names the data."""
    blind = replace(open_checkpoint(forest), training=replace(
        open_checkpoint(forest).training, hash="", features=None))  # fmt: skip
    suite = QUICK.model_copy(update={"sections": ("safety",), "requires": ()})
    test = test[:50]  # every pair of one formula is compared
    clean = verdicts(blind, test, suite, training=train)
    assert clean["safety.leaked"] == "pass"
    assert clean["safety.suspect_labels"] == "pass"
    dirty = relabelled(train, TARGET, poisoned(train.values(TARGET), 0.1, seed=2))
    both = replace(dirty, crystals=(*dirty, *test[:15]))
    found = verdicts(blind, test, suite, training=both)
    assert found["safety.leaked"] == "fail"
    assert found["safety.suspect_labels"] == "fail"


def test_potential_with_wrong_forces_is_caught(records):
    from ase.calculators.emt import EMT

    class Wrong(EMT):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["forces"] = 0.9 * self.results["forces"]

    suite = QUICK.model_copy(update={"sections": ("potential",), "requires": (),
                                     "nve_steps": 60})  # fmt: skip
    metals = records.take([i for i, c in enumerate(records) if "Ti" not in c.elements])
    right = verdicts(potential("emt", EMT, {}), metals, suite)
    wrong = verdicts(potential("wrong", Wrong, {}), metals, suite)
    assert right["potential.force_error"] == "pass"
    assert right["potential.nve_drift"] != "fail"
    assert right["potential.stress_error"] == "pass"
    assert wrong["potential.force_error"] == "fail"
    assert wrong["potential.stress_error"] == "pass"


def test_function_door():
    def predict(crystals):
        return np.zeros(len(crystals))

    assert wrap(predict, "here:predict").predict([]).mean.shape == (0,)


def test_a_potential_that_answers_without_positions_says_so(records):
    """An energy is no answer to positions that are not numbers, however high."""
    from ase.calculators.emt import EMT

    class Deaf(EMT):
        def calculate(self, atoms, *args, **kwargs):
            whole = atoms.copy()
            whole.positions = np.nan_to_num(whole.positions)
            super().calculate(whole, *args, **kwargs)
            if not np.isfinite(atoms.positions).all():
                self.results["energy"] = 1e6

    metals = records.take([i for i, c in enumerate(records) if "Ti" not in c.elements])
    suite = SuiteRecipe.standard().model_copy(
        update={"sections": ("robustness",), "potential_crystals": 2}
    )

    def absurd(made) -> tuple[dict[str, float], str]:
        card, _ = assess(potential("emt", made, {}), metals, suite, target=TARGET)
        section = card.body["sections"][0]
        shares = {r["input"]: r["refused"] for r in section["series"]["absurd"]}
        return shares, card.measures()["robustness.absurd_caught"]["text"]

    shares, text = absurd(Deaf)
    assert shares["not a number"] == 0
    assert "answered with confidence" in text and "not a number" in text
    shares, text = absurd(EMT)
    assert shares["not a number"] == 1 and "not a number" not in text


def test_poison_keeps_positive_labels_positive():
    labels = np.array([1.0, 2.0, 50.0, 400.0, 900.0] * 20)
    moved = poisoned(labels, 0.2, seed=0)
    assert (moved > 0).all()
    assert (moved != labels).sum() == 20
    either = poisoned(labels - 300, 0.2, seed=0) - (labels - 300)
    assert either.min() < 0 < either.max()


def test_drift_is_told_from_fluctuation():
    time = np.arange(200) / 1000
    noise = np.random.default_rng(0).normal(0, 0.3, 200)
    assert drift(time, noise) < 1
    assert drift(time, 20 * time + noise) == pytest.approx(20, abs=4)


def test_references_are_fitted_without_the_record_they_judge(records):
    """A potential right up to one constant per element is perfect; noise stays."""
    metals = records.take(range(80))
    truth = dict(zip(metals.ids, metals.values(TARGET), strict=True))
    constant = {"Al": 3.0, "Ni": -2.0, "Ti": 0.5}
    noise = dict(
        zip(metals.ids, np.random.default_rng(0).normal(0, 0.05, 80), strict=True)
    )

    def shifted(scale):
        def predict(crystals):
            values = [
                truth[c.id]
                + scale * noise[c.id]
                + sum(
                    constant[e.symbol] * n
                    for e, n in c.composition.fractional_composition.items()
                )
                for c in crystals
            ]
            return Guess(np.array(values), None)

        return Subject("shifted", "potential", {}, predict=predict)

    suite = QUICK.model_copy(update={"sections": ("efficacy",)})

    def rmse(scale):
        card, _ = assess(shifted(scale), metals, suite, target=TARGET)
        assert card.value("efficacy.records") == 80
        return card.value("efficacy.rmse")

    assert rmse(0.0) < 1e-6
    true = float(np.std(list(noise.values())))
    # leaving each record out, the error is the noise, not less
    assert 0.98 * true < rmse(1.0) < 1.2 * true


def test_estimators_of_others_are_fitted_out_of_fold(train):
    """scikit-learn's own, and ours behind its conventions: a class, nothing fitted."""
    from sklearn.linear_model import BayesianRidge

    from surrogates.estimator import CrystalRegressor

    suite = QUICK.model_copy(update={"sections": ("efficacy", "calibration"),
                                     "refits": True})  # fmt: skip
    for thing in (BayesianRidge, CrystalRegressor):
        subject = wrap(thing, f"somewhere:{thing.__name__}")
        card, _ = assess(subject, train[:80], suite, target=TARGET)
        assert "out-of-fold" in card.body["data"]["protocol"]
        assert card.value("efficacy.skill") > 0.3
        assert card.value("calibration.coverage_90") > 0.6
