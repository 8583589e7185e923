"""Files given to the wrong command, and the files that the documentation names."""

import re
from pathlib import Path

import pytest

from campaigns.cli import main
from campaigns.config import CampaignConfig
from campaigns.file_kinds import no_run_folder
from campaigns.replay.recipes import ReplayConfig
from matdisco.errors import ConfigError

LOADERS = {"run": CampaignConfig, "validate": CampaignConfig, "replay": ReplayConfig}
WHERE = {
    "label": ["--to", "set.parquet"],
    "surrogate train": ["--to", "trained"],
    "data curate x --rules": ["--to", "set"],
    "data curate x --columns": ["--to", "set"],
}
NAMED = [
    (page, *found)
    for page in ("README.md", *map(str, Path("docs").glob("**/*.md")))
    for found in re.findall(
        r"matdisco (run|validate|replay) (configs/\S+\.yaml)", Path(page).read_text()
    )
]


@pytest.mark.parametrize(
    ("command", "file", "said"),
    [
        ("replay", "replays/quickstart.yaml", "a campaign file, expected a replay "
         "file: matdisco run configs/replays/quickstart.yaml"),
        ("run", "replays/phonons.yaml", "a replay file, expected a campaign file: "
         "matdisco replay configs/replays/phonons.yaml"),
        ("candidates", "surrogates/latents.yaml", "a training file, expected a "
         "campaign file: matdisco surrogate train configs/surrogates/latents.yaml"),
        ("run", "datasets/al-ni-ti.yaml", "a labelling file, expected a campaign file: "
         "matdisco label configs/datasets/al-ni-ti.yaml --to FOLDER"),
        ("validate", "curation.yaml", "a curation file"),
        ("label", "quickstart.yaml", "a campaign file, expected a labelling file"),
        ("surrogate train", "replays/phonons.yaml", "a replay file, expected a "
         "training file: matdisco replay configs/replays/phonons.yaml"),
        ("replay", "assessments/quick-2.yaml", "an assessment file"),
        ("surrogate assess emt --suite", "curation.yaml", "a curation file, expected "
         "an assessment file: matdisco data curate FILES"),
        ("data curate x --rules", "replays/phonons.yaml", "a replay file, expected a "
         "curation file: matdisco replay configs/replays/phonons.yaml"),
        ("data curate x --columns", "surrogates/auto.yaml", "a training file, expected "
         "a column map file: matdisco surrogate train configs/surrogates/auto.yaml"),
        ("validate", "benchmarks/perovskites.yaml", "one block (kind: "
         "network_ensemble), expected a campaign file"),
        ("run", "schema.json", "a JSON Schema, which tells editors what a campaign "
         "file may hold, expected a campaign file"),
    ],
)  # fmt: skip
def test_the_wrong_kind_of_file_is_one_sentence_with_the_right_command(
    command, file, said, capsys
):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), f"configs/{file}", *WHERE.get(command, [])])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert f"configs/{file}: this is {said}" in error and "required" not in error


def test_a_file_of_the_right_kind_keeps_its_own_mistakes(tmp_path):
    text = Path("configs/replays/phonons.yaml").read_text()
    (tmp_path / "r.yaml").write_text(text.replace("rounds:", "rouds:"))
    with pytest.raises(ConfigError, match="did you mean rounds"):
        ReplayConfig.load(tmp_path / "r.yaml")
    text = Path("configs/quickstart.yaml").read_text()
    # without its surrogate it has all that a labelling file has, but is none
    (tmp_path / "c.yaml").write_text(text.replace("surrogate:", "surogate:"))
    with pytest.raises(ConfigError, match="did you mean surrogate"):
        CampaignConfig.load(tmp_path / "c.yaml")


def test_a_column_map_is_known_where_something_else_is_expected(tmp_path, capsys):
    (tmp_path / "m.yaml").write_text("labels: {band_gap: {column: gap, unit: eV}}")
    with pytest.raises(SystemExit):
        main(["run", str(tmp_path / "m.yaml")])
    assert "this is a column map file, expected a campaign file" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("command", "file", "said"),
    [
        ("status", "configs/quickstart.yaml", "configs/quickstart.yaml: this is a "
         "campaign's configuration, expected its run folder, runs/quickstart unless "
         "--to named another; matdisco run configs/quickstart.yaml begins it"),
        ("report", "configs/replays/phonons.yaml", "this is a replay file, expected a "
         "campaign's run folder: matdisco replay configs/replays/phonons.yaml"),
        ("proposals", "README.md", "expected a campaign's run folder, found a file"),
        ("track", "tests", "tests is not a campaign's run folder: no ledger.sqlite in"),
        ("status", "runs/none", "there is no such folder"),
    ],
)  # fmt: skip
def test_a_command_about_a_run_says_what_it_was_given(command, file, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, file])
    assert stopped.value.code == 1
    assert said in capsys.readouterr().err


def test_a_file_of_a_run_leads_to_its_folder(tmp_path):
    (tmp_path / "ledger.sqlite").touch()
    for name in ("ledger.sqlite", "config.yaml"):
        (tmp_path / name).touch()
        said = no_run_folder(tmp_path / name)
        assert said.endswith(f"a file of a run, expected its folder: {tmp_path}")
    bad = tmp_path / "elsewhere" / "bad.yaml"
    bad.parent.mkdir()
    bad.write_text("a: [")
    assert "found a file; " in no_run_folder(bad) and "not valid" in no_run_folder(bad)


def test_curation_asks_for_a_folder_before_it_starts(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["data", "curate", "x.cif", "--to", str(tmp_path / "set.parquet")])
    assert stopped.value.code == 2
    assert "expected the folder of a dataset" in capsys.readouterr().err


def test_the_documentation_names_some_files():
    assert {"replay", "run"} <= {command for _, command, _ in NAMED}


@pytest.mark.parametrize(("page", "command", "file"), sorted(set(NAMED)))
def test_files_that_the_documentation_names_are_of_the_kind_it_says(
    page, command, file
):
    assert LOADERS[command].load(Path(file)).name
