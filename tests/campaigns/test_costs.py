"""Costs learnt from what the evaluations took: the line, what it heeds, a campaign."""

import shutil

import numpy as np
import pytest
from campaign_files import small_campaign, small_front
from commands import matdisco
from pydantic import ValidationError

from campaigns import Campaign, CampaignConfig
from campaigns.cli import main
from campaigns.costs import accuracy, cost_model, fitted, told
from campaigns.ladder.promotion import promotions
from campaigns.ladder.recipe import RungRecipe
from campaigns.ladder.worth import worths
from campaigns.ledger import Ledger
from campaigns.progress import Display
from campaigns.propose import next_round
from campaigns.state import State
from campaigns.tracking.contents import points
from matdisco.evaluators.base import Evaluation, Failure, FailureKind

EMT = {"kind": "calculator", "calculator": "emt", "relax": None}
RULE = {"kind": "log_expected_improvement", "batch_size": 3, "cost": "measured"}


def test_a_power_law_is_found_through_workers_that_start_up():
    rng = np.random.default_rng(0)
    atoms = rng.integers(1, 13, size=40).astype(float)
    taken = 0.8 * atoms**2.3 * np.exp(0.15 * rng.normal(size=40))
    taken[[3, 17]] *= 40  # two of them waited for something
    found = fitted(atoms, taken, 4.0, 60.0, 0.0)
    assert found.exponent == pytest.approx(2.3, abs=0.12)
    assert found.usual == pytest.approx(0.8 * 4**2.3, rel=0.1)
    assert found.core_seconds(np.array([4, 8]))[1] == pytest.approx(
        found.usual * 2**found.exponent
    )
    # least squares would be led astray by the two
    plain = np.polyfit(np.log(atoms / 4), np.log(taken), 1)[1]
    truth = np.log(0.8 * 4**2.3)
    assert abs(np.log(found.usual) - truth) < 0.5 * abs(plain - truth)


def test_before_much_is_measured_the_configuration_is_believed():
    nothing = fitted(np.zeros(0), np.zeros(0), 4.0, 60.0, 3.0)
    assert (nothing.usual, nothing.exponent, nothing.evaluations) == (60.0, 3.0, 0)
    # one size says how dear it is, and nothing of the exponent
    same = fitted(np.full(9, 4.0), np.full(9, 5.0), 4.0, 60.0, 3.0)
    assert same.usual == pytest.approx(5.0, rel=0.05)
    assert same.exponent == pytest.approx(3.0)
    # two sizes close together hardly move it
    close = fitted(np.array([4.0, 5.0]), np.array([5.0, 5.0]), 4.0, 5.0, 3.0)
    assert 2.2 < close.exponent < 3.0


def test_what_was_looked_up_or_failed_at_once_says_nothing(climbed):
    with Campaign.open(climbed) as campaign:
        state = campaign.state
    names = [state.pool[i].id for i in range(4)]
    failed = {
        kind: Failure(kind, "no")
        for kind in (FailureKind.TIMEOUT, FailureKind.EXPLODED)
    }
    answers = [
        Evaluation("k", names[0], spent=0.0),
        Evaluation("k", names[1], spent=7.0),
        Evaluation("k", names[2], failure=failed[FailureKind.TIMEOUT], spent=60.0),
        Evaluation("k", names[3], failure=failed[FailureKind.EXPLODED], spent=0.1),
    ]
    known = State(state.pool, state.objective, {e.crystal_id: e for e in answers}, {})
    assert told(known)[1].tolist() == [7.0, 60.0]


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """A finished campaign that measured what its energies and relaxations cost."""
    folder = tmp_path_factory.mktemp("costs") / "run"
    rung = {
        "name": "tight", "evaluator": {**EMT, "relax": {"fmax": 0.05}}, "best": 3,
        "within": None, "evaluations": 12, "order": "expected_improvement",
        "cost": "measured", "cost_exponent": 1.0,
    }  # fmt: skip
    setup = CampaignConfig.model_validate(
        small_campaign(
            evaluator=EMT, acquisition=RULE, ladder=[rung],
            start={"per_element": 1, "random": 14}, budget={"evaluations": 25},
        )
    )  # fmt: skip
    with Campaign.start(setup, folder) as campaign:
        campaign.run(display=Display(quiet=True))
    return folder


def test_a_campaign_divides_by_what_its_own_evaluations_took(climbed):
    with Campaign.open(climbed) as campaign:
        config, events = campaign.config, campaign.events
        rounds = [e for e in events if e.kind == "proposed" and e.round]
        assert len(rounds) == 3
        for event in rounds:
            before = events[: event.seq - 1]
            state = State.of(campaign.pool, config.objective, before)
            model = cost_model(
                config.evaluator, config.execution, state, 0.0, measured=True
            )
            assert model.evaluations == len(state.answered)
            assert event.payload["cost"] == model.to_dict()
            for p in event.payload["proposals"]:
                atoms = state.pool[state.position[p["candidate"]]].n_atoms
                predicted = float(model.core_seconds(np.array([atoms]))[0])
                assert p["predicted_core_seconds"] == pytest.approx(predicted, abs=1e-4)
                relative = predicted / model.usual
                assert p["relative_cost"] == pytest.approx(relative, abs=1e-4)
                assert "core-seconds predicted)" in p["why"]
        taken = [campaign.state.evaluations[c].spent for c in campaign.state.proposed]
        assert min(taken) / 5 < model.usual < max(taken) * 5
        ratio = accuracy(events, rounds[-1])
        assert ratio is not None and 0.02 < ratio < 50
        named = {p.key: p.value for p in points(campaign, None) if p.step == 3}
        assert named["cost/measured_over_predicted"] == pytest.approx(ratio)
        assert named["cost/predicted_usual_core_seconds"] == model.usual


