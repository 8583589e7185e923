"""Backends that raise, hang, crash, lie or explode: each failure typed, none fatal."""

from campaign_files import small_campaign

from campaigns.campaign import Campaign
from campaigns.config import CampaignConfig
from campaigns.progress import Display

QUIET = Display(quiet=True)


def treacherous(**changes):
    return CampaignConfig.model_validate(
        small_campaign(
            evaluator={
                "kind": "function",
                "function": "evaluators:treacherous",
                "returns": ["energy_per_atom"],
                "settings": {"share": 0.3},
            },
            execution={"workers": 2, "timeout": 3.0, "retries": 1},
            **changes,
        )
    )


def test_a_third_of_the_calls_fail_in_every_way_and_the_campaign_finishes(tmp_path):
    config = treacherous(
        acquisition={"kind": "random", "batch_size": 28}, budget={"evaluations": 120}
    )
    with Campaign.start(config, tmp_path / "run") as campaign:
        reason = campaign.run(display=QUIET)
        assert reason == "budget: 120 evaluations are spent"
        failures = campaign.failures()
        kinds = set(failures["kind"])
        assert kinds == {
            "backend-error", "timeout", "worker-lost", "not-a-number", "exploded",
        }  # fmt: skip
        assert 10 < len(failures) < 120 * 0.5
        lost = failures[failures["kind"] == "worker-lost"]
        assert (lost["attempts"] == 2).all()  # a lost worker is tried again
        assert lost["message"].str.contains("SIGSEGV").all()
        assert (failures[failures["kind"] == "timeout"]["seconds"] < 10).all()
        state = campaign.state
        assert len(state.answered) + len(state.failed) == 120 == len(state.pool)
        page = (tmp_path / "run" / "report.html").read_text()
        for name in failures["candidate"]:
            assert name.replace("'", "&#39;") in page


def test_too_many_failures_stop_the_campaign_with_the_reason(tmp_path):
    config = CampaignConfig.model_validate(
        small_campaign(
            evaluator={
                "kind": "function",
                "function": "evaluators:treacherous",
                "returns": ["energy_per_atom"],
                "settings": {"share": 1.0, "hang": 0.0},
            },
            execution={
                "workers": 2,
                "retries": 0,
                "tolerated_failure_rate": 0.2,
                "failures_before_stop": 4,
            },
        )
    )
    with Campaign.start(config, tmp_path / "run") as campaign:
        reason = campaign.run(display=QUIET)
    assert reason.startswith("failure rate: ")
    assert "tolerated_failure_rate 0.2" in reason


def test_backend_that_cannot_start_is_a_sentence_before_spending(tmp_path):
    import pytest

    from matdisco.errors import SetupError

    config = CampaignConfig.model_validate(
        small_campaign(
            evaluator={
                "kind": "lookup",
                "dataset": str(tmp_path / "not-a-dataset.parquet"),
            }
        )
    )
    (tmp_path / "not-a-dataset.parquet").write_text("no")
    with (
        Campaign.start(config, tmp_path / "run") as campaign,
        pytest.raises(SetupError, match="the evaluator cannot start: DataError"),
    ):
        campaign.run(display=QUIET)
