"""GPAW, plane waves, serial: J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024).

GPAW is under the GPL and builds from source, so it is an extra, imported late.
``make gpaw`` installs it with nothing but a C++ compiler.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.errors import SetupError
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.dft.presets import MAGNETIC
from matdisco.evaluators.simulator_recipe import Changes

if TYPE_CHECKING:
    from ase import Atoms

    from matdisco.evaluators.dft.recipe import DftRecipe

HOW = (
    "GPAW is not installed; install it with: make gpaw, or by hand (needs g++): "
    "printf \"compiler = 'g++'\\nmpi = False\\nnoblas = True\\nnolibxc = True\\n"
    'libraries = []\\n" > gpaw_siteconfig.py && GPAW_CONFIG=$PWD/gpaw_siteconfig.py '
    "pip install gpaw gpaw-data"
)
BUILT_IN = ("PBE", "LDA", "RPBE", "revPBE", "PW91")
"""Functionals of a build without libxc."""
ITERATIONS = 120
"""Self-consistency cycles before giving up; solids of a few atoms take 15 to 40."""


class Gpaw:
    """GPAW as an :class:`~matdisco.evaluators.simulator.Engine`."""

    def __init__(self, recipe: DftRecipe) -> None:
        import gpaw

        self.recipe = recipe
        self.method = f"GPAW {recipe.functional} {recipe.cutoff:g} eV"
        self.versions = {"gpaw": str(gpaw.__version__)}
        self.details = recipe.details

    @staticmethod
    def check(recipe: DftRecipe, elements: frozenset[str]) -> None:
        """Refuse before anything is spent.

        Raises:
            SetupError: GPAW, a PAW dataset or the functional is missing.
        """
        if find_spec("gpaw") is None:
            raise SetupError(HOW)
        if find_spec("_gpaw") is None:
            raise SetupError(
                "GPAW is installed without its compiled part (_gpaw), as happens with "
                f"GPAW_BUILD_JOBS set; uninstall it and build it again. {HOW}"
            )
        if recipe.functional not in BUILT_IN and not _has_libxc():
            raise SetupError(
                f"evaluator.functional: this GPAW was built without libxc and knows "
                f"{', '.join(BUILT_IN)}, not {recipe.functional!r}"
            )
        datasets = _datasets()
        missing = sorted(
            e for e in elements if f"{e}.{_setup(recipe.functional)}" not in datasets
        )
        if datasets and missing:
            raise SetupError(
                f"GPAW has no {_setup(recipe.functional)} PAW dataset of "
                f"{', '.join(missing)}; set GPAW_SETUP_PATH to a folder that has them"
            )

    def calculator(self, atoms: Atoms, folder: Path, changes: Changes) -> Any:
        """Return a fresh GPAW; its log goes to ``folder/gpaw.txt``."""
        from gpaw import GPAW, PW, FermiDirac, Mixer, MixerSum

        recipe = self.recipe
        polarised = moments(atoms, recipe.spin)
        mix = MixerSum if polarised else Mixer
        molecule = bool(atoms.info.get("molecule"))
        options: dict[str, Any] = {
            "mode": PW(recipe.cutoff),
            "xc": recipe.functional,
            "kpts": (1, 1, 1)
            if molecule
            else {"density": recipe.density, "gamma": True},
            "occupations": FermiDirac(0.02 if molecule else recipe.width),
            "mixer": mix(beta=0.05, nmaxold=5, weight=50.0),
            "maxiter": ITERATIONS,
            "spinpol": polarised,
            "txt": str(folder / "gpaw.txt"),
            **recipe.settings,
        }
        # a further try changes even what the settings say: with them it has failed
        if "smearing" in changes and not molecule:
            options["occupations"] = FermiDirac(changes["smearing"])
        if "mixing" in changes:
            options["mixer"] = mix(beta=changes["mixing"], nmaxold=5, weight=50.0)
        if "iterations" in changes:
            options["maxiter"] = changes["iterations"]
        return GPAW(**options)

    def recognise(self, error: Exception, folder: Path) -> EvaluationFailed | None:
        """Name GPAW's errors; the one of self-consistency has an empty message."""
        name = type(error).__name__
        if name in ("KohnShamConvergenceError", "ConvergenceError"):
            return EvaluationFailed(
                FailureKind.NOT_CONVERGED,
                str(error)
                or "the self-consistency cycle did not converge (GPAW says "
                f"no more; its log: {folder / 'gpaw.txt'})",
            )
        if isinstance(error, MemoryError):
            return EvaluationFailed(FailureKind.OUT_OF_MEMORY, "GPAW ran out of memory")
        return None


def moments(atoms: Atoms, spin: str) -> bool:
    """Set starting moments (high spin) where wanted; tell whether any were set."""
    symbols = atoms.get_chemical_symbols()
    triplet = bool(atoms.info.get("molecule")) and set(symbols) == {"O"}
    wanted = spin == "on" or triplet or bool(MAGNETIC & set(symbols))
    if spin == "off" or not wanted:
        return False
    # 5 μB for d and f elements, a little for the rest, as the Materials Project starts
    start = [1.0 if triplet else 5.0 if s in MAGNETIC else 0.6 for s in symbols]
    atoms.set_initial_magnetic_moments(start)
    return True


def _setup(functional: str) -> str:
    return functional if functional in ("LDA", "RPBE", "revPBE") else "PBE"


def _datasets() -> frozenset[str]:
    """Return ``El.XC`` of every PAW dataset on this machine, without loading GPAW."""
    import os

    folders = [Path(p) for p in os.environ.get("GPAW_SETUP_PATH", "").split(":") if p]
    found = find_spec("gpaw_data")
    if found and found.submodule_search_locations:
        folders += [Path(p) / "setups" for p in found.submodule_search_locations]
    return frozenset(
        path.name.removesuffix(".gz")
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
    )


def _has_libxc() -> bool:
    import _gpaw

    return hasattr(_gpaw, "lxcXCFunctional")
