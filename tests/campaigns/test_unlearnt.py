"""Campaigns whose answers do not suffice to learn from: drawn at random, or ended."""

import pytest
from campaign_files import small_campaign

from campaigns.campaign import Campaign
from campaigns.config import CampaignConfig
from campaigns.progress import Display

ENERGY = {"kind": "property", "property": "energy_per_atom", "goal": "minimise"}


@pytest.fixture
def said(capsys):
    return lambda: capsys.readouterr().err


@pytest.mark.usefixtures("drawn")
def test_where_everything_fails_the_reason_is_shown_and_the_rate_ends_it(
    tmp_path, said
):
    with Campaign.start(all_fail(), tmp_path / "run") as campaign:
        reason = campaign.run(display=Display())
        assert reason.startswith("failure rate: 12 of 12 evaluations failed")
        drawn = campaign.ledger.events("proposed")[1].payload
        assert {p["reason"] for p in drawn["proposals"]} == {"random"}
        assert "too few answers to learn from" in drawn["proposals"][0]["why"]
        page = campaign.report().read_text()
    text = said()
    assert "round 1: drawn at random, too few answers to learn from" in text
    assert "8 of 8 evaluations failed, most often with backend-error" in text
    assert "report not written" not in text and "backend-error" in page


def all_fail():
    return CampaignConfig.model_validate(
        small_campaign(
            objective=ENERGY,
            evaluator={
                "kind": "function", "function": "evaluators:never",
                "returns": ["energy_per_atom"],
            },
            execution={"workers": 1, "timeout": 30.0, "retries": 0},
            start={"per_element": 0, "random": 8},
        )
    )  # fmt: skip


def test_a_purse_that_is_empty_after_two_answers_ends_the_campaign(tmp_path, said):
    config = CampaignConfig.model_validate(
        small_campaign(
            objective=ENERGY,
            start={"per_element": 0, "random": 8},
            evaluator={
                "kind": "function", "function": "evaluators:emt_energy",
                "returns": ["energy_per_atom"], "settings": {"delay": 1.6},
            },
            budget={"evaluations": 20, "core_hours": 1.11e-3},  # 4 s
        )
    )  # fmt: skip
    with Campaign.start(config, tmp_path / "run") as campaign:
        reason = campaign.run(display=Display())
        assert reason.startswith("budget: ") and "core-hours are spent" in reason
        assert 0 < len(campaign.state.answered) < 3
        assert campaign.ranking().empty
    assert "no final ranking: too few answers to learn from" in said()
