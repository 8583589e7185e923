"""``matdisco ui`` in a real browser, as a reviewer sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from browser import PATIENCE, browser, until, whole_page
from recorded_campaign import record
from tracked import client_of, synced

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A finished campaign in a store of its own."""
    base = tmp_path_factory.mktemp("dashboard")
    uri = f"sqlite:///{base / 'mlflow.db'}"
    tracking = {"uri": uri, "experiment": "alloys"}
    text = "Which ordered compounds of copper and gold are stable?"
    parent = synced(record(base / "run", tracking=tracking, description=text))
    experiment = client_of(uri).get_experiment_by_name("alloys").experiment_id
    return {"uri": uri, "run": parent, "experiment": experiment}


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
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile"), offline=False) as made:
        yield made


def shows(driver: Any, *texts: str) -> None:
    """Wait until the page, frames left out, shows all of these."""
    body = "return document.body.innerText"
    for text in texts:
        until(driver, lambda d, text=text: text in d.execute_script(body))


def test_parent_and_rounds_are_found(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    driver.get(f"{address}/#/experiments/{store['experiment']}/runs")
    shows(driver, "small")
    whole_page(driver, picture("dashboard-runs"))
    expand = "button[data-component-id*='runnamecellrenderer']"
    until(driver, lambda d: d.find_element("css selector", expand))
    driver.execute_script(f'document.querySelector("{expand}").click()')
    shows(driver, "round 00", "round 01", "round 02")
    whole_page(driver, picture("dashboard-rounds"))


def test_run_page_is_written_for_a_person(
    driver: Any, address: str, store: dict[str, str], picture: Callable[[str], Path]
) -> None:
    page = f"{address}/#/experiments/{store['experiment']}/runs/{store['run']}"
    driver.get(page)
    shows(
        driver,
        "Which ordered compounds of copper and gold are stable?",
        "search/evaluated",
        "surrogate.kind",
        "matdisco.ledger.head",
    )
    whole_page(driver, picture("dashboard-overview"))
    driver.get(f"{page}/model-metrics")
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
    page = f"{address}/#/experiments/{store['experiment']}/runs/{store['run']}"
    driver.get(f"{page}/artifacts/plots/progress.png")
    shows(driver, "report.html", "plots", "structures")
    until(
        driver,
        lambda d: d.execute_script(
            "return [...document.images].some((i) => i.naturalWidth > 400)"
        ),
    )
    whole_page(driver, picture("dashboard-plot"))
    driver.get("about:blank")
    driver.get(f"{page}/artifacts/report.html")
    frame = until(driver, lambda d: d.find_element("css selector", "iframe"))
    driver.switch_to.frame(frame)
    until(driver, lambda d: "What was found" in d.page_source)
    driver.switch_to.default_content()
    shows(driver, "report.html", "structures")
    until(driver, lambda d: d.find_element("css selector", "iframe").is_displayed())
    driver.save_screenshot(str(picture("dashboard-report")))
