"""Tracking in a process of its own, and what trouble with it may cost."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from campaign_files import small_campaign
from recorded_campaign import Recording, record
from tracked import Said, everything

from campaigns import Campaign, CampaignConfig
from campaigns.progress import Display
from campaigns.tracking import LiveTracker, live
from campaigns.tracking.__main__ import serve
from campaigns.tracking.liveness import writer_alive

DOWN = "http://127.0.0.1:9"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")


def test_live_tracker_keeps_up_and_ends(
    tmp_path: Path, tracking: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the machine that runs the tests is busy with others
    monkeypatch.setattr(live, "NICENESS", 0)
    monkeypatch.setattr(live, "AT_MOST", 280.0)
    monkeypatch.setattr(live, "SILENCE", 200.0)
    recording = Recording(tmp_path / "run", tracking=tracking)
    said = Said()
    campaign = Campaign(recording.folder, recording.config, recording.ledger)
    with LiveTracker(campaign, said) as tracker:
        for number in range(2):
            recording.round()
            tracker.round_closed(number)
        recording.finish()
    assert said == []
    seen = everything(tracking)["runs"]
    assert [r["name"] for r in seen] == ["round 00", "round 01", "small"]
    assert seen[-1]["status"] == "FINISHED"
    assert tracker._process is not None
    assert tracker._process.wait() == 0
    recording.ledger.close()


@pytest.mark.usefixtures("quick")
def test_run_whose_process_died_is_marked_as_killed(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    recording = Recording(tmp_path / "run", tracking=tracking)
    recording.round()
    words = iter([["sync"], []])  # an empty read: the pipe was closed
    heard: list[dict[str, Any]] = []

    def read() -> list[str]:
        word = next(words)
        if not word:
            recording.ledger.close()  # as the system does for a process that is killed
        return word

    serve(recording.folder, read, lambda **message: heard.append(message))
    assert not [m for m in heard if "error" in m]
    assert [m["of"] for m in heard if "run" in m] == ["sync", "final"]
    assert everything(tracking)["runs"][-1]["status"] == "KILLED"


@pytest.mark.slow
def test_tracker_outlives_its_campaign_and_says_so(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    recording = Recording(tmp_path / "run", tracking=tracking)
    recording.round()
    tracker = LiveTracker(
        Campaign(recording.folder, recording.config, recording.ledger), Said()
    )
    tracker.__enter__()
    recording.ledger.close()
    assert tracker._process is not None
    assert tracker._process.stdin is not None
    tracker._process.stdin.close()
    assert tracker._process.wait() == 0  # no limit of its own: it may get no processor
    assert everything(tracking)["runs"][-1]["status"] == "KILLED"


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "trouble", [pytest.param("down", marks=pytest.mark.slow), "hanging"]
)
def test_server_in_trouble_costs_one_line_and_seconds(
    tmp_path: Path, hanging_server: str, trouble: str
) -> None:
    uri = {"down": DOWN, "hanging": hanging_server}[trouble]
    recording = Recording(tmp_path / "run", tracking={"uri": uri})
    said = Said()
    campaign = Campaign(recording.folder, recording.config, recording.ledger)
    with LiveTracker(campaign, said) as tracker:
        for number in range(2):
            recording.round()
            tracker.round_closed(number)
        recording.finish()
    recording.ledger.close()
    assert len(said) == 1, said
    assert f"matdisco track {recording.folder}" in said[0]
    assert tracker._process is not None
    tracker._process.wait()  # it was given up, or it ended; it does not hang


@pytest.mark.slow  # the fast one is the hanging server above
@pytest.mark.parametrize("trouble", ["down", "locked"])
def test_campaign_finishes_whatever_the_tracker_does(
    tmp_path: Path, trouble: str
) -> None:
    uri = DOWN
    database = tmp_path / "locked.db"
    holder = sqlite3.connect(database, isolation_level=None)
    if trouble == "locked":
        uri = f"sqlite:///{database}"
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN EXCLUSIVE")
    said = Said()

    class Told(Display):
        def say(self, text: str) -> None:
            said.append(text)

    config = CampaignConfig.model_validate(
        small_campaign(
            tracking={"uri": uri},
            execution={"workers": 1, "timeout": 60},
            acquisition={"kind": "random", "batch_size": 4},
            budget={"evaluations": 8},
        )
    )
    with Campaign.start(config, tmp_path / "run") as campaign:
        reason = campaign.run(display=Told(quiet=True))
        assert reason.startswith("budget")
        assert len(campaign.state.evaluations) == 8
    holder.close()
    lines = [s for s in said if "matdisco track" in s]
    assert len(lines) == 1, said
    assert (tmp_path / "run" / "report.html").exists()


def test_disabled_tracking_starts_nothing(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", rounds=1)
    with Campaign.open(folder) as campaign, LiveTracker(campaign, Said()) as tracker:
        tracker.round_closed(0)
        assert tracker._process is None


def test_writer_is_seen_without_touching_its_lock(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "run")
    assert writer_alive(recording.folder)
    recording.ledger.close()
    assert not writer_alive(recording.folder)
    assert not writer_alive(tmp_path / "nowhere")
