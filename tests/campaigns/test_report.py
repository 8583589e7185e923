"""The report: complete, self-contained, safe, whole or not there."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from drawing import drawing
from pymatgen.core import Structure
from recorded_campaign import PROPERTY, chemistry, record, truth_of

from campaigns import Campaign
from campaigns.config import json_schema
from campaigns.report import head_of, render_report, write_report
from campaigns.report.methods import BLOCKS, library, methods, references
from campaigns.report.structures import structure_page

NASTY = '<script>alert("x")</script> & "quotes" </script>'

# calculators, codes and features that the schema holds as free text
NAMED = {"chgnet", "sevennet", "mace", "emt", "gpaw", "espresso", "vasp", "composition"}
BRASS = {"formula": "CuZn", "prototypes": []}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("report")
    plain = record(base / "plain", rounds=1)
    truth = truth_of(plain, base / "truth.parquet")
    known = [{"formula": "AuCu", "prototypes": [], "name": "<i>auricupride</i>"}]
    return record(
        base / "run",
        description=NASTY,
        review={"truth": str(truth), "known_phases": known},
    )


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    with drawing(), Campaign.open(run) as campaign:
        return write_report(campaign).read_text(encoding="utf-8")


class Links(HTMLParser):
    """Collects everything that a browser would fetch or open."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            # a link to a paper is followed by a person, not by the page
            paper = tag == "a" and (value or "").startswith("https://")
            fetching = ("src", "href", "srcset", "action", "data", "xlink:href")
            if name in fetching and not paper:
                self.found.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_nothing_is_fetched(page: str) -> None:
    links = Links()
    links.feed(page)
    assert links.found
    assert all(u.startswith(("#", "data:")) for u in links.found)
    assert "@import" not in page
    own = page[: page.index('<script type="text/plain" id="plotly">')]
    assert not re.search(r"url\((?!['\"]?#)", own)
    assert "default-src 'none'" in page


def test_ids_are_unique(page: str) -> None:
    links = Links()
    links.feed(page)
    assert len(links.ids) == len(set(links.ids))


