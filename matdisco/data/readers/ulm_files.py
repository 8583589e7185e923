"""ASE trajectories (.traj) and GPAW restart files (.gpw): both are ULM containers.

The arrays are taken from the container directly. ASE's own readers would also
rebuild constraints and other objects that a stranger's file names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Format, Options, Unreadable
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results


def _containers(blob: Blob) -> Iterator[Any]:
    """Yield the items of a ULM file."""
    from ase.io import ulm

    with tempfile.TemporaryDirectory(prefix="matdisco-") as folder:
        path = Path(folder) / "input"
        path.write_bytes(blob.data)
        reader = ulm.open(path)
        try:
            for i in range(len(reader)):
                yield reader[i] if i else reader
        finally:
            reader.close()


def _entry(atoms: Any, head: Any, found: dict[str, Any], method: dict[str, Any],
           options: Options) -> Entry:  # fmt: skip
    made, findings = from_atoms(
        [int(z) for z in np.asarray(head.numbers)],
        np.asarray(atoms.positions, float).reshape(-1, 3),
        np.asarray(atoms.cell, float).reshape(3, 3),
        [bool(p) for p in np.asarray(head.pbc)],
        options.limits.sites,
    )
    energy, forces, moment = (found.get(k) for k in ("energy", "forces", "magmom"))
    labels = results(
        method,
        len(made),
        energy=float(energy) if isinstance(energy, (int, float)) else None,
        forces=None if forces is None else np.asarray(forces, float).reshape(-1, 3),
        moment=float(moment) if isinstance(moment, (int, float)) else None,
    )
    return Entry(made, labels, method, "", findings)


def read_trajectory(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the frames; ASE's units are eV, Å and μB."""
    first = None
    for item in _containers(blob):
        first = item if first is None else first
        head = item if item.get("numbers") is not None else first
        calculator = item.get("calculator")
        found = {} if calculator is None else calculator.asdict()
        method = {"code": str(found.get("name", ""))}
        yield _entry(item, head, found, method, options)


def read_gpw(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read structure, energy and forces of a GPAW restart file (eV, Å)."""
    for item in _containers(blob):
        atoms = item.get("atoms")
        if atoms is None:
            raise Unreadable("no-structure", "the file holds no atoms")
        blocks = (item.get("results"), item.get("parameters"))
        found, parameters = ({} if b is None else b.asdict() for b in blocks)
        functional = parameters.get("xc", "LDA")  # GPAW's default
        mode = parameters.get("mode", "fd")
        method = {
            "code": "GPAW",
            "version": str(item.get("gpaw_version", "")),
            "functional": str(
                functional.get("name", "")
                if isinstance(functional, dict)
                else functional
            ),
            "settings": {
                "mode": str(mode.get("name", "") if isinstance(mode, dict) else mode)
            },
        }
        yield _entry(atoms, atoms, found, method, options)
        return


FORMATS: tuple[Format, ...] = (
    Format(
        "ase-traj",
        lambda _, data: data.startswith(b"- of UlmASE-Trajectory"),
        read_trajectory,
        trajectory=True,
    ),
    Format("gpaw-gpw", lambda _, data: data[:12].lower() == b"- of ulmgpaw", read_gpw),
)
