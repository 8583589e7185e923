"""All formats, in the order in which their sniffers are asked.

CIF stands first because it is the most frequent and its sniffer is strict; then come
formats with a signature; those recognised by their shape are last.
"""

from __future__ import annotations

from matdisco.data.readers import (
    abinit,
    aims,
    ase_database,
    ase_formats,
    cif,
    cp2k,
    crystal_code,
    espresso,
    etsf,
    exciting,
    fleur,
    json_files,
    lammps,
    openmx,
    other,
    siesta,
    tables,
    ulm_files,
    vasp_inputs,
    vasp_outcar,
    vasp_xml,
    xyz,
)
from matdisco.data.readers.base import Format

FORMATS: tuple[Format, ...] = (
    cif.FORMAT,
    ase_database.FORMAT,
    tables.PARQUET,
    tables.XLSX,
    *ulm_files.FORMATS,
    etsf.FORMAT,
    *other.FORMATS,
    json_files.FORMAT,
    vasp_xml.FORMAT,
    *exciting.FORMATS,
    *fleur.FORMATS,
    espresso.FORMATS[0],
    vasp_outcar.FORMAT,
    vasp_inputs.XDATCAR,
    vasp_inputs.POSCAR,
    crystal_code.FORMAT,
    *abinit.FORMATS,
    *aims.FORMATS,
    *siesta.FORMATS,
    *cp2k.FORMATS,
    *espresso.FORMATS[1:],
    *openmx.FORMATS,
    *ase_formats.FORMATS,
    *lammps.FORMATS,
    xyz.FORMAT,
    tables.TEXT,
)
"""Every format that :func:`matdisco.data.readers.read` knows."""
