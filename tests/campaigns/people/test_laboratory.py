"""A laboratory campaign of three rounds, driven by CSV files as people write them."""

import numpy as np
import pytest
from campaign_files import small_campaign
from commands import matdisco

from campaigns import Campaign, CampaignConfig
from campaigns.ledger import Ledger
from campaigns.people.inbox import Inbox, put, results_item
from campaigns.progress import Display
from campaigns.summary import summarise
from matdisco.crystal import Crystal

QUIET = Display(quiet=True)


def config(**evaluator):
    return CampaignConfig.model_validate(
        small_campaign(
            name="bench",
            evaluator={"kind": "laboratory", "returns": ["band_gap"], **evaluator},
            objective={"kind": "property", "property": "band_gap", "goal": "maximise"},
            start={"per_element": 0, "random": 4},
            acquisition={"kind": "log_expected_improvement", "batch_size": 3},
            budget={"evaluations": 10},
        )
    )


def run(folder, settings=None):
    with Campaign.start(settings or config(), folder) as campaign:
        return campaign.run(display=QUIET)


def drop(folder, path, **options):
    """What ``matdisco tell`` does, in this process; returns the told event."""
    put(folder, results_item(path, by="ada", **options))
    with Campaign.open(folder) as c:
        assert Inbox(c.config, c.folder, c.ledger, c.pool).drain_if_free()
        events = c.ledger.events("told", "refused")
    return events[-1].payload


def as_laboratories_write(folder, number, names):
    """Round by round the files of people in a hurry: (name, text, what becomes of it).

    Lines are given as taken (a candidate id), refused or nothing new (words of the
    reason); a whole file that is refused as one string.
    """
    a, b, c, *d = names
    mev = "candidate;band_gap [meV];band_gap sigma;replicate;by"
    if number == 0:
        yield (
            "wrong-unit.csv",
            f"candidate,band_gap [GPa]\n{a},1.1\n",
            ("cannot convert 'GPa'"),
        )
        yield "no-unit.csv", f"candidate,band_gap\n{a},1100\n", "has no unit"
        # the unit mended; one row twice, one candidate that nobody asked for
        yield (
            "first.csv",
            (
                f"{mev}\n{a};1100;20;1;ada\n{a};1100;20;1;ada\nUnobtainium;9;1;1;ada\n"
                f"{b};;;1;\n{c};1200;20;1;ada\n"
            ),
            [a, "the same as line 2", "no candidate 'Unobtainium'", "still waited", c],
        )
        # late: what was missing, again what is known, and a contradiction of it
        yield "late.csv", (
            f"{mev}\n{b};1300;20;1;bo\n{c};1200;20;1;bo\n{a};1500;20;1;bo\n"
            f"{d[0]};missing;;1;bo\n"
        ), [b, "already on record (first.csv:6)", "1.5 here, 1.1 in first.csv:2",
            "expected a number in meV, got 'missing'"]  # fmt: skip
        yield (
            "failed.csv",
            (f"candidate,band_gap [eV],failure\n{d[0]},,would not crystallise\n"),
            [d[0]],
        )
    elif number == 1:
        # two samples were swapped, and the label of the third is not what it says
        yield (
            "swapped.csv",
            (
                f"candidate,band_gap [eV],made\n{a},1.6,{b}\n{b},1.5,{a}\n"
                f"{c},1.7,Cu17Au\n"
            ),
            [b, a, None],
        )
        yield "third.csv", f"candidate,band_gap [eV]\n{c},1.4\n", [c]
    else:
        yield (
            "kj.csv",
            (
                f"candidate,band_gap [kJ/mol],note\n{a},96.48533212,fine\n{b},-,lost\n"
                f'{c},"1,2",comma\n'
            ),
            [a, "expected a number in kJ/mol, got '-'", "got '1,2'"],
        )
        yield "rest.csv", f"candidate,band_gap [eV]\n{b},1.9\n{c},1.2\n", [b, c]


