"""netCDF files by the ETSF specification: what ABINIT calls GSR, DEN, WFK and so on.

X. Gonze et al., Comput. Mater. Sci. 43, 1056 (2008). Atomic units. netCDF-4 is HDF5,
which h5py reads (extra ``hdf5``); SciPy reads netCDF-3. On a damaged file the HDF5
library may hang or crash: the guard around readers (:mod:`.guard`) ends it by name.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.data.readers.abinit import IXC
from matdisco.data.readers.base import Blob, Entry, Format, Options, Unreadable
from matdisco.data.readers.geometry import structure
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import BOHR, HARTREE
from matdisco.errors import MissingExtra

_HDF5 = b"\x89HDF\r\n\x1a\n"
_NETCDF3 = (b"CDF\x01", b"CDF\x02")


class _Variables:
    """Arrays and attributes of one file, read when asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = _open(data)
        self._found = getattr(self._file, "variables", self._file)
        self._most = most

    def get(self, name: str) -> np.ndarray | None:
        """Return a variable; None where it is absent or has too many numbers."""
        held = self._found.get(name)
        shape = getattr(held, "shape", None)
        if held is None or shape is None or np.prod(shape, dtype=float) > self._most:
            return None
        return np.asarray(held[()])

    def number(self, name: str) -> float | None:
        """Return a single finite number."""
        value = self.get(name)
        if value is None or value.size != 1 or not np.isfinite(value).all():
            return None
        return float(value.ravel()[0])

    def text(self, name: str) -> str:
        """Return an attribute of the whole file."""
        held = getattr(self._file, "attrs", {}).get(name)
        held = getattr(self._file, name, "") if held is None else held
        return held.decode("utf-8", "replace") if isinstance(held, bytes) else str(held)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open(data: bytes) -> Any:
    if data.startswith(_NETCDF3):
        from scipy.io import netcdf_file

        return netcdf_file(io.BytesIO(data), mmap=False)
    try:
        import h5py
    except ImportError as error:
        raise Unreadable(
            "unsupported", f"HDF5: {MissingExtra('h5py', 'hdf5')}"
        ) from error
    return h5py.File(io.BytesIO(data), "r")


def read_etsf(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the structure with energy and forces where the file has them."""
    limit = options.limits.sites
    try:
        found = _Variables(blob.data, 3 * limit)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise Unreadable("truncated", f"no whole netCDF file: {error}") from error
    try:
        yield _entry(found, limit)
    except (OSError, RuntimeError, KeyError) as error:  # a damaged part, seen late
        raise Unreadable("truncated", f"a damaged netCDF file: {error}") from error
    finally:
        found.close()


def _entry(found: _Variables, limit: int) -> Entry:
    names = ("primitive_vectors", "reduced_atom_positions", "atom_species",
             "atomic_numbers")  # fmt: skip
    parts = [found.get(name) for name in names]
    missing = [n for n, part in zip(names, parts, strict=True) if part is None]
    if missing:
        raise Unreadable(
            "unsupported",
            f"HDF5 or netCDF without a structure by the ETSF specification (no "
            f"{', '.join(missing)}, or more than {limit:,} sites)",
        )
    cell, positions, kinds, numbers = (np.asarray(p) for p in parts)
    kinds = np.rint(np.ravel(kinds)).astype(int)
    if len(kinds) and (kinds.min() < 1 or kinds.max() > numbers.size):
        raise Unreadable(
            "count-mismatch",
            f"atom_species goes to {kinds.max()}, but there are {numbers.size} species",
        )
    species = np.rint(np.ravel(numbers)).astype(int)[kinds - 1]
    made = structure(np.asarray(cell, float) * BOHR, species.tolist(), positions,
                     limit=limit)  # fmt: skip
    code = found.number("ixc")
    method = {
        "code": found.text("code").upper() or "ETSF file",
        "version": found.text("abinit_version"),
        "functional": IXC.get(int(code), f"ixc {int(code)}")
        if code is not None
        else "",
    }
    energy = found.number("etotal")
    forces = found.get("cartesian_forces")
    labels = results(
        method,
        len(made),
        energy=None if energy is None else energy * HARTREE,
        forces=None if forces is None else forces.reshape(-1, 3) * HARTREE / BOHR,
    )
    return Entry(made, labels, method)


FORMAT = Format(
    "etsf-netcdf", lambda _, data: data.startswith((_HDF5, *_NETCDF3)), read_etsf
)
