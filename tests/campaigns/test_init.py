"""``matdisco init`` writes what ``matdisco validate`` accepts."""

from __future__ import annotations

import os
import subprocess
import sys
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


COMMAND = [sys.executable, "-c", "from campaigns.cli import main; main()"]


def asked(answers: list[str], *arguments: str, cwd: Path) -> tuple[int, str]:
    """Run ``matdisco init`` on a terminal of its own; type the answers as it asks."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, "init", *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=cwd, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        waiting = list(answers)
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed: it has ended
                break
            if not part:
                break
            shown += part
            # every question ends like this; what was typed is echoed with a line end
            if waiting and shown.endswith(b": "):
                os.write(ours, waiting.pop(0).encode() + b"\n")
        return process.wait(), shown.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_questions_on_a_terminal_make_a_configuration(tmp_path: Path) -> None:
    answers = ["", "Cu, Au", "emt", "", "30"]
    code, shown = asked(answers, "mine.yaml", cwd=tmp_path)
    assert code == 0, shown
    for question in (
        "Your own candidates", "Elements [", "What answers (emt, chgnet, ", "[chgnet]",
        "Property to optimise (empty: stable phases)", "Evaluations to spend [",
        "written to mine.yaml; next: matdisco validate mine.yaml",
    ):  # fmt: skip
        assert question in shown, shown
    config = CampaignConfig.load(tmp_path / "mine.yaml")
    assert config.candidates.elements == ("Cu", "Au")
    assert config.evaluator.calculator == "emt"
    assert config.budget.evaluations == 30
    assert config.objective.headline == "energy_above_hull"


def test_a_wrong_answer_on_a_terminal_is_a_sentence(tmp_path: Path) -> None:
    answers = ["", "Cu, Au", "oracle", "", "30"]
    code, shown = asked(answers, "mine.yaml", cwd=tmp_path)
    assert code == 2
    assert "expected one of emt" in shown and "Traceback" not in shown
    assert not (tmp_path / "mine.yaml").exists()
