"""The inbox of a run: results and decisions wait here until the ledger has them.

A person's command leaves one JSON file, whole or not at all. Whoever may write to the
ledger (the command itself, or the campaign that is running) takes it: one event, then
the file moves to ``inbox/taken/``. Killed between the two, the event's ``id`` shows
that it was taken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.answers import read_evaluation, write_evaluation
from campaigns.people.combined import evaluations, lacking
from campaigns.people.decisions import Decision, check
from campaigns.people.results import judge
from campaigns.state import State
from matdisco.errors import CampaignError, DataError
from matdisco.evaluators.laboratory import LaboratoryRecipe
from matdisco.recipe import canonical_json, digest

if TYPE_CHECKING:
    from campaigns.config import CampaignConfig
    from campaigns.ledger import Event, Ledger
    from matdisco.data.dataset import Dataset

SETTLED = 2.0  # s without a change after which a dropped file counts as complete


def put(folder: Path, item: dict[str, Any]) -> Path:
    """Leave ``item`` in the inbox of the run in ``folder``."""
    from matdisco.evaluators.results import write_atomically

    text = canonical_json(item)
    path = folder / "inbox" / f"{time.time_ns()}-{digest(item)[:8]}.json"
    write_atomically(path, text)
    return path


def results_item(
    path: Path, *, by: str, reason: str = "", replace: bool = False
) -> dict[str, Any]:
    """Pack a results file, with the CIFs beside it, as an inbox item.

    Raises:
        DataError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        named = [p for p in path.parent.glob("*.cif") if p.name in text]
        cifs = {p.name: p.read_text(encoding="utf-8") for p in named}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return {
        "what": "results",
        "name": path.name,
        "text": text,
        "cifs": cifs,
        "by": by,
        "reason": reason,
        "replace": replace,
    }


