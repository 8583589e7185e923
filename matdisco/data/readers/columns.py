"""ColumnMap: what the columns of somebody's table mean, with their units."""

from __future__ import annotations

from pydantic import Field

from matdisco.recipe import Recipe


class LabelColumn(Recipe):
    """One column that holds a property."""

    column: str
    """The column's header."""
    unit: str | None = None
    """Unit of the numbers, for example ``meV/atom``; ``""`` for a pure number."""
    unit_column: str | None = None
    """Column that states the unit of each row."""
    method: str = ""
    """How the values were obtained, the same for all rows."""
    method_column: str | None = None
    """Column that states the method of each row."""
    sigma_column: str | None = None
    """Column with one standard deviation, in the same unit."""


class ColumnMap(Recipe):
    """The columns of a table.

    In YAML::

    id: material_id
    structure: cif
    missing: ["", "n.a.", -999]
    labels:
      bulk_modulus: {column: K_VRH, unit: GPa, method: PBE}
    """

    id: str | None = None
    """Column with the record's identifier."""
    structure: str | None = None
    """Column with a structure as CIF, POSCAR or JSON text."""
    file: str | None = None
    """Column that names a structure file beside the table, or a part of its name."""
    file_pattern: str = "{}"
    """The file's path from the table's folder, for example ``cifs/{}.cif``."""
    formula: str | None = None
    """Column with the chemical formula."""
    labels: dict[str, LabelColumn] = Field(default_factory=dict)
    """Property key to column."""
    missing: tuple[str | float, ...] = (
        "",
        "nan",
        "n.a.",
        "n/a",
        "na",
        "none",
        "null",
        "-",
    )
    """Cells that mean "no value", letter case ignored."""
    delimiter: str | None = None
    """Of a text table; found by itself where not given."""
    decimal: str = "."
    """``,`` where the numbers are written 1,5."""
    encoding: str | None = None
    """Of a text table; found by itself where not given."""
