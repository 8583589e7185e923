"""Campaign results as files that other tools read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign

KINDS = (".csv", ".parquet", ".extxyz", ".json", ".zip")


def export_campaign(campaign: Campaign, path: Path) -> str:
    """Write every answered candidate (relaxed where there is a relaxed structure).

    Args:
        campaign: the campaign.
        path: the suffix decides: ``.csv`` and ``.json`` give the table of all
            proposals, ``.parquet`` and ``.extxyz`` the labelled structures,
            ``.zip`` one CIF per structure.

    Raises:
        DataError: another suffix.
    """
    if path.suffix not in KINDS:
        raise DataError(
            f"{path}: expected a name ending in {', '.join(KINDS)}, got {path.suffix!r}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".csv", ".json"):
        table = campaign.proposals()
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_json(path, orient="records", indent=1)
        return f"{len(table)} proposals written to {path}"
    dataset = answered(campaign)
    if path.suffix == ".parquet":
        dataset.save(path)
    elif path.suffix == ".extxyz":
        _extxyz(dataset, path)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for crystal in dataset:
                archive.writestr(f"{crystal.id}.cif", crystal.to_cif())
    return f"{len(dataset)} structures written to {path}"


def answered(campaign: Campaign) -> Dataset:
    """Return all answered candidates as relaxed, labelled crystals, best first."""
    state = campaign.state
    key = state.objective.headline
    crystals: list[Crystal] = []
    for row in state.to_frame().to_dict("records"):
        evaluation = state.evaluations[row["candidate"]]
        final = evaluation.relaxed or state.pool[state.position[row["candidate"]]]
        labels = dict(evaluation.labels)
        labels.setdefault(
            key,
            Label(float(row[key]), get(key).unit, f"campaign {campaign.config.name}"),
        )
        crystals.append(final.with_labels(labels))
    card = {
        "description": campaign.config.description,
        "campaign": campaign.config.name,
        "run_id": campaign.run_id,
        "ledger_head": campaign.ledger.head()[1],
        "evaluator": campaign.config.evaluator.model_dump(mode="json"),
    }
    return Dataset(f"{campaign.config.name}-answers", tuple(crystals), card)


def _extxyz(dataset: Dataset, path: Path) -> None:
    from ase.io import write

    frames = []
    for crystal in dataset:
        atoms = crystal.to_atoms()
        atoms.info["id"] = crystal.id
        atoms.info.update({k: v.value for k, v in crystal.labels.items()})
        frames.append(atoms)
    write(path, frames, format="extxyz")
