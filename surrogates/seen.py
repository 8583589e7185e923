"""What a checkpoint keeps of its training records, so that it can be audited alone.

Not the structures, which may be confidential: for each record a hash of the structure
as given, the composition, and the pair-distribution profile of
:mod:`matdisco.data.fingerprints` in bytes. Two records of one composition whose
profiles are near are called the same; pymatgen's judgement, which needs both
structures, is asked where the dataset itself is given.

How near was measured on 600 intermetallics, half of them known, with 150 strained and
displaced copies. Of the structures that the judge calls the same after 1 % and 0.03 Å
(148), 0.006 found all, and 4 more; of the prototypes after 3 % and 0.1 Å (142), 0.05
found all, and 21 more. A hash that only rounding survives found none of either.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.fingerprints import CENTRES, bare, block_key, profile
from matdisco.errors import DataError, SurrogateError
from matdisco.recipe import canonical_json, digest
from surrogates.base import Surrogate
from surrogates.pretraining import pretraining_records
from surrogates.targets import auxiliary_of

FILE = "training.json"
"""Beside the two files of a checkpoint, written after them."""
NEAR = {"structure": 0.006, "prototype": 0.05}
"""Level → cosine distance of profiles up to which two crystals count as one."""
_FORMAT = 1
_DIGITS = 16  # of a structure's hash: by chance two of 10^8 records agree once in 4,000
_STEPS = 255  # of a profile's numbers, 0 to 1; moves a distance by 0.0002 at most


@dataclass(frozen=True, eq=False)
class Seen:
    """Keys of the records that a surrogate learnt."""

    target: str
    """Label that it learnt."""
    structures: tuple[str, ...]
    """Hash of each structure as given, 16 hex digits."""
    compositions: tuple[str, ...]
    """Of each record, as :func:`~matdisco.data.fingerprints.composition_key`."""
    profiles: tuple[np.ndarray | None, ...]
    """Of each record, unit vector; None where it has none (a cell without volume)."""
    fitted: int
    """The first so many were in the fit, in its order; the others in the base."""
    base: str = ""
    """What the base was pretrained on; empty without."""

    @classmethod
    def of(cls, records: Dataset, surrogate: Surrogate, target: str) -> Self:
        """Return the keys of what ``surrogate`` learnt from ``records`` and before.

        Args:
            records: what its ``fit`` was given.
            surrogate: fitted.
            target: label that it learnt.

        Raises:
            SurrogateError: the dataset that it was pretrained on is gone.
        """
        recipe = learnt_recipe(surrogate)
        names = {target, *auxiliary_of(recipe)}
        learnt = [c for c in records.crystals if names & c.labels.keys()]
        base = str(getattr(recipe, "pretrain", None) or "")
        before: Sequence[Crystal] = ()
        if base:
            key = getattr(recipe, "pretrain_target", None) or target
            before = pretraining_records(base, key)[0].crystals
        every = [*learnt, *before]
        return cls(
            target,
            tuple(structure_key(c) for c in every),
            tuple(block_key(c) for c in every),
            tuple(_profile(c) for c in every),
            len(learnt),
            base,
        )

    def __len__(self) -> int:
        return len(self.structures)

    @property
    def elements(self) -> frozenset[str]:
        """Symbols of all elements that were seen."""
        every = set(self.compositions)
        return frozenset(symbol for key in every for symbol in elements_in(key))

    def without(self, structures: Collection[str]) -> Self:
        """Return the records whose structure is none of these keys."""
        left = [i for i, key in enumerate(self.structures) if key not in structures]
        return replace(
            self,
            structures=tuple(self.structures[i] for i in left),
            compositions=tuple(self.compositions[i] for i in left),
            profiles=tuple(self.profiles[i] for i in left),
            fitted=sum(i < self.fitted for i in left),
        )

    def matching(self, crystals: Sequence[Crystal]) -> dict[str, frozenset[str]]:
        """Return level → ids of the crystals with a counterpart among the records."""
        rows: dict[str, list[int]] = defaultdict(list)
        for i, composition in enumerate(self.compositions):
            rows[composition].append(i)
        exact, found = frozenset(self.structures), defaultdict(set)
        for crystal in crystals:
            here = rows.get(block_key(crystal))
            if not here:
                continue
            found["formula"].add(crystal.id)
            if structure_key(crystal) in exact:
                gap = 0.0
            else:
                gap = _gap(_profile(crystal), [self.profiles[i] for i in here])
            for level, bound in NEAR.items():
                if gap <= bound:
                    found[level].add(crystal.id)
        return {level: frozenset(found[level]) for level in (*NEAR, "formula")}

    def save(self, folder: Path) -> None:
        """Add :data:`FILE` to a checkpoint folder, in one step."""
        unique = sorted(set(self.compositions))
        at = {composition: i for i, composition in enumerate(unique)}
        parts = [
            np.round(p * _STEPS).astype(np.uint8).tobytes()
            for p in self.profiles
            if p is not None
        ]
        body = {
            "target": self.target,
            "base": self.base,
            "fitted": self.fitted,
            "structures": "".join(self.structures),
            "compositions": unique,
            "of": [at[c] for c in self.compositions],
            "without": [i for i, p in enumerate(self.profiles) if p is None],
            "profiles": base64.b64encode(zlib.compress(b"".join(parts), 9)).decode(),
        }
        text = canonical_json({"format": _FORMAT, "sha256": digest(body), "body": body})
        fresh = folder / f".{FILE}.writing-{os.getpid()}"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return what a checkpoint folder keeps; None where it keeps nothing.

        Raises:
            SurrogateError: the file is damaged.
        """
        path = Path(folder) / FILE
        if not path.exists():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            body = data["body"]
            if data["format"] != _FORMAT or digest(body) != data["sha256"]:
                raise ValueError("its hash differs, or it is of another version")
            text, of = body["structures"], body["of"]
            compositions = tuple(body["compositions"][i] for i in of)
            vectors = zlib.decompress(base64.b64decode(body["profiles"]))
            return cls(
                body["target"],
                tuple(text[_DIGITS * i : _DIGITS * (i + 1)] for i in range(len(of))),
                compositions,
                _unpacked(vectors, compositions, frozenset(body["without"])),
                body["fitted"],
                body["base"],
            )
        except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
            raise SurrogateError(
                f"{path}: damaged, or written by another version of matdisco "
                f"({error}); fit the surrogate again, or remove this file and give "
                "the audit the training dataset"
            ) from error


