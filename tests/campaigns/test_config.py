"""Configurations: the shipped ones load, wrong ones stop before anything is spent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from campaign_files import small_campaign

from campaigns.config import CampaignConfig, json_schema
from matdisco.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


def matdisco(*arguments, cwd, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", "from campaigns.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        **kwargs,
    )


@pytest.mark.parametrize(
    "name",
    [
        "minimal",
        "quickstart",
        "second-opinion",
        "realistic",
        "screened",
        "dft-demo",
        "front",
        "every-option",
    ],
)
def test_shipped_configurations_load_check_and_round_trip(name, monkeypatch):
    if name == "dft-demo":
        pytest.importorskip("gpaw", reason="GPAW is not installed: make gpaw")
    monkeypatch.chdir(ROOT)
    config = CampaignConfig.load(CONFIGS / f"{name}.yaml")
    size = config.check()
    assert size.count >= config.budget.evaluations
    assert CampaignConfig.parse(config.dump(), source="dump") == config
    assert (
        CampaignConfig.parse(config.dump(), source="dump").digest() == config.digest()
    )


def test_every_option_names_every_key():
    """The file that shows every option shows every option."""
    shown = yaml.safe_load((CONFIGS / "every-option.yaml").read_text())
    loaded = CampaignConfig.load(CONFIGS / "every-option.yaml")

    def missing(model, data, path=""):
        for key in type(model).model_fields:
            if key not in data:
                yield f"{path}{key}"
            value = getattr(model, key)
            if hasattr(type(value), "model_fields") and isinstance(data.get(key), dict):
                yield from missing(value, data[key], f"{path}{key}.")

    assert list(missing(loaded, shown)) == []


def test_schema_file_is_current_and_accepts_the_shipped_files():
    import jsonschema

    written = json.loads((CONFIGS / "schema.json").read_text())
    assert written == json.loads(json.dumps(json_schema())), "run `make schema`"
    for name in ("minimal", "quickstart", "realistic", "front", "every-option"):
        jsonschema.validate(
            yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()), written
        )


WRONG = {
    "misspelt key": (
        {"acquisition": {"kind": "greedy", "batchsize": 4}},
        "campaign.yaml:2: acquisition.batchsize: unknown key; did you mean batch_size?",
    ),
    "misspelt section": ({"budgets": {}}, "budgets: unknown key; did you mean budget?"),
    "wrong unit": (
        {
            "objective": {
                "kind": "property", "property": "energy_per_atom", "goal": "target",
                "target_range": [1, 2], "unit": "GPa",
            }
        },
        "objective: unit: expected a unit of energy such as 'eV/atom', got 'GPa'",
    ),
    "empty pool": (
        {
            "candidates": {
                "kind": "prototypes", "elements": ["Cu"], "components": [2],
            }
        },
        "candidates: the pool would be empty",
    ),
    "impossible batch": (
        {"acquisition": {"kind": "greedy", "batch_size": 5000}},
        "acquisition.batch_size: 5000 is more than the pool",
    ),
    "missing element reference": (
        {
            "candidates": {
                "kind": "prototypes", "elements": ["Cu", "Au"], "components": [2],
            }
        },
        "the hull needs a reference for every pure element",
    ),
    "unknown calculator": (
        {"evaluator": {"kind": "calculator", "calculator": "chgnett"}},
        "evaluator.calculator: unknown calculator 'chgnett'; did",
    ),
    "negative budget": (
        {"budget": {"evaluations": -5}},
        "budget.evaluations: .*got -5",
    ),
    "element the calculator lacks": (
        {
            "candidates": {"kind": "prototypes", "elements": ["Fe", "Cu"]},
            "evaluator": {"kind": "calculator", "calculator": "emt"},
        },
        "evaluator.calculator: emt does not know Fe",
    ),
    "unknown kind": (
        {"surrogate": {"kind": "gaussian_proces"}},
        "surrogate: unknown kind 'gaussian_proces'; did you mean gaussian_process?",
    ),
    "budget below the first round": (
        {"budget": {"evaluations": 5}},
        "budget.evaluations: 5 does not cover the first round of 8",
    ),
    "function that is not there": (
        {
            "evaluator": {
                "kind": "function", "function": "evaluators:emt_energi",
                "returns": ["energy_per_atom"],
            }
        },
        "evaluator.function: module 'evaluators' has no 'emt_energi'",
    ),
    "objective the evaluator cannot serve": (
        {"objective": {"kind": "property", "property": "band_gap", "goal": "maximise"}},
        "objective needs the label 'band_gap', but the evaluator gives energy_per_atom",
    ),
    "dataset that is not there": (
        {"candidates": {"kind": "dataset", "path": "nowhere.parquet"}},
        "candidates.path: no such file: nowhere.parquet",
    ),
    "condition that leaves the elements out": (
        {
            "candidates": {
                "kind": "prototypes", "elements": ["Cu", "Au"], "components": [1, 2],
                "max_atoms": 4, "where": {"must_contain": ["Cu"]},
            }
        },
        "candidates.where: the hull needs a reference .* but pure Au is left out",
    ),
    "block without a kind": (
        {"acquisition": {"batch_size": 4}},
        "acquisition: expected a block with a 'kind:' key; kinds: log_expected",
    ),
    "hulls of too many elements": (
        {
            "candidates": {
                "kind": "prototypes", "components": [1, 2], "max_atoms": 2,
                "elements": ["Cu", "Au", "Ag", "Pd", "Pt", "Ni", "Al", "Rh"],
            },
            "start": {"per_element": 1, "random": 4},
            "acquisition": {"kind": "new_phases", "batch_size": 4},
        },
        "acquisition.kind: new_phases draws whole hulls, which takes hours beyond 7",
    ),
    "advice from nobody": (
        {"acquisition": {"kind": "random"}, "stopping": {"cost": 0.1}},
        "stopping.cost: asks what the surrogate expects, but acquisition: random",
    ),
    "rounds of nothing": (
        {"stopping": {"rounds": 4}},
        "stopping.rounds: 4 would change nothing: needs stopping.cost",
    ),
    "a share of no fall back": (
        {"gate": {"share": 0.2}},
        "gate.share: 0.2 would change nothing: needs gate.fall_back",
    ),
    "a gate that is off": (
        {"gate": {"level": 0, "fall_back": "stop"}},
        "gate.fall_back: stop would change nothing: gate.level 0",
    ),
    "ahead of a batch": (
        {"execution": {"ahead": 3}},
        "execution.ahead: 3 would change nothing: needs mode: continuous",
    ),
    "elements of no hull": (
        {
            "objective": {
                "kind": "property", "property": "energy_per_atom", "goal": "minimise",
            },
            "start": {"per_element": 2, "random": 8},
        },
        "start.per_element: 2 would change nothing: only objective energy_above_hull",
    ),
    "draws of a closed form": (
        {"acquisition": {"kind": "log_expected_improvement", "samples": 64,
                         "scorer": "exact"}},
        "acquisition.samples: 64 would change nothing: scorer exact draws nothing",
    ),
    "not a number": ({"seed": "one"}, "seed: .*got 'one'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda c: c.replace(" ", "-"))
def test_wrong_configurations_are_one_line_each(
    case, write_config, tmp_path, monkeypatch
):
    changes, message = WRONG[case]
    monkeypatch.chdir(tmp_path)
    path = write_config(**changes)
    with pytest.raises(ConfigError, match=message) as caught:
        CampaignConfig.load(path.name).check()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("command", ["validate", "run"])
def test_the_command_exits_2_and_writes_nothing(command, write_config, tmp_path):
    write_config(budget={"evaluations": -5})
    done = matdisco(command, "campaign.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("campaign.yaml:5: budget.evaluations:")
    assert [p.name for p in tmp_path.iterdir()] == ["campaign.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML: line"),
        ("- a", "expected keys such as 'name:'"),
        ("name: x\nname: y", "line 2, column 1: key 'name' is given twice"),
        ("name: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        CampaignConfig.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        CampaignConfig.load(tmp_path / "none.yaml")


def test_validate_is_quick_because_it_imports_nothing_heavy(tmp_path, write_config):
    path = write_config(evaluator={"kind": "calculator", "calculator": "emt"})
    code = (
        "import sys; from campaigns.cli import main\n"
        "try: main(['validate', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pymatgen', 'mlflow', 'botorch', 'pandas', 'ase', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "120 (prototypes" in done.stdout
    assert "20 planned" in done.stdout


def test_digest_covers_what_decides_proposals_and_nothing_else():
    def digest(**changes):
        return CampaignConfig.model_validate(small_campaign(**changes)).digest()

    assert digest() == digest(description="other", budget={"evaluations": 50})
    assert digest() == digest(execution={"workers": 7})
    assert digest() != digest(seed=1)
    assert digest() != digest(acquisition={"kind": "greedy", "batch_size": 4})
