"""A pool that is screened and that grows: recorded, inside the space, bit-identical."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml
from campaign_files import small_campaign
from pydantic import TypeAdapter

from campaigns import Campaign, CampaignConfig
from campaigns.cli import main
from campaigns.growth import grow
from campaigns.progress import Display
from matdisco.candidates.base import counts_of
from matdisco.candidates.recipes import AnyCandidates
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError

GROWING = {
    "growth": {"kind": "evolution", "per_round": 5, "parents": 6, "max_atoms": 6},
    "screening": {"elements": {"rohs": False}},
    "budget": {"evaluations": 16},
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown") / "run"
    config = CampaignConfig.model_validate(small_campaign(**GROWING))
    with Campaign.start(config, folder) as campaign:
        campaign.run(display=Display(quiet=True))
    return folder


def test_children_join_the_pool_and_are_chosen_from_it(grown):
    with Campaign.open(grown) as campaign:
        events = campaign.ledger.events("grown")
        assert [e.round for e in events] == [1, 2]
        added = campaign.state.pool.crystals[len(campaign.pool) :]
        assert len(added) == sum(len(e.payload["crystals"]) for e in events) > 5
        assert len({c.id for c in campaign.state.pool}) == len(campaign.state.pool)
        for child in added:
            assert set(child.elements) <= {"Cu", "Au"}
            assert child.n_atoms <= 6
            known = {c.id for c in campaign.state.pool}
            assert set(child.source["parents"]) <= known
        # what was known after a round does not hold what was bred later
        assert len(campaign.state_after(0).pool) == len(campaign.pool)
        proposed = [p["candidate"] for e in campaign.ledger.events("proposed")
                    for p in e.payload["proposals"]]  # fmt: skip
        assert len(set(proposed)) == len(proposed) == 16


def test_every_rejection_is_on_record_with_its_reason(grown, capsys):
    with Campaign.open(grown) as campaign:
        table = campaign.screening()
        counted = [e.payload["screening"] for e in campaign.ledger.events("grown")]
        file = pd.read_csv(grown / "screening.csv")
        pd.testing.assert_frame_equal(file, table, check_dtype=False)
        assert all(isinstance(json.loads(n), dict) for n in file["numbers"])
        rejected = table[(table["verdict"] == "reject") & (table["round"] > 0)]
        assert len(rejected) == sum(sum(c["rejected"].values()) for c in counted)
        assert rejected["message"].str.len().min() > 20
        first = campaign.ledger.events("pool")[0].payload
        assert first["screening"]["made"] == 120
        lost = sum(first["screening"]["rejected"].values())
        assert first["candidates"] == 120 - lost
    with pytest.raises(SystemExit):
        main(["status", str(grown)])
    assert "screening, pool: 120 made" in capsys.readouterr().out


def test_candidates_shows_the_pool_and_the_rejects(tmp_path, capsys):
    path, out = tmp_path / "c.yaml", tmp_path / "pool.parquet"
    changes = {"screening": {"elements": {"never": ["Cu"]}}}
    path.write_text(yaml.safe_dump(small_campaign(**changes)))
    with pytest.raises(SystemExit) as exit_:
        main(["candidates", str(path), "--to", str(out), "--show", "3"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "estimate    120" in text and "elements: Cu is on the list" in text
    findings = pd.read_csv(out.with_suffix(".csv"))
    assert set(findings["rule"]) <= {"elements", "duplicates", "density"}
    assert len(findings) + len(pd.read_parquet(out)) == 120


def test_a_pool_without_a_candidate_is_an_error_with_its_reason(tmp_path, capsys):
    path, out = tmp_path / "c.yaml", tmp_path / "pool.parquet"
    changes = {"screening": {"elements": {"never": ["Cu", "Au"]}}}
    path.write_text(yaml.safe_dump(small_campaign(**changes)))
    with pytest.raises(SystemExit) as exit_:
        main(["candidates", str(path), "--to", str(out), "--show", "1"])
    assert exit_.value.code == 2
    told = capsys.readouterr()
    assert "is on the list of elements never to use" in told.out
    assert "screening rejected all candidates: 120 made, 120 rejected" in told.err
    assert not out.exists() and len(pd.read_csv(out.with_suffix(".csv"))) == 120


def test_a_policy_that_bars_everything_spends_nothing():
    screening = {"elements": {"never": ["Cu", "Au"]}}
    config = CampaignConfig.model_validate(small_campaign(screening=screening))
    with pytest.raises(ConfigError, match="bars every element"):
        config.check()


BINARIES = {"kind": "prototypes", "elements": ["Cu", "Au"], "max_atoms": 4}
NARROWED = {
    "where": {"where": {"fractions": {"Cu": [0, 0.5]}}},
    "formulas": {"where": {"formulas": ["AB", "A"]}},
    "components": {"components": [2]},
    "never_only": {"never_only": ["Cu", "Au"]},
    "where in a part": {
        "kind": "union",
        "parts": [
            {**BINARIES, "where": {"fractions": {"Cu": [0, 0.25]}}},
            {**BINARIES, "elements": ["Cu"]},
        ],
    },
}
INSIDE = {
    "where": lambda n: n.get("Cu", 0) <= 0.5 * sum(n.values()),
    "formulas": lambda n: len(set(n.values())) == 1,
    "components": lambda n: len(n) == 2,
    "never_only": lambda n: len(n) == 1,
    "where in a part": lambda n: (
        n.get("Cu", 0) <= 0.25 * sum(n.values()) or set(n) == {"Cu"}
    ),
}


@pytest.mark.parametrize("name", NARROWED)
def test_no_child_leaves_the_asked_space(grown, name):
    """The parents are from all of Cu-Au, so that most limits are tried."""
    asked = NARROWED[name]
    recipe = TypeAdapter(AnyCandidates).validate_python(
        asked if "kind" in asked else {**BINARIES, **asked}
    )
    config = CampaignConfig.model_validate(small_campaign(**GROWING))
    config = config.model_copy(update={"candidates": recipe})
    with Campaign.open(grown) as campaign:
        payload = grow(config, campaign.state, 1)
    made = [counts_of(Crystal.from_dict(c)) for c in payload["crystals"]]
    assert made and all(INSIDE[name](dict(n)) for n in made)
    refused = [f for f in payload["findings"] if f["rule"] == "chemical_space"]
    assert len(refused) == payload["screening"]["rejected"]["chemical_space"] > 0
    limit = {"where in a part": "parts[0] fractions", "where": "fractions"}
    assert all(limit.get(name, name) in f["message"] for f in refused)
