"""A row of a table or an entry of a JSON file becomes a structure and labels.

Labels come from a :class:`ColumnMap`, from a cell that states its own unit
(``{"value": 3270, "unit": "meV"}``, ``"3.27 eV"``), or from a schema whose units are
documented (Materials Project, JARVIS-DFT, Alexandria, OQMD, LeMaterial). Any other
number under the name of a known property becomes no label, but a finding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matdisco.crystal import Label
from matdisco.data.readers.base import (
    LIMITS,
    Blob,
    Entry,
    Finding,
    Options,
    Unreadable,
)
from matdisco.data.readers.cells import read_cell
from matdisco.data.readers.columns import ColumnMap, LabelColumn
from matdisco.data.readers.json_structures import holds_structure, read_structure
from matdisco.data.readers.labels import label
from matdisco.data.readers.text import NUMBER, shorten
from matdisco.properties import PROPERTIES

# schema: what marks it -> field: (property, unit, method)
_MP = "Materials Project"
_J = "JARVIS-DFT"
_JV = f"{_J} (OptB88vdW)"
_EV = "eV/atom"
SCHEMAS: dict[str, dict[str, tuple[str, str, str]]] = {
    "material_id": {
        "energy_per_atom": ("energy_per_atom", _EV, _MP),
        "formation_energy_per_atom": ("formation_energy_per_atom", _EV, _MP),
        "energy_above_hull": ("energy_above_hull", _EV, _MP),
        "e_above_hull": ("energy_above_hull", _EV, _MP),
        "band_gap": ("band_gap", "eV", _MP),
        "density": ("density", "g/cm³", _MP),
    },
    "jid": {
        "formation_energy_peratom": ("formation_energy_per_atom", _EV, _JV),
        "ehull": ("energy_above_hull", _EV, _JV),
        "optb88vdw_bandgap": ("band_gap", "eV", _JV),
        "bulk_modulus_kv": ("bulk_modulus", "GPa", f"{_J} (OptB88vdW, Voigt)"),
        "shear_modulus_gv": ("shear_modulus", "GPa", f"{_J} (OptB88vdW, Voigt)"),
        "mbj_bandgap": ("band_gap_mbj", "eV", f"{_J} (TBmBJ)"),
    },
    "_alexandria_energy": {
        "_alexandria_energy": ("energy", "eV", "Alexandria"),
        "_alexandria_hull_distance": ("energy_above_hull", _EV, "Alexandria"),
        "_alexandria_formation_energy_per_atom": (
            "formation_energy_per_atom", _EV, "Alexandria",
        ),
        "_alexandria_band_gap": ("band_gap", "eV", "Alexandria"),
    },
    "_oqmd_delta_e": {
        "_oqmd_delta_e": ("formation_energy_per_atom", _EV, "OQMD"),
        "_oqmd_stability": ("energy_above_hull", _EV, "OQMD"),
        "_oqmd_band_gap": ("band_gap", "eV", "OQMD"),
    },
    "_lemat": {"energy": ("energy", "eV", "LeMat-Bulk")},
}  # fmt: skip
_MP_ID = re.compile(r"(?:mp|mvc|mpf|mp-gen)[-_]\w+")
_IDS = (
    "id",
    "material_id",
    "jid",
    "task_id",
    "mp_id",
    "entry_id",
    "immutable_id",
    "name",
)
_STRUCTURES = (
    "structure",
    "atoms",
    "initial_structure",
    "final_structure",
    "cif",
    "poscar",
)
_WITH_UNIT = re.compile(rf"\s*({NUMBER})\s+([A-Za-zÅμµ][\w/^³Åμ²*. -]*)\s*")


def entry(row: Mapping[str, Any], blob: Blob, options: Options) -> Entry:
    """Make the entry of one row; never raises for what the row says."""
    columns = options.columns
    findings: list[Finding] = []
    body, attributes = _unwrapped(row)
    structure = None
    try:
        place, value = _structure_of(attributes, columns)
        if value is not None:
            structure, more = _read(value, blob, options)
            findings += more
    except Unreadable as error:
        place = ""
        findings.append(Finding(error.rule, "reject", str(error)))
    else:
        if value is None:
            findings.append(
                Finding("no-structure", "reject", "the record has no structure")
            )
    limits: dict[str, Any] = {}
    sites = None if structure is None else len(structure)
    labels = _labels(attributes, columns, findings, limits, sites)
    fields = {
        k: v
        for k, v in attributes.items()
        if k != place and k not in _BULKY and _small(v)
    }
    if limits:
        fields[LIMITS] = limits
    name = _name(body, attributes, columns)
    method = _method(attributes)
    return Entry(structure, labels, method, name, tuple(findings), fields)


_BULKY = {
    "cartesian_site_positions", "fractional_site_positions", "species_at_sites",
    "species", "lattice_vectors", "frac_coords", "forces", "stress_tensor", "sites",
    "lattice",
}  # fmt: skip


def _small(value: Any) -> bool:
    return not isinstance(value, (list, dict)) or len(str(value)) < 500


def _unwrapped(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Reach into ``attributes``, where an OPTIMADE entry keeps what it says."""
    inner = row.get("attributes")
    if isinstance(inner, Mapping):
        return row, {**{k: row[k] for k in ("id", "type") if k in row}, **inner}
    return row, row


