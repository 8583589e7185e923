"""What a file or a table row says about its own material, under one set of names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAMES: dict[str, tuple[str, ...]] = {
    "formula": (
        "formula", "declared_formula", "chemical_formula_sum", "composition",
        "pretty_formula", "formula_pretty", "kristall", "chemical_formula_reduced",
    ),
    "space_group": (
        "space_group", "spacegroup", "space_group_number", "spacegroup_number", "spg",
        "raumgruppe", "sg", "space_group_it_number", "symmetry_int_tables_number",
    ),
    "material_id": (
        "material_id", "mp_id", "mpid", "mbid", "jid", "jvasp_id", "icsd", "cod_id",
    ),
    "date": ("date", "datum", "last_updated", "last_modified", "year"),
    "volume": ("volume", "cell_volume", "volume_a3"),
    "n_atoms": ("n_atoms", "nsites", "n_sites", "natoms"),
    "z": ("cell_formula_units_z", "z"),
}  # fmt: skip
_WANTED = {name: key for key, names in _NAMES.items() for name in names}


def declared(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what curation understands out of a reader's fields.

    >>> declared({"_cell_volume": "74.1(2)", "Raumgruppe": "225", "Prüfer": "M."})
    {'volume': 74.1, 'space_group': 225}
    """
    out: dict[str, Any] = {}
    for name, value in fields.items():
        key = _WANTED.get(re.sub(r"[\s-]+", "_", str(name).strip().lstrip("_").lower()))
        if key is None or key in out or value is None or value == "":
            continue
        if key in ("volume", "n_atoms", "z", "space_group"):
            number = _number(value)
            # P1 is what writers say who did not look; it declares nothing.
            if number is None or (key == "space_group" and number == 1):
                continue
            out[key] = int(number) if key != "volume" else number
        else:
            out[key] = str(value).strip().strip("'")
    return out


_ENERGY_KEY = re.compile(
    r"(?:e|energy|etot|e_tot|total_energy)_(ry|ha|hartree|ev)", re.I
)


def stated_energy(fields: Mapping[str, Any]) -> tuple[str, float, str] | None:
    """Find a total energy under a name that states its unit: (name, value, unit).

    >>> stated_energy({"E_Ry": -24.5, "idx": 7})
    ('E_Ry', -24.5, 'Ry')
    """
    for name, value in fields.items():
        match = _ENERGY_KEY.fullmatch(str(name).strip())
        number = _number(value)
        if match and number is not None:
            unit = {"ry": "Ry", "ha": "Ha", "hartree": "Ha", "ev": "eV"}
            return str(name), number, unit[match.group(1).lower()]
    return None


def _number(value: Any) -> float | None:
    """Read a number, also with a standard uncertainty in brackets as CIF writes it."""
    match = re.fullmatch(
        r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)(?:\([0-9]+\))?\s*", str(value)
    )
    try:
        return float(match.group(1)) if match else None
    except ValueError:
        return None
