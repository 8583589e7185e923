"""netCDF by the ETSF specification, in both of its forms."""

import builtins
import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file

from matdisco.data.readers import Limits, RawRecord, read

BOHR, HARTREE = 0.529177210544, 27.211386245981  # Å, eV; CODATA 2022
CELL = np.array([[0, 4, 4], [4, 0, 4], [4, 4, 0]], float)
PARTS = {
    "primitive_vectors": CELL,
    "reduced_atom_positions": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
    "atom_species": np.array([2, 1], "i4"),
    "atomic_numbers": np.array([8.0, 12.0]),
    "etotal": np.array(-75.0),
    "ixc": np.array(11, "i4"),
    "cartesian_forces": np.array([[0, 0, 0.01], [0, 0, -0.01]]),
}


def hdf5(path: Path, parts: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            file[name] = values
        file.attrs["code"], file.attrs["abinit_version"] = b"Abinit", b"10.1.4"
    return path


def classic(path: Path, parts: dict[str, np.ndarray]) -> Path:
    with netcdf_file(path, "w") as file:
        for name, values in parts.items():
            axes = tuple(f"{name}_{i}" for i in range(values.ndim))
            for axis, size in zip(axes, values.shape, strict=True):
                file.createDimension(axis, size)
            held = file.createVariable(name, values.dtype, axes)
            held.data[...] = values
        file.code, file.abinit_version = "Abinit", "10.1.4"
    return path


def one(path: Path) -> RawRecord:
    (record,) = read(path, limits=Limits(isolate=False))
    return record


@pytest.mark.parametrize("write", [hdf5, classic])
def test_structure_energy_and_forces_in_ev_and_angstrom(tmp_path, write) -> None:  # type: ignore[no-untyped-def]
    record = one(write(tmp_path / "run_GSR.nc", PARTS))
    crystal = record.crystal
    assert crystal is not None and record.format == "etsf-netcdf"
    assert [s.specie.symbol for s in crystal.structure] == ["Mg", "O"]
    np.testing.assert_allclose(crystal.structure.lattice.matrix, CELL * BOHR)
    energy = crystal.labels["energy"]
    assert energy.value == pytest.approx(-75 * HARTREE)
    assert energy.method == "ABINIT 10.1.4; PBE"
    assert crystal.value("max_force") == pytest.approx(0.01 * HARTREE / BOHR)


@pytest.mark.parametrize("write", [hdf5, classic])
@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"atomic_numbers": None}, "unsupported", "no atomic_numbers"),
        ({"atom_species": np.array([2, 3], "i4")}, "count-mismatch", "goes to 3"),
        ({"primitive_vectors": CELL * np.nan}, "bad-number", ""),
        ({"atomic_numbers": np.array([8.0, 400.0])}, "unknown-species", ""),
    ],
)
def test_what_is_wrong_is_said(tmp_path, write, change, rule, words) -> None:  # type: ignore[no-untyped-def]
    parts = {k: v for k, v in (PARTS | change).items() if v is not None}
    record = one(write(tmp_path / "x", parts))
    assert record.crystal is None
    (finding,) = record.findings
    assert finding.rule == rule and words in finding.message


@pytest.mark.parametrize("write", [hdf5, classic])
def test_a_truncated_file_is_called_so(tmp_path, write) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / "x", PARTS)
    path.write_bytes(path.read_bytes()[:200])
    assert one(path).findings[0].rule in ("truncated", "unreadable")


def test_without_h5py_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hdf5(tmp_path / "x", PARTS)
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    assert 'pip install "matdisco[hdf5]"' in one(path).findings[0].message


def test_too_many_sites_are_not_loaded() -> None:
    from matdisco.data.readers.etsf import _Variables

    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file.create_dataset("reduced_atom_positions", shape=(10**9, 3), dtype="f8")
    found = _Variables(data.getvalue(), 60_000)
    assert found.get("reduced_atom_positions") is None
    found.close()
