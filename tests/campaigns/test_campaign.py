"""Campaigns in Python and on the command line: run, continue, look, export."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from campaign_files import small_campaign
from commands import matdisco
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

from campaigns import Campaign, CampaignConfig
from campaigns.progress import Display
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError, DataError, LedgerError, LedgerLocked

QUIET = Display(quiet=True)


def config(**changes):
    return CampaignConfig.model_validate(small_campaign(**changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    with Campaign.start(config(), folder) as campaign:
        assert campaign.run(display=QUIET) == "budget: 20 evaluations are spent"
    return folder


def command(*arguments, cwd, **options):
    """The command in a process of its own, as people start it."""
    return subprocess.run(
        [sys.executable, "-c", "from campaigns.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        **options,
    )


def test_answers_become_the_next_version_of_a_dataset(finished, tmp_path, capsys):
    from campaigns.cli.data import app
    from matdisco.data.publish import publish

    with Campaign.open(finished) as campaign:
        start = campaign.pool.take(range(5))
    publish(start, tmp_path / "start")
    words = ["grow", tmp_path / "start", finished, "--to", tmp_path / "next"]
    app([str(w) for w in [*words, "--workers", 1]], standalone_mode=False)
    assert "20 answers" in capsys.readouterr().out
    grown = Dataset.open(tmp_path / "next")
    assert grown.card["parent"]["content_hash"] == start.content_hash
    assert grown.card["campaigns"][0]["answers"] == 20
    answered = [c for c in grown if "campaign" in c.source]
    step = answered[-1].source["lineage"][0]
    result = finished.parent / step["path"]
    assert hashlib.sha256(result.read_bytes()).hexdigest() == step["byte_hash"]
    with pytest.raises(DataError, match="name another folder"):
        app(["grow", str(tmp_path / "start"), str(finished), "--to",
             str(tmp_path / "start")], standalone_mode=False)  # fmt: skip


def test_a_finished_campaign_tells_what_happened(finished):
    with Campaign.open(finished) as campaign:
        assert campaign.verify() == len(campaign.events)
        proposals = campaign.proposals()
        assert len(proposals) == 20
        assert set(proposals["status"]) == {"answered"}
        assert proposals["candidate"].is_unique
        learned = proposals[proposals["round"] > 0]
        assert learned[["mean", "std", "acquisition", "nearest"]].notna().all().all()
        assert learned["why"].str.contains("most like").all()
        rounds = campaign.rounds()
        assert list(rounds["evaluated"]) == [8, 12, 16, 20]
        assert len(campaign.ranking()) == 100
        assert "20 of 120 candidates evaluated" in repr(campaign)
        assert (finished / "report.html").stat().st_size > 10_000


def test_the_hull_it_reports_is_pymatgens(finished):
    with Campaign.open(finished) as campaign:
        table = campaign.evaluations()
        state = campaign.state
        entries = [
            PDEntry(
                state.pool[int(i)].composition,
                e * state.pool[int(i)].n_atoms,
                name=state.pool[int(i)].id,
            )
            for i, e in zip(state.answered, state.answers, strict=True)
        ]
        diagram = PhaseDiagram(entries)
        expected = {e.name: diagram.get_e_above_hull(e) for e in entries}
        for row in table.itertuples():
            assert row.energy_above_hull == pytest.approx(
                expected[row.candidate], abs=1e-8
            )
        names = {c.id for c in campaign.found()}
        assert names <= {e.name for e in diagram.stable_entries}


def test_run_again_says_it_is_finished_and_exits_0(finished, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(small_campaign()))
    for target in (
        ["run", str(path), "--to", str(finished)],
        ["run", str(finished)],
    ):
        done = matdisco(*target, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "is finished (budget: 20 evaluations are spent); nothing to do" in (
            done.stdout
        )


def test_another_configuration_is_refused(finished):
    with pytest.raises(ConfigError, match="differs in: seed"):
        Campaign.start(config(seed=5), finished)


def test_a_folder_in_use_for_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="holds no campaign"):
        Campaign.start(config(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_drivers_on_one_folder(tmp_path):
    with Campaign.start(config(), tmp_path / "run"):
        with pytest.raises(LedgerLocked, match=f"run by process {os.getpid()}"):
            Campaign.start(config(), tmp_path / "run")
        with Campaign.open(tmp_path / "run") as reader:
            assert len(reader.pool) == 120


def test_rounds_stop_and_continue_to_the_same_end(finished, tmp_path):
    with Campaign.start(config(), tmp_path / "run") as campaign:
        assert campaign.run(1, display=QUIET) == "1 rounds were asked for"
        assert len(campaign.state.evaluations) == 8
    with Campaign.start(config(), tmp_path / "run") as campaign:
        campaign.run(display=QUIET)
        with Campaign.open(finished) as other:
            assert campaign.ledger.content_hash() == other.ledger.content_hash()


def test_dry_run_writes_nothing(tmp_path, write_config):
    path = write_config()
    done = command("run", str(path), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "first round: 8 of 120 candidates" in done.stdout
    assert "reference for Au" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["campaign.yaml"]


def test_ctrl_c_records_what_runs_and_the_same_command_continues(
    tmp_path, write_config, finished
):
    path = write_config(
        evaluator={
            "kind": "function",
            "function": "evaluators:emt_energy",
            "returns": ["energy_per_atom"],
            "settings": {"delay": 1.0},
        },
        start={"per_element": 1, "random": 6},
        budget={"evaluations": 8},
    )
    run = subprocess.Popen(
        [sys.executable, "-c", "from campaigns.cli import main; main()", "run",
         str(path), "--to", "run"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/evaluations/*/result.json")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "running evaluations finish and are recorded first" in errors
    assert "continue with: matdisco run run" in errors
    results = list(tmp_path.glob("run/evaluations/*/result.json"))
    with Campaign.open(tmp_path / "run") as campaign:
        recorded = len(campaign.ledger.events("evaluated"))
        assert 1 <= recorded == len(results) < 8
    done = matdisco("run", str(path), "--to", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Campaign.open(tmp_path / "run") as campaign:
        assert campaign.finished
        assert len(campaign.ledger.events("evaluated")) == 8


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet", "extxyz", "zip"])
def test_export(finished, tmp_path, suffix):
    target = tmp_path / f"out.{suffix}"
    done = matdisco("export", str(finished), "--to", str(target), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if suffix == "json":
        assert len(json.loads(target.read_text())) == 20
    if suffix == "parquet":
        dataset = Dataset.open(target)
        assert len(dataset) == 20
        assert {"energy_per_atom", "energy_above_hull"} <= set(dataset.properties)
    if suffix == "extxyz":
        from ase.io import read

        frames = read(target, ":")
        assert len(frames) == 20
        assert np.isfinite(frames[0].info["energy_above_hull"])
    if suffix == "zip":
        import zipfile

        assert len(zipfile.ZipFile(target).namelist()) == 20


def test_commands_answer_wrong_use_with_a_sentence(finished, tmp_path):
    for arguments, code, message in (
        (["status", "nowhere"], 1, "nowhere is not a campaign's run folder"),
        (["export", str(finished), "--to", "x.pdf"], 1, "expected a name ending in"),
        (["run", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["fly"], 2, "No such command"),
    ):
        done = matdisco(*arguments, cwd=tmp_path)
        assert done.returncode == code
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_a_flipped_byte_in_the_record_is_reported_by_the_command(tmp_path, finished):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "ledger.sqlite"
    whole = bytearray(path.read_bytes())
    place = whole.find(b'"energy_per_atom"')
    whole[place + 1] ^= 1
    path.write_bytes(bytes(whole))
    done = matdisco("status", str(run), "--verify", cwd=tmp_path)
    assert done.returncode == 1
    assert "the hash chain breaks at event" in done.stderr
    done = matdisco("run", str(run), cwd=tmp_path)
    assert done.returncode == 1
    assert "the hash chain breaks at event" in done.stderr


def test_minimise_maximise_and_target_property(tmp_path):
    outcomes = {}
    for goal, extra in (
        ("minimise", {}),
        ("maximise", {}),
        ("target", {"target_range": [2000.0, 2100.0], "unit": "meV/atom"}),
    ):
        objective = {
            "kind": "property", "property": "energy_per_atom", "goal": goal, **extra,
        }  # fmt: skip
        setup = config(
            objective=objective,
            start={"random": 8, "per_element": 0},
            acquisition={"kind": "log_expected_improvement", "batch_size": 6},
            budget={"evaluations": 14},
        )
        with Campaign.start(setup, tmp_path / goal) as campaign:
            campaign.run(display=QUIET)
            outcomes[goal] = campaign.state
    assert outcomes["minimise"].best < 0.5
    assert outcomes["maximise"].best > outcomes["minimise"].best + 1
    hit = outcomes["target"].best
    every = outcomes["target"].answers
    distance = np.maximum(np.maximum(2.0 - every, every - 2.1), 0)
    assert max(2.0 - hit, hit - 2.1, 0) == pytest.approx(distance.min())


def test_a_full_disk_stops_with_a_sentence_and_continues_when_there_is_room(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    setup = config(
        evaluator={
            "kind": "calculator", "calculator": "emt", "relax": {"trajectory": True},
        },
        acquisition={"kind": "random", "batch_size": 4},
        budget={"evaluations": 12},
    )  # fmt: skip
    try:
        with Campaign.start(setup, small / "run") as campaign:
            room = shutil.disk_usage(small).free
            with (small / "ballast").open("wb") as file:
                file.write(bytes(room - 60_000))  # enough for a few answers
            with pytest.raises(LedgerError, match="Nothing recorded so far is lost"):
                campaign.run(display=QUIET)
            recorded = len(campaign.ledger.events("evaluated"))
        (small / "ballast").unlink()
        with Campaign.start(setup, small / "run") as campaign:
            campaign.run(display=QUIET)
            campaign.verify()
            assert recorded < 12
            assert len(campaign.state.answered) == 12  # no failure was made up
    finally:
        subprocess.run(["umount", str(small)], check=True)
