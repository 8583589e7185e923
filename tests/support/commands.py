"""The ``matdisco`` command in this process: what a new one says, without its start."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace


def matdisco(*arguments: str, cwd: Path) -> SimpleNamespace:
    """Run a command in ``cwd``; return its exit code, output and errors."""
    from campaigns.cli import main

    out, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main(list(arguments))
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    return SimpleNamespace(
        returncode=code, stdout=out.getvalue(), stderr=errors.getvalue()
    )
