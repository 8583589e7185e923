"""The files in an evaluation's folder: written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matdisco.evaluators.base import Evaluation
from matdisco.recipe import canonical_json, digest

RESULT = "result.json"


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new, never a part.

    The data and the folder entry are on disk when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_result(folder: Path, evaluation: Evaluation) -> None:
    """Leave ``result.json`` with its own checksum in ``folder``."""
    body = evaluation.to_dict()
    write_atomically(
        folder / RESULT, canonical_json({"evaluation": body, "sha256": digest(body)})
    )


def read_result(folder: Path) -> Evaluation | None:
    """Return the evaluation that ``folder`` holds, or None.

    A damaged file is renamed to ``result.json.damaged`` and counts as absent, so
    that the evaluation is made again and the evidence is kept.
    """
    path = folder / RESULT
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if digest(data["evaluation"]) != data["sha256"]:
            raise ValueError("checksum differs")
        return Evaluation.from_dict(data["evaluation"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        path.replace(path.with_suffix(".json.damaged"))
        return None
