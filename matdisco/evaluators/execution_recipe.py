"""What an ``execution:`` block may say (no heavy imports)."""

from __future__ import annotations

from pydantic import Field

from matdisco.recipe import Recipe


class ExecutionRecipe(Recipe):
    """How evaluations are run."""

    workers: int = Field(2, ge=1, le=1024)
    """Worker processes on this machine."""
    timeout: float = Field(600.0, gt=0)
    """Seconds after which one evaluation is killed."""
    retries: int = Field(1, ge=0, le=10)
    """Further tries after a transient failure (a lost worker)."""
    memory: float | None = Field(None, gt=0)
    """GiB of data a worker may allocate; no limit when not given."""
    tolerated_failure_rate: float = Field(0.5, ge=0, le=1)
    """Stop the campaign when more than this share of evaluations failed."""
    failures_before_stop: int = Field(10, ge=1)
    """Judge that rate only after this many evaluations."""
