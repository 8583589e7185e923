"""Where networks run and in what precision: a CPU, or a CUDA card when there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from matdisco.errors import SurrogateError

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]


def device_of(name: DeviceName) -> torch.device:
    """Return the device that ``name`` stands for.

    Raises:
        SurrogateError: ``cuda`` was asked for and there is no card.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise SurrogateError(
            "device: cuda, but this installation of PyTorch sees no CUDA card; "
            "expected auto or cpu, or a CUDA build of torch"
        )
    found = name != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if found else "cpu")


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run matrix products in ``precision`` on a CUDA card; do nothing on a CPU.

    bfloat16 has the range of float32, so gradients need no scaling (Kalamkar et al.,
    arXiv:1905.12322). On a CPU it is slower than float32 and therefore not used.
    """
    wanted = precision == "bfloat16" and device.type == "cuda"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted):
        yield


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run torch with ``n`` intra-op threads, then restore the former number."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
