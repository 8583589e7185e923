"""``matdisco data grow``: what campaigns found becomes the dataset's next version."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.cli.rules import RulesPath, Workers, rules_of

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from matdisco.crystal import Crystal


def grow(
    dataset: Annotated[Path, typer.Argument(help="The dataset they started from.")],
    runs: Annotated[list[Path], typer.Argument(help="Run folders; finished or not.")],
    to: Annotated[Path, typer.Option(help="Dataset folder of the next version.")],
    rules: RulesPath = None,
    workers: Workers = 0,
) -> None:
    """Take the answers of campaigns into the next version of a dataset.

    Answers on a structure that the dataset holds become labels of that record; values
    of another method stay apart. Nothing is overwritten: the old version stays.
    """
    from matdisco.data.dataset import Dataset
    from matdisco.data.growth import grow as grown
    from matdisco.data.publish import publish
    from matdisco.data.workers import cores
    from matdisco.errors import DataError

    parent = Dataset.open(dataset)
    if to.resolve() in (dataset.resolve(), dataset.resolve().parent):
        raise DataError(
            f"{to}: holds the version that the new one grows from; name another folder"
        )
    found, cards = [], []
    for run in runs:
        crystals, card = _answers(run)
        found += crystals
        cards.append(card)
        print(f"{run}: {len(crystals):,} answers")
    after, report = grown(
        parent, found, rules_of(rules), campaigns=cards, workers=workers or cores()
    )
    after = publish(after, to, report=report)
    print(report)
    print(after)
    print(
        f"version {after.card['version']} written to {to}/, "
        f"grown from {parent.content_hash[:16]}"
    )


def _answers(run: Path) -> tuple[list[Crystal], dict[str, Any]]:
    """Return the answered crystals of one run folder, and what the card says of it."""
    from campaigns.campaign import Campaign
    from matdisco.data.growth import from_evaluations

    with Campaign.open(run) as campaign:
        state = campaign.state
        evaluations = list(state.evaluations.values())
        name = campaign.config.name
        crystals = from_evaluations(
            evaluations,
            {c.id: c for c in state.pool},
            name,
            hashes={e.key: _hash(run, e.key) for e in evaluations if e.ok},
        )
        return crystals, _card(campaign, len(crystals))


def _card(campaign: Campaign, answers: int) -> dict[str, Any]:
    return {
        "name": campaign.config.name,
        "run_id": campaign.run_id,
        "ledger": campaign.ledger.head()[1],
        "answers": answers,
        "evaluator": campaign.config.evaluator.model_dump(mode="json"),
    }


def _hash(run: Path, key: str) -> str:
    """Return the SHA-256 of a result's bytes; empty where the folder was cleaned."""
    path = run / "evaluations" / key[:16] / "result.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
