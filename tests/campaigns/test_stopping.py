"""Reasons to stop: probabilities against brute force, and real rounds that end."""

import numpy as np
import pytest
from campaign_files import small_campaign
from played_campaign import Playing
from recorded_campaign import PROPERTY
from scipy.stats import norm

from campaigns import CampaignConfig
from campaigns.ledger import Event
from campaigns.objectives import HullObjective
from campaigns.outlook import outlook
from campaigns.stopping import StoppingRecipe, reason_from_outlook
from campaigns.utility import Utility
from matdisco.thermo import Hull
from surrogates.base import Prediction


def rng():
    return np.random.default_rng(0)


def test_the_chance_that_nothing_better_is_left_is_that_of_independent_ones():
    mean, std = np.array([0.0, 0.5, -9.0]), np.array([1.0, 0.4, 0.1])
    b = Prediction(mean, np.zeros((0, 3)), std)
    view = outlook(Utility(b, best=1.0), rng())
    z = (mean - 1.0) / std
    assert view["probability_best_found"] == pytest.approx(
        np.prod(norm.cdf(-z)), abs=0.06
    )  # 512 draws
    gain = std * (norm.pdf(z) + z * norm.cdf(z))
    assert view["expected_improvement"] == pytest.approx(gain.max())


def test_fully_shared_errors_count_once():
    b = Prediction(np.zeros(50), np.ones((1, 50)), np.zeros(50))
    view = outlook(Utility(b, best=1.0), rng())
    assert view["probability_best_found"] == pytest.approx(norm.cdf(1.0), abs=0.05)


def test_a_range_is_found_when_an_answer_lies_in_it():
    b = Prediction(np.array([0.0, 3.0]), np.zeros((0, 2)), np.array([1.0, 1.0]))
    near = outlook(Utility(b, best=-0.5, wanted=(1.0, 2.0)), rng())
    inside = [norm.cdf(2.5, m) - norm.cdf(0.5, m) for m in (0.0, 3.0)]
    missed = np.prod(1 - np.array(inside))
    assert near["probability_best_found"] == pytest.approx(missed, abs=0.06)
    done = outlook(Utility(b, best=0.0, wanted=(1.0, 2.0)), rng())
    assert done == {"expected_improvement": 0.0, "probability_best_found": 1.0}


def test_the_best_of_the_whole_pool_is_between_the_quantiles_of_its_maximum():
    b = Prediction(np.zeros(3), np.zeros((0, 3)), np.ones(3))
    view = outlook(Utility(b, best=0.5, sign=-1.0), rng())
    # P(max of three < t) = Phi(t)^3, cut off at the best so far; negated: minimised
    for key, share in (("low", 0.95), ("median", 0.5), ("high", 0.05)):
        ideal = max(0.5, norm.ppf(share ** (1 / 3)))
        assert -view[f"whole_{key}"] == pytest.approx(ideal, abs=0.25)


def test_stable_compounds_of_the_whole_pool_are_counted():
    """One known compound, one surely below its hull elsewhere, one coin toss."""
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    known = Hull(("A", "B"), x, np.array([0.0, 0.0, -1.0]))
    at = np.array([[0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
    b = Prediction(
        np.array([0.2, 0.005, -9.0]), np.zeros((0, 3)), np.array([0.01, 0.1, 0.1])
    )
    view = outlook(Utility(b, 0.0, known=known, x=at), rng())
    assert (view["whole_low"], view["whole_high"]) == (2.0, 3.0)
    nothing = Prediction(np.zeros(0), np.zeros((2, 0)), np.zeros(0))
    done = outlook(Utility(nothing, 0.0, known=known, x=np.zeros((0, 2))), rng())
    assert done["whole_low"] == done["whole_high"] == 1.0


def test_an_empty_pool_has_nothing_better():
    nothing = Prediction(np.zeros(0), np.zeros((2, 0)), np.zeros(0))
    view = outlook(Utility(nothing, best=0.0), rng())
    assert view["expected_improvement"] == 0.0
    assert view["probability_best_found"] == 1.0
    assert view["whole_low"] == view["whole_high"] == 0.0


def view(gain, sure):
    return {"expected_improvement": gain, "probability_best_found": sure}


def past(*views, outcome="pass"):
    return [
        Event(n, "", "proposed", n, {"outlook": v, "gate": {"outcome": outcome}}, "")
        for n, v in enumerate(views, start=1)
    ]


def test_a_surrogate_must_say_it_in_successive_rounds_and_pass_the_gate():
    good, hull = {"outcome": "pass"}, HullObjective()
    recipe = StoppingRecipe(cost=0.01, sure=0.95, rounds=2)
    calm, busy = view(0.001, 0.99), view(0.5, 0.1)

    def reason(now, events, gate=good, **changes):
        changed = recipe.model_copy(update=changes)
        return reason_from_outlook(changed, now, gate, events, hull)

    assert reason(calm, []) is None  # said once
    assert reason(calm, past(busy)) is None
    assert reason(busy, past(calm)) is None
    assert reason(calm, past(busy, calm)).startswith("cost: no candidate promises")
    assert reason(calm, past(calm), cost=None).startswith("sure: nothing better")
    assert reason(calm, past(calm), {"outcome": "overconfident"}) is None
    assert reason(calm, past(calm, outcome="overconfident")) is None
    assert reason(calm, past(calm), cost=None, sure=None) is None
    assert reason(calm, [], rounds=1) is not None


def test_a_campaign_ends_when_its_surrogate_sees_nothing_left(tmp_path):
    run = Playing(tmp_path / "run", stopping={"cost": 9.0, "rounds": 2})
    assert run.play() is None and run.play() is None
    reason = run.play()
    assert reason is not None and reason.startswith("cost: no candidate promises")
    assert len(run.payloads()) == 2  # nothing was spent on the round it would have been
    assert run.play() == reason  # killed before the end is on record: the same again
    run.ledger.close()


def test_answers_alone_can_be_enough(tmp_path):
    run = Playing(tmp_path / "hull", stopping={"found": 1})
    run.play()
    assert run.play().startswith("found: ")
    run.ledger.close()
    best = {**PROPERTY, "start": {"random": 6}}
    run = Playing(tmp_path / "best", **best, stopping={"target": -1e9, "found": 6})
    run.play()
    assert run.play() == "target: 6 answers are as good as stopping.target -1e+09 GPa"
    run.ledger.close()


def test_reasons_that_the_objective_cannot_have_are_refused():
    for changes, text in [
        ({"stopping": {"target": 0.1}}, "give stopping.found instead"),
        ({**PROPERTY, "stopping": {"found": 2}}, "needs stopping.target"),
    ]:
        with pytest.raises(ValueError, match=text):
            CampaignConfig.model_validate(small_campaign(**changes))