def test_text_from_outside_stays_text(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<i>auricupride" not in page
    assert "<b>250</b>" not in page
    # structures, three figures, the viewer, plotly and what draws with it
    assert page.count("<script") == page.count("</script>") == 7


def test_every_section_is_there(page: str) -> None:
    for anchor in (
        "found", "known", "hull", "progress", "surrogate", "failures", "cost",
        "asked", "elements", "methods", "reproduce", "provenance",
    ):  # fmt: skip
        assert f'<h2 id="{anchor}"' in page
    assert page.count("<svg") >= 5


def test_every_failure_is_listed(run: Path, page: str) -> None:
    with Campaign.open(run) as campaign:
        failures = campaign.failures()
    assert len(failures) == 2
    section = page[page.index('<h2 id="failures"') : page.index('<h2 id="cost"')]
    for name in failures["candidate"]:
        assert f"<code>{name.replace(chr(39), '&#39;')}</code>" in section
    assert section.count("no end in sight after &lt;b&gt;250&lt;/b&gt; steps") == 2


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF:UserWarning")
def test_structures_can_be_looked_at_and_taken_away(run: Path, page: str) -> None:
    with Campaign.open(run) as campaign:
        found = {c.id: c for c in campaign.found()}
    scenes = {s["id"]: s["scene"] for s in shown_in(page)}
    assert set(found) <= set(scenes)
    for name, crystal in found.items():
        assert len(scenes[name]["atoms"]) >= crystal.n_atoms
    links = re.findall(r'<a download="([^"]+)" href="data:[^,]*,([^"]+)"', page)
    cifs = {name.removesuffix(".cif").replace("&#39;", "'"): c for name, c in links}
    for name, crystal in found.items():
        read = Structure.from_str(unquote(cifs[name]), fmt="cif")
        assert read.composition.reduced_formula == crystal.formula


def test_structures_have_a_page_of_their_own(run: Path) -> None:
    """What MLflow shows in place of CIF files: found, or of one round."""
    with Campaign.open(run) as campaign:
        found, first = structure_page(campaign), structure_page(campaign, 1)
        proposals, stable = campaign.proposals(), {c.id for c in campaign.found()}
    assert found is not None and first is not None
    for page in (found, first):
        links = Links()
        links.feed(page)
        assert all(u.startswith(("#", "data:")) for u in links.found)
        assert "default-src 'none'" in page
        assert page.count("<script") == page.count("</script>") == 2
        assert len(page) < 30_000 + 15_000 * len(shown_in(page))
    assert {s["id"] for s in shown_in(found) if s["id"] in stable} == stable
    of_round = proposals[proposals["round"] == 1]
    assert [s["id"] for s in shown_in(first)] == list(of_round["candidate"])
    failed = of_round["status"] == "not-converged"
    assert failed.sum() == 1
    assert first.count('<span class="tag no">not-converged</span>') == 1
    values = [s["value"] for s in shown_in(first)]
    assert [v == "–" for v in values] == list(failed)
    assert first.count('<span class="tag yes">answered</span>') == 3


def test_no_structures_no_page(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", rounds=0, finish=False)
    with Campaign.open(folder) as campaign:
        assert structure_page(campaign) is None
        assert structure_page(campaign, 0) is None


def shown_in(page: str) -> list[dict]:
    """Return what the viewer of a page holds."""
    text = re.search(r'id="structures">(.*?)</script>', page, re.S)
    assert text is not None
    return json.loads(text.group(1))


def test_provenance(run: Path, page: str) -> None:
    with Campaign.open(run) as campaign:
        head = campaign.ledger.head()[1]
        assert head_of(page) == head
        for text in (head, campaign.pool.content_hash, campaign.config.digest()):
            assert text in page
    assert "matdisco" in page


def test_written_whole_or_not_at_all(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run / "report.html").read_bytes()

    def broken(campaign: Campaign) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("campaigns.report.render_report", broken)
    with Campaign.open(run) as campaign, pytest.raises(OSError, match="disk full"):
        write_report(campaign)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".report*"))


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 0, "finish": False},
        {"rounds": 1, "finish": False},
        {"rounds": 2, **PROPERTY},
        {"rounds": 2, **chemistry("Al", "Cu", "Ni", components=(1, 2, 3))},
        {"rounds": 2, "review": {"known_phases": [BRASS]}},
    ],
)
def test_any_campaign_has_a_report(tmp_path: Path, changes: dict) -> None:
    folder = record(tmp_path / "run", **changes)
    with Campaign.open(folder) as campaign:
        html = render_report(campaign)
    assert html.rstrip().endswith("</html>")
    assert len(html) < 3_000_000
    assert "None" not in re.sub(r"<[^>]*>", " ", html.split("What was asked</h2>")[0])


@pytest.mark.usefixtures("drawn")
def test_same_record_same_report(run: Path, page: str) -> None:
    with Campaign.open(run) as campaign:
        assert render_report(campaign) == page


def test_methods_cite_what_was_used_and_nothing_else(run: Path, page: str) -> None:
    with Campaign.open(run) as campaign:
        cited = {r.key for r in references(campaign.config)}
        made = methods(campaign)
    assert {"Rasmussen2006", "Ament2023", "Mehl2017", "Ong2013", "Rohr2020"} <= cited
    assert not cited & {"Deng2023", "Breiman2001", "Zaharia2018"}  # no such parts
    text = " ".join(made["sentences"])
    used = {int(n) for group in re.findall(r"\[([\d, ]+)\]", text)
            for n in group.split(",")}  # fmt: skip
    assert used == set(range(1, len(cited) + 1))
    assert "2 of which failed" in text
    assert all(r.text.replace("&", "&amp;") in page for r in made["references"])


def test_every_reference_is_a_bibtex_entry() -> None:
    assert len({r.key for r in library()}) == len(library())
    for work in library():
        assert re.fullmatch(r"@(article|misc)\{\w+,\n(  \w+ = \{[^{}]+\},?\n)+\}",
                            work.bibtex)  # fmt: skip
        assert work.fields["year"].isdigit()
        assert work.uses
        for use in work.uses:
            assert use == "always" or use.partition(".")[0] in BLOCKS


def test_kinds_that_a_report_may_cite_exist() -> None:
    """A kind that is renamed would silently lose its reference."""
    schema = json.dumps(json_schema())
    for work in library():
        for use in work.uses:
            name = use.rpartition(".")[2]
            known = name == "always" or f'"{name}"' in schema or name in NAMED
            assert known, use
