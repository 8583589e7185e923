"""The card: what was measured on whom with what, sealed by its content hash.

``card.json`` holds ``body`` (all that follows from the inputs), ``sha256`` of it, and
``volatile`` (time, cost, host), which is not part of the seal. ``predictions.csv``
beside it holds the test records, so that anybody can compute the errors again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from matdisco.errors import DataError
from matdisco.recipe import canonical_json, digest
from surrogates.assessment.result import lacking, overall, worst
from surrogates.assessment.suite import SuiteRecipe, Verdict

FORMAT = 1
JSON, MARKDOWN, PAGE, TABLE = "card.json", "card.md", "card.html", "predictions.csv"


@dataclass(frozen=True, eq=False)
class Card:
    """A finished assessment."""

    body: Mapping[str, Any]
    """What the seal covers."""
    volatile: Mapping[str, Any]
    """When, where, at what cost."""
    seal: str
    """SHA-256 of the body's canonical JSON."""

    @classmethod
    def sealed(cls, body: Mapping[str, Any], volatile: Mapping[str, Any]) -> Self:
        """Seal a body."""
        return cls(body, volatile, digest(body))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a card file or folder, without verifying it.

        Raises:
            DataError: not there, or not a card.
        """
        file = Path(path) / JSON if Path(path).is_dir() else Path(path)
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            form, body, seal = data["format"], data["body"], data["sha256"]
            volatile = data.get("volatile", {})
            _ = body["verdict"], body["sections"], body["suite"], body["model"]["name"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file}: not an assessment card ({type(error).__name__}: {error}); "
                "make one with: matdisco surrogate assess MODEL DATASET"
            ) from error
        if form != FORMAT:
            raise DataError(f"{file}: card format {form}, expected {FORMAT}")
        return cls(body, volatile, seal)

    @property
    def verdict(self) -> Verdict:
        """The overall verdict."""
        verdict: Verdict = self.body["verdict"]
        return verdict

    @property
    def name(self) -> str:
        """Who was assessed."""
        return str(self.body["model"]["name"])

    def measures(self) -> dict[str, dict[str, Any]]:
        """Return every measure by key."""
        return {m["key"]: m for s in self.body["sections"] for m in s["measures"]}

    def value(self, key: str) -> float | None:
        """Return one measured value, None where it was not measured."""
        found = self.measures().get(key)
        return None if found is None else found["value"]

    def failures(self) -> list[str]:
        """Return what failed, one line each; what is required and was not measured."""
        suite = SuiteRecipe.from_mapping(self.body["suite"], source="the card's suite")
        kind = self.body["model"]["kind"]
        absent = lacking(suite, kind, self.body["sections"])
        return [
            *(f"{name}: required of a {kind}, nothing was measured" for name in absent),
            *(
                f"{m['key']} {_shown(m['value'])}: {m['text']}"
                for m in self.measures().values()
                if m["verdict"] == "fail"
            ),
        ]

    @override
    def __str__(self) -> str:
        counts = [m["verdict"] for m in self.measures().values()]
        told = ", ".join(f"{counts.count(v)} {v}" for v in ("pass", "warn", "fail"))
        text = f"{self.name}: {self.verdict.upper()} ({told}; {self.seal[:16]})"
        for said, verdict in (("not tested", "info"), ("not applicable", "n/a")):
            names = [
                s["name"] for s in self.body["sections"] if s["verdict"] == verdict
            ]
            text += f"; {said}: {', '.join(names)}" if names else ""
        return text

    def _repr_markdown_(self) -> str:
        from surrogates.assessment.markdown import to_markdown

        return to_markdown(self)

    def to_json(self) -> str:
        """Return the file's text."""
        return canonical_json(
            {
                "format": FORMAT,
                "sha256": self.seal,
                "body": self.body,
                "volatile": self.volatile,
            }
        )

    def save(self, folder: str | Path, table: str) -> Path:
        """Write the card's four files; ``card.json`` last, in one step.

        Args:
            folder: made where it does not exist.
            table: text of ``predictions.csv``.
        """
        from surrogates.assessment.markdown import to_markdown
        from surrogates.assessment.page import to_html

        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        texts = {
            TABLE: table, MARKDOWN: to_markdown(self), PAGE: to_html(self),
            JSON: self.to_json(),
        }  # fmt: skip
        for name, text in texts.items():
            scratch = home / f".{name}.{os.getpid()}"
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(home / name)
        return home / JSON


def problems(path: str | Path) -> list[str]:
    """Verify a card; return one sentence for each thing that does not hold.

    The seal, every verdict against the suite inside, the predictions table against its
    hash, and the errors computed again from that table.

    Raises:
        DataError: not a card at all.
    """
    card = Card.read(path)
    home = Path(path) if Path(path).is_dir() else Path(path).parent
    found = []
    if digest(card.body) != card.seal:
        found.append("the content does not match its hash: the card was changed")
    found += _verdicts(card)
    table = home / TABLE
    if not table.is_file():
        found.append(f"{TABLE} is missing beside the card: errors cannot be recomputed")
    else:
        text = table.read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() != card.body["predictions_sha256"]:
            found.append(f"{TABLE} does not match the hash in the card")
        else:
            found += _recomputed(card, text)
    return found


def _verdicts(card: Card) -> list[str]:
    suite = SuiteRecipe.from_mapping(card.body["suite"], source="the card's suite")
    kind = card.body["model"]["kind"]
    found = []
    for section in card.body["sections"]:
        for measure in section["measures"]:
            limit = suite.thresholds.get(measure["key"])
            right = limit.judge(measure["value"]) if limit else "info"
            if right != measure["verdict"]:
                found.append(
                    f"{measure['key']}: verdict {measure['verdict']}, but its value "
                    f"{measure['value']} gives {right}"
                )
        whole = worst(m["verdict"] for m in section["measures"])
        if section["name"] in suite.asks(kind).not_applicable:
            whole = "n/a"
        if whole != section["verdict"]:
            found.append(
                f"section {section['name']}: {section['verdict']}, not {whole}"
            )
    if overall(suite, kind, card.body["sections"]) != card.verdict:
        found.append(
            f"overall verdict {card.verdict} does not follow from the sections"
        )
    return found


def _recomputed(card: Card, text: str) -> list[str]:
    """Compute the errors anew from the table."""
    import io

    import numpy as np
    import pandas as pd

    from surrogates import metrics

    table = pd.read_csv(io.StringIO(text), dtype={"id": str})
    table = table[np.isfinite(table["mean"])]
    y, mean = table["true"].to_numpy(float), table["mean"].to_numpy(float)
    again = {
        "efficacy.mae": metrics.mae(y, mean),
        "efficacy.rmse": metrics.rmse(y, mean),
    }
    if "std" in table:
        std = table["std"].to_numpy(float)
        again["calibration.miscalibration_area"] = metrics.miscalibration_area(
            y, mean, std
        )
        again["calibration.ence"] = metrics.ence(y, mean, std)
    found = []
    for key, value in again.items():
        stated = card.value(key)
        # one part in a million: the table keeps ten digits
        if stated is not None and abs(stated - value) > 1e-6 * max(abs(value), 1e-9):
            found.append(
                f"{key}: the card says {stated}, its predictions give {value:g}"
            )
    return found


def _shown(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.3g}"
