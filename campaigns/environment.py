"""Where and with what a campaign runs, for the record."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

RECORDED = (
    "matdisco", "torch", "torch-geometric", "botorch", "gpytorch", "pymatgen",
    "pymatgen-core", "ase", "chgnet", "mlflow", "numpy", "scipy", "moyopy",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that decide results."""
    found = {}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the commit of the working folder's repository, where there is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def describe_environment() -> dict[str, Any]:
    """Return host, process, Python, versions and commit as plain data."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": versions(),
        "git_commit": git_commit(),
    }
