"""Bring campaign results back: a new version of the dataset they started from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from matdisco.crystal import Crystal
from matdisco.data.curation.curate import curate, unique_names
from matdisco.data.curation.recipe import CurationRecipe
from matdisco.data.curation.report import CurationReport
from matdisco.data.dataset import Dataset
from matdisco.evaluators.base import Evaluation

_OWN = ("parent", "curation", "date", "versions", "version")  # of one version only


def grow(
    parent: Dataset,
    results: Iterable[Crystal],
    recipe: CurationRecipe | None = None,
    *,
    name: str | None = None,
    campaigns: Iterable[Mapping[str, Any]] = (),
    workers: int = 1,
) -> tuple[Dataset, CurationReport]:
    """Return the next version of a dataset: its records and new labelled crystals.

    Results on a structure that the parent holds become labels of that record; values
    of another method stay apart (``key@method``) as in every curation.

    Args:
        parent: the dataset that the campaign started from.
        results: crystals with labels, see :func:`from_evaluations`.
        recipe: rules; all with their defaults if None.
        name: of the new version; the parent's if None.
        campaigns: what to state about the campaigns on the card, each with a ``name``.
        workers: processes.
    """
    fresh = unique_names([*parent, *results])
    grown, report = curate(fresh, recipe, name=name or parent.name, workers=workers)
    inherited = {k: v for k, v in parent.card.items() if k not in _OWN}
    card: Mapping[str, Any] = {
        **inherited,
        **grown.card,
        "version": _next(str(parent.card.get("version") or "1.0.0")),
        "parent": {"name": parent.name, "content_hash": parent.content_hash},
    }
    if told := [*parent.card.get("campaigns", ()), *campaigns]:
        card = {**card, "campaigns": told}
    return replace(grown, card=card), report


def from_evaluations(
    evaluations: Iterable[Evaluation],
    candidates: Mapping[str, Crystal],
    run: str,
    *,
    hashes: Mapping[str, str] | None = None,
) -> list[Crystal]:
    """Turn the successful evaluations of a campaign into labelled crystals.

    Args:
        evaluations: failures are left out; the campaign's ledger keeps them.
        candidates: by id; used where an evaluation did not relax the structure.
        run: the campaign's name, for the lineage.
        hashes: SHA-256 of each evaluation's ``result.json``, by its key, for the
            lineage down to the bytes.
    """
    out = []
    for evaluation in evaluations:
        if not evaluation.ok:
            continue
        crystal = evaluation.relaxed or candidates[evaluation.crystal_id]
        step = {
            "path": f"{run}/evaluations/{evaluation.key[:16]}/result.json",
            "member": None,
            "record": 0,
            "byte_hash": (hashes or {}).get(evaluation.key, ""),
        }
        source = {
            **crystal.source,
            "campaign": run,
            "candidate": evaluation.crystal_id,
            "evaluation": evaluation.key,
            "lineage": [step, *crystal.source.get("lineage", ())],
        }
        out.append(
            Crystal(
                evaluation.crystal_id,
                crystal.structure,
                dict(evaluation.labels),
                source,
            )
        )
    return out


def _next(version: str) -> str:
    """Return the next minor version.

    >>> _next("1.4.0")
    '1.5.0'
    """
    parts = version.split(".")
    if len(parts) > 1 and parts[1].isdigit():
        return ".".join([parts[0], str(int(parts[1]) + 1), "0"])
    return f"{version}.1"
