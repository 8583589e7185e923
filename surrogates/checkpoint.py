"""Surrogates on disk: numbers as safetensors, everything else as JSON, no pickle.

A checkpoint is a folder of two files. ``surrogate.json`` holds recipe, target,
elements, calibration, dataset hash, package versions and the SHA-256 of both files;
``weights.safetensors`` holds the arrays. The folder appears in one rename, so a crash
leaves either the old checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matdisco.errors import ConfigError, SurrogateError
from matdisco.recipe import canonical_json, digest
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.recipes import recipe_of

if TYPE_CHECKING:
    from surrogates.base import Surrogate

FORMAT = 2
"""Raised when a reader of the old format could no longer understand the new one."""
DESCRIPTION = "surrogate.json"
WEIGHTS = "weights.safetensors"
_PACKAGES = (
    "matdisco",
    "torch",
    "torch-geometric",
    "scikit-learn",
    "numpy",
    "pymatgen",
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A fitted surrogate as plain data."""

    recipe: Mapping[str, Any]
    """The recipe's fields, ``kind`` among them."""
    state: Mapping[str, Any]
    """Plain JSON data: target, seed, scale, elements, hashes, metrics."""
    arrays: Mapping[str, np.ndarray]
    """Weights or training tables by name."""


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``folder`` in one step, replacing a checkpoint that is there."""
    from safetensors.numpy import save

    weights = save({k: np.ascontiguousarray(v) for k, v in checkpoint.arrays.items()})
    body = {
        "recipe": dict(checkpoint.recipe),
        "state": dict(checkpoint.state),
        "versions": _versions(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = canonical_json({"format": FORMAT, "sha256": digest(body), "body": body})
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.writing-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name, content in ((WEIGHTS, weights), (DESCRIPTION, text.encode())):
        with (fresh / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    try:
        fresh.rename(folder)
    except OSError:  # something is there, perhaps written by another process just now
        old = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old)


def read(folder: Path) -> Checkpoint:
    """Read and verify a checkpoint folder.

    Raises:
        SurrogateError: missing, foreign, truncated or altered; says which file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    folder = Path(folder)
    try:
        text = (folder / DESCRIPTION).read_bytes()
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise SurrogateError(
            f"{folder}: not a surrogate checkpoint; expected the files {DESCRIPTION} "
            f"and {WEIGHTS} ({error.strerror})"
        ) from error
    try:
        data = json.loads(text)
        form, body, seal = data["format"], data["body"], data["sha256"]
        recipe, state = body["recipe"], body["state"]
        sealed = body["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise SurrogateError(
            f"{folder / DESCRIPTION}: damaged or not written by matdisco"
        ) from error
    if form != FORMAT:
        raise SurrogateError(
            f"{folder / DESCRIPTION}: format {form}, expected {FORMAT}; "
            "use the matdisco version that wrote it"
        )
    if digest(body) != seal:
        raise SurrogateError(f"{folder / DESCRIPTION}: damaged (its hash differs)")
    if hashlib.sha256(weights).hexdigest() != sealed:
        raise SurrogateError(f"{folder / WEIGHTS}: damaged (its hash differs)")
    try:
        arrays = load_arrays(weights)
    except SafetensorError as error:  # pragma: no cover - the hash catches it first
        raise SurrogateError(f"{folder / WEIGHTS}: {error}") from error
    return Checkpoint(recipe, state, arrays)


def load(folder: Path | str) -> Surrogate:
    """Return the fitted surrogate that was saved in ``folder``.

    Raises:
        SurrogateError: the folder is no checkpoint, or is damaged.
    """
    return restored(read(Path(folder)), str(folder))


def restored(checkpoint: Checkpoint, place: str) -> Surrogate:
    """Return the fitted surrogate of a checkpoint that was read from ``place``.

    Raises:
        SurrogateError: its recipe is unknown, or its arrays are not what this version
            makes of that recipe.
    """
    try:
        recipe = recipe_of(dict(checkpoint.recipe), place)
    except ConfigError as error:
        raise SurrogateError(
            f"{error}\nThe recipe of this checkpoint is not one that this version of "
            "matdisco knows; load it with the version that wrote it"
        ) from error
    try:
        return _rebuilt(recipe, checkpoint)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        # the file is whole, so another version wrote other arrays under this recipe
        raise SurrogateError(
            f"{place}: written by a version of matdisco whose {recipe.kind} has other "
            f"arrays ({' '.join(str(error).split())[:200]}); fit it again, or load it "
            "with the version that wrote it"
        ) from error


def _rebuilt(recipe: Any, checkpoint: Checkpoint) -> Surrogate:
    if isinstance(recipe, NetworkEnsembleRecipe):
        from surrogates.ensemble import NetworkEnsemble

        return NetworkEnsemble.restored(recipe, checkpoint)
    made: Surrogate = recipe.restore(checkpoint)
    return made


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
