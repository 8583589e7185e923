"""Campaigns that start from what another evaluator said of every candidate."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from campaign_files import small_campaign

from campaigns import Campaign, CampaignConfig
from campaigns.acquisition.claims import Claims
from campaigns.acquisition.hull import MARGIN
from campaigns.copies import chances
from campaigns.labelling import LabellingConfig, compute
from campaigns.progress import Display
from matdisco.data.dataset import Dataset
from matdisco.errors import CampaignError, ConfigError
from matdisco.thermo import Hull
from surrogates.featurizers.answers import Answers

QUIET = Display(quiet=True)


@pytest.fixture(scope="module")
def opinion(tmp_path_factory):
    """EMT's own energies of all candidates, with noise, and none for every ninth."""
    folder = tmp_path_factory.mktemp("opinion")
    wanted = {
        k: v
        for k, v in small_campaign().items()
        if k in ("name", "candidates", "evaluator", "execution")
    }
    told = compute(LabellingConfig.model_validate(wanted), folder, quiet=True)
    draw = np.random.default_rng(0)
    crystals = []
    for i, crystal in enumerate(told):
        labels = {
            k: replace(label, value=label.value + draw.normal(0, 0.0005))
            for k, label in crystal.labels.items()
        }
        crystals.append(replace(crystal, labels={} if i % 9 == 0 else labels))
    return Dataset("opinion", tuple(crystals)).save(folder / "opinion.parquet")


def config(opinion, *, answers=True, **changes):
    surrogate = {"kind": "gaussian_process", "threads": 1}
    if answers:
        surrogate["answers"] = {"dataset": str(opinion), "alike": True}
    rule = {"kind": "new_phases", "batch_size": 4, "draws": 32, "bound_below": 0.04}
    return CampaignConfig.model_validate(
        small_campaign(surrogate=surrogate, acquisition=rule, **changes)
    )