def test_three_rounds_of_files_with_every_mistake(tmp_path):
    """Wrong units, rows twice, unknown ids, missing values, swapped samples."""
    folder, lines = tmp_path / "run", 0
    for number in range(3):
        assert f"round {number} waits for" in run(folder)
        with Campaign.open(folder) as campaign:
            table = campaign.proposals()
        names = list(table[table["round"] == number]["candidate"])
        orders = folder / "laboratory" / f"round-{number:03d}"
        for kind in ("*.cif", "*.md"):
            assert len(list(orders.glob(kind))) == len(names)
        protocol = next(orders.glob("*.md")).read_text()
        assert "Band gap (eV):" in protocol and "{" not in protocol
        for name, text, fate in as_laboratories_write(folder, number, names):
            path = tmp_path / name
            path.write_text(text)
            payload = drop(folder, path)
            if isinstance(fate, str):
                assert fate in payload["reason"], payload
                assert payload["item"]["text"] == text  # kept for whoever mends it
                continue
            lines += len(fate)
            taken = {r["line"]: r["credited"] for r in payload["rows"]}
            refused = {r["line"]: r["reason"] for r in payload["refused"]}
            assert {*taken, *refused} == set(range(2, 2 + len(fate)))
            assert len(taken) + len(refused) == len(fate)
            for line, expected in enumerate(fate, start=2):
                if line in taken:
                    assert taken[line] == expected
                else:
                    assert expected in refused[line], refused
            again = drop(folder, path)  # the same file twice does nothing
            assert again["rows"] == payload["rows"]
    assert run(folder) == "budget: 10 evaluations are spent"
    with Campaign.open(folder) as campaign:
        assert campaign.verify()
        table = campaign.proposals()
        answers = campaign.state.evaluations
        told = campaign.ledger.events("told")
        assert len(campaign.ledger.events("refused")) == 2
        assert {e.payload["by"] for e in told} == {"ada"}  # who gave the file
        rows = sum(len(e.payload["rows"]) + len(e.payload["refused"]) for e in told)
        assert rows == lines  # every line of every file is on record
        assert (table["status"].isin(["answered", "not-made"])).all()
    first = answers[table["candidate"][0]].labels["band_gap"]
    assert (first.unit, first.sigma) == ("eV", pytest.approx(0.02))  # were meV
    gaps = {k: e.labels["band_gap"].value for k, e in answers.items() if e.ok}
    first, second, third = (
        list(table[table["round"] == n]["candidate"]) for n in range(3)
    )
    expected = dict(zip(first, (1.1, 1.3, 1.2), strict=False))
    expected |= dict(zip(second, (1.5, 1.6, 1.4), strict=True))  # swapped back
    expected |= dict(zip(third, (1.0, 1.9, 1.2), strict=True))
    assert gaps == pytest.approx(expected)
    failed = answers[first[3]].failure
    assert (str(failed.kind), failed.message) == ("not-made", "would not crystallise")


@pytest.fixture
def waiting(tmp_path):
    """A campaign that waits for the first round, and the names it asked for."""
    run(tmp_path / "run")
    with Campaign.open(tmp_path / "run") as campaign:
        names = list(campaign.proposals()["candidate"])
        others = [c for c in campaign.pool.ids if c not in names]
    return tmp_path / "run", names, others


def write(folder, text):
    path = folder.parent / "r.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("candidate,band_gap [GPa]", "cannot convert 'GPa'"),
        ("candidate,band_gap [parsec]", "unknown unit 'parsec'"),
        ("candidate,band_gap", "has no unit; write it as 'band_gap [eV]'"),
        (
            "candidate,bandgap [eV]",
            "unknown column 'bandgap [eV]'; did you mean band_g",
        ),
        ("band_gap [eV]", "no column 'candidate'"),
        ("", "empty; expected a header line"),
    ],
)
def test_a_wrong_header_takes_nothing(waiting, header, message):
    folder, names, _ = waiting
    path = write(folder, f"{header}\n{names[0]},1.0\n" if header else "")
    done = matdisco("tell", str(folder), str(path), cwd=folder.parent)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    with Ledger.open(folder) as ledger:
        assert not ledger.events("told", "evaluated")


