"""Promotion by worth: the line between two fidelities, improvement, cost."""

import numpy as np
import pytest
from campaign_files import small_campaign
from pydantic import ValidationError

from campaigns import Campaign, CampaignConfig
from campaigns.ladder.promotion import promotions
from campaigns.ladder.recipe import RungRecipe
from campaigns.ladder.worth import line, worths
from campaigns.progress import Display

RUNG = {
    "name": "dear",
    "evaluator": {
        "kind": "function", "function": "evaluators:dearer_energy",
        "returns": ["energy_per_atom"],
    },
    "best": 2, "within": None, "evaluations": 9, "order": "expected_improvement",
}  # fmt: skip


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worth") / "run"
    setup = CampaignConfig.model_validate(
        small_campaign(
            ladder=[RUNG], start={"per_element": 1, "random": 8},
            budget={"evaluations": 16},
            acquisition={"kind": "random", "batch_size": 4},
        )
    )  # fmt: skip
    with Campaign.start(setup, folder) as campaign:
        campaign.run(display=Display(quiet=True))
    return folder


def test_the_line_is_found_and_says_how_sure_it_is():
    x = np.linspace(-1, 1, 12)
    mean, std = line(x, 0.3 + 1.2 * x, x)
    assert mean == pytest.approx(0.3 + 1.2 * x, abs=1e-6) and (std < 1e-3).all()
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(300):
        x = rng.normal(size=8)
        y = 0.1 + rng.normal(1, 0.3) * x + 0.2 * rng.normal(size=8)
        mean, std = line(x[:7], y[:7], x[7:])
        hits.append(abs(y[7] - mean[0]) < 1.645 * std[0])
    assert 0.78 < np.mean(hits) < 0.95  # few labels, so a little too sure
    # with two labels the slope stays near one
    mean, _ = line(np.array([0.0, 0.01]), np.array([0.0, 0.03]), np.array([1.0]))
    assert mean[0] == pytest.approx(1.0, abs=0.3)


def test_worth_is_improvement_on_the_rungs_own_hull_per_cost(climbed):
    with Campaign.open(climbed) as campaign:
        below, above = campaign.state, campaign.rung("dear")
        rung = campaign.config.ladder[0]
        found = worths(rung, below, above)
        lower = dict(zip(below.answered, below.hull.formation, strict=True))
        pairs = [
            (lower[row], value)
            for row, value in zip(above.answered, above.hull.formation, strict=True)
            if len(above.pool[int(row)].elements) > 1
        ]
        assert len(pairs) >= 4
        x, y = np.array(pairs).T
        mean, std = line(x, y, below.hull.formation)
        depth = above.hull.height(below.x[below.answered]) - mean
        rng = np.random.default_rng(0)
        drawn = depth + std * rng.standard_normal((200_000, len(depth)))
        expected = np.maximum(drawn, 0).mean(axis=0)
        likely = expected > 1e-3 * expected.max()
        assert np.exp(found[likely]) == pytest.approx(expected[likely], rel=0.15)
        dear = rung.model_copy(update={"cost_exponent": 3.0})
        atoms = [below.pool[int(i)].n_atoms for i in below.answered]
        assert worths(dear, below, above) == pytest.approx(found - 3 * np.log(atoms))
        few = campaign.rung("dear")
        early = rung.model_copy(update={"evaluations": 99})
        chosen = promotions(early, below, few, last=True)
        open_ = [c["candidate"] for c in chosen]
        rank = {
            below.pool[int(r)].id: w for r, w in zip(below.answered, found, strict=True)
        }
        assert [rank[n] for n in open_] == sorted(
            (rank[n] for n in open_), reverse=True
        )
        assert all("log expected improvement" in c["reason"] for c in chosen)


def test_before_anything_is_known_the_best_go_first(climbed):
    with Campaign.open(climbed) as campaign:
        first = campaign.ledger.events("promoted")[0].payload["proposals"]
        reasons = [p["reason"] for p in first]
        assert reasons[0] == "reference for Au" and "improvement" not in reasons[-1]
        last = campaign.ledger.events("promoted")[-1].payload["proposals"]
        assert "log expected improvement per cost" in last[-1]["reason"]


def test_a_cost_without_a_worth_is_refused():
    with pytest.raises(ValidationError, match="expected_improvement only"):
        RungRecipe.model_validate({**RUNG, "order": "best", "cost_exponent": 3})