@dataclass
class Inbox:
    """Takes what people left for a campaign whose ledger is open for writing."""

    config: CampaignConfig
    """The campaign."""
    folder: Path
    """Its run folder."""
    ledger: Ledger
    """Open for writing."""
    pool: Dataset
    """The candidates it began with."""
    say: Callable[[str], None] = lambda text: None
    """Where news go."""

    def drain_if_free(self) -> bool:
        """Drain unless another process writes to the ledger; say whether it did."""
        from campaigns.ledger import Ledger
        from matdisco.errors import LedgerLocked

        try:
            with Ledger.writing(self.folder) as ledger:
                Inbox(self.config, self.folder, ledger, self.pool, self.say).drain()
        except LedgerLocked:
            return False
        return True

    def drain(self) -> int:
        """Take everything that waits; return how many items that was."""
        self._watched()
        waiting = sorted((self.folder / "inbox").glob("*.json"))
        if not waiting:
            # an earlier process may have died between a told event and its answers
            self._settle()
            return 0
        seen = {e.payload["id"] for e in self.ledger.events("told", "decided",
                                                            "refused")}  # fmt: skip
        for path in waiting:
            name = digest(json.loads(path.read_text(encoding="utf-8")))
            if name not in seen:
                self._take(name, json.loads(path.read_text(encoding="utf-8")))
                seen.add(name)
            taken = path.parent / "taken"
            taken.mkdir(exist_ok=True)
            path.replace(taken / path.name)
        self._settle()
        return len(waiting)

    def _take(self, name: str, item: dict[str, Any]) -> None:
        state = self._state()
        try:
            if item["what"] == "results":
                payload = self.judge(item, state)
                said = self.summary(payload)
                self.ledger.append("told", {"id": name, **payload})
                self.say(said)
            else:
                decision = Decision.from_dict(item["decision"])
                check(decision, state, self.config.evaluator)
                number = self._round_to_approve(decision)
                self.ledger.append(
                    "decided", {"id": name, **decision.to_dict()}, round=number
                )
                self.say(f"{decision.by}: {decision.action} ({decision.reason})")
        except (DataError, CampaignError) as error:
            self.ledger.append(
                "refused", {"id": name, "item": item, "reason": str(error)}
            )
            self.say(f"refused: {error}")

    def judge(self, item: dict[str, Any], state: State) -> dict[str, Any]:
        """Return the event that ``item`` would become.

        Raises:
            CampaignError: the campaign's evaluator is no laboratory.
            DataError: the file as a whole cannot be read.
        """
        recipe = self.config.evaluator
        if not isinstance(recipe, LaboratoryRecipe):
            raise CampaignError(
                f"{self.folder}: this campaign's evaluator is {recipe.kind}, which "
                "answers by itself; results are told to evaluator kind laboratory"
            )
        return judge(item, state, self.ledger.events("told"), recipe)

    def summary(self, payload: dict[str, Any]) -> str:
        """Say in plain text what becomes of a results file, not yet on record."""
        recipe = self.config.evaluator
        assert isinstance(recipe, LaboratoryRecipe)
        rows, refused = payload["rows"], payload["refused"]
        lines = [f"{payload['file']}: {len(rows)} rows taken, {len(refused)} not taken"]
        lines += [f"  line {r['line']}: {r['remark']}" for r in rows if r["remark"]]
        lines += [f"  line {r['line']} not taken: {r['reason']}" for r in refused]
        told = [e.payload for e in self.ledger.events("told")]
        if lacks := lacking([*told, payload], recipe):
            count = f"{len(lacks)} candidate{'s' * (len(lacks) > 1)}"
            lines.append(f"  no answer yet for {count}, waiting for:")
            lines += [f"    {n}  {', '.join(words)}" for n, words in lacks.items()]
        return "\n".join(lines)

    def _round_to_approve(self, decision: Decision) -> int:
        if decision.action != "approve":
            return -1
        events = self.ledger.events()
        number = to_approve(events)
        if number is None:
            raise DataError("no round waits for approval")
        return number

    def _settle(self) -> None:
        """Record an evaluation for every candidate whose measurements are complete."""
        recipe = self.config.evaluator
        told = self.ledger.events("told")
        if not told or not isinstance(recipe, LaboratoryRecipe):
            return
        events = self.ledger.events()
        state = State.of(self.pool, self.config.objective, events)
        latest = max((e.round for e in events if e.kind == "proposed"), default=0)
        last = {
            e.payload["evaluation"]["crystal_id"]: read_evaluation(e.payload)
            for e in events
            if e.kind == "evaluated"
        }
        for evaluation in evaluations([e.payload for e in told], state, recipe):
            name = evaluation.crystal_id
            old = last.get(name)
            if old and (old.labels, old.failure) == (
                evaluation.labels, evaluation.failure,
            ):  # fmt: skip
                continue
            number, rank = state.proposed.get(name, (latest, -1))
            self.ledger.append(
                "evaluated", write_evaluation(rank, evaluation), round=number
            )

    def _watched(self) -> None:
        """Bring new, complete CSV files of the watched folder into the inbox."""
        recipe = self.config.evaluator
        watch = getattr(recipe, "watch", None)
        if watch is None:
            return
        told = {e.payload["sha256"] for e in self.ledger.events("told")}
        told |= {
            digest(e.payload["item"].get("text", ""))
            for e in self.ledger.events("refused")
        }
        for path in sorted(Path(watch).glob("*.csv")):
            if time.time() - path.stat().st_mtime < SETTLED:
                continue
            try:
                item = results_item(path, by=f"watched folder {watch}")
            except DataError as error:
                self.say(str(error))
                continue
            if digest(item["text"]) not in told:
                put(self.folder, item)

    def _state(self) -> State:
        return State.of(self.pool, self.config.objective, self.ledger.events())


def to_approve(events: list[Event]) -> int | None:
    """Return the first open round that nobody has approved, or None."""
    over = {e.round for e in events if e.kind == "closed"} | {
        e.round
        for e in events
        if e.kind == "decided" and e.payload["action"] == "approve"
    }
    rounds = [e.round for e in events if e.kind == "proposed" and e.round not in over]
    return rounds[0] if rounds else None
