"""Evaluations as ledger payloads, and read back once each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaigns.ledger import Event
from matdisco.evaluators.base import Evaluation

ASKED = (("proposed", "evaluated"), ("promoted", "confirmed"))
"""Kinds of event that ask and that answer: of the campaign's own evaluator, and of the
rungs of its ladder. Kinds of their own keep fidelities from ever being mixed."""


def write_evaluation(rank: int, evaluation: Evaluation) -> dict[str, Any]:
    """Return a ledger payload; what differs between runs goes under ``volatile``."""
    body = evaluation.to_dict()
    volatile = {k: body.pop(k) for k in ("seconds", "spent", "attempts", "provenance")}
    if body["failure"]:
        # A traceback holds line numbers and addresses of one installation.
        volatile["traceback"] = body["failure"].pop("traceback")
    return {"rank": rank, "evaluation": body, "volatile": volatile}


_READ: dict[str, Evaluation] = {}
REMEMBERED = 50_000
"""Evaluations kept read; one of 10 atoms takes about 10 kB."""


def evaluation_of(event: Event) -> Evaluation:
    """Return the evaluation on record in an event, read once: events never change."""
    found = _READ.get(event.hash)
    if found is None:
        if len(_READ) >= REMEMBERED:
            _READ.clear()
        found = _READ[event.hash] = read_evaluation(event.payload)
    return found


def read_evaluation(payload: Mapping[str, Any]) -> Evaluation:
    """Read what :func:`write_evaluation` wrote."""
    body, volatile = dict(payload["evaluation"]), dict(payload["volatile"])
    traceback = volatile.pop("traceback", "")
    if body["failure"]:
        body["failure"] = {**body["failure"], "traceback": traceback}
    return Evaluation.from_dict({**body, **volatile})
