"""Run a suite on a subject and seal the card."""

from __future__ import annotations

import hashlib
import platform
import resource
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from matdisco.data.dataset import Dataset
from matdisco.recipe import digest
from surrogates.assessment.card import Card
from surrogates.assessment.facing import face
from surrogates.assessment.predictions import Table
from surrogates.assessment.result import Section, overall
from surrogates.assessment.subject import Subject
from surrogates.assessment.suite import ORDER, SuiteRecipe
from surrogates.assessment.trial import Trial

_HOMES = {
    "efficacy": "efficacy",
    "calibration": "certainty",
    "shift": "shift",
    "robustness": "robustness",
    "potential": "potential",
    "safety": "safety",
}
_PACKAGES = (
    "matdisco", "numpy", "scipy", "scikit-learn", "pymatgen", "ase", "torch",
    "torch-geometric", "chgnet", "sevenn", "moyopy",
)  # fmt: skip
_RAPL = Path("/sys/class/powercap")


def assess(
    subject: Subject,
    dataset: Dataset | None,
    suite: SuiteRecipe | None = None,
    *,
    table: Table | None = None,
    target: str | None = None,
    training: Dataset | None = None,
    pool: Dataset | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Card, str]:
    """Run the battery.

    Args:
        subject: what is assessed (:func:`~surrogates.assessment.doors.open_subject`).
        dataset: labelled test records.
        suite: what to measure; the standard suite when not given.
        table: predictions, where the subject is a table.
        target: label key; the subject's own when not given.
        training: what the subject learned from, for leakage and poison.
        pool: candidates it is to choose from.
        tell: called with one line as each part starts.

    Returns:
        The sealed card, and the text of its ``predictions.csv``.

    Raises:
        DataError: the dataset does not fit.
        SurrogateError: the subject cannot be asked at all.
    """
    chosen = suite or SuiteRecipe.standard()
    start, cpu = time.perf_counter(), time.process_time()
    joules = _energy()
    trial = face(
        chosen, subject, dataset, table=table, target=target, training=training,
        pool=pool, tell=tell,
    )  # fmt: skip
    seconds = {"predict": time.perf_counter() - start}
    sections = []
    for name in ORDER:
        if name not in chosen.sections:
            continue
        tell(name)
        clock = time.perf_counter()
        section = Section(name, chosen.thresholds)
        section.absent = chosen.asks(subject.kind).not_applicable.get(name, "")
        if not section.absent:
            home = import_module(f"surrogates.assessment.{_HOMES[name]}")
            home.measure(trial, section)
        sections.append(section.to_dict())
        seconds[name] = time.perf_counter() - clock
    text = predictions_csv(trial)
    body = {
        "suite": chosen.model_dump(mode="json"),
        "suite_digest": chosen.digest(),
        "model": {"name": subject.name, "kind": subject.kind, **subject.identity},
        "data": _data(trial),
        "code": {"matdisco": code_hash()},
        "environment": environment(),
        "predictions_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "sections": sections,
        "verdict": overall(chosen, subject.kind, sections),
    }
    volatile = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": platform.node(),
        "wall_seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "seconds": {k: round(v, 2) for k, v in seconds.items()},
        "microseconds_per_prediction": round(
            1e6 * seconds["predict"] / max(len(trial.y), 1)
        ),
        "peak_memory_mb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ),
        "energy_joules": _since(joules),
    }
    return Card.sealed(body, volatile), text


def predictions_csv(trial: Trial) -> str:
    """Return the test records as CSV: id, true, mean and, where given, std."""
    import pandas as pd

    table = pd.DataFrame({"id": trial.ids, "true": trial.y, "mean": trial.guess.mean})
    if trial.guess.std is not None:
        table["std"] = trial.guess.std
    return str(table.to_csv(index=False, float_format="%.10g"))


def code_hash() -> str:
    """Return one SHA-256 over the battery's own source files."""
    root = Path(__file__).parent
    files = [*sorted(root.glob("*.py")), root.parent / "metrics.py"]
    return digest({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files})


def environment() -> dict[str, str]:
    """Return Python, machine kind and the versions of what computes."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _data(trial: Trial) -> dict[str, Any]:
    known: Mapping[str, Dataset | None] = {
        "test": trial.dataset, "training": trial.training, "pool": trial.pool
    }  # fmt: skip
    hashes = {
        k: {"name": d.name, "records": len(d), "sha256": d.content_hash}
        for k, d in known.items()
        if d is not None
    }
    return {
        "target": trial.target,
        "unit": trial.unit,
        "records": len(trial.y),
        "protocol": trial.protocol,
        **hashes,
    }


def _energy() -> float | None:
    """Return the processor's energy counter in joules, where it may be read (RAPL)."""
    total, found = 0.0, False
    for zone in _RAPL.glob("intel-rapl:[0-9]*"):
        if zone.name.count(":") > 1:
            continue
        try:
            total += int((zone / "energy_uj").read_text()) * 1e-6
            found = True
        except (OSError, ValueError):
            continue
    return total if found else None


def _since(before: float | None) -> float | None:
    after = _energy()
    if before is None or after is None or after < before:
        return None  # unreadable, or the counter wrapped
    return round(after - before, 1)
