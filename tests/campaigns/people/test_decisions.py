"""Pin, veto, release, add, approve: obeyed, recorded with name and reason."""

import pytest
from ase.build import bulk
from campaign_files import small_campaign
from commands import matdisco

from campaigns import Campaign, CampaignConfig
from campaigns.people.decisions import Decision, check
from campaigns.people.inbox import Inbox, put
from campaigns.progress import Display
from matdisco.crystal import Crystal
from matdisco.errors import DataError

QUIET = Display(quiet=True)


def config(**changes):
    return CampaignConfig.model_validate(
        small_campaign(start={"per_element": 1, "random": 4}, **changes)
    )


def decide(folder, action, *names, crystals=()):
    decision = Decision(action, "ada", "because", names, crystals)
    put(folder, {"what": "decision", "decision": decision.to_dict()})
    with Campaign.open(folder) as c:
        assert Inbox(c.config, c.folder, c.ledger, c.pool).drain_if_free()


def test_pins_vetoes_and_new_candidates_are_obeyed(tmp_path):
    folder = tmp_path / "run"
    with Campaign.start(config(), folder) as campaign:
        campaign.run(1, display=QUIET)
        free = [campaign.pool[int(i)].id for i in campaign.state.available]
    vetoed = free[2:90]
    decide(folder, "pin", free[0], free[1])
    decide(folder, "veto", *vetoed)
    decide(folder, "release", vetoed[-1])
    new = Crystal.from_atoms(bulk("Cu", "sc", a=2.5), "simple-cubic")
    decide(folder, "add", new.id, crystals=(new,))
    with Campaign.start(config(), folder) as campaign:
        campaign.run(1, display=QUIET)
        proposals = campaign.proposals()
        second = proposals[proposals["round"] == 1]
        assert list(second["candidate"][:3]) == [free[0], free[1], "simple-cubic"]
        assert (second["reason"][:3] == "pinned").all()
        assert second["mean"].notna().all()
        campaign.run(display=QUIET)
        assert not set(campaign.proposals()["candidate"]) & set(vetoed[:-1])
        assert len(campaign.state.evaluations) == 20
        answer = campaign.state.evaluations["simple-cubic"]
        assert answer.ok
        (decided,) = [
            e.payload
            for e in campaign.ledger.events("decided")
            if e.payload["action"] == "veto"
        ]
        assert (decided["by"], decided["reason"]) == ("ada", "because")


def test_a_round_waits_for_approval_on_the_command_line(tmp_path, write_config):
    path = write_config(
        people={"approval": True},
        start={"per_element": 1, "random": 4},
        budget={"evaluations": 6},
    )
    done = matdisco("run", str(path), "--to", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0 and "round 0 waits for approval" in done.stdout
    done = matdisco("proposals", "run", "--approve", cwd=tmp_path)
    assert done.returncode == 2 and "--reason" in done.stderr
    listed = matdisco("proposals", "run", cwd=tmp_path)
    assert "waiting" in listed.stdout
    done = matdisco(
        "proposals", "run", "--approve", "--by", "ada", "--reason", "fine",
        "--veto", listed.stdout.splitlines()[-1].split()[1], cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = matdisco("run", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Campaign.open(tmp_path / "run") as campaign:
        assert len(campaign.state.evaluations) == 5
        assert list(campaign.proposals()["status"])[5] == "vetoed"


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (("pin", "ada", "why", ("Cu3Au-x",)), "no candidate 'Cu3Au-x'"),
        (("veto", "ada", " ", ("x",)), "--reason: every decision is on record"),
        (("veto", "", "why", ("x",)), "--by: every decision is on record"),
    ],
)
def test_wrong_decisions_are_sentences(tmp_path, decision, message):
    with Campaign.start(config(), tmp_path / "run") as campaign:
        with pytest.raises(DataError, match=message):
            check(Decision(*decision), campaign.state, campaign.config.evaluator)
        foreign = Crystal.from_atoms(bulk("Fe"), "iron")
        with pytest.raises(DataError, match="Fe: the hull has references for Au, Cu"):
            check(
                Decision("add", "a", "b", ("iron",), (foreign,)),
                campaign.state,
                campaign.config.evaluator,
            )
        known = campaign.pool[3]
        again = Crystal("again", known.structure)
        with pytest.raises(DataError, match=f"it is {known.id}, which is in the pool"):
            check(
                Decision("add", "a", "b", ("again",), (again,)),
                campaign.state,
                campaign.config.evaluator,
            )
