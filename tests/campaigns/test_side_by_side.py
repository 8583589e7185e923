"""``matdisco compare``: the records of campaigns beside each other."""

import pandas as pd
import pytest
from recorded_campaign import PROPERTY, record

from campaigns import Campaign
from campaigns.cli import main
from campaigns.side_by_side import table
from matdisco.errors import CampaignError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    return [record(home / "first"), record(home / "second", seed=7)]


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_table_counts_what_the_ledgers_hold(runs, tmp_path, capsys):
    assert run(["compare", *runs, "--to", tmp_path / "both.csv"]) in (0, None)
    shown = capsys.readouterr().out
    assert "first" in shown and "second" in shown
    rows = pd.read_csv(tmp_path / "both.csv").set_index("run")
    for folder in runs:
        with Campaign.open(folder) as opened:
            row = rows.loc[folder.name]
            assert row["evaluated"] == len(opened.state.evaluations)
            assert row["stable_found"] == len(opened.state.found)
            assert row["seed"] == opened.config.seed
            spent = sum(e.seconds for e in opened.state.evaluations.values())
            assert row["evaluation_hours"] == pytest.approx(spent / 3600)


@pytest.mark.parametrize("suffix", ["html", "svg", "png", "md"])
def test_every_format_is_written_and_fetches_nothing(runs, suffix, tmp_path):
    path = tmp_path / f"both.{suffix}"
    assert run(["compare", *runs, "--to", path]) in (0, None)
    content = path.read_bytes()
    assert len(content) > 200
    if suffix == "html":
        text = content.decode()
        assert "<svg" in text and "<table" in text
        assert "http" not in text.replace("http://www.w3.org", "")


def test_what_cannot_be_compared_is_a_sentence(runs, tmp_path, capsys):
    with (
        Campaign.open(runs[0]) as one,
        pytest.raises(CampaignError, match="two or more"),
    ):
        table([one])
    assert run(["compare", *runs, "--to", tmp_path / "both.docx"]) == 2
    assert "expected a name in .csv" in capsys.readouterr().err
    assert run(["compare", runs[0], tmp_path / "none"]) == 1
    other = record(tmp_path / "other", **PROPERTY)
    assert run(["compare", runs[0], other]) == 1
    assert "expected one objective" in capsys.readouterr().err
