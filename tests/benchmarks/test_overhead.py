"""What a campaign itself costs per round: all but training and evaluation."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import pytest
from campaign_files import small_campaign

from campaigns import Campaign, CampaignConfig
from campaigns.ledger import VOLATILE
from campaigns.progress import Display

RESULTS = Path(__file__).parents[2] / "bench-results"
BAR = 2.0  # s per round at a pool of 1,000


@pytest.mark.benchmark
@pytest.mark.parametrize(
    "acquisition", ["hull_probability", "log_expected_improvement", "thompson"]
)
def test_overhead_per_round(acquisition, tmp_path):
    """The quickstart's pool with looked-up answers, MLflow on; seconds per round."""
    config = CampaignConfig.model_validate(
        small_campaign(
            candidates={
                "kind": "prototypes", "elements": ["Al", "Ni", "Ti"], "max_atoms": 12,
            },
            evaluator={"kind": "lookup", "dataset": "shipped:al-ni-ti"},
            acquisition={"kind": acquisition, "batch_size": 8},
            start={"per_element": 3, "random": 7},
            budget={"evaluations": 64},
            tracking={"enabled": True},
        )
    )  # fmt: skip
    with Campaign.start(config, tmp_path / "runs" / "bench") as campaign:
        campaign.run(display=Display(quiet=True))
        pool = len(campaign.pool)
        rows = []
        closed = {e.round: e for e in campaign.ledger.events("closed")}
        for event in campaign.ledger.events("proposed"):
            if event.round == 0:
                continue
            seconds = (
                event.payload[VOLATILE]["seconds"]
                | closed[event.round].payload[VOLATILE]["seconds"]
            )
            begun = datetime.fromisoformat(closed[event.round - 1].time)
            ended = datetime.fromisoformat(closed[event.round].time)
            whole = (ended - begun).total_seconds()
            own = whole - seconds["learn"] - seconds["evaluate"]
            rows.append(
                {"round": event.round, "pool": pool, "acquisition": acquisition,
                 "whole_s": round(whole, 3), "overhead_s": round(own, 3), **seconds}
            )  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"overhead-{acquisition}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    # the first round also imports BoTorch and scikit-learn, once per process
    later = sorted(r["overhead_s"] for r in rows if r["round"] > 1)
    median = later[len(later) // 2]
    print(
        f"\n{acquisition}: pool {pool}, overhead per round: median {median:.2f} s, "
        f"{later[0]:.2f} to {later[-1]:.2f} s, first round {rows[0]['overhead_s']:.2f}"
        f" s (bar {BAR} s); {path}"
    )