@pytest.fixture(scope="module")
def finished(opinion, tmp_path_factory):
    """A whole campaign that weighs the answers."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    proposals(folder, config(opinion))
    return folder


def proposals(folder, asked, *stops):
    """The proposals of a run that is stopped after so many rounds, and goes on."""
    for rounds in (*stops, None):
        with Campaign.start(asked, folder) as campaign:
            campaign.run(rounds, display=QUIET)
            events = campaign.events
    return [e.payload["proposals"] for e in events if e.kind == "proposed"]


def test_a_campaign_that_goes_on_weighs_as_if_never_stopped(
    opinion, finished, tmp_path
):
    with Campaign.open(finished) as campaign:
        whole = [e.payload["proposals"] for e in campaign.events
                 if e.kind == "proposed"]  # fmt: skip
    parts = proposals(tmp_path / "parts", config(opinion), 1, 1)
    assert [[p["candidate"] for p in r] for r in parts] == [
        [p["candidate"] for p in r] for r in whole
    ]
    assert [[p["acquisition"] for p in r] for r in parts] == [
        [p["acquisition"] for p in r] for r in whole
    ]


def test_predictions_are_nearer_to_what_comes(opinion, finished, tmp_path):
    """Of the same kind of surrogate, errors of its own proposals in the first round."""
    proposals(tmp_path / "without", config(opinion, answers=False))
    errors = {}
    for answers, folder in ((True, finished), (False, tmp_path / "without")):
        with Campaign.open(folder) as campaign:
            state = campaign.state
            frame = campaign.proposals()
        told = dict(zip(state.answered.tolist(), state.targets.tolist(), strict=True))
        learned = frame[frame["round"] > 0]
        errors[answers] = np.mean(
            [
                abs(told[state.position[row.candidate]] - row.mean_)
                for row in learned.rename(columns={"mean": "mean_"}).itertuples()
            ]
        )
    assert errors[True] < 0.5 * errors[False], errors


def test_what_copies_came_to_is_read_from_the_ledger(opinion, finished):
    """Against claims that are kept round by round, while the campaign runs."""
    with Campaign.open(finished) as campaign:
        state, events = campaign.state, campaign.events
    alike = np.arange(len(state.pool)) // 3
    claims = Claims(alike)
    known: list[int] = []
    energy = dict(zip(state.answered.tolist(), state.answers.tolist(), strict=True))
    for event in events:
        if event.kind != "proposed":
            continue
        rows = [state.position[p["candidate"]] for p in event.payload["proposals"]]
        value = [p["acquisition"] for p in event.payload["proposals"]]
        if value[0] is not None:
            hull = Hull(
                state.elements, state.x[known], np.array([energy[i] for i in known])
            )
            depth = [
                hull.height(state.x[[i]])[0]
                - (energy[i] - state.x[i] @ hull.references)
                for i in rows
            ]
            known_rows = np.array(known)
            claims.learn(
                known_rows, known_rows[hull.energies_above < MARGIN], np.array(rows),
                np.array(value, dtype=float),
                np.array(depth) > MARGIN,
            )  # fmt: skip
        known += rows
    told = Answers(str(opinion), state.objective.target).alike(state.pool.crystals)
    for event in events:
        for proposal in event.payload.get("proposals", ()):
            row = state.position[proposal["candidate"]]
            earlier = [
                i
                for i in state.answered
                if state.rounds[state.pool[int(i)].id] < event.round
            ]
            copies = [state.pool[int(i)].id for i in earlier if told[i] == told[row]]
            assert proposal["copy_of"] in (copies if event.round and copies else [None])
            assert ("probably a copy of" in proposal["why"]) == bool(
                proposal["copy_of"]
            )
    copied = [p["copy_of"] for e in events for p in e.payload.get("proposals", ())]
    assert any(copied) and not all(copied)
    free = state.available
    whole = Hull(state.elements, state.x[state.answered], np.array(state.answers))
    phases = state.answered[whole.energies_above < MARGIN]
    expected = claims.weight(state.answered, phases, free)
    np.testing.assert_allclose(chances(alike, state, events, free), expected)
    assert len(set(expected.round(9))) == 3


@pytest.mark.parametrize(
    ("answers", "said"),
    [(True, "share of joint draws on the hull, weighed, "), (False, "on the hull in ")],
)
def test_what_was_weighed_is_not_called_a_probability(opinion, tmp_path, answers, said):
    rule = {"kind": "hull_probability", "batch_size": 4, "draws": 32}
    asked = config(opinion, answers=answers, budget={"evaluations": 12})
    asked = asked.model_copy(
        update={"acquisition": CampaignConfig.model_validate(
            small_campaign(acquisition=rule)).acquisition}
    )  # fmt: skip
    rounds = proposals(tmp_path / "run", asked)
    assert len(rounds) == 2
    assert all(p["why"].startswith(said) for p in rounds[-1])


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"dataset": "none.parquet"}, "answers: no such file: none.parquet"),
        ({"label": "gap"}, "has no label 'gap'; it has: energy_per_atom"),
    ],
)
def test_wrong_answers_are_refused_before_anything_is_spent(opinion, answers, said):
    asked = small_campaign(
        surrogate={
            "kind": "gaussian_process",
            "answers": {"dataset": str(opinion), **answers},
        }
    )
    with pytest.raises(ConfigError, match=said):
        CampaignConfig.model_validate(asked).check()


def test_answers_about_other_candidates_are_refused(opinion, tmp_path):
    few = Dataset.open(opinion).take(np.arange(20)).save(tmp_path / "few.parquet")
    with pytest.raises(ConfigError, match=r"answers: .* has 17 of the 120 candidates"):
        Campaign.start(config(few), tmp_path / "run")


def test_answers_may_not_change_on_the_way(opinion, tmp_path):
    own = shutil.copy(opinion, tmp_path / "own.parquet")
    with Campaign.start(config(own), tmp_path / "run") as campaign:
        campaign.run(1, display=QUIET)
    Dataset.open(opinion).take(np.arange(100)).save(own)
    with pytest.raises(CampaignError, match="is not the one this campaign began with"):
        Campaign.start(config(own), tmp_path / "run")
    shutil.copy(opinion, own)
    with Campaign.start(config(own), tmp_path / "run") as campaign:
        campaign.run(1, display=QUIET)
