"""What a front's block may say, which sentence refuses the rest, and who is on it."""

import numpy as np
import pytest
import yaml
from campaign_files import small_front

from campaigns import CampaignConfig
from campaigns.fronts.front import Front
from campaigns.fronts.recipe import FrontObjective
from matdisco.errors import ConfigError

ENERGY = {"property": "energy_per_atom", "goal": "minimise"}
DENSITY = {"property": "density", "goal": "minimise"}
LIMIT = {"property": "gold", "limit": {"at_most": 0.5}}
GP = {"kind": "gaussian_process"}


def objective(*targets):
    return FrontObjective.model_validate({"kind": "front", "targets": list(targets)})


WRONG_TARGETS = {
    "one target": ((ENERGY,), "objective.targets: .*at least 2"),
    "twice": ((ENERGY, ENERGY), "targets: expected different properties"),
    "no goal": (
        (LIMIT, {"property": "density", "limit": {"at_most": 9}}),
        "expected a goal .* for at least one, got limits only",
    ),
    "nothing wanted": ((ENERGY, {"property": "gold"}), "gold: expected a goal .*limit"),
    "reference of a limit": (
        (ENERGY, DENSITY, {**LIMIT, "reference": 1}),
        "gold: reference goes with a goal",
    ),
    "reference of one goal": (
        ({**ENERGY, "reference": 1}, LIMIT), "reference goes with two or more goals",
    ),
    "empty limit": (
        (ENERGY, {"property": "gold", "limit": {}}), "at_least, at_most or both",
    ),
    "crossed limit": (
        (ENERGY, {"property": "gold", "limit": {"at_least": 1, "at_most": 0}}),
        "expected at_least below at_most, got 1 and 0",
    ),
    "unit": (
        (ENERGY, {**DENSITY, "unit": "GPa"}),
        "expected a unit of density such as 'g/cm³', got 'GPa'",
    ),
    "label": (
        (ENERGY, {"property": "band_gap", "goal": "maximise"}),
        "objective needs the label 'band_gap', but the evaluator gives",
    ),
    "misspelt": (
        (ENERGY, {**DENSITY, "limits": {"at_most": 1}}), "did you mean limit\\?",
    ),
}  # fmt: skip
WRONG_BLOCKS = {
    "rule": (
        {"acquisition": {"kind": "max_variance"}},
        "max_variance is not defined for several targets; expected .*ParEGO",
    ),
    "hull rule": ({"acquisition": {"kind": "new_phases"}}, "not defined for several"),
    "scorer": (
        {"acquisition": {"kind": "upper_confidence_bound", "scorer": "exact"}},
        "acquisition.scorer: several targets have no exact scorer",
    ),
    "cost": (
        {"acquisition": {"kind": "log_expected_improvement", "cost_exponent": 1}},
        "acquisition.cost_exponent: is not defined with objective front",
    ),
    "formulas": (
        {"acquisition": {"kind": "log_expected_improvement", "per_formula": 1}},
        "acquisition.per_formula: is not defined with objective front",
    ),
    "stopping": (
        {"stopping": {"sure": 0.9}},
        "stopping.sure: is about one value, .*budget.patience",
    ),
    "found": ({"stopping": {"found": 3}}, "stopping.found: is about one value"),
    "card": ({"assessment": {"each_round": True}}, "assessment: .*about one surrogate"),
    "known": (
        {"review": {"known_phases": [{"formula": "AuCu", "prototypes": []}]}},
        "review.known_phases: is about stable phases",
    ),
    "base": (
        {
            "surrogate": {
                "kind": "network_ensemble", "pretrain": "shipped:intermetallics",
            }
        },
        "surrogate.pretrain: shipped:intermetallics has no label '.*', one of the "
        "targets, but .*surrogate.pretrain_target",
    ),
    "ladder": (
        {
            "ladder": [
                {
                    "name": "dear", "best": 1, "evaluations": 7,
                    "evaluator": {
                        "kind": "function", "function": "evaluators:emt_several",
                        "returns": ["energy_per_atom", "density", "gold"],
                        "settings": {"delay": 1},
                    },
                }
            ]
        },
        "ladder: promotes the best by one value",
    ),
}  # fmt: skip


