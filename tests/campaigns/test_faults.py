"""Backends that raise, hang, crash, lie or explode: each failure typed, none fatal."""

from collections import Counter

import pytest
from campaign_files import small_campaign
from commands import matdisco
from evaluators import log_lines

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


def test_calls_fail_in_every_way_and_the_campaign_finishes(tmp_path):
    ways = (
        "AuCu.AB_cF8_216_c_a",  # raises
        "CuAu2.AB2_hP3_191_a_d",  # hangs
        "AuCu2.AB2_oI6_71_a_g",  # segmentation fault
        "AuCu.AB_tP2_123_a_d",  # not a number
        "AuCu.AB_cP2_221_b_a",  # explodes
    )
    config = treacherous(
        start={"per_element": 2, "random": 4, "include": ways},
        acquisition={"kind": "random", "batch_size": 10},
        budget={"evaluations": 24},
    )
    with Campaign.start(config, tmp_path / "run") as campaign:
        reason = campaign.run(display=QUIET)
        assert reason == "budget: 24 evaluations are spent"
        failures = campaign.failures()
        kinds = set(failures["kind"])
        assert kinds == {
            "backend-error", "timeout", "worker-lost", "not-a-number", "exploded",
        }  # fmt: skip
        assert 5 <= len(failures) < 12
        lost = failures[failures["kind"] == "worker-lost"]
        assert (lost["attempts"] == 2).all()  # a lost worker is tried again
        assert lost["message"].str.contains("SIGSEGV").all()
        assert (failures[failures["kind"] == "timeout"]["seconds"] < 10).all()
        state = campaign.state
        assert len(state.answered) + len(state.failed) == 24
        page = (tmp_path / "run" / "report.html").read_text()
        for name in failures["candidate"]:
            assert name.replace("'", "&#39;") in page
        # grouped by kind, for whoever wants to know what to mend
        listed = matdisco("status", "run", "--failures", cwd=tmp_path).stdout
        for kind, count in failures["kind"].value_counts().items():
            assert f"{kind:<15}{count:>5}" in listed or f"{kind} " in listed


def hostile(folder, n, mode, timeout):
    """A campaign whose backend dies, hangs or raises in one call of ten, at random."""
    return CampaignConfig.model_validate(
        small_campaign(
            candidates={
                "kind": "prototypes", "elements": ["Cu", "Au", "Ag", "Pd"],
                "components": [1, 2, 3], "max_atoms": 12,
            },
            evaluator={
                "kind": "function", "function": "evaluators:hostile",
                "returns": ["energy_per_atom"],
                "settings": {"share": 0.1, "log": str(folder / "log")},
            },
            execution={
                "workers": 2, "timeout": timeout, "retries": 1, "mode": mode,
                "ahead": 8,
            },
            acquisition={"kind": "random", "batch_size": 50},
            start={"per_element": 1, "random": 46},
            budget={"evaluations": n},
        )
    )  # fmt: skip


def everything_is_accounted_for(folder, n, mode, timeout):
    config = hostile(folder, n, mode, timeout)
    with Campaign.start(config, folder / "run") as campaign:
        assert campaign.run(display=QUIET) == f"budget: {n} evaluations are spent"
        campaign.verify()
        state, failures = campaign.state, campaign.failures()
        evaluated = [
            e.payload["evaluation"]["crystal_id"]
            for e in campaign.ledger.events("evaluated")
        ]
        proposed = campaign.proposals()
    assert len(evaluated) == len(set(evaluated)) == n == len(proposed)
    assert len(state.answered) + len(state.failed) == n
    assert not (proposed["status"] == "waiting").any()
    # a call that came to its end was made once, and is an answer
    calls = Counter(log_lines(folder / "log"))
    assert set(calls.values()) == {1} and len(calls) == len(state.answered)
    assert set(failures["kind"]) <= {"worker-lost", "timeout", "backend-error"}
    assert set(failures["attempts"]) <= {1, 2}
    assert (failures[failures["kind"] == "worker-lost"]["attempts"] == 2).all()
    # hangs and exceptions are 1 in 15; a worker lost twice running 1 in 900
    expected = n / 15
    assert abs(len(failures) - expected) < 5 * expected**0.5 + 1
    results = list((folder / "run").rglob("result.json"))
    assert len(results) == n
    return failures


def test_sixty_under_random_kills_hangs_and_exceptions(tmp_path):
    everything_is_accounted_for(tmp_path, 60, "continuous", timeout=4.0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["rounds", "continuous"])
def test_two_thousand_under_random_kills_hangs_and_exceptions(tmp_path, mode):
    failures = everything_is_accounted_for(tmp_path, 2000, mode, timeout=4.0)
    assert set(failures["kind"]) >= {"timeout", "backend-error"}


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
