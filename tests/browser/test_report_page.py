"""``report.html`` in a real browser, with every connection refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser, colours, complaints, fetched, until, whole_page
from recorded_campaign import PROPERTY, chemistry, record, truth_of

from campaigns import Campaign

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("pages")
    truth = truth_of(record(base / "plain", rounds=1), base / "truth.parquet")
    review = {"truth": str(truth)}
    folders = {
        "binary": record(base / "binary", rounds=4, review=review),
        "ternary": record(
            base / "ternary",
            rounds=5,
            **chemistry("Al", "Cu", "Ni", components=(1, 2, 3)),
        ),
        "property": record(base / "property", **PROPERTY),
    }
    made = {}
    for name, folder in folders.items():
        with Campaign.open(folder) as campaign:
            made[name] = campaign.report()
    return made


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile"), offline=True) as driver:
        yield driver


def opened(driver: Any, page: Path) -> None:
    """Show a page and wait until everything that is to be drawn is drawn."""
    driver.get("about:blank")
    fetched(driver)
    driver.get(page.as_uri())
    until(
        driver,
        lambda d: d.execute_script(
            "const wanted = [...document.querySelectorAll('script[data-figure]')];"
            "return wanted.every((s) => s.closest('figure').matches('.drawn')) &&"
            " document.querySelectorAll('.viewer.drawn .solid canvas').length > 0"
        ),
    )


DRAWN = {
    "binary": {"hull", "progress", "parity"},
    "ternary": {"hull", "parity"},
    "property": {"parity"},
}


@pytest.mark.parametrize("name", list(DRAWN))
def test_everything_is_drawn_and_nothing_fetched(
    pages: dict[str, Path], offline: Any, name: str, picture: Callable[[str], Path]
) -> None:
    opened(offline, pages[name])
    figures = offline.execute_script(
        "return [...document.querySelectorAll('figure')].map((f) => ({"
        " name: f.querySelector('script[data-figure]')?.dataset.figure,"
        " points: f.querySelectorAll('.interactive .point').length,"
        " lines: f.querySelectorAll('.interactive .js-line').length,"
        " vector: f.querySelectorAll('svg path, svg use').length,"
        " wide: f.getBoundingClientRect().width }))"
    )
    assert {f["name"] for f in figures if f["name"]} == DRAWN[name]
    for figure in figures:
        assert figure["vector"] > 5
        assert figure["wide"] > 300
        if figure["name"]:
            assert figure["points"] or figure["lines"]
    whole_page(offline, picture(f"report-{name}"))
    asked = [a for a in fetched(offline) if not a.startswith(("data:", "blob:"))]
    assert {a for a in asked if not a.startswith("chrome:")} == {pages[name].as_uri()}
    assert complaints(offline) == []


def test_every_structure_turns(
    pages: dict[str, Path], offline: Any, picture: Callable[[str], Path]
) -> None:
    opened(offline, pages["ternary"])
    buttons = offline.find_elements("css selector", "td.structure button")
    assert len(buttons) >= 4
    seen = set()
    for button in buttons:
        offline.execute_script("arguments[0].click()", button)
        label = offline.execute_script(
            "return document.querySelector('.viewer').current.label"
        )
        until(
            offline,
            lambda d, label=label: d.execute_script(
                "const s = document.querySelector('.viewer .solid');"
                "return s.getAttribute('aria-label') === arguments[0] &&"
                " s.data.some((t) => t.type === 'mesh3d' && t.i.length > 100)",
                label,
            ),
        )
        seen.add(label)
        # shaded balls, not an empty stage (its background is a gradient of some 20)
        stage = offline.find_element("css selector", ".viewer .solid")
        until(offline, lambda _, s=stage: colours(s, picture("structure")) > 100)
    assert len(seen) == len(buttons)
    along = offline.find_element("css selector", "button[data-along='1']")
    eye = "return document.querySelector('.solid')._fullLayout.scene.camera.eye"
    before = offline.execute_script(eye)
    offline.execute_script("arguments[0].click()", along)
    until(offline, lambda d: d.execute_script(eye) != before)
    assert complaints(offline) == []


def test_tables_sort_and_files_come_along(pages: dict[str, Path], offline: Any) -> None:
    opened(offline, pages["ternary"])
    head = offline.find_element("css selector", "#found ~ .wide th[aria-sort], "
                                "#found ~ .wide th button")  # fmt: skip
    offline.execute_script("arguments[0].click()", head)
    cells = offline.execute_script(
        "return [...document.querySelector('#found ~ .wide table').tBodies[0].rows]"
        ".map((r) => r.cells[1].dataset.value)"
    )
    assert cells == sorted(cells, key=str.lower)
    files = offline.execute_script(
        "return [...document.querySelectorAll('a[download]')].map((a) => a.download)"
    )
    assert {"references.bib", "config.yaml"} <= set(files)
    assert sum(f.endswith(".cif") for f in files) >= 4
