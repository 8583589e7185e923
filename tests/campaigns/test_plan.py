"""What a plan says before anything is spent."""

from pathlib import Path

import pytest
from campaign_files import small_campaign, small_front

from campaigns.blind import sharing
from campaigns.config import CampaignConfig
from campaigns.plan import describe_plan

BENCH = {
    "evaluator": {"kind": "laboratory", "returns": ["band_gap"], "hours": 6},
    "objective": {"kind": "property", "property": "band_gap", "goal": "maximise"},
}
GP = {"kind": "gaussian_process"}


def plan(settings):
    text = describe_plan(CampaignConfig.model_validate(settings), Path("runs/x"))
    return " ".join(text.split())


def test_a_plan_warns_where_candidates_of_one_formula_are_alike():
    said = plan(small_campaign())
    shared = sharing(CampaignConfig.model_validate(small_campaign())
                     .candidates.compositions()[0])  # fmt: skip
    assert shared > 4
    assert (
        "doubt: features: composition are equal for all structures of one formula, "
        f"and a typical formula has {shared:.0f}; a batch of 4 may hold little else. "
        "Use features that see structure, for example composition+environments, or "
        "acquisition.per_formula: 1"
    ) in said
    front = plan(small_front())
    assert "composition+environments acquisition" in front  # no per_formula there


@pytest.mark.parametrize(
    "changes",
    [
        {"surrogate": {**GP, "features": "fractions+environments"}},
        {"surrogate": {**GP, "trend": "evaluators:Trend"}},
        {"surrogate": {"kind": "zero_shot", "potential": "evaluators:Trend"}},
        {"surrogate": {"kind": "network_ensemble"}},
        {"acquisition": {"kind": "random"}},
        {"acquisition": {"kind": "quantile", "per_formula": 1}},
        {"acquisition": {"kind": "greedy", "batch_size": 60}},
        {"candidates": {"kind": "orderings", "lattice": "fcc", "max_cells": 2,
                        "elements": ["Cu", "Au"]}, "start": {"per_element": 1},
         "acquisition": {"kind": "greedy", "batch_size": 2}},
    ],
)  # fmt: skip
def test_a_plan_does_not_warn_where_they_are_told_apart(changes):
    assert "doubt" not in plan(small_campaign(**changes))


def test_conditions_thin_out_what_is_alike():
    batch = {"kind": "greedy", "batch_size": 30}
    candidates = {**small_campaign()["candidates"], "where": {"max_atoms": 2}}
    assert "doubt" in plan(small_campaign(acquisition=batch))
    assert "doubt" not in plan(small_campaign(acquisition=batch, candidates=candidates))


def test_a_laboratory_plan_tells_its_own_hours():
    said = plan(small_campaign(**BENCH, budget={"evaluations": 10}))
    assert "cost about 60.0 h in the laboratory, 6.0 h each" in said
    assert "core" not in said


def test_evaluations_of_several_cores_cost_their_cores():
    told = {**small_campaign()["evaluator"], "seconds": 90.0}
    execution = {"workers": 2, "cores": 4}
    said = plan(small_campaign(evaluator=told, execution=execution))
    assert "cost about 2.0 h of one core in evaluations, 15 min with 2 wor" in said
