"""A ladder of fidelities: never mixed, promoted by rule, paid for, safe to kill."""

import numpy as np
import pytest
from campaign_files import small_campaign
from commands import matdisco
from pydantic import ValidationError

from campaigns import Campaign, CampaignConfig
from campaigns.ladder.promotion import promotions
from campaigns.ladder.recipe import RungRecipe
from campaigns.progress import Display
from campaigns.spending import Account, Purse

QUIET = Display(quiet=True)


def rung(name="dear", **changes):
    return {
        "name": name,
        "evaluator": {
            "kind": "function", "function": "evaluators:dearer_energy",
            "returns": ["energy_per_atom"],
        },
        "best": 1,
        "within": None,
        "evaluations": 7,
        **changes,
    }  # fmt: skip


def config(*rungs, **changes):
    return CampaignConfig.model_validate(
        small_campaign(ladder=rungs or [rung()], **changes)
    )


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """A finished campaign that confirmed its best with a dearer evaluator."""
    folder = tmp_path_factory.mktemp("ladder") / "run"
    setup = config(start={"per_element": 1, "random": 8}, budget={"evaluations": 16})
    with Campaign.start(setup, folder) as campaign:
        assert campaign.run(display=QUIET) == "budget: 16 evaluations are spent"
    return folder


def test_fidelities_are_never_mixed(climbed):
    with Campaign.open(climbed) as campaign:
        own, dear = campaign.state, campaign.rung("dear")
        assert set(own.evaluations) > set(dear.evaluations)
        promoted = campaign.ledger.events("promoted")
        count = sum(len(e.payload["proposals"]) for e in promoted)
        assert len(own.evaluations) == 16 and len(dear.evaluations) == count > 4
        # each has references of its own, so the shift of tens of eV is gone
        table = campaign.confirmations()
        assert (table["status"] == "reference").sum() == 2
        kept = table[table["status"] != "reference"]
        assert np.allclose(kept["formation"], 1.1 * kept["formation_below"])
        # what the surrogate learned is the campaign's own evaluator's
        assert np.abs(own.answers).max() < 5 < np.abs(dear.answers).max()
        fidelities = {
            (e.kind, e.payload["fidelity"])
            for e in campaign.events
            if "fidelity" in e.payload
        }
        assert fidelities == {
            ("evaluated", "screening"), ("promoted", "dear"), ("confirmed", "dear"),
        }  # fmt: skip


def test_promotions_keep_the_rule_and_the_budget(climbed):
    with Campaign.open(climbed) as campaign:
        promoted = campaign.ledger.events("promoted")
        sizes = [len(e.payload["proposals"]) for e in promoted]
        lasts = [e.payload["last"] for e in promoted]
        # references and one of the best, one a round, the rest at the end
        assert sizes[:-1] == [3, 1, 1] and lasts == [False, False, False, True]
        assert sizes[-1] > 0 and sum(sizes) <= 7
        reasons = [p["reason"] for p in promoted[0].payload["proposals"]]
        assert reasons[:2] == ["reference for Au", "reference for Cu"]
        table = campaign.confirmations()
        assert table["candidate"].is_unique
        # at the end the best of the screening have been tried, copies left out
        own, compounds = campaign.evaluations(), table[table["status"] != "reference"]
        binary = own[[len(e) > 1 for e in _elements(campaign, own)]]
        limit = compounds["below"].max()
        better = binary[binary["energy_above_hull"] <= limit]
        assert set(better["formula"]) == set(compounds["formula"])
        # a limit leaves out what is further from the hull
        setup = RungRecipe.model_validate(rung(within=limit / 2, evaluations=50))
        above = campaign.rung("dear")
        fresh = type(above)(above.pool, above.objective, {}, {})
        chosen = promotions(setup, campaign.state, fresh, last=True)
        near = table[table["below"] <= limit / 2]
        assert {p["candidate"] for p in chosen} == set(near["candidate"])


def _elements(campaign, table):
    return [campaign.state.structure(name).elements for name in table["candidate"]]


def test_status_report_and_record_show_the_ladder(climbed, tmp_path):
    shown = matdisco("status", str(climbed), cwd=tmp_path).stdout
    with Campaign.open(climbed) as campaign:
        count = len(campaign.rung("dear").evaluations)
    assert f"ladder, dear: {count} answers, 0 failed; beside the fidelity" in shown
    assert "rank correlation" in shown and f"cost, dear: {count} evaluations" in shown
    page = (climbed / "report.html").read_text()
    assert "Confirmed by dear" in page and "reference for Cu" in page
    with Campaign.open(climbed) as campaign:
        closed = campaign.ledger.events("closed")[-1].payload
        assert closed["confirmed"]["dear"]["evaluated"] >= 3
        assert set(closed["volatile"]["core_seconds"]) == {"screening", "dear"}


