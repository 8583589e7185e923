"""The gate: exact probabilities, consequences, the record, and a continued campaign."""

import numpy as np
import pytest
from campaign_files import small_campaign
from markupsafe import escape
from played_campaign import Playing
from recorded_campaign import PROPERTY

from campaigns import Campaign
from campaigns.config import CampaignConfig
from campaigns.explain import explained_round
from campaigns.gate import GateRecipe, Verdict, chance, judge, mean_squared_correlation
from campaigns.ledger import Event
from campaigns.state import State
from matdisco.errors import CampaignError


def events(*scales, correlation=0.0):
    return [
        Event(n, "", "proposed", n, {
            "proposals": [], "surrogate": {"scale": s, "correlation": correlation},
        }, "")
        for n, s in enumerate(scales, start=1)
    ]  # fmt: skip


def errors(z):
    z = np.asarray(z, dtype=float)
    return np.column_stack([np.zeros(len(z)), z, z])


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9])
def test_false_alarms_are_as_rare_as_the_level_says(shared):
    """Honest predictions whose errors are correlated fail about so often."""
    rng, n, draws = np.random.default_rng(0), 8, 1000
    covariance = (1 - shared) * np.eye(n) + shared
    z = rng.multivariate_normal(np.zeros(n), covariance, draws)
    r = mean_squared_correlation(covariance)
    assert r == pytest.approx(shared**2)
    alarms = np.mean([chance(row, r)[0] < 0.05 for row in z])
    # two matched moments are not the whole law; sampling alone gives 0.05 +- 0.014
    assert 0.03 < alarms < 0.08


def test_without_correlation_it_is_the_chi_square_law():
    z = np.array([1.0, -2.0, 0.5, 3.0])
    rng = np.random.default_rng(1)
    sums = (rng.standard_normal((200_000, 4)) ** 2).sum(axis=1)
    large, small = chance(z)
    assert large == pytest.approx(np.mean(sums >= z @ z), abs=2e-3)
    assert large + small == pytest.approx(1)


def test_the_newest_batch_with_enough_answers_decides():
    recipe = GateRecipe()
    both = {1: errors([9, 9, 9, 9]), 2: errors([1, -1, 0.5, 1])}
    assert judge(recipe, events(1.0, 1.0), both, 1.0).outcome == "pass"
    few = {1: errors([9, 9, 9, 9]), 2: errors([1, -1])}
    verdict = judge(recipe, events(1.0, 1.0), few, 2.0)
    # two are too few: those of the round before are tested with them
    assert (verdict.outcome, verdict.round, verdict.n) == ("overconfident", 2, 6)
    rms = np.sqrt((4 * 81 + 2) / 6)
    assert verdict.widened == pytest.approx(rms / 2)  # beside a usual factor of 2
    wide = judge(recipe, events(9.0, 1.0), few, 1.0)
    assert wide.outcome == "pass"  # sigma was stated nine times wider then
    assert judge(recipe, events(1.0, 1.0), {2: errors([9, 9])}, 1.0).n == 0
    assert judge(recipe, events(1.0), {}, 1.0).outcome == "untested"
    calm = {1: errors(0.01 * np.ones(8))}
    assert judge(recipe, events(1.0), calm, 1.0).outcome == "underconfident"
    assert judge(recipe, events(1.0), {1: errors([99] * 4)}, 1.0).widened == 5.0
    # one wild answer among honest ones is one answer: (5² + 11)/12, not 30²/12
    wild = judge(recipe, events(1.0), {1: errors([30, *[1, -1] * 5, 1])}, 1.0)
    assert wild.failed and wild.widened == pytest.approx(3**0.5)
    off = GateRecipe(level=0)
    assert not judge(off, events(1.0), both, 1.0).failed


def refuted(folder, **gate):
    """A campaign whose second learned round answers far off what was predicted."""
    run = Playing(folder, gate=gate, start={"random": 12}, **PROPERTY)
    run.play()
    run.shift = 9.0  # GPa above anything before
    run.play()
    run.shift = 0.0
    return run


