"""The suite files, and what their limits mean."""

from pathlib import Path

import pytest

from matdisco.errors import ConfigError
from matdisco.recipe_file import load
from surrogates.assessment.result import overall
from surrogates.assessment.suite import STANDARD, SuiteRecipe, Threshold

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "assessments"


def test_standard_files_are_what_the_code_says():
    assert load(SuiteRecipe, CONFIGS / "standard-1.yaml") == SuiteRecipe()
    newest = load(SuiteRecipe, CONFIGS / "standard-2.yaml")
    assert newest == SuiteRecipe.standard()


def test_each_kind_is_asked_what_it_can_show():
    old, new = SuiteRecipe(), SuiteRecipe.standard()
    assert old.asks("potential").requires == ("efficacy",)
    assert "calibration" in new.asks("checkpoint").requires
    assert "calibration" in new.asks("potential").not_applicable
    efficacy = {"name": "efficacy", "verdict": "pass"}
    others = [{"name": n, "verdict": "pass"} for n in ("robustness", "potential")]
    absent = {"name": "calibration", "verdict": "n/a"}
    silent = {"name": "calibration", "verdict": "info"}
    assert overall(new, "potential", [efficacy, absent, *others]) == "pass"
    assert overall(new, "potential", [efficacy, absent]) == "fail"
    assert overall(new, "predictions", [efficacy, silent]) == "pass"
    assert overall(new, "checkpoint", [efficacy, silent, *others]) == "fail"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_file_name_is_name_and_version(path):
    suite = load(SuiteRecipe, path)
    assert path.stem == f"{suite.name}-{suite.version}"


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(0.05, "pass", "fail"), (0.15, "warn", "warn"), (0.25, "fail", "pass"),
     (0.1, "pass", "warn"), (0.2, "warn", "pass"), (float("nan"), "fail", "fail"),
     (None, "fail", "fail")],
)  # fmt: skip
def test_judging(value, low, high):
    assert Threshold(warn=0.1, fail=0.2, better="low").judge(value) == low
    assert Threshold(warn=0.2, fail=0.1, better="high").judge(value) == high


def test_mistakes_are_sentences(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("thresholds:\n  efficacy.skil: {warn: 1, better: high}\n")
    with pytest.raises(ConfigError, match=r"did you mean efficacy\.skill"):
        load(SuiteRecipe, path)
    path.write_text(
        "kinds: {potential: {requires: [safety], not_applicable: {safety: none}}}\n"
    )
    with pytest.raises(ConfigError, match="required and not applicable at once"):
        load(SuiteRecipe, path)
    path.write_text("requires: [shift]\nsections: [efficacy]\n")
    with pytest.raises(ConfigError, match="requires shift, which sections leaves out"):
        load(SuiteRecipe, path)
    path.write_text(
        "thresholds:\n  efficacy.skill: {warn: 0.1, fail: 0.5, better: high}\n"
    )
    with pytest.raises(ConfigError, match="must be on the worse side"):
        load(SuiteRecipe, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(SuiteRecipe, tmp_path / "none.yaml")


def test_every_limit_belongs_to_a_section():
    sections = SuiteRecipe().sections
    assert {key.partition(".")[0] for key in STANDARD} == set(sections)
