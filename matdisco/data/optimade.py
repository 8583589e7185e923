"""Fetch structures from OPTIMADE providers: page by page, resumable, failures named.

Pages are kept as files until the dataset is written, so that an interrupted curation
fetches none of them again. What a provider refuses becomes a page of its own that says
so, and ends up in the report beside the records that did arrive.

The protocol is OPTIMADE 1.x, Andersen et al., Sci. Data 8, 217 (2021).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from tqdm import tqdm

from matdisco.data.workers import terminal
from matdisco.errors import ConfigError
from matdisco.recipe import canonical_json

PREFIX = "optimade:"
"""How a source says that it is a provider: ``optimade:https://HOST/v1?filter=...``."""
_AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers that may differ next time


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a provider is asked."""

    seconds: float = 60.0
    """Without an answer, per request."""
    attempts: int = 4
    """Requests for one page before it counts as failed."""
    wait: float = 1.0
    """Seconds before the second attempt; doubled each time, at most 60."""
    pages: int = 20_000
    """Most pages of one provider."""
    page_bytes: int = 1 << 26
    """Largest page (64 MiB)."""
    failures: int = 3
    """Pages in a row that may fail before the provider is given up."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of asking one provider."""

    pages: tuple[Path, ...]
    """OPTIMADE responses in canonical JSON without time stamps, so that equal answers
    are equal bytes. A page that could not be had is a response with ``errors``."""
    failures: tuple[str, ...]
    """One sentence per page that could not be had."""
    host: str
    """The provider's address, for the names of records."""
    card: Mapping[str, str]
    """What it says about itself, for ``sources`` on a card: name, url, licence."""


@dataclass(slots=True)
class _State:
    """Where one download stands; saved after each page."""

    next: str | None
    pages: list[str] = field(default_factory=list)
    """URLs fetched, in order."""
    provider: dict[str, str] = field(default_factory=dict)


class _Failed(Exception):
    """A page that could not be had, and why."""


def is_provider(source: object) -> bool:
    """Tell whether a source of a curation names an OPTIMADE provider."""
    return str(source).startswith(PREFIX)


def query(source: str) -> str:
    """Return the URL of the first page.

    >>> query("optimade:https://example.org/optimade?filter=nelements=2")
    'https://example.org/optimade/v1/structures?filter=nelements%3D2&page_limit=100'

    Raises:
        ConfigError: no http(s) address.
    """
    parts = urlsplit(source.removeprefix(PREFIX))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{source}: expected {PREFIX}https://HOST/PATH?filter=..., for example "
            f"{PREFIX}https://example.org/optimade/v1/structures?filter=nelements=2"
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/structures"):
        path += "" if re.search(r"/v\d[\d.]*$", path) else "/v1"
        path += "/structures"
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    asked.setdefault("page_limit", "100")
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(asked), ""))


def fetch(source: str, folder: Path, patience: Patience | None = None) -> Fetched:
    """Fetch all pages of a query; pages that are there already are not asked for.

    Args:
        source: see :func:`query`.
        folder: for the pages; made if missing.
        patience: time-outs, attempts, limits.
    """
    patience = patience or Patience()
    start = query(source)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "state.json"
    state = _State(start)
    if note.exists():
        state = _State(**json.loads(note.read_text(encoding="utf-8")))
    if not state.provider:
        state.provider = _about(start, patience)
    failed, failures = 0, []
    bar = tqdm(desc=urlsplit(start).hostname, unit=" pages", disable=not terminal())
    files = [_page(folder, i) for i in range(len(state.pages))]
    with bar:
        bar.update(len(files))
        while state.next is not None:
            url, target = state.next, _page(folder, len(files))
            try:
                answer = _ask(url, start, patience)
                after = _following(answer, url, state.pages, start)
                if after is not None and len(files) + 1 >= patience.pages:
                    raise _Failed(f"more than {patience.pages:,} pages")
                _write(target, _kept(answer, state.provider))
                failed = 0
            except _Failed as error:
                failed += 1
                after = _beyond(url) if failed < patience.failures else None
                lost = "" if after else "; what follows this page is missing"
                failures.append(f"{url}: {error}{lost}")
                _write(target, _refusal(url, f"{error}{lost}"))
            files.append(target)
            state.pages.append(url)
            state.next = after
            if not failures:  # pages that failed are asked for again after a crash
                _write(note, canonical_json(
                    {"next": state.next, "pages": state.pages,
                     "provider": state.provider}))  # fmt: skip
            bar.update()
    host = str(urlsplit(start).hostname)
    card = {"name": host, **state.provider, "url": start}
    return Fetched(tuple(files), tuple(failures), host, card)


def place(source: str) -> str:
    """Return a folder name for the pages of a source."""
    return hashlib.sha256(query(source).encode()).hexdigest()[:16]