def test_a_reference_that_fails_is_replaced_by_the_next(climbed):
    with Campaign.open(climbed) as campaign:
        below, above = campaign.state, campaign.rung("dear")
    setup = RungRecipe.model_validate(rung(evaluations=20, best=3, within=None))
    first = [p["candidate"] for p in promotions(setup, below, above, last=False)]
    assert not any(len(below.structure(n).elements) == 1 for n in first)
    fresh = type(above)(above.pool, above.objective, {}, {})
    wanted = promotions(setup, below, fresh, last=False)
    assert [len(below.structure(p["candidate"]).elements) for p in wanted] == [
        1, 1, 2, 2, 2,
    ]  # fmt: skip
    failed = type(above)(
        above.pool, above.objective,
        {wanted[0]["candidate"]: _failed(wanted[0]["candidate"])}, {},
        {p["candidate"]: (0, p["rank"]) for p in wanted},
    )  # fmt: skip
    best = wanted[2]["candidate"]
    barred = type(above)(
        above.pool, above.objective, {}, {}, vetoed=frozenset({best})
    )  # fmt: skip
    left = [p["candidate"] for p in promotions(setup, below, barred, last=False)]
    assert best not in left and len(left) == 5
    again = promotions(setup, below, failed, last=False)
    assert again[0]["reason"] == wanted[0]["reason"]
    assert again[0]["candidate"] != wanted[0]["candidate"]


def _failed(name):
    from matdisco.evaluators.base import Evaluation, Failure, FailureKind

    return Evaluation("k", name, failure=Failure(FailureKind.NOT_CONVERGED, "no"))


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ([rung(name="screening")], r"ladder\[0\].name: 'screening' is the name of"),
        ([rung(), rung()], r"ladder\[1\].name: 'dear' is the name of a rung below"),
        ([rung(evaluator=small_campaign()["evaluator"])], "confirm nothing"),
        (
            [rung(evaluator={"kind": "laboratory", "returns": ["energy_per_atom"]})],
            "expected an evaluator that runs by itself, got kind laboratory",
        ),
        (
            [rung(evaluator={**rung()["evaluator"], "returns": ["band_gap"]})],
            "needs the label 'energy_per_atom', but it gives band_gap",
        ),
    ],
)
def test_ladders_that_cannot_be_climbed_are_refused(rungs, message):
    with pytest.raises(ValidationError, match=message):
        config(*rungs)


def test_a_purse_sets_aside_the_dearest_for_all_that_runs():
    purse = Purse(1.0, None, "EUR", {"a": Account(2.0, 900.0)})  # 0.25 core-hours each
    assert purse.affordable("a", 10) == 4  # by the estimate
    purse.accounts["a"].add(360.0)  # 0.1
    assert purse.affordable("a", 20) == 9
    purse.running["a"] = 4
    assert purse.affordable("a", 20) == 5
    purse.accounts["a"].add(1800.0)  # 0.5: what runs may take as long
    assert purse.affordable("a", 20) == 0
    assert "0.6 of 1 core-hours are spent" in purse.objection("a")
    money = Purse(None, 1.0, "CHF", {"a": Account(2.0, 900.0)})
    assert money.affordable("a", 10) == 2
    assert "budget: 0.00 of 1 CHF" in money.describe()


def test_core_hours_stop_a_campaign_before_they_are_overdrawn(tmp_path):
    slow = {
        "kind": "function", "function": "evaluators:emt_energy", "seconds": 0.05,
        "returns": ["energy_per_atom"], "settings": {"delay": 0.05},
    }  # fmt: skip
    hours = 0.9 / 3600
    setup = CampaignConfig.model_validate(
        small_campaign(
            evaluator=slow,
            acquisition={"kind": "random", "batch_size": 4},
            budget={"evaluations": 100, "core_hours": hours},
        )
    )
    with Campaign.start(setup, tmp_path / "run") as campaign:
        reason = campaign.run(display=QUIET)
        assert "core-hours are spent; what is left may not be enough" in reason
        account = Purse.of(setup, campaign.events).accounts["screening"]
        assert account.core_hours <= hours
        assert 1 <= account.evaluations < 20
        assert "budget: " in "".join(campaign.spending())
    assert "cost, budget:" in matdisco("status", "run", cwd=tmp_path).stdout


def test_money_needs_a_price():
    with pytest.raises(ValidationError, match=r"budget\.money: nothing has a price"):
        CampaignConfig.model_validate(
            small_campaign(budget={"evaluations": 20, "money": 5})
        )
