"""Every potential by name: what brings it, what it was made for, what it costs.

Nothing heavy is imported before a backend is loaded. Names that are not in the table
may be import paths ``module:Class`` of any ASE calculator.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.elements import SYMBOLS

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

_EMT = frozenset({"Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt", "H", "C", "N", "O"})
# CHGNet 0.3.0 and SevenNet-0 were trained on MPtrj, 89 elements (B. Deng et al., Nat.
# Mach. Intell. 5, 1031 (2023)): all up to Pu but Po, At, Rn, Fr and Ra. MatPES, which
# DIEP learned, has the same ones (A. D. Kaplan et al., arXiv:2503.04070).
_MPTRJ = frozenset(SYMBOLS[:94]) - {"Po", "At", "Rn", "Fr", "Ra"}
_ANY = frozenset(SYMBOLS)

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Backend:
    """What is known of one calculator before it is loaded."""

    package: str
    """Distribution that brings it."""
    module: str
    """Name under which that is imported."""
    extra: str | None
    """matdisco extra that installs the package; None where it is always there, ""
    where it needs an environment of its own."""
    elements: frozenset[str]
    """Elements it was made for."""
    seconds: tuple[float, float]
    """Relaxation cost on one core as (per cell, per atom), s; measured on 2020s
    server cores with small cells."""
    factory: Callable[[str | None, str | None, Settings], Calculator]
    """Loads it; arguments are checkpoint, path of the weights, further settings."""
    checkpoints: Mapping[str, str]
    """Names of the weights that ship with it, the default first, each with the level
    of theory it learned."""
    max_atoms: int = 1000
    """Largest cell that is sensible on one core."""
    from_path: bool = False
    """Whether it needs ``weights``: a file that the user has fetched."""


def _emt(_: str | None, path: str | None, settings: Settings) -> Calculator:
    from ase.calculators.emt import EMT

    calculator: Calculator = EMT(**settings)
    return calculator


def _lennard_jones(_: str | None, path: str | None, settings: Settings) -> Calculator:
    from ase.calculators.lj import LennardJones

    # argon by default: epsilon 0.0104 eV, sigma 3.40 Å (A. Rahman, Phys. Rev. 136,
    # A405 (1964)); smooth, because a jump at the cutoff makes stress and energy differ
    argon = {"epsilon": 0.0104, "sigma": 3.40, "rc": 10.2, "smooth": True}
    calculator: Calculator = LennardJones(**{**argon, **settings})
    return calculator


def _chgnet(checkpoint: str | None, path: str | None, settings: Settings) -> Calculator:
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    if path:
        model = CHGNet.from_file(path)
    else:
        model = CHGNet.load(
            model_name=checkpoint or "0.3.0", use_device="cpu", verbose=False
        )
    # Weights are constants here: without this every force call also
    # accumulates gradients for 400,000 parameters.
    model.requires_grad_(False)
    calculator: Calculator = CHGNetCalculator(
        model, use_device="cpu", on_isolated_atoms="error", **settings
    )
    return calculator


def _sevennet(
    checkpoint: str | None, path: str | None, settings: Settings
) -> Calculator:
    from sevenn.calculator import SevenNetCalculator

    name, _, modal = (checkpoint or "7net-0").partition("/")
    options: dict[str, Any] = {"modal": modal} if modal else {}
    calculator: Calculator = SevenNetCalculator(
        path or name, device="cpu", **options, **settings
    )
    return calculator


def _diep(checkpoint: str | None, path: str | None, settings: Settings) -> Calculator:
    from diep.pretrained import make_calculator

    # without a path the weights in the package, diep_fold1
    calculator: Calculator = make_calculator(path, **{"device": "cpu", **settings})
    return calculator


def _mace(_: str | None, path: str | None, settings: Settings) -> Calculator:
    from mace.calculators import MACECalculator

    calculator: Calculator = MACECalculator(
        model_paths=path, **{"device": "cpu", "default_dtype": "float64", **settings}
    )
    return calculator


def _matgl(_: str | None, path: str | None, settings: Settings) -> Calculator:
    import matgl
    from matgl.ext.ase import PESCalculator

    calculator: Calculator = PESCalculator(
        matgl.load_model(path), **{"stress_unit": "eV/A3", **settings}
    )
    return calculator


def _orb(_: str | None, path: str | None, settings: Settings) -> Calculator:
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.calculator import ORBCalculator

    options = dict(settings)
    build = getattr(pretrained, options.pop("model", "orb_v3_conservative_inf_omat"))
    # compiling takes minutes in every worker; relaxations of a few atoms never earn it
    how = {"precision": "float32-highest", "compile": False}
    how = {key: options.pop(key, value) for key, value in how.items()}
    model = build(weights_path=path, device="cpu", **how)
    calculator: Calculator = ORBCalculator(model, device="cpu", **options)
    return calculator


def _mattersim(_: str | None, path: str | None, settings: Settings) -> Calculator:
    from mattersim.forcefield import MatterSimCalculator

    calculator: Calculator = MatterSimCalculator(
        load_path=path, **{"device": "cpu", **settings}
    )
    return calculator


def _lammps(_: str | None, path: str | None, settings: Settings) -> Calculator:
    from ase.calculators.lammpslib import LAMMPSlib

    _find_mpi()
    options = {"keep_alive": True, **settings}
    if path and "lmpcmds" in options:
        options["lmpcmds"] = [c.replace("{weights}", path) for c in options["lmpcmds"]]
    calculator: Calculator = LAMMPSlib(**options)
    return calculator


def _find_mpi() -> None:
    """Load the MPI library that pip put beside Python, where LAMMPS does not look."""
    import ctypes
    import sys

    library = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


_NEW = (0.5, 0.3)  # s; not measured here, taken as a graph network like the others
BACKENDS: dict[str, Backend] = {
    "emt": Backend("ase", "ase", None, _EMT, (0.05, 0.005), _emt, {"": "EMT"}),
    "lennard-jones": Backend(
        "ase", "ase", None, _ANY, (0.05, 0.02), _lennard_jones, {"": "Lennard-Jones"}
    ),
    "chgnet": Backend(
        "chgnet", "chgnet", "chgnet", _MPTRJ, (0.4, 0.3), _chgnet,
        {
            "0.3.0": "PBE(+U), MP2020-corrected",
            "r2scan": "r2SCAN",
            "0.2.0": "PBE(+U), MP2020-corrected",
        },
    ),
    "sevennet": Backend(
        "sevenn", "sevenn", "sevennet", _MPTRJ, (0.4, 0.3), _sevennet,
        {
            "7net-0": "PBE(+U), uncorrected",
            "7net-mf-0/PBE": "PBE(+U), uncorrected",
            "7net-mf-0/R2SCAN": "r2SCAN",
            "7net-l3i5": "PBE(+U), uncorrected",
        },
    ),
    "diep": Backend(
        "diep", "diep", "diep", _MPTRJ, (0.6, 0.35), _diep, {"fold1": "r2SCAN (MatPES)"}
    ),
    "mace": Backend(
        "mace-torch", "mace", "", _ANY, _NEW, _mace, {}, from_path=True
    ),
    "matgl": Backend("matgl", "matgl", "", _ANY, _NEW, _matgl, {}, from_path=True),
    "orb": Backend(
        "orb-models", "orb_models", "", _ANY, _NEW, _orb, {}, from_path=True
    ),
    "mattersim": Backend(
        "mattersim", "mattersim", "", _ANY, _NEW, _mattersim, {}, from_path=True
    ),
    "lammps": Backend(
        "lammps", "lammps", "lammps", _ANY, (0.05, 0.01), _lammps, {}, 10_000
    ),
}  # fmt: skip


def load(
    name: str, checkpoint: str | None, path: str | None, settings: Settings
) -> Calculator:
    """Load a calculator by its name in :data:`BACKENDS` or by import path.

    Raises:
        ImportError: a package is missing; any error of the backend's own.
    """
    with warnings.catch_warnings():
        # imported packages warn about torch and numpy versions they do not know
        warnings.simplefilter("ignore")
        if name in BACKENDS:
            return BACKENDS[name].factory(checkpoint, path, settings)
        from importlib import import_module

        module, _, attribute = name.partition(":")
        calculator: Calculator = getattr(import_module(module), attribute)(**settings)
        return calculator
