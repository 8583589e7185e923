"""Surrogates over another evaluator's answers about the same crystals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.errors import SurrogateError
from surrogates import load
from surrogates.featurizers.answers import SAME_ENERGY, SAME_VOLUME, Answers, groups
from surrogates.tabular.gaussian_process import GaussianProcess
from surrogates.tabular.recipes import AnswersRecipe, GaussianProcessRecipe

SECOND = "shipped:al-ni-ti-sevennet"
TARGET = "compressed_formation_energy"


def halves() -> tuple[Dataset, Dataset]:
    """Return 100 records of the quickstart's answer to learn, 200 to judge."""
    data = Dataset.open(resolve("shipped:al-ni-ti"))
    rows = np.flatnonzero(np.isfinite(data.values(TARGET)))
    rows = np.random.default_rng(0).permutation(rows)
    return data.take(rows[:100]), data.take(rows[100:300])


def surrogate(alike: bool = True, source: str = SECOND) -> GaussianProcess:
    answers = AnswersRecipe(dataset=source, alike=alike)
    return GaussianProcess(GaussianProcessRecipe(threads=1, answers=answers))


def test_errors_are_a_half_at_most_and_a_checkpoint_says_the_same(
    tmp_path: Path,
) -> None:
    learn, judge = halves()
    plain = GaussianProcess(GaussianProcessRecipe(threads=1))
    told = surrogate()
    errors = []
    for kind in (plain, told):
        kind.fit(learn, TARGET)
        found = kind.predict(judge.crystals)
        errors.append(float(np.abs(found.mean - judge.values(TARGET)).mean()))
    assert errors[1] < 0.5 * errors[0]
    told.save(tmp_path / "kept")
    again = load(tmp_path / "kept").predict(judge.crystals)
    np.testing.assert_array_equal(again.mean, told.predict(judge.crystals).mean)
    assert SECOND in told.describe()["surrogate"]
    groups_of = told.alike(judge.crystals)
    assert groups_of is not None and len(set(groups_of)) < len(judge)
    assert plain.alike(judge.crystals) is None
    assert surrogate(alike=False).alike(judge.crystals) is None


def test_crystals_without_an_answer_are_predicted_too(
    tmp_path: Path,
) -> None:
    """A third of the answers is missing: the column that says so takes it up."""
    learn, judge = halves()
    second = Dataset.open(resolve(SECOND))
    some = [
        replace(c, labels={} if i % 3 == 0 else c.labels) for i, c in enumerate(second)
    ]
    path = str(Dataset("some", tuple(some)).save(tmp_path / "some.parquet"))
    told = surrogate(source=path)
    told.fit(learn, TARGET)
    answers = Answers(path, TARGET)
    missing = answers.columns(judge.crystals)[:, 1] > 0
    assert 40 < missing.sum() < 100
    found = told.predict(judge.crystals)
    error = np.abs(found.mean - judge.values(TARGET))
    assert error[missing].mean() > 1.5 * error[~missing].mean()
    strange = told.alike([c for c, m in zip(judge, missing, strict=True) if m])
    assert strange is not None
    assert (strange < 0).all() and len(set(strange)) == missing.sum()
    told.save(tmp_path / "kept")
    again = load(tmp_path / "kept")
    np.testing.assert_array_equal(
        again.predict(judge.crystals[::-1]).mean[::-1], found.mean
    )
    Dataset("some", tuple(some[:500])).save(tmp_path / "some.parquet")
    with pytest.raises(SurrogateError, match="it learnt over other answers"):
        load(tmp_path / "kept")


def test_copies_of_what_was_learnt_are_predicted_as_if_they_were_none() -> None:
    """As another that is like nothing learnt would be, with its features and answer."""
    learn, judge = halves()
    told = surrogate()
    told.fit(learn, TARGET)
    group, known = told.alike(judge.crystals), told.alike(learn.crystals)
    assert group is not None and known is not None
    again = np.isin(group, known)
    assert again.sum() > 10
    plain, apart = told.predict(judge.crystals), told.predict_unlike(judge.crystals)
    np.testing.assert_allclose(apart.mean[~again], plain.mean[~again])
    np.testing.assert_allclose(apart.std[~again], plain.std[~again], rtol=1e-6)
    assert (apart.std[again] > plain.std[again]).all()
    stranger = told._features(judge.crystals)[again]
    stranger[:, -1] = 1e6 + np.arange(again.sum())
    process = told.process
    assert process is not None
    np.testing.assert_allclose(apart.mean[again], process.mean(stranger))
    without = surrogate(alike=False)
    without.fit(learn, TARGET)
    np.testing.assert_array_equal(
        without.predict_unlike(judge.crystals).mean,
        without.predict(judge.crystals).mean,
    )


def test_one_id_for_two_compounds_is_refused(tmp_path: Path) -> None:
    learn, _ = halves()
    other = replace(learn[0], structure=learn[1].structure)
    assert other.formula != learn[0].formula
    with pytest.raises(SurrogateError, match="it is about other candidates"):
        Answers(SECOND, TARGET).columns([other])
    with pytest.raises(SurrogateError, match=r"no such file: none\.parquet"):
        Answers("none.parquet", TARGET)
    with pytest.raises(SurrogateError, match="has no label 'gap'; it has: energy_per"):
        Answers(SECOND, "gap")
    plain = [replace(c, labels={TARGET: c.labels[TARGET]}) for c in learn]
    path = str(Dataset("plain", tuple(plain)).save(tmp_path / "plain.parquet"))
    with pytest.raises(SurrogateError, match="alike needs relaxed energies"):
        Answers(path, TARGET).alike(learn.crystals)
    stranger = Crystal("nobody", learn[0].structure)
    assert Answers(SECOND, TARGET).columns([stranger])[0, 1] == 1.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B"]),
            st.one_of(st.floats(-1, -0.99), st.just(np.nan)),
            st.floats(10, 11),
        ),
        max_size=30,
    )
)
def test_groups_are_chains_of_neighbours(rows: list[tuple[str, float, float]]) -> None:
    formulas = [f for f, _, _ in rows]
    energy = np.array([e for _, e, _ in rows])
    volume = np.array([v for _, _, v in rows])
    found = groups(formulas, energy, volume)
    for i, number in enumerate(found):
        mates = [j for j in range(len(rows)) if found[j] == number and j != i]
        if np.isnan(energy[i]):
            assert not mates
        assert all(formulas[j] == formulas[i] for j in mates)
        if mates:
            assert any(
                abs(energy[j] - energy[i]) < SAME_ENERGY
                and abs(volume[j] - volume[i]) < SAME_VOLUME
                for j in mates
            )
