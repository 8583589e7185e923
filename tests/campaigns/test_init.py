"""``matdisco init`` writes what ``matdisco validate`` accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns import CampaignConfig
from campaigns.cli import main
from campaigns.template import ANSWERING, Answers, template


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("evaluator", list(ANSWERING))
@pytest.mark.parametrize("wanted", [None, "bulk_modulus"])
def test_every_answer_makes_a_configuration(evaluator: str, wanted: str | None) -> None:
    if evaluator == "laboratory" and wanted is None:
        pytest.skip("a laboratory measures a property")
    made = template(
        Answers(evaluator=evaluator, property=wanted, elements=("Cu", "Au"))
    )
    config = CampaignConfig.parse(made, source="made")
    kind = evaluator if evaluator in ("dft", "laboratory") else "calculator"
    assert config.evaluator.kind == kind
    assert config.objective.headline == (wanted or "energy_above_hull")
    assert made.count("#") > 10


def test_written_file_is_valid_as_it_stands(tmp_path: Path, capsys) -> None:
    path = tmp_path / "copper gold.yaml"
    options = ("--elements", "Cu, Au", "--evaluator", "emt", "--evaluations", 30)
    assert run("init", path, *options, "--yes") == 0
    assert f"matdisco validate {path}" in capsys.readouterr().out
    assert run("validate", path) == 0
    assert "campaign copper-gold" in capsys.readouterr().out


def test_own_candidates_are_named_in_it(tmp_path: Path, capsys) -> None:
    path = tmp_path / "own.yaml"
    options = ("--candidates", "mine.parquet", "--evaluator", "chgnet", "--yes")
    assert run("init", path, *options) == 0
    config = CampaignConfig.load(path)
    assert config.candidates.kind == "dataset"
    assert run("validate", path) == 2
    assert "mine.parquet" in capsys.readouterr().err


def test_a_file_that_is_there_stays(tmp_path: Path, capsys) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("mine")
    assert run("init", path, "--yes") == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run("init", path, "--yes", "--force") == 0
    assert CampaignConfig.load(path).name == "campaign"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--evaluator", "oracle"), "expected one of emt"),
        (("--evaluator", "laboratory"), "--property"),
        (("--elements", "Al,Xx"), "Xx"),
        (("--property", "bulk_modulus", "--goal", "upwards"), "goal"),
    ],
)
def test_wrong_answers_are_sentences(tmp_path: Path, capsys, options, said) -> None:
    assert run("init", tmp_path / "a.yaml", *options, "--yes") == 2
    shown = capsys.readouterr().err
    assert said in shown and "Traceback" not in shown
    assert not (tmp_path / "a.yaml").exists()
