"""Fronts whose answers come from people or from CHGNet, and are learnt by networks."""

import numpy as np
import pytest
from campaign_files import small_front

from campaigns import Campaign, CampaignConfig
from campaigns.people.inbox import Inbox, put, results_item
from campaigns.progress import Display
from matdisco.crystal import Crystal

QUIET = Display(quiet=True)
GAP = {"property": "band_gap", "goal": "maximise", "reference": 0.0}
LIGHT = {"property": "density", "goal": "minimise", "reference": 20.0}
NETWORKS = {
    "kind": "network_ensemble",
    "network": {"kind": "cgcnn", "width": 8, "blocks": 1},
    "members": 2,
    "epochs": 4,
    "threads": 1,
}


def run(folder, settings):
    config = CampaignConfig.model_validate(settings)
    with Campaign.start(config, folder) as campaign:
        return campaign.run(display=QUIET)


def tell(folder, name, text):
    path = folder.parent / name
    path.write_text(text)
    put(folder, results_item(path, by="ada"))
    with Campaign.open(folder) as c:
        assert Inbox(c.config, c.folder, c.ledger, c.pool).drain_if_free()


def asked(folder):
    with Campaign.open(folder) as campaign:
        table = campaign.proposals()
    return list(table[table["round"] == table["round"].max()]["candidate"])


def test_a_laboratory_measures_a_front_property_by_property(tmp_path):
    settings = small_front(
        GAP, LIGHT,
        evaluator={"kind": "laboratory", "returns": ["band_gap", "density"]},
        start={"per_element": 0, "random": 4},
        acquisition={"kind": "hypervolume_improvement", "batch_size": 3},
        budget={"evaluations": 7},
    )  # fmt: skip
    folder = tmp_path / "run"
    assert "waits for 4 of 4" in run(folder, settings)
    a, b, c, d = asked(folder)
    head = "candidate,band_gap [meV],density [kg/m³]"
    tell(folder, "gaps.csv", f"{head}\n{a},1000,\n{b},2000,9000\n{c},,7000\n")
    # half an answer is none: the front has no member with an unknown coordinate
    assert "waits for 3 of 4" in run(folder, settings)
    with Campaign.open(folder) as campaign:
        assert list(campaign.front()["candidate"]) == [b]
    late = f"{head},failure\n{a},,5000,\n{c},500,,\n{d},,,would not crystallise\n"
    tell(folder, "rest.csv", late)
    assert "waits for 3 of 3" in run(folder, settings)
    with Campaign.open(folder) as campaign:
        state, rows = campaign.state, campaign.front().to_dict("records")
        found = {r["candidate"]: (r["band_gap"], r["density"]) for r in rows}
        assert found == {a: (1.0, 5.0), b: (2.0, 9.0)}
        assert state.best == pytest.approx(2 * 11 + 1 * 4)  # eV · g/cm³
        assert [state.pool[int(i)].id for i in state.failed] == [d]
    # a structure that nobody proposed joins pool and front
    nova = Crystal.from_arrays(
        "n", np.diag([3.0, 4.0, 7.0]), ["Cu", "Cu", "Cu", "Au", "Au"],
        np.random.default_rng(0).random((5, 3)),
    )  # fmt: skip
    (tmp_path / "nova.cif").write_text(nova.to_cif())
    e, f, g = asked(folder)
    tell(folder, "new.csv", f"{head},made\n{e},3000,4000,nova.cif\n{f},1,1,\n{g},1,1,")
    run(folder, settings)
    with Campaign.open(folder) as campaign:
        assert campaign.state.best == pytest.approx(3 * 16 + 0.001 * (4 - 0.001))
        assert "nova" in set(campaign.front()["candidate"])
        assert campaign.report().exists()


@pytest.mark.usefixtures("drawn")
def test_networks_learn_every_target(tmp_path):
    settings = small_front(surrogate=NETWORKS, budget={"evaluations": 12})
    folder = tmp_path / "run"
    assert run(folder, settings) == "budget: 12 evaluations are spent"
    with Campaign.open(folder) as campaign:
        events = campaign.ledger.events("proposed")
        targets = events[1].payload["proposals"][0]["targets"]
        assert set(targets) == {"energy_per_atom", "density"}
        assert len(campaign.front()) and campaign.report().exists()
        homes = [folder / "surrogates", folder / "surrogates" / "density"]
        assert all((home / "round-001" / "surrogate.json").exists() for home in homes)


def test_chgnet_answers_in_several_properties(tmp_path):
    settings = small_front(
        {"property": "formation_energy_per_atom", "goal": "minimise", "reference": 1.0},
        LIGHT,
        evaluator={
            "kind": "calculator", "calculator": "chgnet", "relax": None,
            "compute": ["geometry", "formation_energy"],
        },
        start={"per_element": 0, "random": 4},
        acquisition={"kind": "random", "batch_size": 2},
        budget={"evaluations": 6},
    )  # fmt: skip
    folder = tmp_path / "run"
    assert run(folder, settings) == "budget: 6 evaluations are spent"
    with Campaign.open(folder) as campaign:
        state = campaign.state
        assert len(state.answered) == 6 and state.best > 0
        answer = state.evaluations[state.pool[int(state.answered[0])].id]
        method = answer.labels["formation_energy_per_atom"].method
        assert method.startswith("CHGNET 0.3.0")
