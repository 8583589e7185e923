"""What a campaign worked with: datasets, the last surrogate, packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.ledger import VOLATILE
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset that the campaign used."""

    name: str
    """Its name."""
    content: str
    """SHA-256 of its records."""
    source: str
    """Its file."""
    use: str
    """What for."""
    columns: list[dict[str, Any]]
    """MLflow's schema."""
    profile: dict[str, int]
    """Counts."""


def datasets(campaign: Campaign) -> list[DatasetEntry]:
    """Return the datasets that the campaign used, with their content hashes."""
    pool = campaign.pool
    entries = [_entry(pool, str((campaign.folder / "pool.parquet").resolve()), "pool")]
    named = {
        "pretraining": getattr(campaign.config.surrogate, "pretrain", None),
        "truth": campaign.config.review.truth,
        "answers": getattr(campaign.config.evaluator, "dataset", None),
    }
    for use, name in named.items():
        if name is not None and (path := resolve(name)).exists():
            entries.append(_entry(Dataset.open(path), str(name), use))
    return entries


def newest_checkpoint(campaign: Campaign) -> Path | None:
    """Return the folder of the surrogate fitted last."""
    folders = sorted((campaign.folder / "surrogates").glob("round-*"))
    return folders[-1] if folders else None


def requirements(campaign: Campaign) -> list[str]:
    """Return what must be installed to load the surrogate."""
    return pinned(campaign.ledger.events("started")[0].payload[VOLATILE]["versions"])


def pinned(versions: Mapping[str, str]) -> list[str]:
    """Return pip requirements of those versions that a surrogate needs to load."""
    kept = ("matdisco", "torch", "torch-geometric", "gpytorch", "numpy", "pymatgen")
    return [f"{name}=={versions[name]}" for name in kept if name in versions]


def _entry(dataset: Dataset, source: str, use: str) -> DatasetEntry:
    columns = [
        {"type": "string", "name": "id", "required": True},
        {"type": "string", "name": "structure", "required": True},
        *(
            {"type": "double", "name": key, "required": False}
            for key in dataset.properties
        ),
    ]
    profile = {"crystals": len(dataset), "elements": len(dataset.elements)}
    return DatasetEntry(
        dataset.name, dataset.content_hash, source, use, columns, profile
    )
