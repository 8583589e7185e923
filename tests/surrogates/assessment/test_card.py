"""Cards: the same inputs give the same card, and no change goes unnoticed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from assessed import QUICK, TARGET

from campaigns.cli import main
from matdisco.errors import DataError, SurrogateError
from matdisco.recipe import canonical_json, digest
from surrogates.assessment.battery import assess
from surrogates.assessment.card import Card, problems
from surrogates.assessment.compare import leaderboard, read_entry
from surrogates.assessment.doors import open_checkpoint, open_subject, potential
from surrogates.assessment.files import unsafe_files
from surrogates.assessment.markdown import to_markdown
from surrogates.assessment.page import to_html
from surrogates.assessment.predictions import read_predictions
from surrogates.assessment.suite import KINDS, STANDARD, SuiteRecipe


@pytest.fixture(scope="module")
def made(forest, test, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards") / "forest"
    card, text = assess(open_checkpoint(forest), test, QUICK, target=TARGET)
    card.save(folder, text)
    return folder


def test_same_inputs_same_card(made, forest, test):
    again, _ = assess(open_checkpoint(forest), test, QUICK, target=TARGET)
    assert again.seal == Card.read(made).seal
    assert again.volatile.keys() == Card.read(made).volatile.keys()
    assert not set(again.volatile) & set(again.body)


def test_card_says_what_was_assessed(made, test):
    body = Card.read(made).body
    assert set(body["model"]["files"]) == {"surrogate.json", "weights.safetensors"}
    assert body["data"]["test"]["sha256"] == test.content_hash
    assert len(body["code"]["matdisco"]) == 64
    assert "numpy" in body["environment"]
    page = (made / "card.html").read_text()
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "")
    assert "| efficacy.mae |" in (made / "card.md").read_text()


def _changed(made, to, change):
    """Copy a card, change its content and, if asked, seal it again."""
    to.mkdir()
    for name in ("card.json", "predictions.csv"):
        (to / name).write_text((made / name).read_text())
    data = json.loads((made / "card.json").read_text())
    reseal = change(data["body"], to)
    if reseal:
        data["sha256"] = digest(data["body"])
    (to / "card.json").write_text(canonical_json(data))
    return problems(to)


def test_verification(made, tmp_path):
    assert problems(made) == []
    assert problems(made / "card.json") == []

    def lower(body, to):
        mae = next(
            m for m in body["sections"][0]["measures"] if m["key"] == "efficacy.mae"
        )
        mae["value"] /= 2

    def lower_and_seal(body, to):
        lower(body, to)
        return True

    def better_verdict(body, to):
        body["verdict"] = "pass"
        return True

    def other_predictions(body, to):
        text = (to / "predictions.csv").read_text()
        (to / "predictions.csv").write_text(text.replace("1", "2", 1))

    def gone(body, to):
        (to / "predictions.csv").unlink()

    cases = {
        "was changed": lower,
        "its predictions give": lower_and_seal,
        "does not follow from the sections": better_verdict,
        "does not match the hash": other_predictions,
        "is missing": gone,
    }
    for i, (said, change) in enumerate(cases.items()):
        found = _changed(made, tmp_path / str(i), change)
        assert any(said in line for line in found), (said, found)


def test_damaged_card_is_a_sentence(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(DataError, match="not an assessment card"):
        problems(tmp_path)


def test_predictions_table_door(made, tmp_path, capsys):
    """A third party's CSV with sigma: no code, the same errors as the checkpoint's."""
    table = pd.read_csv(made / "predictions.csv").rename(
        columns={"true": "y_true", "mean": "y_pred", "std": "uncertainty"}
    )
    path = tmp_path / "theirs.csv"
    table.to_csv(path, index=False)
    main_ok(
        ["surrogate", "assess", str(path), "--to", str(tmp_path / "c"), "--no-track"]
    )
    mine, theirs = Card.read(made), Card.read(tmp_path / "c")
    for key in ("efficacy.mae", "calibration.ence"):
        assert theirs.value(key) == pytest.approx(mine.value(key), rel=1e-8)
    main_ok(["surrogate", "verify", str(tmp_path / "c")])
    main_ok(["surrogate", "compare", str(made), str(tmp_path / "c")])
    assert "tied with best" in capsys.readouterr().out


def main_ok(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,mean\na,1\na,2\n", "occurs more than once"),
        ("id,mean\na,x\n", "expected a number, found 'x'"),
        ("id,value\na,1\n", "no column for the prediction"),
        ("mean\n1\n", "no column for the id"),
        ("id,mean,std\na,1,-1\n", "expected a standard deviation above 0"),
    ],
)
def test_bad_tables_are_sentences(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_predictions(path)


def test_unknown_models_are_sentences(tmp_path):
    for model in ("nothing-here", "numpy:no_such_name", "no_such_module:x"):
        with pytest.raises(SurrogateError):
            open_subject(model)


def _entry(tmp_path, name, y, mean):
    path = tmp_path / f"{name}.csv"
    pd.DataFrame({"id": np.arange(len(y)), "target": y, name: mean}).to_csv(
        path, index=False
    )
    table = read_predictions(path, column=name)
    suite = QUICK.model_copy(update={"sections": ("efficacy",)})
    card, text = assess(table.subject(), None, suite, table=table)
    card.save(tmp_path / name, text)
    return read_entry(tmp_path / name)


def test_leaderboard_tells_luck_from_skill(tmp_path):
    draw = np.random.default_rng(0)
    y = draw.normal(size=400)
    noise = draw.normal(size=400)
    good = _entry(tmp_path, "good", y, y + 0.1 * noise)
    twin = _entry(tmp_path, "twin", y, y + 0.1 * draw.permutation(noise))
    poor = _entry(tmp_path, "poor", y, y + 0.15 * draw.normal(size=400))
    table = leaderboard([poor, good, twin]).set_index("model")
    assert table["tied_with_best"].to_dict() == {
        "good": True,
        "twin": True,
        "poor": False,
    }
    assert table.loc["poor", "p_wilcoxon"] < 1e-3
    assert table["mae"].is_monotonic_increasing
    other = _entry(tmp_path, "other", y + 1, y)
    with pytest.raises(DataError, match="disagree on the true value"):
        leaderboard([good, other])


def test_file_safety(tmp_path, forest):
    import pickle
    import zipfile

    assert unsafe_files(forest) == []
    (tmp_path / "weights.json").write_bytes(pickle.dumps({"a": 1}, protocol=0))
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps([1, 2], protocol=4))
    (tmp_path / "run.py").write_text("print(1)")
    (tmp_path / "notes.md").write_text("# fine")
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"x")
    (tmp_path / "link.json").symlink_to("/etc/hostname")
    found = "\n".join(unsafe_files(tmp_path))
    for name in (
        "weights.json: a pickle",
        "model.safetensors: a pickle",
        "run.py",
        "net.pt: an archive with net/data.pkl",
        "link.json: a link",
    ):
        assert name in found
    assert "notes.md" not in found


def test_a_calculators_name_is_the_calculator(made, forest, tmp_path, monkeypatch):
    """Also where a folder has that name; the folder is meant by ./NAME."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "emt").mkdir()
    assert open_subject("emt").kind == "potential"
    shutil.copytree(forest, tmp_path / "emt", dirs_exist_ok=True)
    with pytest.raises(SurrogateError, match=r"write \./emt for the checkpoint"):
        open_subject("emt")
    assert open_subject("./emt").kind == "checkpoint"


def test_a_card_says_what_does_not_apply(records):
    """A potential passes without a sigma; the same card without its kind does not."""
    from ase.calculators.emt import EMT

    metals = records.take([i for i, c in enumerate(records) if "Ti" not in c.elements])
    suite = SuiteRecipe.standard().model_copy(
        update={
            "sections": ("efficacy", "calibration"),
            "thresholds": {k: STANDARD[k] for k in ("efficacy.unanswered",)},
            "kinds": {"potential": KINDS["potential"].model_copy(
                update={"requires": ("efficacy",)})},
        }
    )  # fmt: skip
    card, _ = assess(potential("emt", EMT, {}), metals, suite, target=TARGET)
    assert card.verdict == "pass"
    assert "not applicable: calibration" in str(card)
    reason = "no standard deviation"
    assert reason in to_markdown(card) and reason in to_html(card)
    old = suite.model_copy(update={"kinds": {}, "requires": ("calibration",)})
    card, _ = assess(potential("emt", EMT, {}), metals, old, target=TARGET)
    assert card.verdict == "fail"
    assert card.failures() == ["calibration: required of a potential, nothing was "
                               "measured"]  # fmt: skip
