"""What objects show of themselves in Jupyter: complete, escaped, never an error."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from recorded_campaign import PROPERTY, record

from campaigns import Campaign
from matdisco.data.dataset import Dataset
from matdisco.errors import CampaignError
from surrogates.recipes import GaussianProcessRecipe
from surrogates.testing import toy_crystals

NASTY = "<script>alert(1)</script>"


def text_of(html: str) -> str:
    """Return the text of well-formed HTML."""
    seen: list[str] = []
    open_: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("br", "img", "circle", "line", "path", "stop", "use"):
                open_.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if open_ and open_[-1] == tag:
                open_.pop()

        def handle_data(self, data: str) -> None:
            seen.append(data)

    Reader().feed(html)
    assert "<script" not in html
    assert not open_
    return " ".join(seen)


def test_dataset_shows_properties_and_pictures() -> None:
    crystals = tuple(toy_crystals(12))
    shown = Dataset(NASTY, crystals, {"licence": "CC0-1.0"})._repr_html_()
    text = text_of(shown)
    assert "12 values" in text and "CC0-1.0" in text and NASTY in text
    assert shown.count("<svg") == 6
    assert "0" in text_of(Dataset("empty", ())._repr_html_())


def test_surrogate_shows_whether_it_is_fitted() -> None:
    surrogate = GaussianProcessRecipe().build(0)
    assert "not fitted" in text_of(surrogate._repr_html_())
    surrogate.fit(Dataset("toy", tuple(toy_crystals(30))), "toy")
    text = text_of(surrogate._repr_html_())
    assert "not fitted" not in text
    assert "records" in text and "30" in text and "held out" in text


def test_campaign_and_proposal(tmp_path: Path) -> None:
    with Campaign.open(record(tmp_path / "run")) as campaign:
        text = text_of(campaign._repr_html_())
        assert "16 of 120 candidates, 2 failed, 3 rounds" in text
        assert "budget: spent" in text
        table = campaign.proposals()
        answered = table[(table["status"] == "answered") & table["mean"].notna()]
        chosen = campaign.proposal(answered.iloc[0]["candidate"])
        shown = text_of(chosen._repr_html_())
        assert "looks good & <cheap>" in shown and "±" in shown and "Answer" in shown
        assert repr(chosen).startswith(f"Proposal({chosen.crystal.id}, round 1")
        failed = table[table["status"] == "not-converged"].iloc[0]["candidate"]
        assert "not-converged" in text_of(campaign.proposal(failed)._repr_html_())
        with pytest.raises(CampaignError, match="never proposed"):
            campaign.proposal("nobody")


@pytest.mark.parametrize("rounds", [0, 2])
def test_campaigns_of_every_kind_show_themselves(tmp_path: Path, rounds: int) -> None:
    folder = record(tmp_path / "run", rounds=rounds, finish=False, **PROPERTY)
    with Campaign.open(folder) as campaign:
        assert "not finished" in text_of(campaign._repr_html_())
