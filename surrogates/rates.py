"""How a learning rate rises and falls. Does not import torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

RateShape = Literal["one_cycle", "cosine"]
"""How the learning rate rises and falls."""


def one_cycle(progress: float) -> float:
    """Return the learning rate as a fraction of its peak, ``progress`` in [0, 1].

    Smith and Topin, arXiv:1708.07120: a rise over a fifth of the steps, then a fall.

    >>> [round(one_cycle(p), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.05, 0.525, 1.0, 0.5, 0.0]
    """
    return _rise_and_fall(progress, 0.2)


def cosine(progress: float) -> float:
    """Return the rate as a fraction of its peak: a short rise, then half a cosine.

    >>> [round(cosine(p), 3) for p in (0.0, 0.01, 0.02, 0.51, 1.0)]
    [0.05, 0.525, 1.0, 0.5, 0.0]
    """
    return _rise_and_fall(progress, 0.02)


def _rise_and_fall(progress: float, warm: float) -> float:
    if progress < warm:
        return 0.05 + 0.95 * progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


RATES: Mapping[RateShape, Callable[[float], float]] = {
    "one_cycle": one_cycle,
    "cosine": cosine,
}