@pytest.mark.parametrize("kind", ["space_filling", "random"])
def test_a_refuted_surrogate_is_widened_and_partly_passed_over(tmp_path, kind):
    run = refuted(tmp_path / "run", fall_back=kind, share=0.5)
    assert run.play() is None
    before, after = run.payloads()[1:]
    assert before["gate"]["outcome"] == "untested"
    assert after["gate"]["outcome"] == "overconfident" and after["gate"]["p"] < 1e-3
    assert after["gate"]["widened"] > 1.5
    assert after["surrogate"]["scale"] > 1.5 * before["surrogate"]["scale"]
    reasons = [p["reason"] for p in after["proposals"]]
    assert reasons == ["log_expected_improvement"] * 2 + [kind] * 2
    (gated,) = run.payloads("gated")
    assert (
        "calibration failed on the newest 4 answers (to round 1)" in gated["sentence"]
    )
    run.ledger.close()
    with Campaign.open(tmp_path / "run") as campaign:
        assert campaign.warnings() == [f"round 2: {gated['sentence']}"]
        assert gated["sentence"] in explained_round(campaign, 2)
        if kind == "random":
            assert str(escape(gated["sentence"])) in campaign.report().read_text()


def test_killed_between_verdict_and_proposals_it_goes_on_as_it_would_have(tmp_path):
    """The verdict is on record, the proposals are not: the same round follows."""
    whole = refuted(tmp_path / "whole", fall_back="space_filling")
    whole.play()
    killed = refuted(tmp_path / "killed", fall_back="space_filling")
    append = killed.ledger.append

    def dies(kind, payload, **rest):
        if kind == "proposed":
            raise KeyboardInterrupt
        return append(kind, payload, **rest)

    killed.ledger.append = dies
    with pytest.raises(KeyboardInterrupt):
        killed.play()
    killed.ledger.append = append
    assert [e.kind for e in killed.ledger.events()][-1] == "gated"
    killed.play()
    assert len(killed.payloads("gated")) == 1
    assert killed.payloads()[-1]["proposals"] == whole.payloads()[-1]["proposals"]
    assert killed.ledger.content_hash() == whole.ledger.content_hash()
    for run in (whole, killed):
        run.ledger.close()


def test_it_can_stop_the_campaign_before_anything_is_spent(tmp_path):
    run = refuted(tmp_path / "run", fall_back="stop")
    with pytest.raises(CampaignError, match=r"round 2: calibration failed .* spent"):
        run.play()
    assert len(run.payloads()) == 2
    run.ledger.close()


def test_a_person_may_change_what_follows_a_failure():
    """And nothing else of the gate: the message says so."""
    first, other, wider = (
        CampaignConfig.model_validate(small_campaign(gate=gate))
        for gate in ({"fall_back": "stop"}, {"fall_back": "random"}, {"level": 0.1})
    )
    assert first.digest() == other.digest() != wider.digest()


def test_a_sigma_of_nothing_is_called_that():
    sentence = Verdict("overconfident", 1, 4, 2e18, 0.0).sentence(GateRecipe())
    assert "the stated sigma is practically zero" in sentence and "e+" not in sentence


def test_space_filling_goes_where_nothing_is_known(tmp_path):
    run = refuted(tmp_path / "run", fall_back="space_filling", share=1.0)
    run.play()
    events = run.ledger.events()
    state = State.of(run.pool, run.config.objective, events, until=1)
    from matdisco.similarity import Neighbours

    known = Neighbours.of([run.pool[int(i)] for i in state.answered])
    far = known.distances([run.pool[int(i)] for i in state.available]).min(axis=1)
    first = run.payloads()[-1]["proposals"][0]
    assert first["nearest_distance"] == pytest.approx(far.max(), abs=1e-3)
    assert first["why"].startswith("least like anything evaluated")
    run.ledger.close()