def learnt_recipe(surrogate: Surrogate | None) -> object:
    """Return the recipe of what learnt: under ``auto``, of the one that it chose."""
    chosen = getattr(surrogate, "chosen", None)
    return getattr(surrogate if chosen is None else chosen, "recipe", None)


def elements_in(composition: str) -> list[str]:
    """Return the symbols in a composition as :class:`Seen` keeps it.

    >>> elements_in("Al0.500 Ni0.500")
    ['Al', 'Ni']
    """
    return [part.rstrip("0123456789.") for part in composition.split(" ")]


def structure_key(crystal: Crystal) -> str:
    """Return the hash of the structure as given, 16 hex digits."""
    return crystal.structure_hash[:_DIGITS]


def _profile(crystal: Crystal) -> np.ndarray | None:
    try:
        return profile(bare(crystal.structure))
    except DataError:  # no volume, or too flat
        return None


def _gap(mine: np.ndarray | None, others: Sequence[np.ndarray | None]) -> float:
    """Return the least cosine distance, infinite where there is nothing to compare."""
    if mine is None:
        return float("inf")
    gaps = [1 - float(mine @ v) for v in others if v is not None]
    return min(gaps, default=float("inf"))


def _unpacked(
    data: bytes, compositions: Sequence[str], without: Collection[int]
) -> tuple[np.ndarray | None, ...]:
    """Cut the bytes of all profiles into one vector per record, of length 1."""
    made: list[np.ndarray | None] = []
    start = 0
    for i, composition in enumerate(compositions):
        if i in without:
            made.append(None)
            continue
        n = composition.count(" ") + 1
        size = n * (n + 1) // 2 * len(CENTRES)
        vector = np.frombuffer(data, np.uint8, size, start).astype(float)
        made.append(vector / np.linalg.norm(vector))
        start += size
    return tuple(made)
