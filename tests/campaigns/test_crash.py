"""A campaign killed with SIGKILL at any moment, continued, is the campaign that was
never killed: same proposals, same answers, nothing computed twice, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from campaign_files import SUPPORT, small_campaign

from campaigns.ledger import Ledger


class Zygote:
    """A process with everything imported, from which runs are forked."""

    def __init__(self, log: Path) -> None:
        self.errors = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "crash_zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.log = log
        assert self._read() == "ready"

    def run(self, config: Path, folder: Path, kill: dict | None = None) -> int:
        job = {"config": str(config), "folder": str(folder), "kill": kill}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self._read())

    def _read(self) -> str:
        line = self.process.stdout.readline().strip()
        assert line, f"the zygote died: {self.log.read_text()[-2000:]}"
        return line


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    z = Zygote(tmp_path_factory.mktemp("zygote") / "log")
    yield z
    z.process.stdin.close()
    z.process.wait()
    z.process.stdout.close()
    z.errors.close()


def write(folder: Path, surrogate: dict, **changes) -> Path:
    folder.mkdir()
    evaluator = {
        "kind": "function",
        "function": "evaluators:emt_energy",
        "returns": ["energy_per_atom"],
        "settings": {"delay": 0.05},
    }
    config = small_campaign(
        surrogate=surrogate,
        execution={"workers": 2, "timeout": 60},
        **{"evaluator": evaluator, **changes},
    )
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


GP = {"kind": "gaussian_process"}
NETWORKS = {
    "kind": "network_ensemble",
    "members": 3,
    "network": {"kind": "cogn", "width": 8, "blocks": 2},
    "epochs": 4,
    "threads": 1,
}


GROWING = {
    "growth": {"kind": "evolution", "per_round": 4, "parents": 5},
    "screening": {"elements": {"rohs": False}},
}
LADDER = {
    "ladder": [
        {
            "name": "dear",
            "evaluator": {
                "kind": "function",
                "function": "evaluators:dearer_energy",
                "returns": ["energy_per_atom"],
            },
            "best": 1,
            "within": None,
            "evaluations": 7,
        }
    ]
}
FRONT = {
    "objective": {
        "kind": "front",
        "targets": [
            {"property": "energy_per_atom", "goal": "minimise"},
            {"property": "density", "goal": "minimise"},
            {"property": "gold", "limit": {"at_most": 0.6}},
        ],
    },
    "evaluator": {
        "kind": "function",
        "function": "evaluators:emt_several",
        "returns": ["energy_per_atom", "density", "gold"],
        "settings": {"delay": 0.05},
    },
    "acquisition": {"kind": "hypervolume_improvement", "batch_size": 4},
    "start": {"per_element": 0, "random": 8},
}
CHOSEN = {  # which fidelity is asked, too
    "acquisition": {"kind": "fidelity_improvement", "batch_size": 4},
    "ladder": [
        {
            **LADDER["ladder"][0],
            "evaluator": {**LADDER["ladder"][0]["evaluator"], "seconds": 20.0},
            "best": 3,
            "evaluations": 14,
        }
    ],
    "start": {"per_element": 1, "random": 12},
    "budget": {"evaluations": 26},
}
CAMPAIGNS = {
    "gaussian_process": {"surrogate": GP},
    "network_ensemble": {"surrogate": NETWORKS},
    "growing_pool": {"surrogate": GP, **GROWING},
    "ladder": {"surrogate": GP, **LADDER},
    "chosen_fidelities": {"surrogate": GP, **CHOSEN},
    "front": {"surrogate": GP, **FRONT},
}


@pytest.fixture(scope="module")
def reference(request, zygote, tmp_path_factory):
    """The uninterrupted campaign."""
    folder = tmp_path_factory.mktemp("reference") / "a"
    config = write(folder, **CAMPAIGNS[request.param])
    assert zygote.run(config, folder / "run") == 0, zygote.log.read_text()[-3000:]
    with Ledger.open(folder / "run") as ledger:
        return config, ledger.content_hash(), proposals(ledger), len(answers(ledger))


def proposals(ledger: Ledger) -> list:
    asked = ledger.events("proposed", "promoted")
    return [(e.kind, e.round, e.payload["proposals"]) for e in asked]


def answers(ledger: Ledger) -> list:
    answered = ledger.events("evaluated", "confirmed")
    return [e.payload["evaluation"]["key"] for e in answered]


# Moments of the small campaign: 4 rounds, 20 evaluations, 31 events.
QUICK = [
    {"where": "after-append", "at": 9},
    {"where": "report"},
]
ALL = [
    {"where": "answer", "at": 7, "workers": True},
    {"where": "before-append", "at": 3},
    {"where": "chosen", "at": 2},
    {"where": "config-written"},
    {"where": "pool"},
    {"where": "pool-saved"},
    *({"where": "before-append", "at": n} for n in (1, 2, 4, 6, 11, 13, 19, 25, 31)),
    *({"where": "after-append", "at": n} for n in (1, 2, 3, 8, 12, 14, 26, 30, 31)),
    {"where": "learning", "at": 1},
    {"where": "learning", "at": 3},
    {"where": "checkpoint", "at": 2},
    {"where": "proposing", "at": 1},
    {"where": "chosen", "at": 3},
    {"where": "submitting", "at": 2},
    {"where": "submitting", "at": 10, "workers": True},
    {"where": "answer", "at": 1},
    {"where": "answer", "at": 15, "workers": True},
    *({"where": "seconds", "at": s} for s in (0.7, 1.9, 2.6, 3.3)),
    {"where": "seconds", "at": 2.2, "workers": True},
]


def name(kill: dict) -> str:
    return "-".join(str(v) for v in kill.values())


def check(zygote, reference, kill, tmp_path) -> None:
    config, content, chosen, count = reference
    run = tmp_path / "run"
    status = zygote.run(config, run, kill)
    assert status == -9 or (status == 0 and kill["where"] == "seconds")
    before = {p: p.stat().st_mtime_ns for p in run.rglob("result.json")}
    assert zygote.run(config, run) == 0, zygote.log.read_text()[-3000:]
    with Ledger.open(run) as ledger:
        ledger.verify()
        assert proposals(ledger) == chosen
        assert ledger.content_hash() == content
        evaluated = answers(ledger)
    assert len(evaluated) == len(set(evaluated)) == count >= 20
    # no answer was thrown away and made again, and there is one for each
    for path, stamp in before.items():
        assert path.stat().st_mtime_ns == stamp
    assert len(list(run.rglob("result.json"))) == count


@pytest.mark.parametrize("kill", QUICK, ids=name)
@pytest.mark.parametrize("reference", ["gaussian_process"], indirect=True)
def test_killed_and_continued_is_the_same_campaign(zygote, reference, kill, tmp_path):
    check(zygote, reference, kill, tmp_path)


@pytest.mark.slow  # tests/surrogates/test_ensemble.py kills a training in the fast ones
@pytest.mark.parametrize("reference", ["network_ensemble"], indirect=True)
def test_killed_while_networks_learn(zygote, reference, tmp_path):
    check(zygote, reference, {"where": "training", "at": 5}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["growing_pool"], indirect=True)
def test_killed_while_the_pool_grows(zygote, reference, tmp_path):
    check(zygote, reference, {"where": "breeding", "at": 7}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["ladder"], indirect=True)
def test_killed_while_the_best_are_confirmed(zygote, reference, tmp_path):
    # 8 answers of the first round, then 3 of the rung above
    check(zygote, reference, {"where": "answer", "at": 10, "workers": True}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("at", [48, 51])
@pytest.mark.parametrize("reference", ["chosen_fidelities"], indirect=True)
def test_killed_while_fidelities_are_chosen(zygote, reference, at, tmp_path):
    check(zygote, reference, {"where": "after-append", "at": at}, tmp_path)


@pytest.mark.slow  # fronts/test_front_campaign.py goes on after an end in the fast ones
@pytest.mark.parametrize("reference", ["front"], indirect=True)
def test_killed_between_the_targets_of_a_front(zygote, reference, tmp_path):
    # in the second round that learns: two of its three checkpoints are made
    check(zygote, reference, {"where": "checkpoint", "at": 5}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("reference", CAMPAIGNS, indirect=True)
@pytest.mark.parametrize("kill", QUICK + ALL, ids=name)
def test_killed_anywhere_is_the_same_campaign(zygote, reference, kill, tmp_path):
    check(zygote, reference, kill, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("reference", CAMPAIGNS, indirect=True)
def test_killed_again_and_again(zygote, reference, tmp_path):
    """Thirty lives: killed after every single event, it still ends the same."""
    config, content, *_ = reference
    run, lives = tmp_path / "run", 0
    while zygote.run(config, run, {"where": "after-append", "at": 2}) == -9:
        lives += 1
        assert lives < 80
    assert lives > 25
    with Ledger.open(run) as ledger:
        ledger.verify()
        assert ledger.content_hash() == content
