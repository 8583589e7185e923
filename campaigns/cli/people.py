"""``tell`` and ``proposals``: what people give to a campaign."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.people.decisions import Action
    from matdisco.crystal import Crystal

RunPath = Annotated[
    Path, typer.Argument(help="Run folder, for example runs/quickstart.")
]
By = Annotated[
    str | None, typer.Option(help="Your name for the record; your login if not given.")
]


def tell(
    run: RunPath,
    results: Annotated[Path, typer.Argument(help="CSV file with measurements.")],
    by: By = None,
    reason: Annotated[str, typer.Option(help="A remark for the record.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Correct values that are on record.")
    ] = False,
) -> None:
    """Give measurements to a laboratory campaign; partial and late ones are welcome."""
    from campaigns.campaign import Campaign
    from campaigns.people.inbox import Inbox, results_item
    from matdisco.errors import ConfigError, DataError, MatdiscoError

    try:
        item = results_item(
            results, by=by or getpass.getuser(), reason=reason, replace=replace
        )
        with Campaign.open(run) as campaign:
            inbox = Inbox(
                campaign.config, campaign.folder, campaign.ledger, campaign.pool
            )
            inbox.drain_if_free()
            payload = inbox.judge(item, campaign.state)
            said = inbox.summary(payload)
    except DataError as error:
        raise ConfigError(str(error)) from error
    print(said)
    if payload["rows"] or payload["refused"]:
        _hand_over(run, item)
    wrong = [r for r in payload["refused"] if not r["harmless"]]
    if wrong:
        raise MatdiscoError(
            f"{results}: {len(wrong)} rows were not taken; mend them and tell the file "
            "again (rows already taken are recognised)"
        )


def proposals(
    run: RunPath,
    pin: Annotated[
        list[str] | None, typer.Option(help="Evaluate this candidate next.")
    ] = None,
    veto: Annotated[
        list[str] | None, typer.Option(help="Never evaluate this candidate.")
    ] = None,
    release: Annotated[
        list[str] | None, typer.Option(help="Undo a pin or veto.")
    ] = None,
    add: Annotated[
        Path | None, typer.Option(help="File with new candidates; they are pinned.")
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Let the open round be evaluated.")
    ] = False,
    explain: Annotated[
        int | None,
        typer.Option(help="Say why, candidate by candidate, for this round."),
    ] = None,
    by: By = None,
    reason: Annotated[
        str, typer.Option(help="Why; required with every decision.")
    ] = "",
) -> None:
    """List the proposals of a campaign, or decide about them."""
    from campaigns.campaign import Campaign
    from campaigns.explain import explained_round
    from campaigns.people.decisions import Decision, check
    from campaigns.people.inbox import to_approve
    from matdisco.errors import ConfigError, DataError

    asked: list[tuple[Action, tuple[str, ...], tuple[Crystal, ...]]] = []
    for action, names in (("pin", pin), ("veto", veto), ("release", release)):
        if names:
            asked.append((action, tuple(names), ()))  # type: ignore[arg-type]
    try:
        if add is not None:
            crystals = _read(add)
            asked.append(("add", tuple(c.id for c in crystals), crystals))
        if approve:
            asked.append(("approve", (), ()))
        decisions = [
            Decision(action, by or getpass.getuser(), reason, names, crystals)
            for action, names, crystals in asked
        ]
        with Campaign.open(run) as campaign:
            if explain is not None and not decisions:
                print(explained_round(campaign, explain))
                return
            if not decisions:
                _show(campaign)
                return
            if campaign.finished:
                raise DataError(f"{run} is finished ({campaign.finished})")
            for decision in decisions:
                check(decision, campaign.state, campaign.config.evaluator)
            if approve and to_approve(campaign.events) is None:
                raise DataError(f"{run}: no round waits for approval")
    except DataError as error:
        raise ConfigError(str(error)) from error
    for decision in decisions:
        _hand_over(run, {"what": "decision", "decision": decision.to_dict()})
        about = ", ".join(decision.candidates) or "the open round"
        print(f"{decision.action}: {about} (by {decision.by}: {decision.reason})")


def _hand_over(run: Path, item: dict[str, Any]) -> None:
    """Leave ``item`` in the inbox; take it at once unless the campaign is running."""
    from campaigns.campaign import Campaign
    from campaigns.people.inbox import Inbox, put

    put(run, item)
    with Campaign.open(run) as campaign:
        inbox = Inbox(campaign.config, campaign.folder, campaign.ledger, campaign.pool)
        if not inbox.drain_if_free():
            print(
                f"{run} is running; it takes this when it next looks", file=sys.stderr
            )


def _read(path: Path) -> tuple[Crystal, ...]:
    from matdisco.data import readers
    from matdisco.errors import DataError

    crystals = []
    for record in readers.read(path):
        if record.crystal is None:
            why = "; ".join(f.message for f in record.findings) or "no structure"
            raise DataError(f"{record.path}: {why}")
        crystals.append(record.crystal)
    if not crystals:
        raise DataError(f"{path}: no structure in it")
    return tuple(crystals)


def _show(campaign: Campaign) -> None:
    table = campaign.proposals()
    columns = [
        c for c in ("round", "candidate", "mean", "std", "status", "why") if c in table
    ]
    if not table.empty:
        print(table[columns].to_string(index=False, float_format=lambda v: f"{v:.4g}"))
    for warning in campaign.warnings():
        print(warning)
    state = campaign.state
    for word, names in (("pinned", state.pins), ("vetoed", sorted(state.vetoed))):
        if names:
            print(f"{word}: {', '.join(names)}")
