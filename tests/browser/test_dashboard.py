"""``matdisco ui`` in a real browser, as a reviewer sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest
from browser import PATIENCE, browser, colours, until, whole_page
from pymatgen.core import Structure
from recorded_campaign import record
from tracked import client_of, synced

from campaigns.tracking.cards import log_card
from surrogates.assessment.battery import assess
from surrogates.assessment.predictions import read_predictions
from surrogates.assessment.suite import SuiteRecipe

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two finished campaigns and an assessment in a store of its own."""
    base = tmp_path_factory.mktemp("dashboard")
    uri = f"sqlite:///{base / 'mlflow.db'}"
    tracking = {"uri": uri, "experiment": "alloys"}
    text = "Which ordered compounds of copper and gold are stable?"
    parent = synced(record(base / "run", tracking=tracking, description=text))
    other = record(
        base / "other", run_id="f" * 32, rounds=4, tracking=tracking, name="bolder",
        acquisition={"kind": "upper_confidence_bound", "batch_size": 4},
    )  # fmt: skip
    client = client_of(uri)
    found = {"uri": uri, "run": parent, "other": synced(other)}
    card = _card(base / "theirs.csv", uri)
    for name, run in (("experiment", parent), ("assessments", card)):
        found[name] = client.get_run(run).info.experiment_id
    return {**found, "card": card}


