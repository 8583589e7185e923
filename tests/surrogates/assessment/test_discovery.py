"""The convention of Matbench Discovery, by hand; and the published MatBench scores."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from surrogates.assessment.discovery import classify, distances, enrichment
from surrogates.assessment.efficacy import measure
from surrogates.assessment.facing import face
from surrogates.assessment.predictions import read_predictions
from surrogates.assessment.result import Section
from surrogates.assessment.suite import SuiteRecipe

COLUMNS = {
    "coNGN": "coNGN",
    "alignn": "ALIGNN",
    "cgcnnv2019": "CGCNN v2019",
    "DeeperGATGNN": "DeeperGATGNN",
    "Finder_v1.2_structure": "Finder_v1.2 structure-based version",
    "rf": "RF-SCM/Magpie",
    "automatminer_expressv2020": "AMMExpress v2020",
    "CrabNet": "CrabNet",
}
"""Column of the published predictions → name on the leaderboard."""


def test_worked_by_hand():
    # true distances: two stable (0 counts), three unstable
    each = np.array([-0.1, 0.0, 0.05, 0.2, 0.3])
    energy = np.array([-1.0, -2.0, -0.5, -0.2, 0.1])
    # errors: right, 0.1 too high, 0.1 too low, missing, right
    predicted = energy + np.array([0.0, 0.1, -0.1, np.nan, 0.0])
    found = classify(each, distances(each, energy, predicted))
    assert found[:4] == (1, 1, 1, 2)  # the missing one counts as called unstable
    assert found.prevalence == 0.4
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.daf == pytest.approx(0.5 / 0.4)
    assert found.accuracy == 0.6


def test_ceiling_of_the_acceleration_factor():
    # 215,488 unique prototypes of WBM, 15.49 % stable: nobody can exceed 6.457
    n = 215_488
    each = np.where(np.arange(n) < round(0.1549 * n), -0.01, 0.01)
    # (0.1549 is rounded to four digits, hence the tolerance)
    assert classify(each, each).daf == pytest.approx(6.457, abs=3e-3)
    assert classify(each, each, prevalence=0.1549).daf == pytest.approx(6.457, abs=3e-3)
    # predicting at random is worth nothing more than chance
    random = np.random.default_rng(0).permutation(each)
    assert classify(each, random).daf == pytest.approx(1.0, abs=0.05)  # 4 sigma


WBM = {
    "CHGNet 0.3.0": ((32_642, 29_979, 182_892, 11_450),
                     {"f1": 0.612, "daf": 3.038, "precision": 0.521, "recall": 0.74,
                      "accuracy": 0.839}),
    "SevenNet-0": ((35_259, 18_765, 194_106, 8_833),
                   {"f1": 0.719, "daf": 3.804, "precision": 0.653, "recall": 0.8,
                    "accuracy": 0.893}),
}  # fmt: skip
"""True and false positives, true and false negatives, and scores on all 256,963 WBM
crystals: matbench-discovery, models/chgnet/chgnet-0.3.0.yml at commit 03a2029 and
models/sevennet/sevennet-0.yml at 023dca9, full_test_set."""


@pytest.mark.parametrize("model", list(WBM))
def test_published_scores_of_matbench_discovery_follow_from_their_counts(model):
    """Every digit of the leaderboard; the predictions are a download of 100 MB."""
    counts, published = WBM[model]
    true = 0.1 * np.repeat([-1, 1, 1, -1], counts)
    predicted = 0.1 * np.repeat([-1, -1, 1, 1], counts)
    found = classify(true, predicted)
    for name, value in published.items():
        assert getattr(found, name) == pytest.approx(value, abs=5e-4), name


def test_agrees_with_scikit_learn():
    draw = np.random.default_rng(1)
    each, guess = draw.normal(0.1, 0.2, (2, 500))
    found = classify(each, guess, threshold=0.05)
    stable, called = each <= 0.05, guess <= 0.05
    assert found.f1 == pytest.approx(f1_score(stable, called))
    assert found.precision == pytest.approx(precision_score(stable, called))
    assert found.recall == pytest.approx(recall_score(stable, called))


def test_enrichment_looks_at_the_wanted_end():
    y = np.arange(100.0)
    assert enrichment(y, y, 0.05, low=True) == enrichment(y, y, 0.05, low=False) == 20
    assert enrichment(y, -y, 0.05, low=True) == 0
    assert enrichment(y, np.r_[y[50:], y[:50]], 0.5, low=True) == 0


FAST = ("expt_gap", "jdft2d", "phonons")
LARGE = ("dielectric", "log_gvrh", "log_kvrh", "perovskites")
TASKS = [*FAST, *(pytest.param(t, marks=pytest.mark.slow) for t in LARGE)]


@pytest.mark.parametrize("task", TASKS)
def test_published_matbench_scores_are_reproduced(task, shared_data):
    """Every digit that the leaderboards print: 51 models on 7 tasks."""
    board = pd.read_csv(shared_data / "matbench" / "leaderboards.csv")
    board = board[board["task"] == task].set_index("algorithm")
    path = shared_data / "matbench" / "published_predictions" / f"{task}.parquet"
    suite = SuiteRecipe(sections=("efficacy",))
    models = [c for c in pd.read_parquet(path).columns if c in COLUMNS]
    assert len(models) == (3 if task == "expt_gap" else 8)
    for model in models:
        table = read_predictions(path, column=model)
        section = Section("efficacy", suite.thresholds)
        measure(face(suite, table.subject(), None, table=table), section)
        found = {m.key.partition(".")[2]: m.value for m in section.measures}
        published = board.loc[COLUMNS[model]]
        for mine, theirs in (("fold_mae", "mean mae"), ("fold_mae_std", "std mae"),
                             ("fold_rmse", "mean rmse"),
                             ("max_error", "max max_error")):  # fmt: skip
            # half of the last printed digit, and the predictions' single precision
            gap = abs(found[mine] - published[theirs])
            assert gap <= 0.5e-4 + 1e-7 * abs(found[mine]), (task, model, mine)