def refused(config, tmp_path, message):
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    with pytest.raises(ConfigError, match=message) as caught:
        CampaignConfig.load(path).check()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("case", WRONG_TARGETS)
def test_wrong_targets_are_one_line_each(case, tmp_path):
    targets, message = WRONG_TARGETS[case]
    refused(small_front(*targets), tmp_path, message)


@pytest.mark.parametrize("case", WRONG_BLOCKS)
def test_blocks_that_are_about_one_value_are_refused(case, tmp_path):
    changes, message = WRONG_BLOCKS[case]
    refused(small_front(**changes), tmp_path, message)


def test_hypervolume_needs_two_goals_and_a_front(tmp_path):
    refused(small_front(ENERGY, LIMIT), tmp_path, "needs two or more goals, got one")
    config = small_front()
    config["objective"] = {**ENERGY, "kind": "property"}
    refused(config, tmp_path, "needs an objective of kind front")


def test_units_goals_and_limits_become_merits():
    wanted = objective(
        LIMIT,
        {**DENSITY, "reference": 9000, "unit": "kg/m³", "limit": {"at_most": 12000}},
        {"property": "bulk_modulus", "goal": "maximise", "reference": 0},
    )
    assert wanted.labels == ("density", "bulk_modulus", "gold")
    assert wanted.volume_unit == "g/cm³ · GPa"
    values = np.array([[8.0, 10.0, 0.1], [13.0, 99.0, 0.1], [7.0, 5.0, 0.9]])
    front = Front(wanted, values, np.ones(3, dtype=bool))
    assert front.reference.tolist() == [-9.0, 0.0]
    assert front.limits.tolist() == [[-12, np.inf], [-np.inf, np.inf], [-np.inf, 0.5]]
    assert front.members.tolist() == [True, False, False]  # too dense, too much gold
    assert front.volume == pytest.approx((9 - 8) * 10)
    assert front.layer.tolist() == [0, 1, 1]


def test_members_are_those_that_plain_counting_finds():
    g = np.random.default_rng(1)
    values = g.normal(size=(60, 3))
    wanted = objective(
        {"property": "a", "goal": "minimise"},
        {"property": "b", "goal": "maximise", "limit": {"at_most": 1.0}},
        {"property": "c", "limit": {"at_least": -0.5, "at_most": 0.8}},
    )
    front = Front(wanted, values, np.arange(60) < 5)
    inside = [i for i, (_, b, c) in enumerate(values) if b <= 1.0 and -0.5 <= c <= 0.8]
    counted = [
        i for i in inside
        if not any(
            values[j, 0] <= values[i, 0] and values[j, 1] >= values[i, 1] and j != i
            for j in inside
        )
    ]  # fmt: skip
    assert np.flatnonzero(front.members).tolist() == counted
    assert front.reference.tolist() == [-values[:5, 0].max(), values[:5, 1].min()]
    less = Front(wanted, values[:30], np.arange(30) < 5)
    assert front.improves_on(less) == (front.volume > less.volume + 1e-12)
    assert not front.improves_on(front)


def test_one_goal_is_the_best_inside_the_limits():
    wanted = objective(ENERGY, LIMIT)
    values = np.array([[1.0, 0.9], [3.0, 0.5], [2.0, 0.2]])
    front = Front(wanted, values, np.ones(3, dtype=bool))
    assert front.best == 2.0
    assert front.members.tolist() == [False, False, True]
    nobody = Front(wanted, values[:1], np.ones(1, dtype=bool))
    assert np.isnan(nobody.best)
    assert front.improves_on(nobody)
    assert not nobody.improves_on(front)