def _structure_of(row: Mapping[str, Any], columns: ColumnMap | None) -> tuple[str, Any]:
    if columns and columns.file and row.get(columns.file):
        return columns.file, Beside(
            columns.file_pattern.replace("{}", str(row[columns.file]))
        )
    if columns and columns.structure:
        if columns.structure not in row:
            raise Unreadable("no-structure", f"no column {columns.structure!r}")
        return columns.structure, row[columns.structure]
    if holds_structure(row):
        return "", row
    for key in _STRUCTURES:
        value = row.get(key)
        if holds_structure(value) or (isinstance(value, str) and _is_text(value)):
            return key, value
    for key, value in row.items():
        if holds_structure(value):
            return key, value
    return "", None


def _is_text(value: str) -> bool:
    return "\n" in value or value.lstrip()[:1] == "{"


class Beside(str):
    """The path of a structure file, relative to the folder of its table."""


def _beside(name: str, blob: Blob, options: Options) -> tuple[Any, tuple[Finding, ...]]:
    """Read the file that a row names; it must lie in or below the table's folder."""
    from matdisco.data.readers import parsing, sources

    folder = Path(blob.path).parent.resolve()
    path = (folder / name).resolve()
    if blob.member is not None:
        raise Unreadable("unsupported", "a table inside an archive cannot name files")
    if not path.is_relative_to(folder):
        raise Unreadable("path-escape", f"{name!r} lies outside the table's folder")
    if not path.is_file():
        raise Unreadable("no-structure", f"there is no file {name!r} beside the table")
    for inner in sources.blobs(path, name, options.limits):
        record = next(parsing.parse(inner, options))
        if record.crystal is None:
            first = record.findings[0]
            raise Unreadable(first.rule, f"{name}: {first.message}")
        return record.crystal.structure, record.findings
    raise Unreadable("no-structure", f"{name} holds nothing")


def _read(value: Any, blob: Blob, options: Options) -> tuple[Any, tuple[Finding, ...]]:
    if isinstance(value, Beside):
        return _beside(value, blob, options)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("{"):
            try:
                value = json.loads(text)
            except ValueError as error:
                raise Unreadable("unreadable", f"structure cell: {error}") from error
        else:
            return _from_text(value, blob, options)
    if not isinstance(value, Mapping):
        raise Unreadable("no-structure", "the structure cell is empty")
    return read_structure(value, options.limits.sites)


def _from_text(
    text: str, blob: Blob, options: Options
) -> tuple[Any, tuple[Finding, ...]]:
    from matdisco.data.readers import cif, vasp_inputs

    inner = Blob(blob.path, blob.name, blob.member, text.encode(), blob.byte_hash)
    for form in (cif.FORMAT, vasp_inputs.POSCAR):
        if form.sniff(text[: 1 << 16], b""):
            found = next(form.parse(inner, options), None)
            if found is not None and found.structure is not None:
                return found.structure, found.findings
            if found is not None and found.findings:
                raise Unreadable(found.findings[0].rule, found.findings[0].message)
    raise Unreadable(
        "unreadable",
        f"the structure cell is neither CIF, POSCAR nor JSON: {shorten(text)!r}",
    )


def _name(
    row: Mapping[str, Any], attributes: Mapping[str, Any], columns: ColumnMap | None
) -> str:
    if columns and columns.id:
        return str(attributes.get(columns.id, ""))
    for key in _IDS:
        value = row.get(key, attributes.get(key))
        if (
            isinstance(value, (str, int))
            and not isinstance(value, bool)
            and value != ""
        ):
            return str(value)
    return ""


def _method(row: Mapping[str, Any]) -> dict[str, Any]:
    functional = row.get("functional")
    return {"functional": functional} if isinstance(functional, str) else {}


