"""A run folder: what lies in it, and whether it may be used."""

from __future__ import annotations

from pathlib import Path

from campaigns.config import CampaignConfig
from campaigns.ledger_file import FILE, LOCK
from matdisco.errors import ConfigError

CONFIG = "config.yaml"
POOL = "pool.parquet"
SCREENING = "screening.csv"


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that is in use for something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder for the run, found a file")
    ours = {
        CONFIG, POOL, SCREENING, FILE, LOCK, "evaluations",
        "surrogates", "logs", "report.html", "inbox", "laboratory",
    }  # fmt: skip
    names = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    if names and not names & {FILE, LOCK, CONFIG} and names - ours:
        raise ConfigError(
            f"{folder} is not empty and holds no campaign ({sorted(names)[0]} ...); "
            "choose another folder with --to"
        )


def refuse_other(new: CampaignConfig, old: CampaignConfig, folder: Path) -> None:
    """Refuse to continue a campaign under another configuration."""
    if new.digest() == old.digest():
        return
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    changed = [k for k in after if after[k] != before.get(k)]
    raise ConfigError(
        f"{folder} holds a campaign whose configuration differs in: "
        f"{', '.join(changed)}. Give a new folder with --to, or continue the old one "
        f"with: matdisco run {folder}"
    )