def test_every_wrong_row_is_refused_with_its_reason_and_kept(waiting):
    folder, (a, b, c, d), _ = waiting
    path = write(
        folder,
        "candidate,replicate,band_gap [eV],band_gap sigma [eV],made,failure\n"
        f"{a},1,1.5,0.1,,\n"
        f"{a},1,1.5,0.1,,\n"  # the same row again
        "Unobtainium,1,1.0,,,\n"
        f"{b},1,,,,\n"  # not measured yet
        f"{b},1,1.0,,,\n"
        f"{b},1,1.2,,,\n"  # contradicts the line before
        f"{c},1,abc,,,\n"
        f"{c},2,nan,,,\n"
        f"{c},3,1.0,-1,,\n"
        f"{c},4,1.0,,,broken crucible\n"
        f"{d},1,,,,would not crystallise\n"
        f'{a},2,"1,5",,,\n',
    )
    payload = drop(folder, path)
    assert [(r["line"], r["credited"]) for r in payload["rows"]] == [(2, a), (12, d)]
    reasons = {r["line"]: r["reason"] for r in payload["refused"]}
    assert set(reasons) == {3, 4, 5, 6, 7, 8, 9, 10, 11, 13}  # nothing is lost
    for line, words in {
        3: "the same as line 2", 4: "no candidate 'Unobtainium'",
        5: "still waited for", 6: "lines 6, 7 give different values",
        7: "lines 6, 7 give different values", 8: "expected a number in eV, got 'abc'",
        9: "expected a finite number", 10: "sigma: expected more than 0",
        11: "has both a value and the failure", 13: "a number in eV, got '1,5'",
    }.items():  # fmt: skip
        assert words in reasons[line]
    with Campaign.open(folder) as campaign:
        assert campaign.state.evaluations[a].ok
        failure = campaign.state.evaluations[d].failure
        assert (str(failure.kind), failure.message) == (
            "not-made", "would not crystallise",
        )  # fmt: skip
        assert set(campaign.state.evaluations) == {a, d}
    # a later file: a changed value is refused, unless it is a correction
    later = write(folder, f"candidate,band_gap [meV]\n{a},1600\n")
    assert "1.6 here, 1.5 in r.csv:2" in drop(folder, later)["refused"][0]["reason"]
    drop(folder, later, replace=True)
    drop(folder, write(folder, f"candidate,replicate,band_gap [eV]\n{a},2,1.8\n"))
    with Campaign.open(folder) as campaign:
        label = campaign.state.evaluations[a].labels["band_gap"]
        assert label.value == pytest.approx(1.7)
        assert label.sigma == pytest.approx(0.1)  # standard error of 1.6 and 1.8
        assert label.method == "measured, 2 replicates"


def test_swapped_samples_other_products_and_new_structures(waiting):
    folder, (a, b, c, d), others = waiting
    with Campaign.open(folder) as campaign:
        pool = {x.id: x for x in campaign.pool}
        other = next(
            o for o in others
            if pool[o].formula != pool[b].formula
            and len(pool[o].elements) == 2
        )  # fmt: skip
    (folder.parent / "really.cif").write_text(pool[other].to_cif())
    (folder.parent / "nova.cif").write_text(
        Crystal.from_arrays(
            "n",
            np.diag([3.0, 4.0, 7.0]),
            ["Cu", "Cu", "Cu", "Au", "Au"],
            np.random.default_rng(0).random((5, 3)),
        ).to_cif()
    )
    drop(
        folder,
        write(
            folder,
            "candidate,band_gap [eV],made\n"
            f"{a},1.0,{b}\n{b},2.0,{a}\n"  # two samples were swapped
            f"{c},3.0,really.cif\n"  # diffraction shows another candidate
            f"{d},4.0,Cu17Au\n",  # a product outside the pool, structure unknown
        ),
    )
    with Campaign.open(folder) as campaign:
        gaps = {
            k: e.labels["band_gap"].value for k, e in campaign.state.evaluations.items()
        }
        assert {k: gaps[k] for k in (a, b)} == {a: 2.0, b: 1.0}
        credited = next(k for k in gaps if k not in (a, b))
        assert pool[credited].formula == pool[other].formula and gaps[credited] == 3.0
        assert c not in gaps and d not in gaps
        remark = campaign.ledger.events("told")[0].payload["rows"][3]["remark"]
        assert "made Cu17Au instead of" in remark or "made" in remark
    assert "waits for 2 of 4" in run(folder)
    drop(folder, write(folder, f"candidate,band_gap [eV],made\n{c},5.0,nova.cif\n"))
    with Campaign.open(folder) as campaign:
        assert campaign.state.evaluations["nova"].labels["band_gap"].value == 5.0
        assert campaign.state.pool.ids[-1] == "nova"


