"""All formats, in the order in which their sniffers are asked.

Formats with a signature come first, those recognised by their shape last.
"""

from __future__ import annotations

from matdisco.data.readers import (
    vasp_inputs,
    vasp_outcar,
    vasp_xml,
)
from matdisco.data.readers.base import Format

FORMATS: tuple[Format, ...] = (
    vasp_xml.FORMAT,
    vasp_outcar.FORMAT,
    vasp_inputs.XDATCAR,
    vasp_inputs.POSCAR,
)
"""Every format that :func:`matdisco.data.readers.read` knows."""
