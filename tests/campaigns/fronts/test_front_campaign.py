"""Campaigns of several targets, from the file to the report."""

import re

import numpy as np
import pytest
import yaml
from campaign_files import small_front
from commands import matdisco
from played_front import KEYS, PlayingFront, whole_pool

from campaigns import Campaign, CampaignConfig
from campaigns.fronts.volume import hypervolume
from campaigns.gate import Verdict
from campaigns.progress import Display
from campaigns.tracking.contents import points
from campaigns.tracking.notes import campaign_note, round_note
from matdisco.errors import CampaignError

QUIET = Display(quiet=True)
REFERENCE = np.array([-2.0, -20.0])  # minus eV/atom, minus g/cm³
ENERGY = {"property": "energy_per_atom", "goal": "minimise"}
DENSITY = {"property": "density", "goal": "minimise"}
LITTLE_GOLD = {"property": "gold", "limit": {"at_most": 0.3}}
BUDGET = 36


def brute_force(values, useful=None):
    """The rows that no other useful row beats, minimising, counted one by one."""
    rows = range(len(values)) if useful is None else np.flatnonzero(useful)
    beaten = {
        i for i in rows for j in rows
        if (values[j] <= values[i]).all() and (values[j] < values[i]).any()
    }  # fmt: skip
    return sorted(set(rows) - beaten)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole campaign with worker processes: 36 of 120 candidates."""
    folder = tmp_path_factory.mktemp("fronts") / "run"
    truth = folder.parent / "truth.parquet"
    labelled(truth)
    config = CampaignConfig.model_validate(
        small_front(budget={"evaluations": BUDGET}, review={"truth": str(truth)})
    )
    with Campaign.start(config, folder) as campaign:
        assert campaign.run(display=QUIET) == f"budget: {BUDGET} evaluations are spent"
    return folder


def labelled(path):
    from matdisco.crystal import Label
    from matdisco.data.dataset import Dataset
    from matdisco.properties import get

    pool, values = whole_pool()
    crystals = [
        c.with_labels(
            {
                k: Label(float(v), get(k).unit, "emt")
                for k, v in zip(KEYS, row, strict=True)
            }
        )
        for c, row in zip(pool, values, strict=True)
    ]
    Dataset("truth", tuple(crystals)).save(path)


def test_it_finds_the_front_that_brute_force_finds(finished):
    pool, values = whole_pool()
    wanted = values[:, :2]
    front = {pool[i].id for i in brute_force(wanted)}
    whole = hypervolume(-wanted, REFERENCE)
    with Campaign.open(finished) as campaign:
        state, found = campaign.state, campaign.front()
        comparison_found = len(campaign.found())
    # what it calls its front is the front of its answers, worked out anew
    own = state.answered[brute_force(wanted[state.answered])]
    assert set(found["candidate"]) == {pool[int(i)].id for i in own}
    assert comparison_found == len(found)
    for row in found.to_dict("records"):
        at = state.position[row["candidate"]]
        assert [row[k] for k in KEYS[:2]] == pytest.approx(values[at, :2])
    # nearly all there is, and more than 95 % of random campaigns of the same size
    assert state.best == pytest.approx(hypervolume(-wanted[state.answered], REFERENCE))
    rng = np.random.default_rng(0)
    draws = [rng.choice(len(pool), BUDGET, replace=False) for _ in range(400)]
    random = [hypervolume(-wanted[d], REFERENCE) for d in draws]
    assert state.best > 0.98 * whole
    assert state.best > np.quantile(random, 0.95)
    hits = [len({pool[int(i)].id for i in d} & front) for d in draws]
    assert len(front & set(found["candidate"])) > np.quantile(hits, 0.95)


@pytest.mark.usefixtures("drawn")
def test_everything_shows_the_front(finished, tmp_path):
    said = matdisco("status", str(finished), "--verify", cwd=tmp_path).stdout
    with Campaign.open(finished) as campaign:
        state, rounds = campaign.state, campaign.rounds_shown()
        volume = f"{state.best:.4g} eV/atom · g/cm³"
        html = campaign.report().read_text()
        events = campaign.ledger.events("proposed")
        proposals = campaign.proposals()
        metrics = {p.key: p.value for p in points(campaign, None)}
        note = campaign_note(campaign, alive=False)
        told = round_note(campaign, campaign.ledger.events("closed")[-1])
        shown = campaign._repr_html_()
        one = campaign.proposal(events[1].payload["proposals"][0]["candidate"])
        gained = rounds["gained"].sum()
        rankings = campaign.ranking()
    assert volume in said
    assert "beyond energy 2 eV/atom, density 20 g/cm³" in said
    assert all(name in said for name in campaign.front()["candidate"])
    assert rounds["hypervolume"].is_monotonic_increasing
    assert gained == pytest.approx(state.best)
    assert rounds["density_mae"].notna().sum() == len(rounds) - 1
    assert '<h2 id="hull">The front</h2>' in html
    assert volume.split()[0] in html
    assert "Hypervolume then (eV/atom · g/cm³)" in html
    assert "Missed" in html or "Nothing was missed" in html
    # every target's mean and interval, in the ledger, the tables and the sentences
    for event in events[1:]:
        assert set(event.payload["gates"]) == set(KEYS[:2])
        assert event.payload["outlook"]["expected_hypervolume"] >= 0
        for proposal in event.payload["proposals"]:
            assert set(proposal["targets"]) == set(KEYS[:2])
            for stated in proposal["targets"].values():
                assert stated["low"] < stated["mean"] < stated["high"]
            assert proposal["mean"] == proposal["targets"]["energy_per_atom"]["mean"]
            assert "predicted density" in proposal["why"]
            assert "of hypervolume" in proposal["why"]
    assert {"density_low", "density_high", "density"} <= set(proposals.columns)
    assert metrics["search/hypervolume_eV_per_atom_g_per_cm3"] == state.best
    assert metrics["search/reference_density_g_per_cm3"] == 20.0
    assert metrics["density/mean_absolute_error_g_per_cm3"] > 0
    assert f"Hypervolume {volume}" in note
    assert "Predictions of density made before" in told
    assert "minimise density (g/cm³)" in shown
    assert "Expected density" in one._repr_html_()
    assert rankings["expected_gain"].is_monotonic_decreasing
    explained = matdisco("proposals", str(finished), "--explain", "1", cwd=tmp_path)
    assert re.search(r"density 90% interval .* g/cm³", explained.stdout)
    assert "best single candidate promises" in explained.stdout


def test_other_targets_of_a_proposal_are_predicted_by_their_own_surrogate(finished):
    """The checkpoint of each target gives the means and sigmas on record."""
    from campaigns.predicting import seen_by
    from surrogates import load

    with Campaign.open(finished) as campaign:
        event = campaign.ledger.events("proposed")[2]
        pool = campaign.pool
    for key, home in (("energy_per_atom", "."), ("density", "density")):
        surrogate = load(finished / "surrogates" / home / "round-002")
        scale = event.payload["surrogates"][key]["scale"]
        for proposal in event.payload["proposals"]:
            crystal = next(c for c in pool if c.id == proposal["candidate"])
            made = surrogate.predict([crystal])
            stated = proposal["targets"][key]
            assert stated["mean"] == pytest.approx(float(made.mean[0]), abs=1e-6)
            assert stated["std"] == pytest.approx(scale * float(made.std[0]), rel=1e-5)
        seen = seen_by(finished / "surrogates" / home / "round-002", surrogate)
        assert seen is not None
        assert seen.target == key


RULES = {
    "hypervolume": {"kind": "hypervolume_improvement", "samples": 32},
    "parego": {"kind": "log_expected_improvement", "samples": 64},
    "bound": {"kind": "upper_confidence_bound"},
    "thompson": {"kind": "thompson"},
    "greedy": {"kind": "greedy"},
    "random": {"kind": "random"},
    "shared": {"kind": "greedy", "random_share": 0.5},
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_plays_the_same_campaign_twice(rule, tmp_path):
    hashes = []
    for name in ("a", "b"):
        game = PlayingFront(
            tmp_path / name, ENERGY, DENSITY, LITTLE_GOLD,
            acquisition={**RULES[rule], "batch_size": 4},
        )  # fmt: skip
        for _ in range(3):
            assert game.play() is None
        hashes.append([p["proposals"] for p in game.payloads()])
        closed = game.payloads("closed")
        game.ledger.close()
    assert hashes[0] == hashes[1]
    assert closed[-1]["best"] >= closed[0]["best"] > 0
    assert closed[-1]["reference"] == closed[0]["reference"]  # of the first round


@pytest.mark.usefixtures("drawn")
def test_one_goal_inside_limits_is_the_best_that_brute_force_finds(tmp_path):
    game = PlayingFront(
        tmp_path / "run", LITTLE_GOLD, DENSITY,
        {"property": "energy_per_atom", "limit": {"at_most": 100}, "unit": "meV/atom"},
        acquisition={"kind": "log_expected_improvement", "batch_size": 4},
        budget={"evaluations": 32},
    )  # fmt: skip
    for _ in range(7):
        assert game.play() is None
    _, values = whole_pool()
    useful = (values[:, 0] <= 0.1) & (values[:, 2] <= 0.3)
    assert 0 < useful.sum() < len(values) / 2
    game.ledger.close()
    with Campaign.open(tmp_path / "run") as campaign:
        state = campaign.state
        assert state.best == pytest.approx(values[useful, 1].min())
        assert len(state.answered) == 32
        assert "best density inside the limits" in repr(campaign)
        proposed = campaign.ledger.events("proposed")[1].payload["proposals"]
        assert all(0 <= p["feasible"] <= 1 for p in proposed)
        assert "inside the limits with probability" in proposed[0]["why"]
        html = campaign.report().read_text()
    assert "best density inside the limits" in html


def test_three_goals_have_a_volume_and_a_plot_of_every_pair(tmp_path):
    from campaigns.plots import hull

    gold = {"property": "gold", "goal": "minimise"}
    game = PlayingFront(tmp_path / "run", ENERGY, DENSITY, gold)
    for _ in range(2):
        assert game.play() is None
    game.ledger.close()
    with Campaign.open(tmp_path / "run") as campaign:
        front = campaign.state.front
        assert front.volume == pytest.approx(hypervolume(front.merit, front.reference))
        assert len(hull(campaign).axes) == 3


def test_patience_is_about_the_hypervolume(tmp_path):
    """Rounds that add members beyond the reference point add no volume."""
    tight = [{**ENERGY, "reference": -50}, {**DENSITY, "reference": 1}]
    game = PlayingFront(
        tmp_path / "run", *tight, budget={"evaluations": 100, "patience": 2},
        acquisition={"kind": "greedy", "batch_size": 4},
    )  # fmt: skip
    reasons = [game.play() for _ in range(4)]
    closed = game.payloads("closed")
    assert [c["best"] for c in closed] == [0.0, 0.0, 0.0]
    assert len(closed[-1]["found"]) > 0
    assert reasons[-1] == "patience: nothing better in 2 rounds"
    game.ledger.close()


def test_the_gate_tests_every_target_and_widens_its_own(tmp_path, monkeypatch):
    # of seed 0 the energies, learnt from eight labels, are refuted as well
    game = PlayingFront(tmp_path / "run", ENERGY, DENSITY, seed=1)
    for _ in range(2):
        assert game.play() is None
    # all densities are another scale from now on: their surrogate must be refuted
    game.values = {k: v * np.array([1, 3, 1]) for k, v in game.values.items()}
    assert game.play() is None
    assert game.play() is None
    gates = game.payloads()[-1]["gates"]
    assert gates["density"]["outcome"] == "overconfident"
    assert gates["density"]["widened"] > 1
    assert gates["energy_per_atom"]["outcome"] != "overconfident"
    said = game.payloads("gated")[-1]["sentence"]
    assert said.startswith("density: calibration failed")
    assert "level 0.005" in said  # of 0.01, shared by two targets
    assert "energy" not in said
    assert Verdict.from_dict(game.payloads()[-1]["gate"]).failed
    game.ledger.close()


def test_a_gate_that_stops_names_the_target(tmp_path):
    game = PlayingFront(
        tmp_path / "run", ENERGY, DENSITY, gate={"fall_back": "stop", "level": 1e-6}
    )
    for _ in range(2):
        assert game.play() is None
    # the next answers are of another scale: their surrogate must be refuted
    game.values = {k: v * np.array([1, 9, 1]) for k, v in game.values.items()}
    assert game.play() is None
    with pytest.raises(CampaignError, match=r"density: calibration failed .*stop"):
        game.play()
    assert len(game.payloads()) == 3
    game.ledger.close()


def test_proposals_wait_for_people_and_are_pinned(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(
        yaml.safe_dump(
            small_front(people={"approval": True}, acquisition={"kind": "greedy",
                                                                "batch_size": 2})
        )
    )  # fmt: skip
    done = matdisco("run", "campaign.yaml", "--to", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Campaign.open(tmp_path / "run") as campaign:
        first = campaign.ledger.events("proposed")[0].payload["proposals"]
        free = next(
            c.id for c in campaign.pool if c.id not in {p["candidate"] for p in first}
        )
    words = ["proposals", "run", "--by", "me", "--reason", "curious"]
    assert matdisco(*words, "--approve", cwd=tmp_path).returncode == 0
    assert matdisco(*words, "--pin", free, cwd=tmp_path).returncode == 0
    done = matdisco("run", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Campaign.open(tmp_path / "run") as campaign:
        second = campaign.ledger.events("proposed")[1].payload["proposals"]
    assert second[0]["candidate"] == free
    assert second[0]["reason"] == "pinned"
    assert second[0]["targets"]["density"]["mean"] is not None


def test_interrupted_and_continued_it_is_the_same_campaign(finished, tmp_path):
    with Campaign.open(finished) as campaign:
        config, whole = campaign.config, campaign.ledger.content_hash()
    for rounds in (2, None):
        with Campaign.start(config, tmp_path / "run") as campaign:
            campaign.run(rounds, display=QUIET)
    assert Campaign.open(tmp_path / "run").ledger.content_hash() == whole
