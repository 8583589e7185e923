"""MLflow: where it is, how to ask it quietly, and the sync that brings it up to date.

Everything is looked up before it is made, by tags that carry the campaign's own
identity, so a sync can die anywhere and the next one completes it. Only
``MlflowClient`` with an explicit store is used: nothing global is set, and a user's
own MLflow session in the same process is left alone.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.tracking.liveness import sync_lock, writer_alive
from campaigns.tracking.projection import Projection, Tell, artifact_place
from matdisco.errors import CampaignError, ConfigError, MatdiscoError

if TYPE_CHECKING:
    from campaigns.campaign import Campaign

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # A server that is down costs seconds; the next sync repairs what was missed.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "6",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set only where the user's environment says nothing."""


def default_uri(folder: Path) -> str:
    """Return the SQLite store beside the folder of runs."""
    home = folder.resolve().parent.parent
    if home == Path(home.anchor):  # a run folder such as /tmp/x has no such place
        home = folder.resolve().parent
    return f"sqlite:///{home / 'mlflow.db'}"


def tracking_uri(campaign: Campaign) -> str:
    """Return where this campaign is tracked."""
    return campaign.config.tracking.uri or default_uri(campaign.folder)


def ui_command(uri: str, port: int) -> list[str]:
    """Return the command that serves the dashboard on 127.0.0.1.

    Raises:
        ConfigError: ``uri`` is a server already.
    """
    if uri.startswith(("http://", "https://")):
        raise ConfigError(f"{uri} is a tracking server: open it in a browser")
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    place = artifact_place(uri)
    return [*command, "--artifacts-destination", place] if place else command


def sync(
    campaign: Campaign,
    *,
    ended: bool = False,
    light: bool = False,
    tell: Tell = lambda _: None,
) -> str:
    """Bring MLflow up to date with the ledger; return the MLflow run id.

    Can be repeated, interrupted and repeated; into an empty store it makes
    everything again.

    Args:
        campaign: open for reading.
        ended: the process that ran it is about to stop.
        light: runs, metrics and notes only; plots, report, structures and surrogate
            stay as they are.
        tell: called with what is being done.

    Raises:
        CampaignError: the store does not answer or refuses; a sentence.
    """
    if not campaign.ledger.events("started"):
        raise CampaignError(f"{campaign.folder}: nothing on record yet to track")
    uri = tracking_uri(campaign)
    try:
        with sync_lock(campaign.folder), quiet_mlflow():
            from mlflow import MlflowClient

            tell("MLflow loaded")
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            alive = not ended and writer_alive(campaign.folder)
            # The campaign goes on meanwhile: what is shown must be of one moment.
            with campaign.ledger.snapshot():
                return Projection(campaign, client, uri, alive, light, tell).run()
    except MatdiscoError:
        raise
    except Exception as error:
        raise CampaignError(
            f"MLflow at {without_password(uri)} is not up to date: {explain(error)}"
        ) from error


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep MLflow quick to give up and silent, and leave no trace of that."""
    added = {k: v for k, v in DEFAULTS.items() if k not in os.environ}
    os.environ.update(added)
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    import mlflow  # noqa: F401 - sets its logger's level, which is then put back

    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # hints to its caller: give an input example, a schema, a newer form
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def explain(error: BaseException) -> str:
    """Say in a few words why a store did not do what was asked."""
    text = " ".join(str(error).split())
    for sign, meaning in (
        ("Connection refused", "nothing answers there (connection refused)"),
        ("timed out", "no answer in time"),
        ("Name or service not known", "no such host"),
        ("Failed to resolve", "no such host"),
        ("database is locked", "another program has locked the database"),
        ("readonly database", "the database may not be written to"),
        ("unable to open database file", "the database cannot be opened"),
    ):
        if sign in text:
            return meaning
    return f"{type(error).__name__}: {text[:200]}"


def without_password(uri: str) -> str:
    """Return a URI fit for a message."""
    return re.sub(r"//[^/@]*@", "//***@", uri)