def _card(path: Path, uri: str) -> str:
    """Log the card of somebody's predictions; return its run."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    lines = [
        f"m{i},Cu{i % 3 + 1}Au,{y:.4f},{y + 0.3 * e:.4f},0.3"
        for i, (y, e) in enumerate(zip(truth, rng.normal(size=200), strict=True))
    ]
    path.write_text("\n".join(["id,formula,true,mean,std", *lines]))
    table = read_predictions(path)
    suite = SuiteRecipe.standard()
    card, text = assess(table.subject(), None, suite, table=table)
    card.save(path.parent / "card", text)
    return log_card(path.parent / "card", uri)


@pytest.fixture(scope="module")
def address(store: dict[str, str], tmp_path_factory: Any) -> Iterator[str]:
    """Where ``matdisco ui`` serves that store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("log") / "ui.log").open("wb")
    code = "from campaigns.cli import main; main()"
    command = [sys.executable, "-c", code, "ui", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--uri", store["uri"]],
        stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        _answering(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _answering(url: str, process: subprocess.Popen[bytes]) -> None:
    from threading import Event

    for _ in range(PATIENCE):
        assert process.poll() is None, "matdisco ui ended"
        try:
            with urlopen(url, timeout=10):
                return
        except (URLError, OSError):
            Event().wait(1)
    raise AssertionError("matdisco ui does not answer")


@pytest.fixture(scope="module")
def driver(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile"), offline=False) as made:
        made.get(address)
        # MLflow offers its assistant once; it would cover a quarter of every picture
        close = "[data-component-id='mlflow.assistant.chat_panel.close']"
        until(made, lambda d: d.find_element("css selector", close)).click()
        yield made


def at(address: str, path: str) -> str:
    """Return an address of the dashboard, with the navigation for training runs."""
    mark = "&" if "?" in path else "?"
    return f"{address}/#/{path}{mark}workflowType=machine_learning"


def shows(driver: Any, *texts: str) -> None:
    """Wait until the page, frames left out, shows all of these."""
    body = "return document.body.innerText"
    for text in texts:
        until(driver, lambda d, text=text: text in d.execute_script(body))


def opens(driver: Any, place: str, text: str) -> None:
    """Open the page of an artifact and wait for a text inside its frame."""
    driver.get("about:blank")
    driver.get(place)
    frame = until(driver, lambda d: d.find_element("css selector", "iframe"))
    driver.switch_to.frame(frame)
    until(driver, lambda d: text in d.page_source)
    driver.switch_to.default_content()


def visible(driver: Any) -> None:
    """Wait until the frame of an artifact can be seen."""
    until(driver, lambda d: d.find_element("css selector", "iframe").is_displayed())


def test_parent_and_rounds_are_found(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    driver.get(at(address, f"experiments/{store['experiment']}/runs"))
    shows(driver, "small")
    whole_page(driver, picture("dashboard-runs"))
    expand = "button[data-component-id*='runnamecellrenderer']"
    until(driver, lambda d: len(d.find_elements("css selector", expand)) == 2)
    driver.execute_script(f'document.querySelectorAll("{expand}")[1].click()')
    shows(driver, "bolder", "round 00", "round 01", "round 02")
    whole_page(driver, picture("dashboard-rounds"))


def test_run_page_is_written_for_a_person(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    page = f"experiments/{store['experiment']}/runs/{store['run']}"
    driver.get(at(address, page))
    shows(
        driver,
        "Which ordered compounds of copper and gold are stable?",
        "search/evaluated",
        "surrogate.kind",
        "matdisco.ledger.head",
    )
    whole_page(driver, picture("dashboard-overview"))
    driver.get(at(address, f"{page}/model-metrics"))
    # charts are drawn where they can be seen: the page's own search brings them there
    box = "input[placeholder='Search metric charts']"
    until(driver, lambda d: d.find_element("css selector", box)).send_keys("predict")
    shows(driver, "mean_absolute_error_eV_per_atom")
    until(
        driver,
        lambda d: (
            d.execute_script(
                "return document.querySelectorAll('.js-plotly-plot .main-svg').length"
            )
            > 2
        ),
    )
    whole_page(driver, picture("dashboard-metrics"))


def test_artifacts_open(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    page = f"experiments/{store['experiment']}/runs/{store['run']}"
    driver.get(at(address, f"{page}/artifacts/plots/progress.png"))
    shows(driver, "report.html", "plots", "structures")
    until(
        driver,
        lambda d: d.execute_script(
            "return [...document.images].some((i) => i.naturalWidth > 400)"
        ),
    )
    whole_page(driver, picture("dashboard-plot"))
    opens(driver, at(address, f"{page}/artifacts/report.html"), "What was found")
    shows(driver, "report.html", "structures")
    visible(driver)
    driver.save_screenshot(str(picture("dashboard-report")))


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF:UserWarning")
def test_structures_turn_where_a_cif_has_no_preview(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    """MLflow does not show CIF; a page beside the files does, in MLflow's frame."""
    files = {f.path for f in client_of(store["uri"]).list_artifacts(
        store["run"], "structures")}  # fmt: skip
    assert files and all(f.endswith(".cif") for f in files)
    rounds = client_of(store["uri"]).search_runs(
        [store["experiment"]], f"tags.`mlflow.parentRunId` = '{store['run']}'"
    )
    for name, run in (("found", store["run"]), ("round", rounds[0].info.run_id)):
        page = f"experiments/{store['experiment']}/runs/{run}"
        place = at(address, f"{page}/artifacts/structures.html")
        opens(driver, place, "CIF as text")
        visible(driver)
        driver.switch_to.frame(driver.find_element("css selector", "iframe"))
        buttons = driver.find_elements("css selector", "td.structure button")
        assert len(buttons) >= 2
        for button in buttons[:2]:
            driver.execute_script("arguments[0].click()", button)
            label = button.get_attribute("aria-label").removeprefix("Show ")
            canvas = driver.find_element("css selector", ".viewer canvas")
            assert label in canvas.get_attribute("aria-label")
            assert colours(canvas, picture(f"dashboard-structure-{name}")) > 100
            text = driver.find_element("css selector", "[data-part=text]")
            read = Structure.from_str(text.get_attribute("textContent"), fmt="cif")
            assert read.composition.reduced_formula == label.partition(",")[0]
        # the frame forbids downloads: asked for, the file shows as text
        assert not text.is_displayed()
        link = driver.find_element("css selector", "td a[download$='.cif']")
        driver.execute_script("arguments[0].click()", link)
        assert text.is_displayed()
        driver.switch_to.default_content()
        driver.save_screenshot(str(picture(f"dashboard-structures-{name}")))
    # the file itself comes by the dashboard's own download
    path = sorted(files)[0]
    query = f"path={quote(path)}&run_uuid={store['run']}"
    with urlopen(f"{address}/get-artifact?{query}", timeout=PATIENCE) as answer:
        assert answer.read().decode().startswith("# generated using pymatgen")


def test_two_campaigns_are_compared(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    """MLflow's own page: what differs in the settings, and all metrics side by side."""
    runs = quote(json.dumps([store["run"], store["other"]]))
    experiments = quote(json.dumps([store["experiment"]]))
    path = f"compare-runs?runs={runs}&experiments={experiments}"
    driver.get(at(address, path))
    shows(
        driver, "Comparing 2 Runs", "small", "bolder", "acquisition.kind",
        "log_expected_improvement", "upper_confidence_bound", "search/evaluated",
        "prediction/mean_absolute_error_eV_per_atom",
    )  # fmt: skip
    whole_page(driver, picture("dashboard-compare"))
    body = "return document.body.innerText"
    text = str(driver.execute_script(body))
    # the table has one row per metric: both values stand in it
    row = re.search(r"search/evaluated\s+([\d.]+)\s+([\d.]+)", text)
    assert row is not None, text[-3000:]
    assert {float(v) for v in row.groups()} == {16.0, 20.0}


def test_a_card_opens(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    page = f"experiments/{store['assessments']}/runs/{store['card']}"
    driver.get(at(address, page))
    shows(driver, "Not applicable (kind predictions)", "efficacy/mae")
    card = at(address, f"{page}/artifacts/card/card.html")
    opens(driver, card, "What exactly was assessed")
    visible(driver)
    driver.save_screenshot(str(picture("dashboard-card")))
