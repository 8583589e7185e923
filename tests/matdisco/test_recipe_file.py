"""YAML files of every kind: strict, and each mistake with its line."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from campaigns.config import CampaignConfig
from campaigns.labelling import LabellingConfig
from campaigns.replay.recipes import ReplayConfig
from campaigns.training import TrainingConfig
from matdisco.data.readers.columns import ColumnMap
from matdisco.errors import ConfigError
from matdisco.recipe_file import load, mapping
from surrogates.assessment.suite import SuiteRecipe

REPLAY = """\
name: x
pool: {kind: table, path: nowhere.parquet}
targets:
  - {column: e, goal: minimise}
  - {column: f, goal: lower}
wanted: {kind: top, fraction: 0.01}
strategies:
  one:
    learner:
      kind: gaussian_process
      features: [chgnet, sevenet]
    acquisition: {kind: greedy}
seeds: 0
"""
READERS: dict[str, Callable[[Path], Any]] = {
    "campaign": CampaignConfig.load, "labelling": LabellingConfig.load,
    "replay": ReplayConfig.load, "training": TrainingConfig.load,
    "suite": partial(load, SuiteRecipe), "columns": partial(load, ColumnMap),
    "card": mapping,
}  # fmt: skip


def test_each_mistake_has_its_line_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "replay.yaml"
    path.write_text(REPLAY)
    with pytest.raises(ConfigError) as caught:
        ReplayConfig.load(path)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{path}:").split(": expected")[0] for line in lines] == [
        "5: targets[1].goal",
        "13: seeds",
        "11: strategies.one.learner.features[1]",
    ]
    assert "did you mean sevennet" in lines[-1]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nname: y", "line 2, column 1: key 'name' is given twice"),
        ("a: [", "not valid YAML: line 1"),
        ("- a", "expected keys such as 'name:'"),
        (None, "cannot be read"),
    ],
)
def test_every_file_is_read_as_strictly(
    tmp_path: Path, kind: str, text: str | None, said: str
) -> None:
    path = tmp_path / "some.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"some\.yaml: ") as caught:
        READERS[kind](path)
    assert said in str(caught.value)
