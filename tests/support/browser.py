"""A headless Chromium that reaches nothing outside this machine, and is ended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)
PATIENCE = 240  # s; a busy machine may take minutes to draw


def missing() -> str | None:
    """Say what the browser tests lack, or None."""
    from importlib.util import find_spec

    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return "needs chromium and chromium-driver: make browser"
    if find_spec("selenium") is None:
        return "needs the package selenium: make browser"
    return None


@contextmanager
def browser(profile: Path, *, offline: bool) -> Iterator[Any]:
    """Yield a driver of a new browser with an empty profile.

    Args:
        profile: an empty folder.
        offline: whether every connection is refused, also to this machine.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if offline:
        # a proxy that nobody serves; "<-loopback>" sends this machine's own there, too
        options.add_argument("--proxy-server=127.0.0.1:9")
        options.add_argument("--proxy-bypass-list=<-loopback>")
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    service = Service(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.command_executor.client_config.timeout = PATIENCE  # of each request
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def until(driver: Any, true: Callable[[Any], Any]) -> Any:
    """Wait for something to be there; no margin but the whole patience."""
    from selenium.common.exceptions import (
        NoSuchElementException,
        StaleElementReferenceException,
    )
    from selenium.webdriver.support.ui import WebDriverWait

    ignored = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(driver, PATIENCE, ignored_exceptions=ignored).until(true)


def fetched(driver: Any) -> list[str]:
    """Return every address that the page asked for since the last call."""
    out = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            out.append(message["params"]["request"]["url"])
    return out


def complaints(driver: Any) -> list[str]:
    """Return errors of the page's scripts."""
    return [
        e["message"] for e in driver.get_log("browser") if e["level"] in ("SEVERE",)
    ]


def colours(element: Any, path: Path) -> int:
    """Write a picture of an element; return how many colours it shows."""
    import numpy as np
    from PIL import Image

    element.screenshot(str(path))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return len(np.unique(pixels, axis=0))


def whole_page(driver: Any, path: Path) -> Path:
    """Write a picture of the whole page, not of the window alone."""
    import base64

    size = driver.execute_script(
        "return [document.documentElement.scrollWidth,"
        " document.documentElement.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
    shot = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    path.write_bytes(base64.b64decode(shot["data"]))
    return path
