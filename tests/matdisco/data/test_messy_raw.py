"""``matdisco data curate`` on 279 raw files of some 20 codes: the confusion table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.benchmark

RESULTS = Path(__file__).parents[3] / "bench-results"
READ = ("kept", "mended", "merged", "quarantined")
UNSUPPORTED = {"unsupported", "unknown-format"}


def fate(lines: pd.DataFrame) -> str:
    """What became of one file: the best of its records."""
    have = set(lines.outcome)
    if have & {"kept", "mended", "merged"}:
        return "read"
    if "quarantined" in have:
        return "read, quarantined"
    rules = set(" ".join(lines.rules).split())
    if have == {"rejected"} and rules & UNSUPPORTED and lines.formula.eq("").all():
        return "unsupported"
    if have == {"no-structure"}:
        return "labels only"
    return "rejected"


def test_the_confusion_table(shared: Callable[[str], Path], tmp_path: Path) -> None:
    raw = shared("messy/raw")
    manifest = pd.read_csv(
        raw.parent / "manifest.csv", dtype=str, keep_default_na=False
    ).set_index("file")
    command = [sys.executable, "-c", "from campaigns.cli import main; main()", "data",
               "curate", str(raw), "--to", str(tmp_path / "ds")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not done.stderr.strip(), "nothing that a user cannot understand"
    report = pd.read_csv(
        tmp_path / "ds" / "report.csv", dtype=str, keep_default_na=False
    )
    report["file"] = report.path.str.removeprefix("raw/")
    assert set(report.file) == set(manifest.index)  # every file, and no other
    silent = report[(report.outcome == "rejected") & (report.reasons == "")]
    assert silent.empty
    rows = []
    for name, lines in report.groupby("file"):
        rules = sorted({r for text in lines.rules for r in text.split()})
        rows.append({"file": name, "plain parsers": manifest.status[name],
                     "matdisco": fate(lines), "rules": " ".join(rules),
                     "reasons": " | ".join(dict.fromkeys(lines.reasons))})  # fmt: skip
    files = pd.DataFrame(rows)
    table = pd.crosstab(files["plain parsers"], files["matdisco"], margins=True)
    RESULTS.mkdir(exist_ok=True)
    files.to_csv(RESULTS / "messy-raw-files.csv", index=False)
    table.to_csv(RESULTS / "messy-raw-confusion.csv")
    print(f"\n{table}")
    lost = files[
        (files["plain parsers"] == "ok") & ~files.matdisco.str.startswith("read")
    ]
    for _, row in lost.iterrows():
        print(f"  ok, not kept: {row.file}: {row.rules}: {row.reasons[:160]}")
    assert "unreadable" not in " ".join(lost.rules)
