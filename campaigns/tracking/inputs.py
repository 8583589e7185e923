"""What a campaign worked with: datasets, the last surrogate, packages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.ledger import VOLATILE
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
    entries = [
        entry_of(pool, str((campaign.folder / "pool.parquet").resolve()), "pool")
    ]
    named = {
        "pretraining": getattr(campaign.config.surrogate, "pretrain", None),
        "truth": campaign.config.review.truth,
        "answers": getattr(campaign.config.evaluator, "dataset", None),
    }
    for use, name in named.items():
        if name is not None and (path := resolve(name)).exists():
            entries.append(entry_of(Dataset.open(path), str(name), use))
    return entries


def log_datasets(
    client: MlflowClient, run_id: str, entries: Iterable[DatasetEntry]
) -> None:
    """Log the datasets that the run does not have yet."""
    from mlflow.entities import Dataset as Logged
    from mlflow.entities import DatasetInput, InputTag

    run = client.get_run(run_id)
    have = {i.dataset.digest for i in run.inputs.dataset_inputs} if run.inputs else ()
    inputs = []
    for entry in entries:
        digest = entry.content[:32]  # MLflow keeps 36 characters
        if digest in have:
            continue
        inputs.append(
            DatasetInput(
                Logged(
                    name=entry.name,
                    digest=digest,
                    source_type="local",
                    source=json.dumps({"uri": entry.source}),
                    schema=json.dumps({"mlflow_colspec": entry.columns}),
                    profile=json.dumps(entry.profile),
                ),
                [InputTag("mlflow.data.context", entry.use)],
            )
        )
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


def newest_checkpoint(campaign: Campaign, part: str = "") -> Path | None:
    """Return the folder of the surrogate fitted last.

    Args:
        campaign: open for reading.
        part: target of a front, but for the first.
    """
    folders = sorted((campaign.folder / "surrogates" / part).glob("round-*"))
    return folders[-1] if folders else None


def requirements(campaign: Campaign) -> list[str]:
    """Return what must be installed to load the surrogate."""
    return pinned(campaign.ledger.events("started")[0].payload[VOLATILE]["versions"])


def pinned(versions: Mapping[str, str]) -> list[str]:
    """Return pip requirements of those versions that a surrogate needs to load."""
    kept = ("matdisco", "torch", "torch-geometric", "gpytorch", "numpy", "pymatgen")
    return [f"{name}=={versions[name]}" for name in kept if name in versions]


def entry_of(dataset: Dataset, source: str, use: str) -> DatasetEntry:
    """Describe a dataset and what it was used for."""
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
