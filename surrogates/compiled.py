"""Compile loops with numba; importing this file imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def jit(function: _F) -> _F:
    """Compile a function, kept on disk where some folder can hold it."""
    compiled: Any
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # no folder can hold the compiled code: compile in each process
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(_F, compiled)