def _page(folder: Path, number: int) -> Path:
    return folder / f"page-{number:05d}.json"


def _write(path: Path, text: str) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _kept(answer: Mapping[str, Any], provider: Mapping[str, Any]) -> str:
    """Return what is kept of an answer: the records and who gave them."""
    own = {"name": provider["name"]} if provider.get("name") else {}
    return canonical_json({"data": answer["data"], "meta": {"provider": own}})


def _refusal(url: str, why: str) -> str:
    return canonical_json({"data": [], "errors": [{"title": url, "detail": why}]})


def _ask(url: str, start: str, patience: Patience) -> dict[str, Any]:
    """Return a page, after as many attempts as allowed.

    Raises:
        _Failed: it cannot be had, or is no OPTIMADE response.
    """
    if urlsplit(url).hostname != urlsplit(start).hostname:
        raise _Failed(f"the provider points to another host: {url}")
    wait = patience.wait
    for attempt in range(1, patience.attempts + 1):
        try:
            answer = json.loads(_get(url, patience))
        except urllib.error.HTTPError as error:
            why, again = _detail(error), error.code in _AGAIN
            wait = max(wait, _retry_after(error))
        except ValueError as error:
            why, again = f"an answer cut short, or no JSON ({error})", True
        except (OSError, HTTPException) as error:  # no connection, no answer in time
            why, again = f"{type(error).__name__}: {error}", True
        else:
            if isinstance(answer, dict) and isinstance(answer.get("data"), list):
                return answer
            raise _Failed("the answer is no OPTIMADE response: it has no list 'data'")
        if not again or attempt == patience.attempts:
            times = f" ({attempt} attempts)" if attempt > 1 else ""
            raise _Failed(f"{why}{times}")
        time.sleep(min(wait, 60.0))
        wait *= 2
    raise AssertionError("the loop ends by return or raise")


def _get(url: str, patience: Patience) -> bytes:
    if urlsplit(url).scheme not in ("http", "https"):  # never file:, whoever says so
        raise _Failed(f"the provider points to {url[:80]!r}")
    request = urllib.request.Request(
        url, headers={"Accept": "application/json", "User-Agent": "matdisco"}
    )
    with urllib.request.urlopen(request, timeout=patience.seconds) as response:
        data: bytes = response.read(patience.page_bytes + 1)
    if len(data) > patience.page_bytes:
        raise _Failed(f"a page of more than {patience.page_bytes:,} bytes")
    return data


def _detail(error: urllib.error.HTTPError) -> str:
    """Return the provider's own sentence on an HTTP error, if it gives one."""
    text = f"HTTP {error.code} {error.reason}"
    try:
        first = json.loads(error.read(1 << 16))["errors"][0]
        return f"{text}: {first.get('detail') or first.get('title')}"[:300]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError):
        return text


def _retry_after(error: urllib.error.HTTPError) -> float:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    return float(value) if value.isdigit() else 0.0


def _following(
    answer: Mapping[str, Any], url: str, seen: list[str], start: str
) -> str | None:
    """Return the URL of the page after this one, or None.

    Raises:
        _Failed: the provider leads in a circle.
    """
    links = answer.get("links")
    after = links.get("next") if isinstance(links, Mapping) else None
    if isinstance(after, Mapping):
        after = after.get("href")
    if not isinstance(after, str) or not after or not answer["data"]:
        return None
    after = urljoin(url, after)
    if after == url or after in seen:
        raise _Failed(f"the provider's next page is one that was read: {after}")
    # Behind a proxy some providers forget that they are reached by https.
    if urlsplit(start).scheme == "https" and after.startswith("http://"):
        after = "https" + after[4:]
    return after


def _beyond(url: str) -> str | None:
    """Return the page after one that failed, where pages are numbered."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    limit = asked.get("page_limit", "")
    if asked.get("page_offset", "").isdigit() and limit.isdigit():
        asked["page_offset"] = str(int(asked["page_offset"]) + int(limit))
    elif asked.get("page_number", "").isdigit():
        asked["page_number"] = str(int(asked["page_number"]) + 1)
    else:
        return None
    return urlunsplit(parts._replace(query=urlencode(asked)))


def _about(start: str, patience: Patience) -> dict[str, str]:
    """Ask a provider for its name and licence; silence is no failure."""
    base = start.split("/structures?")[0]
    out: dict[str, str] = {}
    try:
        answer = json.loads(_get(f"{base}/info", patience))
        out["name"] = str(answer["meta"]["provider"]["name"])
        licence = answer["data"]["attributes"].get("license")
        licence = licence.get("href") if isinstance(licence, Mapping) else licence
        if licence:
            out["licence"] = str(licence)
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError,
            _Failed):  # fmt: skip
        pass
    return out
