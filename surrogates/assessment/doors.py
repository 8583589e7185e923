"""Open whatever MODEL names: checkpoint, potential, import path, predictions.

MLflow URIs are opened by ``campaigns.tracking``, which turns them into a folder first.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError, MissingExtra, SurrogateError
from surrogates.assessment.subject import (
    Guess,
    Predict,
    Refit,
    Subject,
    Training,
    predictor,
    trained_on,
)
from surrogates.neighbors import LEAST_VOLUME


def open_subject(model: str) -> Subject:
    """Return the subject that ``model`` names; tables are :func:`read_predictions`.

    A calculator's name means the calculator, also where a folder has that name: write
    ``./chgnet`` for the folder.

    Args:
        model: a checkpoint folder, a calculator's name (``chgnet``, ``emt``,
            ``chgnet:r2scan`` for other weights), or an import path
            ``module:name`` of a surrogate, an ASE calculator, a scikit-learn-like
            estimator (fed composition features) or a function of ``crystals``.

    Raises:
        SurrogateError: nothing of that name, of a kind that cannot be assessed, or a
            calculator's name that is also a checkpoint here.
    """
    from matdisco.evaluators.backends import BACKENDS
    from surrogates.checkpoint import DESCRIPTION

    path = Path(model)
    name, _, weights = model.partition(":")
    if name in BACKENDS:
        if (path / DESCRIPTION).is_file():
            raise SurrogateError(
                f"{model}: a calculator's name, and a checkpoint folder here; write "
                f"./{model} for the checkpoint, or go to another folder for the "
                "calculator"
            )
        return open_potential(name, weights or None)
    if path.is_dir():
        return open_checkpoint(path)
    if weights and not path.exists():
        return wrap(_imported(name, weights), model)
    raise SurrogateError(
        f"{model}: nothing to assess there; expected a checkpoint folder, a table of "
        "predictions (.csv, .parquet), an MLflow URI (models:/, runs:/), an import "
        f"path module:name, or one of {', '.join(BACKENDS)}"
    )


def open_checkpoint(folder: Path) -> Subject:
    """Open one of our surrogates."""
    from surrogates.checkpoint import load, read

    stored = read(folder)
    surrogate = load(folder)
    state, arrays = stored.state, stored.arrays
    recipe = getattr(surrogate, "recipe", None)
    return Subject(
        folder.name,
        "checkpoint",
        {
            "surrogate": str(stored.recipe.get("kind", "")),
            "recipe": dict(stored.recipe),
            "recipe_digest": recipe.digest() if recipe is not None else "",
            "files": _hashes(folder),
        },
        target=str(state.get("target", getattr(surrogate, "target", ""))),
        predict=predictor(surrogate),
        refit=trained_on(recipe) if recipe is not None else None,
        training=Training(
            str(state.get("dataset", getattr(surrogate, "dataset_hash", ""))),
            arrays.get("features"),
            arrays.get("labels"),
            str(stored.recipe.get("features", "")),
        ),
        files=folder,
    )


def open_potential(name: str, weights: str | None) -> Subject:
    """Open a calculator that matdisco knows."""
    from importlib.metadata import version
    from importlib.util import find_spec

    from matdisco.evaluators.backends import BACKENDS, load

    backend = BACKENDS[name]
    if backend.extra and find_spec(backend.module) is None:
        raise MissingExtra(backend.package, backend.extra)
    chosen = weights or next(iter(backend.checkpoints), None)
    path = weights if backend.from_path else None
    if weights and not path and weights not in backend.checkpoints:
        raise SurrogateError(
            f"{name} has no weights {weights!r}; known: "
            f"{', '.join(backend.checkpoints) or 'none'}"
        )
    return potential(
        name if weights is None else f"{name}:{weights}",
        lambda: load(name, None if path else chosen, path, {}),
        {
            "calculator": name,
            "weights": chosen or "",
            "version": version(backend.package),
        },
        elements=backend.elements,
        trusts=f"the installed package {backend.package}",
    )


def potential(
    name: str,
    factory: Callable[[], Any],
    identity: Mapping[str, Any],
    *,
    elements: frozenset[str] | None = None,
    trusts: str = "",
) -> Subject:
    """Wrap an ASE calculator: predicts energy per atom, eV/atom."""
    held: list[Any] = []

    def predict(crystals: Sequence[Crystal]) -> Guess:
        if not held:
            held.append(factory())
        values = np.full(len(crystals), np.nan)
        for i, crystal in enumerate(crystals):
            atoms = crystal.to_atoms()
            if abs(atoms.cell.volume) < LEAST_VOLUME * len(atoms):
                continue  # neighbour searches of others do not end in a flat cell
            atoms.calc = held[0]
            values[i] = float(atoms.get_potential_energy()) / len(atoms)
        return Guess(values, None)

    return Subject(
        name,
        "potential",
        dict(identity),
        target="energy_per_atom",
        predict=predict,
        calculator=factory,
        elements=elements,
        trusts_code=trusts,
    )


def wrap(thing: Any, name: str) -> Subject:
    """Make a subject of a Python object; classes and factories are called first."""
    identity = {"import": name, "source_sha256": _source_hash(thing)}
    trusts = f"the import path {name}"
    if inspect.isfunction(thing) and "crystals" in inspect.signature(thing).parameters:
        return Subject(
            name,
            "function",
            identity,
            predict=_from_function(thing),
            trusts_code=trusts,
        )
    made = thing() if inspect.isclass(thing) or inspect.isfunction(thing) else thing
    if hasattr(made, "get_potential_energy"):
        return potential(
            name, thing if callable(thing) else lambda: made, identity, trusts=trusts
        )
    if hasattr(made, "describe") and hasattr(made, "predict"):
        return _from_surrogate(thing, made, name, identity, trusts)
    if hasattr(made, "fit") and hasattr(made, "predict"):
        return _from_estimator(made, name, identity, trusts)
    raise SurrogateError(
        f"{name}: a {type(made).__name__} cannot be assessed; expected a surrogate "
        "(fit, predict, describe), an ASE calculator, an estimator (fit, predict) or a "
        "function with a parameter called crystals"
    )


def _from_function(function: Callable[..., Any]) -> Predict:
    def predict(crystals: Sequence[Crystal]) -> Guess:
        answer = function(crystals)
        mean, std = answer if isinstance(answer, tuple) else (answer, None)
        mean = np.asarray(mean, dtype=float)
        if mean.shape != (len(crystals),):
            raise DataError(
                f"expected {len(crystals)} predictions, one per crystal, got an array "
                f"of shape {mean.shape}"
            )
        return Guess(mean, None if std is None else np.asarray(std, dtype=float))

    return predict


def _from_surrogate(
    thing: Any, made: Any, name: str, identity: Mapping[str, Any], trusts: str
) -> Subject:
    fresh = callable(thing)

    def refit(data: Dataset, target: str, seed: int) -> Predict:
        surrogate = thing()
        surrogate.fit(data, target)
        return predictor(surrogate)

    fitted = bool(getattr(made, "target", ""))
    return Subject(
        name,
        "estimator",
        identity,
        target=str(getattr(made, "target", "")),
        predict=predictor(made) if fitted or not fresh else None,
        refit=refit if fresh else None,
        trusts_code=trusts,
    )


def _from_estimator(
    made: Any, name: str, identity: Mapping[str, Any], trusts: str
) -> Subject:
    """Feed a scikit-learn-like estimator the composition features."""
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    from surrogates.featurizers.composition import composition_features

    spread = "return_std" in inspect.signature(made.predict).parameters
    # our own CrystalRegressor takes crystals; everybody else's takes numbers
    whole = hasattr(made, "predict_joint")
    rows: Callable[[Sequence[Crystal]], Any] = list if whole else composition_features

    def predictor_of(estimator: Any) -> Predict:
        def predict(crystals: Sequence[Crystal]) -> Guess:
            x = rows(crystals)
            if not spread:
                return Guess(np.asarray(estimator.predict(x), dtype=float), None)
            mean, std = estimator.predict(x, return_std=True)
            return Guess(np.asarray(mean, dtype=float), np.asarray(std, dtype=float))

        return predict

    def refit(data: Dataset, target: str, seed: int) -> Predict:
        fresh = clone(made)
        if "random_state" in fresh.get_params():
            fresh.set_params(random_state=seed)
        fresh.fit(rows(data.crystals), data.values(target))
        return predictor_of(fresh)

    try:
        check_is_fitted(made)
        fitted = True
    except (NotFittedError, TypeError):
        fitted = False
    known: Refit | None = refit if hasattr(made, "get_params") else None
    return Subject(
        name,
        "estimator",
        {**identity, "parameters": repr(made)},
        predict=predictor_of(made) if fitted else None,
        refit=known,
        trusts_code=trusts,
    )


def _imported(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise SurrogateError(
            f"cannot import {module!r} ({error}); is its folder installed or on "
            "PYTHONPATH?"
        ) from error
    except AttributeError:
        raise SurrogateError(f"module {module!r} has no {name!r}") from None


def _source_hash(thing: Any) -> str:
    """Return the SHA-256 of the file that defines something, where there is one."""
    home = thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
    try:
        path = inspect.getsourcefile(home)
    except TypeError:
        return ""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def _hashes(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
