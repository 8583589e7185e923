"""Explanations: the parts of expected improvement, neighbours, why before the next."""

import numpy as np
import pytest
from markupsafe import escape
from played_campaign import Playing
from recorded_campaign import PROPERTY
from scipy.integrate import quad
from scipy.stats import norm

from campaigns import Campaign
from campaigns.acquisition.recipes import (
    Greedy,
    LogExpectedImprovement,
    ThompsonSampling,
)
from campaigns.acquisition.select import select, select_and_next
from campaigns.cli import main
from campaigns.explain import exploration_share
from campaigns.objectives import HullObjective
from campaigns.reasons import before
from campaigns.tracking.artifacts import write_round
from campaigns.utility import Utility
from matdisco.errors import DataError
from surrogates.base import Prediction


def belief(mean, std):
    std = np.asarray(std, dtype=float)
    return Prediction(np.asarray(mean, dtype=float), np.zeros((0, len(std))), std)


def test_the_two_parts_are_those_of_expected_improvement():
    mean, std = np.array([1.2, 0.2, -3.0, 0.5]), np.array([0.1, 0.5, 0.4, 1e-9])
    share = exploration_share(Utility(belief(mean, std), best=0.4))
    # the first by integration: E[(f - best)+] = (mean - best) Phi + the rest
    whole = quad(lambda v: max(v - 0.4, 0) * norm.pdf(v, 1.2, 0.1), 0, 2)[0]
    known = 0.8 * norm.cdf(8.0)
    assert share[0] == pytest.approx((whole - known) / whole, abs=1e-7)
    assert share[1:3].tolist() == [1.0, 1.0]  # not expected to be better: only hope
    assert share[3] == pytest.approx(0.0)  # known to be better
    inside = exploration_share(
        Utility(belief([0.5, 2.0], [0.01, 0.5]), best=-0.1, wanted=(0.0, 1.0))
    )
    assert inside[0] < 1e-9 and inside[1] == 1.0


def facts(name, **changes):
    return {
        "candidate": name, "reason": "log_expected_improvement", "mean": 1.0,
        "std": 0.2, "expected_merit": 0.1, "acquisition": -1.0, **changes,
    }  # fmt: skip


def test_what_weighs_is_said_and_what_does_not_is_not():
    objective = HullObjective()
    worse = {"expected_merit": 0.05, "std": 0.1}
    plain = before(objective, facts("a", **worse), facts("b"), left_out=False)
    assert "tells more that the choices before it do not" in plain
    first = before(objective, facts("a", **worse), facts("b"), left_out=False,
                   alone=True)  # fmt: skip
    assert "tells more" not in first
    cheap = before(
        objective,
        facts("a", **worse, relative_cost=9.0, chance_of_answer=0.9),
        facts("b", relative_cost=16.0, chance_of_answer=0.6, copy_of="c"),
        left_out=False, alone=True,
    )  # fmt: skip
    assert "cheaper by a factor of 1.78" in cheap
    assert "likelier to be answered (90% against 60%)" in cheap
    assert "the other is probably a copy of what is known" in cheap


def test_costs_that_decided_are_in_the_proposals(tmp_path):
    rule = {"kind": "log_expected_improvement", "batch_size": 4, "cost_exponent": 3}
    run = Playing(tmp_path / "run", acquisition=rule)
    run.play()
    run.play()
    payload = run.ledger.events("proposed")[1].payload
    run.ledger.close()
    for p in payload["proposals"]:
        atoms = next(c.n_atoms for c in run.pool if c.id == p["candidate"])
        assert (
            p["relative_cost"] == atoms**3 and f"relative cost {atoms**3}" in p["why"]
        )


def test_greedy_choice_explores_nothing(tmp_path):
    run = Playing(tmp_path / "run", acquisition={"kind": "greedy", "batch_size": 4})
    run.play()
    run.play()
    proposals = run.ledger.events("proposed")[1].payload["proposals"]
    run.ledger.close()
    assert {p["exploration"] for p in proposals} == {0.0}
    assert "0% exploration" in proposals[0]["why"]


