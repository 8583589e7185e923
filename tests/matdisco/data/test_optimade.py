"""Providers: a real OPTIMADE server, and one that fails in every way it can."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from matdisco.data import optimade
from matdisco.data.curation.files import curate_files
from matdisco.data.dataset import Dataset
from matdisco.data.readers import Limits
from matdisco.errors import ConfigError, DataError

HERE = Limits(isolate=False)
QUICK = optimade.Patience(seconds=1, attempts=3, wait=0.01)


# -- a real server -----------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The reference implementation with its own 17 test structures."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("server")
    config = folder / "config.json"
    config.write_text(json.dumps({
        "database_backend": "mongomock", "insert_test_data": True, "base_url": base,
        "log_dir": str(folder),
    }))  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "optimade.server.main:app",
               "--port", str(port), "--log-level", "error"]  # fmt: skip
    process = subprocess.Popen(
        command,
        env={**os.environ, "OPTIMADE_CONFIG_FILE": str(config)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{base}/v1/info", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the OPTIMADE server did not start"
                time.sleep(0.25)
        yield base
    finally:
        process.kill()
        process.wait()


def test_curate_a_real_server(server: str, tmp_path: Path) -> None:
    source = f"optimade:{server}/v1/structures?page_limit=5"
    dataset, report = curate_files([source], tmp_path / "ds", limits=HERE)
    with urllib.request.urlopen(f"{server}/v1/structures?page_limit=100") as answer:
        truth = json.load(answer)["data"]
    assert len(report) == len(truth) == 17
    table = pd.read_csv(tmp_path / "ds" / "report.csv")
    assert table.path.nunique() == 4  # pages of five
    assert {f.rule for line in report for f in line.entry.findings} & {
        "provider-error", "unreadable"
    } == set()  # fmt: skip
    assert dataset.card["sources"][0]["url"].startswith(f"{server}/v1/structures")
    assert not (tmp_path / "ds" / ".curating").exists()
    again, _ = curate_files([source], tmp_path / "again", limits=HERE)
    assert again.content_hash == dataset.content_hash  # in spite of time stamps


def test_a_filter_reaches_the_server(server: str, tmp_path: Path) -> None:
    found = optimade.fetch(
        f'optimade:{server}?filter=nelements=4 AND elements HAS "O"', tmp_path
    )
    records = [r for p in found.pages for r in json.loads(p.read_text())["data"]]
    assert 0 < len(records) < 17
    assert all(r["attributes"]["nelements"] == 4 for r in records)


def test_a_wrong_filter_is_the_providers_sentence(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no provider gave anything(?s:.*)HTTP 400"):
        curate_files([f"optimade:{server}?filter=nelements=="], tmp_path / "ds")


# -- a server that fails -------------------------------------------------------------


class Unruly(ThreadingHTTPServer):
    """Serves ``n`` pages of two rock salts; ``trouble`` says what goes wrong where."""

    def __init__(self, pages: int, trouble: dict[int, str], numbered: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.trouble, self.numbered = pages, trouble, numbered
        self.asked: Counter[int] = Counter()

    @property
    def url(self) -> str:
        return (
            f"optimade:http://127.0.0.1:{self.server_port}/v1/structures?page_limit=2"
        )


class Handler(BaseHTTPRequestHandler):
    server: Unruly

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        key = "page_offset" if self.server.numbered else "token"
        page = int(asked.get(key, ["0"])[0]) // (2 if self.server.numbered else 1)
        if "/info" in self.path:
            return self.answer({
                "data": {"attributes": {"license": "https://example.org/cc0"}},
                "meta": {"provider": {"name": "Unruly"}},
            })  # fmt: skip
        self.server.asked[page] += 1
        trouble = self.server.trouble.get(page, "")
        if trouble == "busy" and self.server.asked[page] < 3:
            return self.answer({"errors": [{"detail": "busy"}]}, 503)
        if trouble == "broken":
            return self.answer({"errors": [{"detail": "no such collection"}]}, 500)
        if trouble == "refused":
            return self.answer({"errors": [{"detail": "filter not supported"}]}, 501)
        if trouble == "slow":
            time.sleep(1.5)
        step = 2 if self.server.numbered else 1
        after = f"/v1/structures?page_limit=2&{key}={(page + 1) * step}"
        after = {"elsewhere": "http://localhost.invalid/v1", "file": "file:///etc/passwd",
                 "circle": self.path}.get(trouble, after)  # fmt: skip
        last = page == self.server.pages - 1
        body = {"data": [entry(2 * page), entry(2 * page + 1)],
                "links": {"next": None if last else after},
                "meta": {"time_stamp": time.time()}}  # fmt: skip
        self.answer(body, cut=trouble == "cut")

    def answer(self, body: object, status: int = 200, *, cut: bool = False) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(BrokenPipeError):  # who asked has given up
            self.wfile.write(data[: len(data) // 2] if cut else data)

    def log_message(self, *_: object) -> None:
        pass


def entry(number: int) -> dict[str, object]:
    a = 4.0 + 0.3 * number
    return {
        "type": "structures",
        "id": f"r{number}",
        "attributes": {
            "lattice_vectors": [[a, 0, 0], [0, a, 0], [0, 0, a]],
            "cartesian_site_positions": [[0, 0, 0], [a / 2, a / 2, a / 2]],
            "species_at_sites": ["Cs", "Cl"],
            "species": [
                {"name": x, "chemical_symbols": [x], "concentration": [1.0]}
                for x in ("Cs", "Cl")
            ],
            "nsites": 2,
        },
    }


@contextmanager
def unruly(
    pages: int, trouble: dict[int, str] | None = None, *, numbered: bool = True
) -> Iterator[Unruly]:
    server = Unruly(pages, trouble or {}, numbered)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ids(found: optimade.Fetched) -> list[str]:
    return [r["id"] for p in found.pages for r in json.loads(p.read_text())["data"]]


def test_a_busy_provider_is_asked_again(tmp_path: Path) -> None:
    with unruly(3, {1: "busy"}) as server:
        found = optimade.fetch(server.url, tmp_path, QUICK)
    assert ids(found) == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert not found.failures
    assert server.asked == {0: 1, 1: 3, 2: 1}
    assert found.card["name"] == "Unruly"
    assert found.card["licence"] == "https://example.org/cc0"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("broken", "no such collection"),
        ("refused", "filter not supported"),
        ("slow", "timed out"),
        ("cut", "cut short"),
    ],
)
def test_a_lost_page_is_reported_and_the_others_kept(
    trouble: str, said: str, tmp_path: Path
) -> None:
    with unruly(4, {1: trouble}) as server:
        found = optimade.fetch(server.url, tmp_path / "numbered", QUICK)
    # page_offset is unknown before the first next link, known afterwards
    assert ids(found) == ["r0", "r1", "r4", "r5", "r6", "r7"]
    assert len(found.failures) == 1 and said in found.failures[0]
    with unruly(4, {1: trouble}, numbered=False) as server:
        found = optimade.fetch(server.url, tmp_path / "tokens", QUICK)
    assert ids(found) == ["r0", "r1"]
    assert "what follows this page is missing" in found.failures[0]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("elsewhere", "another host"), ("file", "points to"), ("circle", "was read")],
)
def test_a_provider_leads_nowhere_else(trouble: str, said: str, tmp_path: Path) -> None:
    with unruly(3, {1: trouble}, numbered=False) as server:
        found = optimade.fetch(server.url, tmp_path, QUICK)
    assert said in found.failures[0]
    assert ids(found)[:2] == ["r0", "r1"]
    assert "root:" not in "".join(p.read_text() for p in found.pages)


def test_a_dead_provider_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = partial(optimade.Patience, wait=0.1)  # between attempts, as many as ever
    monkeypatch.setattr(optimade, "Patience", hasty)
    with unruly(2) as server, unruly(2, dict.fromkeys(range(9), "broken")) as dead:
        _, report = curate_files([server.url, dead.url], tmp_path / "ds", limits=HERE)
        assert report.rules["provider-error"]["reject"] == 1
        assert report.outcomes["kept"] == 4
        with pytest.raises(DataError, match="no provider gave anything"):
            curate_files([dead.url], tmp_path / "none", limits=HERE)
    assert Dataset.open(tmp_path / "ds").card["sources"][0]["name"] == "Unruly"


def test_an_interrupted_download_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = optimade._ask, []

    def stops(*words):  # type: ignore[no-untyped-def]
        calls.append(words)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(optimade, "_ask", stops)
    with unruly(5) as server:
        with pytest.raises(KeyboardInterrupt):
            curate_files([server.url], tmp_path / "ds", limits=HERE)
        dataset, _ = curate_files([server.url], tmp_path / "ds", limits=HERE)
        assert server.asked == dict.fromkeys(range(5), 1)  # none asked for twice
    assert len(dataset) == 10


@pytest.mark.parametrize("url", ["optimade:", "optimade:file:///etc", "optimade:x/v1"])
def test_no_address(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected optimade:https"):
        curate_files([url], tmp_path / "ds")