def test_people_are_told_which_answers_are_still_half(tmp_path):
    settings = config(returns=["band_gap", "density"], replicates=2)
    folder = tmp_path / "run"
    run(folder, settings)
    with Campaign.open(folder) as campaign:
        a, b, c, d = campaign.proposals()["candidate"]
        assert "report" not in summarise(campaign, "waits")  # there is none yet
    head = "candidate,replicate,band_gap [eV],density [g/cm³],failure"
    first = write(
        folder,
        f"{head}\n{a},1,1,5,\n{a},2,1.1,5.1,\n{b},1,2,,\n{b},2,2.1,6,\n"
        f"{c},1,,,lost\n{d},1,,,lost\n{d},2,,,lost\n",
    )
    said = matdisco("tell", str(folder), str(first), cwd=tmp_path).stdout
    assert said.splitlines() == [
        "r.csv: 7 rows taken, 0 not taken",
        "  no answer yet for 2 candidates, waiting for:",
        f"    {b}  density: 1 of 2 values",
        f"    {c}  band_gap: 0 of 2 values, density: 0 of 2 values",
    ]
    # what came before counts, and a file that completes everything says nothing more
    rest = write(folder, f"{head}\n{b},1,2,6.2,\n{c},2,,,lost\n")
    with Campaign.open(folder) as campaign:
        box = Inbox(campaign.config, folder, campaign.ledger, campaign.pool)
        item = results_item(rest, by="ada")
        assert "no answer" not in box.summary(box.judge(item, campaign.state))


def test_partial_results_are_enough_when_the_configuration_says_so(waiting):
    folder, (a, b, c, d), _ = waiting
    drop(folder, write(folder, f"candidate,band_gap [eV]\n{a},1.0\n{b},2.0\n{c},1.5\n"))
    assert "round 0 waits for 1 of 4" in run(folder)
    assert "round 1 waits for 3 of 3" in run(folder, config(enough=0.7))
    with Campaign.open(folder) as campaign:
        asked = set(campaign.proposals()["candidate"])
        assert len(asked) == 7  # the missing one is awaited, not proposed again
    drop(folder, write(folder, f"candidate,band_gap [eV]\n{d},9.0\n"))  # late
    with Campaign.open(folder) as campaign:
        assert campaign.state.rounds[d] == 0 and campaign.state.best == 9.0


def test_a_watched_folder_is_taken_while_the_campaign_waits(tmp_path):
    drops = tmp_path / "instrument"
    drops.mkdir()
    settings = config(watch=str(drops), poll=0.1)
    with Campaign.start(settings, tmp_path / "run") as campaign:
        inbox = Inbox(settings, campaign.folder, campaign.ledger, campaign.pool)
        from campaigns.driver import Driver
        from campaigns.interrupt import Interrupt

        driver = Driver(
            settings,
            campaign.folder,
            campaign.ledger,
            campaign.pool,
            QUIET,
            Interrupt(),
        )
        driver._propose(campaign.state, campaign.events)
        name = campaign.proposals()["candidate"][0]
        file = drops / "xrd.csv"
        file.write_text(f"candidate,band_gap [eV]\n{name},1.25\n")
        inbox.drain()
        assert not campaign.state.evaluations  # it may still be being written
        import os
        import time

        os.utime(file, (time.time() - 60, time.time() - 60))
        inbox.drain()
        inbox.drain()
        assert campaign.state.evaluations[name].labels["band_gap"].value == 1.25
        assert len(campaign.ledger.events("told")) == 1
        (drops / "broken.csv").write_text("who knows\n1\n")
        os.utime(drops / "broken.csv", (time.time() - 60, time.time() - 60))
        inbox.drain()
        inbox.drain()
        assert len(campaign.ledger.events("refused")) == 1
        assert file.exists()  # what belongs to the instrument stays where it is
