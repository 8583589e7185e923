"""The tutorial and the guides: every command exists, and the walk leads to a report."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from campaigns.cli.app import app
from campaigns.config import CampaignConfig

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TUTORIAL = ROOT / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.M | re.S)
NEEDED: dict[str, Any] = {
    "name": "guide",
    "candidates": {"kind": "prototypes", "elements": ["Cu", "Au"]},
    "evaluator": {"kind": "calculator", "calculator": "emt"},
    "surrogate": {"kind": "gaussian_process"},
    "budget": {"evaluations": 40},
}


def commands(page: Path) -> list[list[str]]:
    """Return every command that a page shows, in order."""
    return [
        shlex.split(line.removeprefix("$ "))
        for language, _, body in FENCE.findall(page.read_text())
        if language == "console"
        for line in body.splitlines()
        if line.startswith("$ ")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_command_and_option_exists(page: Path) -> None:
    for words in commands(page):
        if words[0] != "matdisco":
            continue
        command, rest = typer.main.get_command(app), words[1:]
        while isinstance(command, click.Group) or hasattr(command, "commands"):
            assert rest[0] in command.commands, " ".join(words)
            command, rest = command.commands[rest[0]], rest[1:]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        assert {w for w in rest if w.startswith("-")} <= known, " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_block_of_configuration_is_valid(page: Path) -> None:
    for language, title, body in FENCE.findall(page.read_text()):
        if language == "yaml" and not title:
            changes = yaml.safe_load(body)
            if changes.get("evaluator", {}).get("kind") in ("laboratory", "function"):
                wanted = changes["evaluator"]["returns"][0]
                changes["objective"] = {"kind": "property", "property": wanted}
                changes["objective"]["goal"] = "maximise"
            text = yaml.safe_dump({**NEEDED, **changes})
            CampaignConfig.parse(text, source=page.name)


@pytest.mark.slow
def test_tutorial_leads_from_raw_files_to_a_report(tmp_path: Path) -> None:
    for _, title, body in FENCE.findall(TUTORIAL.read_text()):
        if title:
            (tmp_path / title).write_text(body)
    said = {}
    for words in commands(TUTORIAL):
        start = [sys.executable]
        if words[0] == "matdisco":
            start += ["-c", "from campaigns.cli import main; main()"]
        done = subprocess.run(
            [*start, *words[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        said[" ".join(words[1:3])] = done.stdout + done.stderr
    report = (tmp_path / "cu-au" / "report.csv").read_text()
    # every record is accounted for, those that came twice, too
    assert report.count("\nraw/copy-of-batch-0.extxyz#") == 20
    assert "cut-off" in report
    assert "hash chain intact" in said["status runs/campaign"]
    page = (tmp_path / "runs" / "campaign" / "report.html").read_text()
    assert "What was found" in page
    assert "fail" in (tmp_path / "card" / "card.md").read_text()
    assert (tmp_path / "answers.csv").read_text().count("\n") > 15
    # MLflow gets a minute at the end of a run; a machine that is too busy catches up
    if "matdisco track" in said["run campaign.yaml"]:
        again = [sys.executable, "-c", "from campaigns.cli import main; main()"]
        subprocess.run([*again, "track", "runs/campaign"], cwd=tmp_path, check=True)
    assert (tmp_path / "mlflow.db").exists()
