"""What a VASP calculation was: functional, +U, potentials, settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# GGA tags of the VASP manual
_GGA = {
    "PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91", "AM": "AM05", "CA": "LDA",
    "RE": "revPBE", "OR": "optPBE", "BO": "optB88", "MK": "optB86b", "B3": "B3LYP",
    "B5": "B3LYP", "HL": "LDA", "PZ": "LDA", "ML": "revPBE (vdW-DF2)", "BF": "BEEF",
}  # fmt: skip
_DISPERSION = {
    1: "D2", 10: "D2", 11: "D3", 12: "D3(BJ)", 13: "D4", 2: "TS", 20: "TS", 21: "TS-H",
    202: "MBD", 4: "dDsC",
}  # fmt: skip


def functional(tags: Mapping[str, Any], titles: Sequence[str]) -> str:
    """Name the exchange-correlation functional.

    Args:
        tags: INCAR tags; what is not there has VASP's default.
        titles: TITEL of each potential; their family is the default functional.
    """
    meta = str(tags.get("METAGGA") or "").strip().upper()
    base = _GGA.get(str(tags.get("GGA") or "").strip().upper()[:2]) or _family(titles)
    if meta not in ("", "--", "NONE", "F"):
        base = {"R2SCAN": "r2SCAN", "RSCAN": "rSCAN"}.get(meta, meta)
    if _true(tags.get("LHFCALC")):
        screening = float(tags.get("HFSCREEN") or 0)
        share = float(tags.get("AEXX") or 0.25)
        if base == "PBE" and abs(share - 0.25) < 1e-9:
            return {True: "PBE0", False: "HSE03" if screening > 0.25 else "HSE06"}[
                screening == 0
            ]
        return f"{base} hybrid (AEXX {share:g}, HFSCREEN {screening:g})"
    if _true(tags.get("LUSE_VDW")):
        return f"{base} vdW-DF"
    return base


def _family(titles: Sequence[str]) -> str:
    families = {t.split()[0].upper() for t in titles if t.split()}
    if any("PBE" in f for f in families):
        return "PBE"
    if any("GGA" in f or f.endswith("_91") for f in families):
        return "PW91"
    return "LDA" if families & {"PAW", "US", "NC", "PAW_LDA"} else ""


def _true(value: Any) -> bool:
    return str(value).strip().upper().strip(".")[:1] == "T"


def method(
    tags: Mapping[str, Any],
    titles: Sequence[str],
    elements: Sequence[str],
    version: str,
) -> dict[str, Any]:
    """Return the method block of a calculation.

    Args:
        tags: INCAR and parameter tags.
        titles: TITEL of each potential.
        elements: the element of each potential.
        version: of VASP.
    """
    out: dict[str, Any] = {
        "code": "VASP",
        "version": version,
        "functional": functional(tags, titles),
        "pseudopotentials": [" ".join(t.split()[:2]) for t in titles],
    }
    if _true(tags.get("LDAU")):
        values = floats(tags.get("LDAUU"))
        shifts = floats(tags.get("LDAUJ")) or [0.0] * len(values)
        pairs = zip(elements, values, shifts, strict=False)
        out["hubbard_u"] = {e: u - j for e, u, j in pairs if u or j}
    dispersion = _DISPERSION.get(int(float(tags.get("IVDW") or 0)))
    if dispersion:
        out["dispersion"] = dispersion
    settings: dict[str, Any] = {}
    if tags.get("ENCUT") or tags.get("ENMAX"):
        settings["encut_eV"] = float(tags.get("ENCUT") or tags["ENMAX"])
    if str(tags.get("ISPIN", "1")).strip() == "2":
        settings["spin"] = "polarised"
    if _true(tags.get("LSORBIT")):
        settings["spin_orbit"] = True
    return out | ({"settings": settings} if settings else {})


def floats(value: Any) -> list[float]:
    """Return the numbers of a tag's value, text or list."""
    if isinstance(value, (list, tuple)):
        return [float(v) for v in value]
    return [
        float(x)
        for x in re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", str(value or ""))
    ]