@pytest.mark.parametrize(
    "rule", [Greedy(), LogExpectedImprovement(samples=64), ThompsonSampling()]
)
def test_what_comes_next_does_not_change_the_batch(rule):
    rng = np.random.default_rng(0)
    u = Utility(
        Prediction(rng.normal(size=30), rng.normal(size=(3, 30)), np.full(30, 0.3)), 1.0
    )
    batch, following = select_and_next(u, rule, np.random.default_rng(5), batch_size=4)
    longer = select(u, rule, np.random.default_rng(5), batch_size=5)
    assert [c.row for c in [*batch, following]] == [c.row for c in longer]
    everything = select_and_next(u, rule, np.random.default_rng(5), batch_size=30)
    assert everything[1] is None and len(everything[0]) == 30


@pytest.fixture(scope="module", params=["hull", "property"])
def played(tmp_path_factory, request):
    changes = {
        "hull": {"acquisition": {"kind": "hull_probability", "batch_size": 4},
                 "screening": {"density": {"severity": "flag", "smallest": 0.999}}},
        "property": {**PROPERTY, "start": {"random": 12}},
    }[request.param]  # fmt: skip
    run = Playing(tmp_path_factory.mktemp("explained") / "run", **changes)
    for _ in range(2):
        run.play()
    run.ledger.close()
    return run.folder, request.param


def test_every_proposal_of_a_learned_round_is_explained(played):
    folder, kind = played
    with Campaign.open(folder) as campaign:
        payload = campaign.ledger.events("proposed")[1].payload
        state = campaign.state_after(0)
        proposals = payload["proposals"]
        answers = dict(zip(state.answered, state.targets, strict=True))
        for p in proposals:
            assert p["low"] < p["mean"] < p["high"]
            inside = (p["high"] - p["low"]) / p["std"]
            assert norm.cdf(inside / 2) - norm.cdf(-inside / 2) == pytest.approx(0.9)
            assert 0 <= p["exploration"] <= 1
            assert len(p["neighbours"]) == 3
            far = [n["distance"] for n in p["neighbours"]]
            assert far == sorted(far) and p["nearest_distance"] == far[0]
            near = p["neighbours"][0]
            value = answers[state.position[near["candidate"]]]
            assert near[state.objective.target] == pytest.approx(value, abs=1e-6)
            assert p["screening"].startswith(
                "not screened" if kind == "property" else ("passed", "flagged")
            )
        named = [p["candidate"] for p in proposals]
        for p, following in zip(proposals, named[1:], strict=False):
            assert p["before_next"].startswith(f"before {following}: ")
        assert ", the first left out: " in proposals[-1]["before_next"]
        assert "uncertain" in proposals[0]["before_next"]
        word = "below the hull" if kind == "hull" else "GPa"
        assert word in proposals[0]["before_next"]


def test_it_is_shown_on_the_command_line_in_the_report_and_in_mlflow(
    played, tmp_path, capsys
):
    folder, _ = played
    with pytest.raises(SystemExit):
        main(["proposals", str(folder), "--explain", "1"])
    shown = capsys.readouterr().out
    with Campaign.open(folder) as campaign:
        proposals = campaign.ledger.events("proposed")[1].payload["proposals"]
        page = campaign.report().read_text()
        write_round(campaign, 1, tmp_path)
        table = campaign.proposals()
    for p in proposals:
        assert p["why"] in shown and p["before_next"] in shown
        assert str(escape(p["before_next"])) in page
    assert "nothing better is left with probability" in shown
    assert (tmp_path / "explained.txt").read_text() == shown
    assert proposals[0]["before_next"] in (tmp_path / "proposals.csv").read_text()
    assert table["neighbours"].str.contains(r"\(0\.\d\d\)").sum() == len(proposals)
    with pytest.raises(SystemExit) as stopped:
        main(["proposals", str(folder), "--explain", "7"])
    assert stopped.value.code == 2
    assert "no round 7: rounds 0 to 1 were proposed" in capsys.readouterr().err


def test_an_explanation_of_no_round_is_a_sentence(played):
    from campaigns.explain import explained_round

    with Campaign.open(played[0]) as campaign, pytest.raises(DataError, match="-1"):
        explained_round(campaign, -1)
