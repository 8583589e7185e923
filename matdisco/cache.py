"""Where things that can be computed again are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MATDISCO_CACHE"
"""Environment variable that names the cache folder."""


def cache_folder() -> Path:
    """Return the cache folder; it may not exist yet, and may be deleted at any time.

    ``$MATDISCO_CACHE``, else ``$XDG_CACHE_HOME/matdisco``, else ``~/.cache/matdisco``.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "matdisco"