def _labels(
    row: Mapping[str, Any],
    columns: ColumnMap | None,
    findings: list[Finding],
    limits: dict[str, Any],
    sites: int | None,
) -> dict[str, Label]:
    out: dict[str, Label] = {}
    used: set[str] = set()
    for key, column in (columns.labels if columns else {}).items():
        used.add(column.column)
        found, more = _mapped(key, column, row, columns, limits)
        out |= found
        findings.extend(more)
    for field, (key, unit, method) in _schema(row).items():
        value = _number(row.get(field))
        if field not in used and value is not None:
            used.add(field)
            functional = row.get("functional")
            text = f"{method} ({functional})" if isinstance(functional, str) else method
            found, more = label(key, value, unit, text)
            out = found | out
            findings.extend(more)
    for field, value in row.items():
        if field in used:
            continue
        stated = _with_own_unit(value)
        if stated is not None and field not in out and stated[1]:
            found, more = label(field, stated[0], stated[1])
            out |= found
            findings.extend(more)
        elif field in PROPERTIES and field not in out and _number(value) is not None:
            findings.append(
                Finding(
                    "unit-unstated",
                    "note",
                    f"{field}: {value} has no unit; state it in a column map "
                    f"(labels: {{{field}: {{column: {field}, unit: ...}}}})",
                )
            )
    if sites and "energy" in out and "energy_per_atom" not in out:
        total = out["energy"]
        out["energy_per_atom"] = Label(total.value / sites, "eV/atom", total.method)
    return out


def _number(value: Any) -> float | None:
    """Return a number, also one that was written as text; None for anything else."""
    cell = read_cell(value, None) if isinstance(value, (int, float, str)) else None
    return cell.value if cell is not None and not cell.limit else None


def _schema(row: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    if _MP_ID.fullmatch(str(row.get("material_id", ""))):
        return SCHEMAS["material_id"]
    if str(row.get("jid", "")).startswith("JVASP"):
        return SCHEMAS["jid"]
    if "immutable_id" in row and "functional" in row and "species_at_sites" in row:
        return SCHEMAS["_lemat"]
    for mark in ("_alexandria_energy", "_oqmd_delta_e"):
        if mark in row:
            return SCHEMAS[mark]
    return {}


def _with_own_unit(value: Any) -> tuple[float, str] | None:
    if isinstance(value, Mapping) and isinstance(value.get("value"), (int, float)):
        unit = value.get("unit", value.get("units"))
        return (value["value"], unit) if isinstance(unit, str) else None
    if isinstance(value, str) and len(value) < 60:
        match = _WITH_UNIT.fullmatch(value)
        if match:
            from matdisco.properties import convert

            unit = match[2].strip()
            try:
                convert(1.0, unit, unit)
            except Exception:
                return None  # "298 K" or a name; not a property's unit
            return float(match[1]), unit
    return None


def _mapped(
    key: str,
    column: LabelColumn,
    row: Mapping[str, Any],
    columns: ColumnMap | None,
    limits: dict[str, Any],
) -> tuple[dict[str, Label], tuple[Finding, ...]]:
    if column.column not in row and "." not in column.column:
        return {}, (
            Finding(
                "value-not-a-number", "note", f"{key}: no column {column.column!r}"
            ),
        )
    value = _reach(row, column.column)
    unit = column.unit
    if column.unit_column is not None:
        unit = str(row.get(column.unit_column) or "").strip() or unit
    own = _with_own_unit(value)
    if own is not None:
        value, unit = own
    if isinstance(value, Mapping):
        value = value.get("value")
    cell = read_cell(value, columns)
    if cell is None:
        return {}, ()
    if unit is None:
        return {}, (
            Finding("unit-unstated", "quarantine", f"{key}: {value!r} has no unit"),
        )
    method = (
        str(_reach(row, column.method_column) or "") if column.method_column else ""
    )
    method = method or column.method
    if cell.limit:
        found, more = label(key, cell.value, unit, method)
        if key in found:
            limits[key] = {"limit": cell.limit, **found[key].to_dict()}
            del limits[key]["sigma"]
            message = f"{key}: {value} is a limit, not a value; kept as a limit"
            more = (*more, Finding("censored", "mend", message))
        return {}, more
    sigma = (
        read_cell(_reach(row, column.sigma_column), columns)
        if column.sigma_column
        else None
    )
    spread = sigma.value if sigma else cell.sigma
    given = cell.text if cell.value is None else cell.value
    return label(key, given, unit, method, spread)


def _reach(row: Mapping[str, Any], name: str | None) -> Any:
    """Return a column, or follow a path such as ``band_gap.value`` into nested JSON."""
    if name is None or name in row:
        return row.get(name) if name else None
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
