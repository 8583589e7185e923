"""A campaign that asks for a card starts only with the right one, and checks rounds."""

import json

import pytest
from campaign_files import small_campaign
from played_campaign import Playing

from campaigns import Campaign, CampaignConfig
from matdisco.errors import CampaignError, ConfigError
from matdisco.recipe import canonical_json, digest
from surrogates.assessment.battery import assess
from surrogates.assessment.doors import open_checkpoint
from surrogates.assessment.suite import SuiteRecipe
from surrogates.recipes import GaussianProcessRecipe
from surrogates.testing import toy_crystals

TARGET = "formation_energy_per_atom"


def config(**changes):
    return CampaignConfig.model_validate(small_campaign(**changes))


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """A card of this campaign's surrogate recipe, from a small real fit."""
    from dataclasses import replace

    from matdisco.data.dataset import Dataset

    crystals = [
        replace(c, labels={TARGET: c.labels["toy"]}) for c in toy_crystals(90, seed=3)
    ]
    surrogate = GaussianProcessRecipe().build(0)
    surrogate.fit(Dataset("train", tuple(crystals[:60])), TARGET)
    home = tmp_path_factory.mktemp("card")
    surrogate.save(home / "process")
    suite = SuiteRecipe(sections=("efficacy",))
    made, text = assess(
        open_checkpoint(home / "process"), Dataset("test", tuple(crystals[60:])), suite
    )
    made.save(home / "card", text)
    assert made.verdict in ("pass", "warn"), made.failures()
    return home / "card"


def asked(card, **rest):
    return config(assessment={"card": str(card), **rest})


def test_a_card_of_another_target_is_refused(card):
    target = config().objective.target
    assert target != TARGET
    with pytest.raises(ConfigError, match=f"this campaign learns {target}"):
        asked(card).check()


def _copy(card, to, change):
    to.mkdir()
    (to / "predictions.csv").write_text((card / "predictions.csv").read_text())
    data = json.loads((card / "card.json").read_text())
    change(data["body"])
    data["sha256"] = digest(data["body"])
    (to / "card.json").write_text(canonical_json(data))
    return to


def test_every_other_card_is_refused(card, tmp_path):
    target = config().objective.target
    right = _copy(card, tmp_path / "right", lambda b: b["data"].update(target=target))
    asked(right).check()
    with pytest.raises(ConfigError, match="no such card"):
        asked(tmp_path / "none").check()
    other = config(assessment={"card": str(right)}, surrogate={"kind": "random_forest"})
    with pytest.raises(ConfigError, match="not that of this campaign's surrogate"):
        other.check()

    def failed(body):
        body["data"]["target"] = target
        body["suite"]["thresholds"]["efficacy.skill"] = {
            "warn": None, "fail": 2.0, "better": "high",
        }  # fmt: skip
        for measure in body["sections"][0]["measures"]:
            if measure["key"] == "efficacy.skill":
                measure["verdict"] = "fail"
        body["sections"][0]["verdict"] = body["verdict"] = "fail"

    with pytest.raises(ConfigError, match=r"efficacy\.skill"):
        asked(_copy(card, tmp_path / "failed", failed)).check()
    broken = tmp_path / "right" / "card.json"
    broken.write_text(broken.read_text().replace('"records":30', '"records":31'))
    with pytest.raises(ConfigError, match="does not verify"):
        asked(right).check()


def play(folder, rounds=3, **assessment):
    """Rounds of a campaign that checks its surrogate, without worker processes."""
    checked = {"each_round": True, "on_failure": "explore", "crystals": 2}
    run = Playing(folder, assessment={**checked, **assessment})
    try:
        for _ in range(rounds):
            run.play()
        return run.payloads()[1:]
    finally:
        run.ledger.close()


def test_rounds_are_checked_and_on_record_and_the_same_again(tmp_path):
    """A GP on composition misses most absurd inputs: its rounds are drawn at random."""
    checked = play(tmp_path / "a")
    assert len(checked) == 2
    for payload in checked:
        check = payload["assessment"]
        assert check["measures"]["robustness.rotation"] < 1e-3
        reasons = {p["reason"] for p in payload["proposals"]}
        failed = check["verdict"] == "fail"
        assert reasons == {"random" if failed else "log_expected_improvement"}
    again = play(tmp_path / "b", rounds=2)[0]
    assert again["assessment"] == checked[0]["assessment"]
    assert again["proposals"] == checked[0]["proposals"]


def test_a_failed_check_can_stop_the_campaign(tmp_path, monkeypatch):
    from surrogates.assessment import robustness

    def broken(trial, section):
        section.add("rotation", 0.5, "turned")

    monkeypatch.setattr(robustness, "measure", broken)
    with pytest.raises(CampaignError, match=r"robustness\.rotation"):
        play(tmp_path / "run", on_failure="stop")
    with Campaign.open(tmp_path / "run") as campaign:
        assert len(campaign.ledger.events("proposed")) == 1
