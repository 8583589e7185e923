"""Acquisition that chooses candidate and fidelity: belief, limits, record, refusals.

EMT on two settings: energies of ideal cells are cheap, relaxed ones are dear.
"""

import numpy as np
import pandas as pd
import pytest
from campaign_files import small_campaign, small_front
from commands import matdisco
from pydantic import ValidationError

from campaigns import Campaign, CampaignConfig
from campaigns.explain import explained_round
from campaigns.interrupt import Interrupt
from campaigns.ladder.asks import asked_round
from campaigns.ladder.climb import Climb
from campaigns.ladder.known import Known, beyond
from campaigns.learning import Purpose, learn, stream
from campaigns.progress import Display
from campaigns.propose import next_round
from campaigns.spending import Purse
from campaigns.state import State
from campaigns.tracking.contents import points
from campaigns.tracking.notes import round_note
from matdisco.errors import ConfigError

EMT = {"kind": "calculator", "calculator": "emt"}
QUIET = Display(quiet=True)


def rung(**changes):
    return {
        "name": "relaxed", "evaluator": EMT, "best": 3, "within": None,
        "evaluations": 16, **changes,
    }  # fmt: skip


def setup(**changes):
    return CampaignConfig.model_validate(
        small_campaign(
            **{
                "evaluator": {**EMT, "relax": None},
                "ladder": [rung()],
                "acquisition": {"kind": "fidelity_improvement", "batch_size": 4},
                "start": {"per_element": 1, "random": 12},
                "budget": {"evaluations": 26},
                **changes,
            }
        )
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chosen") / "run"
    with Campaign.start(setup(), folder) as campaign:
        campaign.run(display=QUIET)
    return folder


@pytest.fixture
def campaign(run):
    with Campaign.open(run) as opened:
        yield opened


def before(campaign, number):
    """What was known when a round was proposed."""
    event = campaign.ledger.events("proposed", round=number)[0]
    events = campaign.events[: event.seq - 1]
    return (
        event.payload,
        events,
        State.of(campaign.pool, campaign.state.objective, events),
    )


def ruled(campaign):
    """Numbers of the rounds in which the rule chose fidelities."""
    rounds = campaign.ledger.events("proposed")
    return [e.round for e in rounds if "climbs" in e.payload]


def test_pairs_of_candidate_and_rung_are_chosen_and_carried_out(campaign):
    rounds = ruled(campaign)
    assert rounds and rounds[0] > 0
    asked = {"screening": 0, "relaxed": 0}
    for number in rounds:
        payload, _, state = before(campaign, number)
        climbs = payload["climbs"]
        assert len(climbs) <= 3 and len(payload["proposals"]) <= 4
        for climb in climbs:
            assert climb["fidelity"] == "relaxed"
            assert climb["candidate"] in state.evaluations  # one rung a round
            assert len(state.structure(climb["candidate"]).elements) == 2
            assert "asked of relaxed (" in climb["asked_because"]
        for proposal in payload["proposals"]:
            assert proposal["candidate"] not in state.evaluations
            assert "asked of screening (" in proposal["why"]
            assert "correlates by" in proposal["why"]
        promoted = campaign.ledger.events("promoted", round=number)
        done = [p for e in promoted for p in e.payload["proposals"]]
        done = [p for p in done if not p["reason"].startswith("reference")]
        assert [(p["candidate"], p["reason"]) for p in done] == [
            (c["candidate"], c["asked_because"]) for c in climbs
        ]
        asked["screening"] += len(payload["proposals"])
        asked["relaxed"] += len(climbs)
    assert min(asked.values()) > 0  # it did choose
    above = campaign.rung("relaxed")
    assert len(above.evaluations) <= 16 and len(campaign.state.evaluations) <= 26
    finished = campaign.ledger.events("finished")[0].payload["reason"]
    assert finished.startswith(
        ("budget: the 16 evaluations by relaxed are spent", "every ask that the budget")
    )
    # nothing is promoted after the end: what the rule left is left
    assert not any(e.payload["last"] for e in campaign.ledger.events("promoted"))


def test_until_the_fidelities_are_related_the_cheap_one_is_searched(campaign):
    first = ruled(campaign)[0]
    for number in range(1, first):
        payload, events, state = before(campaign, number)
        reasons = {p["reason"] for p in payload["proposals"]}
        assert reasons == {"log_expected_improvement"}
        known = Known.of(campaign.config, state, events)
        assert "of 4 answers that relate it" in known.unready
        assert payload["unrelated"] == known.unready
        told = explained_round(campaign, number)
        assert f"no fidelity is chosen yet: {known.unready}" in told
    assert first > 1
    _, events, state = before(campaign, first)
    assert Known.of(campaign.config, state, events).unready is None


def test_the_belief_knows_answers_and_leans_on_the_fidelity_below(campaign, tmp_path):
    _, events, state = before(campaign, ruled(campaign)[-1])
    config = campaign.config
    known = Known.of(config, state, events)
    learned = learn(config, state, events, tmp_path, 9)
    belief, n = known.belief(learned.prediction), len(state.pool)
    mean, variance = (v.reshape(2, n) for v in (belief.mean, belief.variance))
    low, top = known.rows
    height = known.states[1].hull.height(state.x)
    depth = height[low] - state.targets
    assert mean[0, low] == pytest.approx(depth) and (variance[0, low] == 0).all()
    own = known.states[1]
    # stable ones lie on the hull of the relaxed: nothing is deeper than it
    assert mean[1, top].max() <= known.best + 1e-9 == pytest.approx(1e-9)
    assert (variance[1, top] == 0).all() and set(top) <= set(own.answered)
    rest = np.setdiff1d(np.arange(n), low)
    between = np.setdiff1d(low, top)
    assert np.median(variance[1, between]) < np.median(variance[1, rest])
    barred = known.barred(config, [4, 3])
    assert barred[0, low].all() and barred[1, rest].all() and barred[1, top].all()
    assert known.barred(config, [0, 3])[0].all()
    near = setup(ladder=[rung(within=0.05)])
    far = Known.barred(known, near, [4, 3])[1] & ~barred[1]
    assert (state.headline[np.isin(low, np.flatnonzero(far))] > 0.05).all()
    assert (
        state.headline[np.isin(low, np.flatnonzero(~far & ~barred[1]))] <= 0.05
    ).all()


def test_the_same_ledger_gives_the_same_round(campaign, tmp_path):
    number = ruled(campaign)[-1]
    payload, events, state = before(campaign, number)
    size = min(4, 26 - len(state.evaluations))
    spare = 16 - len(Known.of(campaign.config, state, events).states[1].proposed)
    again = next_round(
        campaign.config, state, events, tmp_path, number, size,
        affordable={"relaxed": spare},
    )  # fmt: skip
    for key in ("proposals", "climbs", "costs"):
        assert again[key] == payload[key]


def test_a_round_without_anything_to_ask_ends_the_campaign(campaign, tmp_path):
    number = ruled(campaign)[-1]
    _, events, state = before(campaign, number)
    ended = next_round(
        campaign.config, state, events, tmp_path, number, 0, affordable={"relaxed": 0}
    )
    assert ended == {"stop": "every ask that the budget and the ladder allow is made"}


def test_what_is_asked_already_is_taken_as_known(campaign, tmp_path):
    number = ruled(campaign)[0]
    _, events, state = before(campaign, number)
    learned = learn(campaign.config, state, events, tmp_path, number)
    draws = stream(campaign.config, number, Purpose.ACQUISITION)

    def ask(pinned, affordable=99, size=4):
        return asked_round(
            campaign.config, state, events, learned.prediction, pinned, size,
            {"relaxed": affordable}, draws,
        )  # fmt: skip

    first = ask([])
    rows = [row for row, _ in first.screened]
    assert len(rows) > 1
    rest = ask(rows[:1])
    assert rows[0] not in [row for row, _ in rest.screened]
    assert rest.screened[0][0] == rows[1]
    assert not ask([], affordable=0).climbs  # what the budget cannot pay is not asked
    assert not ask([], size=0).screened
    assert set(first.costs) == {"screening", "relaxed"}


def test_people_see_which_rung_and_what_it_costs(campaign, run):
    number = next(
        n for n in ruled(campaign) if before(campaign, n)[0]["climbs"]
    )  # fmt: skip
    table = campaign.confirmations()
    assert table["reason"].str.contains(r"asked of relaxed \(").any()
    shown = matdisco("status", str(run), cwd=run).stdout
    assert "cost, predicted cost of screening: " in shown
    assert "cost, predicted cost of relaxed: " in shown
    told = matdisco("proposals", str(run), "--explain", str(number), cwd=run).stdout
    assert "  relaxed: " in told and "asked of relaxed (" in told
    page = (run / "report.html").read_text()
    assert "Confirmed by relaxed" in page and "asked of relaxed (" in page
    values = {(p.key, p.step): p.value for p in points(campaign, None)}
    payload = before(campaign, number)[0]
    assert values["relaxed/asked", number] == len(payload["climbs"])
    assert (
        values["cost/predicted_usual_core_seconds_relaxed", number]
        > (values["cost/predicted_usual_core_seconds_screening", number])
    )
    assert values["cost/core_hours_relaxed", number] > 0
    closed = campaign.ledger.events("closed", round=number)[0]
    note = round_note(campaign, closed)
    assert f"{len(payload['climbs'])} were asked of the ladder: " in note
    assert isinstance(campaign.proposals(), pd.DataFrame)


def test_the_dearest_fidelity_ends_the_campaign(campaign, run):
    def climb(config):
        purse = Purse.of(config, campaign.events)
        return purse, Climb(
            config, run, campaign.ledger, campaign.pool, QUIET, Interrupt(), purse
        )

    count = len(campaign.rung("relaxed").proposed)
    purse, ladder = climb(
        setup(
            budget={"evaluations": 26, "core_hours": 5.0},
            ladder=[rung(evaluations=count + 7)],
        )
    )
    assert ladder.spent() is None and ladder.affordable() == {"relaxed": 7}
    purse.accounts["relaxed"].add(4.9 * 3600)
    assert (
        "4.9 of 5 core-hours are spent; what is left may not be enough"
        in ladder.spent()
    )
    assert ladder.affordable() == {"relaxed": 0}
    small = setup(ladder=[rung(evaluations=count)])
    assert climb(small)[1].spent() == (
        f"budget: the {count} evaluations by relaxed are spent"
    )


def test_without_a_choice_the_best_climb_at_the_end(campaign, run):
    """As long as the fidelities could not be related, the ladder's own rule holds."""

    first = ruled(campaign)[0]

    class Unruled:
        """The same ledger without the choices and what came of them."""

        def events(self, *kinds, **where):
            found = campaign.ledger.events(*kinds, **where)
            mine = ("promoted", "confirmed")
            return [
                e
                for e in found
                if "climbs" not in e.payload and (e.kind not in mine or e.round < first)
            ]

        def append(self, kind, payload, **_):
            return kind, payload["last"], payload["proposals"]

    config = setup(ladder=[rung(evaluations=40)])
    purse = Purse.of(config, campaign.events)
    made = [
        Climb(config, run, ledger, campaign.pool, QUIET, Interrupt(), purse)._promoted(
            config.ladder[0], 99, last=True
        )
        for ledger in (campaign.ledger, Unruled())
    ]
    assert made[0] is None
    assert made[1][:2] == ("promoted", True) and made[1][2]


def test_costs_may_be_measured(campaign):
    measured = {"kind": "promotion", "batch_size": 4, "cost": "measured"}
    config = setup(acquisition=measured)
    known = Known.of(config, campaign.state, campaign.events)
    assert [m.evaluations for m in known.costs] == [
        len(s.answered) for s in known.states
    ]
    cheap, dear = known.prices()
    taken = [e.spent for e in known.states[1].evaluations.values()]
    assert min(taken) / 3 < np.median(dear) < 3 * max(taken)
    assert np.median(dear) > np.median(cheap)


def test_what_a_rung_adds_is_learnt_by_composition_once_there_is_enough():
    rng = np.random.default_rng(0)
    share = rng.uniform(size=80)
    x = np.column_stack([share, 1 - share])
    gap = 0.3 * (share - 0.5) + 0.01 * rng.standard_normal(80)
    answers = rng.standard_normal(80)
    few, many = np.arange(6), np.arange(24)
    scatter = beyond(x, few, gap[few], answers[few])
    assert (scatter.mean == 0).all() and len(scatter.factors) == 0
    assert scatter.std[0] == pytest.approx(np.sqrt(gap[few] @ gap[few] / 4))
    learnt = beyond(x, many, gap[many], answers[many])
    rest = np.arange(24, 80)
    error = np.abs(learnt.mean - gap)[rest]
    assert error.mean() < 0.02 < np.abs(gap[rest]).mean()
    z = (gap - learnt.mean)[rest] / learnt.std[rest]
    assert 0.5 < z.std() < 1.5
    # a few that agree do not make two fidelities one
    same = beyond(x, few, np.zeros(6), answers[few])
    assert same.std[0] == pytest.approx(0.01 * answers[few].std())


PLAIN = {"objective": {"kind": "property", "property": "energy_per_atom",
                       "goal": "minimise"}, "start": {"random": 8}}  # fmt: skip


def test_a_property_is_searched_for_by_its_own_sign(campaign, tmp_path):
    """The ledger of the hull seen as energies: lowest is best."""
    config = setup(**PLAIN, acquisition={"kind": "fidelity_entropy", "batch_size": 3})
    events = campaign.events
    state = State.of(campaign.pool, config.objective, events)
    known = Known.of(config, state, events)
    assert known.unready is None and known.sign == -1.0
    assert known.best == pytest.approx(-known.states[1].answers.min())
    learned = learn(config, state, events, tmp_path, 1)
    found = asked_round(
        config, state, events, learned.prediction, [], 3, {},
        stream(config, 1, Purpose.ACQUISITION),
    )  # fmt: skip
    assert found.screened or found.climbs
    said = [f["asked_because"] for f in found.facts.values()]
    assert all("eV/atom by relaxed" in s for s in said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ladder": []}, "chooses among evaluators, and there is one"),
        ({"execution": {"mode": "continuous"}}, "expected execution.mode: rounds"),
        ({"ladder": [rung(order="expected_improvement")]}, r"ladder\[0\]\.order: acqu"),
        ({"ladder": [rung(best=0)]}, r"ladder\[0\]\.best: expected at least 1"),
        ({"ladder": [rung(evaluations=4)]}, r"evaluations: expected more than 4"),
        ({"stopping": {"sure": 0.9}}, r"stopping\.sure: looks at the campaign's own"),
        (
            {"acquisition": {"kind": "promotion", "random_share": 0.2}},
            "random_share: expected 0",
        ),
        (
            {**PLAIN, "objective": {**PLAIN["objective"], "goal": "target",
                                    "target_range": [0.1, 0.2]}},
            "is not defined for a target range",
        ),
        (small_front(acquisition={"kind": "promotion"}), "ladder: promotes the best"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_a_choice_of_fidelity_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        setup(**changes)


def test_a_rung_that_costs_no_more_is_refused_before_anything_is_spent():
    cheap = {"kind": "function", "function": "evaluators:emt_energy",
             "returns": ["energy_per_atom"]}  # fmt: skip
    dear = {**cheap, "function": "evaluators:dearer_energy"}
    config = setup(evaluator=cheap, ladder=[rung(evaluator=dear)])
    with pytest.raises(
        ConfigError, match="relaxed is estimated at 1 core-seconds, no mo"
    ):
        config.check()
    told = setup(evaluator=cheap, ladder=[rung(evaluator={**dear, "seconds": 30})])
    told.check()
    few = setup(ladder=[rung(evaluations=6)])
    with pytest.raises(ConfigError, match="references of 2 elements and the 4 promot"):
        few.check()