def test_the_same_ledger_gives_the_same_proposals(climbed, tmp_path):
    with Campaign.open(climbed) as campaign:
        config, events = campaign.config, campaign.events
        event = next(e for e in events if e.kind == "proposed" and e.round == 2)
        before = events[: event.seq - 1]
        state = State.of(campaign.pool, config.objective, before)
        again = next_round(config, state, before, tmp_path, 2, 3)
        assert again["proposals"] == event.payload["proposals"]
        assert again["cost"] == event.payload["cost"]


def test_status_tells_predicted_costs_without_a_ladder(climbed, tmp_path, capsys):
    folder = tmp_path / "run"
    with Campaign.open(climbed) as campaign, Ledger.writing(folder) as ledger:
        for event in campaign.events:
            if event.kind not in ("promoted", "confirmed"):
                ledger.append(event.kind, event.payload, round=event.round)
        plain = campaign.config.model_copy(update={"ladder": ()})
    (folder / "config.yaml").write_text(plain.dump())
    shutil.copy(climbed / "pool.parquet", folder)
    with pytest.raises(SystemExit) as ended:
        main(["status", str(folder)])
    assert not ended.value.code
    assert "cost, predicted cost: " in capsys.readouterr().out


def test_promotions_are_per_measured_cost_and_say_so(climbed):
    with Campaign.open(climbed) as campaign:
        below, above = campaign.state, campaign.rung("tight")
        rung, how = campaign.config.ladder[0], campaign.config.execution
    model = cost_model(rung.evaluator, how, above, 1.0, measured=True)
    assert model.evaluations == len(above.answered) and model.exponent != 1.0
    atoms = np.array([below.pool[int(i)].n_atoms for i in below.answered])
    even = rung.model_copy(update={"cost": "given", "cost_exponent": 0.0})
    plain = worths(even, below, above)
    weighed = worths(rung, below, above, model)
    assert weighed == pytest.approx(
        plain - model.exponent * np.log(atoms / model.usual_atoms)
    )
    # as if the last compound had not been confirmed yet
    name = [n for n in above.proposed if len(above.structure(n).elements) > 1][-1]
    kept = {k: e for k, e in above.evaluations.items() if k != name}
    before = {k: v for k, v in above.proposed.items() if k != name}
    known = State(above.pool, above.objective, kept, {}, before)
    chosen = promotions(rung, below, known, last=True, execution=how)
    assert name in [p["candidate"] for p in chosen]
    assert all(p["reason"].endswith("core-seconds predicted") for p in chosen)
    shown = matdisco("status", str(climbed), cwd=climbed).stdout
    assert "cost, predicted cost: " in shown and "measured, each within" in shown
    assert "predicted cost: " in (climbed / "report.html").read_text()
    told_ = matdisco("proposals", str(climbed), "--explain", "2", cwd=climbed).stdout
    assert "  predicted cost: " in told_


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"evaluator": {"kind": "laboratory", "returns": ["energy_per_atom"]}},
            r"acquisition\.cost: measured needs an evaluator that computes, but with "
            "this one people answer",
        ),
        (
            {"evaluator": {"kind": "lookup", "dataset": "shipped:al-ni-ti-chgnet",
                           "returns": ["energy_per_atom"]}},
            "a table answers at once; use given",
        ),
        (
            {"acquisition": {"kind": "promotion", "cost": "measured"},
             "ladder": [{"name": "table", "best": 2, "evaluations": 9, "evaluator":
                         {"kind": "lookup", "dataset": "shipped:al-ni-ti-chgnet",
                          "returns": ["energy_per_atom"]}}]},
            r"acquisition\.cost of ladder\[0\]: measured needs",
        ),
        ({"acquisition": {**RULE, "scorer": "monte_carlo"}}, "can neither weigh"),
        (
            {"acquisition": {"kind": "hull_probability", "bound_share": 0.5,
                             "cost": "measured"}},
            "a bound cannot be weighed",
        ),
        (
            small_front(acquisition={**RULE, "batch_size": 4}),
            r"acquisition\.cost: is not defined with objective front",
        ),
    ],
)  # fmt: skip
def test_costs_that_cannot_be_measured_are_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        CampaignConfig.model_validate(
            small_campaign(**{"acquisition": RULE, **changes})
        )


def test_a_rung_that_does_not_weigh_costs_measures_none():
    with pytest.raises(ValidationError, match="cost: expected with order: expected_im"):
        RungRecipe.model_validate(
            {"name": "a", "evaluator": EMT, "evaluations": 9, "cost": "measured"}
        )
