"""Make labels in matdisco's units, and the method text that travels with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from matdisco.crystal import Label
from matdisco.data.readers.base import Finding
from matdisco.errors import DataError
from matdisco.properties import convert, get

_ORDER = (
    "code",
    "version",
    "functional",
    "hubbard_u",
    "dispersion",
    "pseudopotentials",
)


def method_text(method: Mapping[str, Any]) -> str:
    """Return one line that names how a value was obtained.

    >>> method_text({"code": "VASP", "version": "6.3", "functional": "PBE",
    ...              "settings": {"encut_eV": 520.0}})
    'VASP 6.3; PBE; encut_eV=520.0'
    """
    head = " ".join(str(method[k]) for k in ("code", "version") if method.get(k))
    parts = [head, *(_said(k, method[k]) for k in _ORDER[2:] if method.get(k))]
    settings = method.get("settings") or {}
    parts += [f"{k}={v}" for k, v in sorted(settings.items())]
    return "; ".join(p for p in parts if p)


def _said(key: str, value: Any) -> str:
    if key == "hubbard_u":
        return "U: " + " ".join(f"{k} {v:g} eV" for k, v in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def label(
    key: str,
    value: Any,
    unit: str,
    method: str | Mapping[str, Any] = "",
    sigma: float | None = None,
) -> tuple[dict[str, Label], tuple[Finding, ...]]:
    """Make the label ``key`` with its value in matdisco's unit.

    Returns:
        The label under its key, or nothing and a finding that says why.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return {}, (_no_number(key, value),)
    if not math.isfinite(number):
        return {}, (_no_number(key, value),)
    target = get(key).unit or unit
    try:
        factor = convert(1.0, unit, target) if unit != target else 1.0
    except DataError as error:
        return {}, (Finding("unit-unstated", "quarantine", f"{key}: {error}"),)
    text = method if isinstance(method, str) else method_text(method)
    spread = None if sigma is None else abs(float(sigma) * factor)
    return {key: Label(float(number * factor), target, text, spread)}, ()


def _no_number(key: str, value: Any) -> Finding:
    return Finding(
        "value-not-a-number",
        "quarantine",
        f"{key}: expected a finite number, got {str(value)[:40]!r}",
    )


def results(
    method: Mapping[str, Any],
    n_sites: int,
    *,
    energy: float | None = None,
    forces: np.ndarray | None = None,
    moment: float | None = None,
    band_gap: float | None = None,
) -> dict[str, Label]:
    """Labels of a finished calculation.

    Args:
        method: the method block of the file.
        n_sites: atoms in the cell.
        energy: total energy of the cell, eV.
        forces: (n_sites, 3) eV/Å.
        moment: total magnetic moment of the cell, μB.
        band_gap: eV.
    """
    text = method_text(method)
    out: dict[str, Label] = {}

    def add(key: str, value: float) -> None:
        if math.isfinite(value):
            out[key] = Label(float(value), get(key).unit, text)

    if energy is not None and n_sites:
        add("energy", energy)
        add("energy_per_atom", energy / n_sites)
    if forces is not None and len(forces) == n_sites and n_sites:
        add("max_force", float(np.linalg.norm(forces, axis=1).max()))
    if moment is not None and n_sites:
        add("magnetic_moment_per_atom", moment / n_sites)
    if band_gap is not None:
        add("band_gap", band_gap)
    return out
