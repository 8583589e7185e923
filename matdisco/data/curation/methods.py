"""Keep values of different methods apart: they never meet in one target unasked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Literal

from matdisco.crystal import Label
from matdisco.data.curation.entry import Entry
from matdisco.recipe import Recipe

# Most specific first: PBEsol and RPBE contain PBE, r2SCAN contains SCAN.
_FUNCTIONALS = (
    "optB88-vdW", "optB88vdW", "optB86b-vdW", "vdW-DF2", "vdW-DF", "GLLB-SC", "HSE06",
    "HSE03", "PBE0", "B3LYP", "PBEsol", "revPBE", "RPBE", "r2SCAN", "SCAN", "PBE",
    "PW91", "TB-mBJ", "TBmBJ", "G0W0", "GW", "LDA",
)  # fmt: skip
_CODES = (
    "VASP", "Quantum ESPRESSO", "GPAW", "CASTEP", "ABINIT", "FHI-aims", "CP2K",
    "SIESTA", "exciting", "WIEN2k", "CRYSTAL", "Elk",
)  # fmt: skip
_OTHER_NAMES = (  # how codes spell a functional, its usual name
    (re.compile(r"\bSLA\s+PW\s+PBX\s+PBC\b"), "PBE"),  # Quantum ESPRESSO
    (re.compile(r"\bSLA\s+PZ\s+NOGX\s+NOGC\b"), "LDA"),
    (re.compile(r"\bSLA\s+PW\s+PSX\s+PSC\b"), "PBEsol"),
    (re.compile(r"\bPADE\b"), "LDA"),  # CP2K
    (re.compile(r"\bPerdew-Burke-Ernzerhof\b", re.I), "PBE"),
    (
        re.compile(r"\b(?:PZ81|Perdew-Zunger|Ceperley-Alder|Perdew-Wang 92)\b", re.I),
        "LDA",
    ),
)
_CORRECTIONS = re.compile(r"\+\s?U|\bD3\b|\bD4\b|\bTS\b|MP2020|MIT2012|SOC", re.I)
TOTAL_ENERGIES = frozenset({"energy", "energy_per_atom"})
"""Quantities whose zero depends on code and pseudopotential, not on physics alone."""


class MethodsRecipe(Recipe):
    """What happens when one property comes from several methods."""

    name: ClassVar[str] = "method-apart"
    mixing: Literal["apart", "allow"] = "apart"
    """``apart`` keeps the main method under the property's key and the others under
    ``key@method``; ``allow`` lets them meet."""
    main: Mapping[str, str] = {}
    """Property key to the method (a functional such as ``PBE``, or the whole text)
    that keeps the plain key; where not given, the most frequent one."""


@lru_cache(4096)
def family(method: str, key: str = "") -> str:
    """Return the part of a method's description that decides what can be compared.

    >>> family("VASP 6.4.1 (PBE+U, PAW 52)", "band_gap")
    'PBE+U'
    >>> family("VASP 6.4.1 PBE", "energy_per_atom")
    'VASP PBE'
    >>> family("four-probe impedance")
    'four-probe impedance'
    >>> family("Quantum ESPRESSO 7.3; SLA  PW   PBX  PBC; O.UPF", "energy")
    'Quantum ESPRESSO PBE'
    """
    for pattern, name in _OTHER_NAMES:
        method = pattern.sub(name, method)
    lowered = method.lower()
    functional = next((f for f in _FUNCTIONALS if f.lower() in lowered), "")
    if not functional:
        # without cutoffs, meshes and the like: they do not make another method
        parts = (p.strip() for p in method.split(";"))
        return "; ".join(p for p in parts if p and "=" not in p)
    extras = sorted({m.replace(" ", "").upper() for m in _CORRECTIONS.findall(method)})
    name = functional + "".join(e if e.startswith("+") else f"+{e}" for e in extras)
    code = next((c for c in _CODES if c.lower() in lowered), "")
    return f"{code} {name}".strip() if key in TOTAL_ENERGIES else name


def apart(entries: Sequence[Entry], recipe: MethodsRecipe) -> list[Entry]:
    """Rename labels whose method is not the main one of their property."""
    if recipe.mixing == "allow":
        return list(entries)
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        for key, label in entry.labels.items():
            counts.setdefault(key, Counter())[family(label.method, key)] += 1
    main = {
        key: recipe.main.get(key, _most(found))
        for key, found in counts.items()
        if len([m for m in found if m]) > 1 or key in recipe.main
    }
    return [_renamed(entry, main) for entry in entries] if main else list(entries)


def _renamed(entry: Entry, main: Mapping[str, str]) -> Entry:
    labels: dict[str, Label] = {}
    for key, label in entry.labels.items():
        method = family(label.method, key)
        if key not in main or method in ("", main[key]) or label.method == main[key]:
            labels[key] = label
            continue
        labels[f"{key}@{method}"] = label
        text = f"{key} by {method} is kept apart from {main[key]}, as {key}@{method}"
        entry = entry.found(MethodsRecipe.name, "note", text)
    return entry.with_labels(labels)


def _most(found: Counter[str]) -> str:
    named = {m: n for m, n in found.items() if m}
    return max(named, key=lambda m: (named[m], m))
