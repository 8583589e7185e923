"""Leakage audit: which crystals of a pool a surrogate was trained on.

Good scores on such crystals say nothing about new ones. Three levels, each holding the
one before: the same *structure* written in any way, the same *prototype* with the same
composition (pymatgen's default tolerances), the same *formula*. Datasets are compared
by structure; without them, by what the checkpoint keeps (:mod:`surrogates.seen`).
Pretrained potentials saw crystals that no file here lists; for them the audit says what
is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.duplicates import group_duplicates
from matdisco.data.fingerprints import Level, block_key
from matdisco.errors import SurrogateError
from surrogates.base import Surrogate, labelled
from surrogates.pretraining import pretraining_records
from surrogates.seen import Seen, learnt_recipe, structure_key
from surrogates.targets import auxiliary_of

LEVELS: Mapping[str, Level | None] = {
    "structure": "same",
    "prototype": "similar",
    "formula": None,
}
"""Name of a level → how alike two crystals of one composition must be."""
POTENTIALS: Mapping[str, str] = {
    "chgnet": "CHGNet 0.3.0 learnt energies, forces, stresses and magnetic moments of "
    "1.6 million Materials Project frames (MPtrj: PBE and PBE+U with MP2020 "
    "corrections; Deng et al., Nature Machine Intelligence 5, 1031 (2023))",
    "sevennet": "SevenNet-0 learnt energies, forces and stresses of the same Materials "
    "Project frames (MPtrj; Park et al., J. Chem. Theory Comput. 20, 4857 (2024))",
}
"""What the potentials were trained on."""


@dataclass(frozen=True)
class LeakageReport:
    """What of a pool was in the training data."""

    pool: str
    """Name of the pool."""
    training: tuple[str, ...]
    """What it was compared with: datasets, or what the checkpoint keeps."""
    n_pool: int
    """Crystals in the pool."""
    seen: Mapping[str, tuple[str, ...]]
    """Level → ids of pool crystals with a counterpart in the training data."""
    new_elements: tuple[str, ...] = ()
    """Elements of the pool that no training record holds."""
    warnings: tuple[str, ...] = field(default=())
    """What else a reader must know, one sentence each."""

    @property
    def compared(self) -> bool:
        """Whether any training record was there to compare with."""
        return bool(self.training)

    @property
    def leaks(self) -> bool:
        """Whether any pool crystal was trained on, as structure or prototype."""
        return bool(self.seen["prototype"])

    @override
    def __str__(self) -> str:
        head = f"{self.pool}: {self.n_pool:,} crystals"
        if self.compared:
            lines = [f"{head} compared with {', '.join(self.training)}"]
            lines += [self._line(level) for level in LEVELS]
        else:  # not three zeros: nobody looked
            lines = [f"{head}, not compared: no training record is known"]
        if self.new_elements:
            lines.append(f"  elements never seen: {' '.join(self.new_elements)}")
        lines += [f"  note: {w}" for w in self.warnings]
        return "\n".join(lines)

    def _line(self, level: str) -> str:
        ids = self.seen[level]
        share = len(ids) / max(self.n_pool, 1)
        line = f"  same {level:<10} {len(ids):>7,}  ({share:.1%})"
        return f"{line}  for example {', '.join(ids[:3])}" if ids else line


def audit(
    pool: Dataset,
    training: Sequence[Dataset] = (),
    *,
    surrogate: Surrogate | None = None,
    target: str | None = None,
    seen: Seen | None = None,
    workers: int = 1,
) -> LeakageReport:
    """Compare ``pool`` with everything that a surrogate may have learnt.

    Of a dataset that holds records which ``seen`` lists only these count: its test part
    was not learnt. What is listed and in no dataset is compared by what is listed.

    Args:
        pool: candidates or a test set.
        training: datasets that the surrogate was fitted on or pretrained with.
        surrogate: fitted; its recipe says which potentials it rests on and its
            checkpoint whether ``training`` is what it was fitted on.
        target: label it learns; records of ``training`` with neither that nor an
            auxiliary label do not count.
        seen: what its checkpoint keeps of its training records.
        workers: processes to use.
    """
    listed = frozenset(() if seen is None else seen.structures)
    known: list[Crystal] = []
    notes = []
    for data in training:
        learnt = _learnt(data, surrogate, target)
        mine = [c for c in learnt if structure_key(c) in listed]
        if listed and not mine:
            notes.append(
                f"the checkpoint lists none of the records of {data.name}, so all of "
                "them count"
            )
        known += mine or learnt
    left = None if seen is None else seen.without({structure_key(c) for c in known})
    names = [d.name for d in training if len(d)]
    if seen is not None and left is not None and len(left):
        names.append(f"what the checkpoint keeps of {len(left):,} records")
        notes.append(_by_keys(len(left), len(seen), bool(training)))
    found = _seen(pool, known, left, workers)
    elements = {e for c in known for e in c.elements} | (
        left.elements if left else set()
    )
    new = tuple(e for e in pool.elements if e not in elements) if names else ()
    notes += _about_data(training, surrogate, target, seen)
    notes += _about_potentials(surrogate)
    return LeakageReport(pool.name, tuple(names), len(pool), found, new, tuple(notes))


def _learnt(
    data: Dataset, surrogate: Surrogate | None, target: str | None
) -> list[Crystal]:
    """Return the records with a label that the surrogate, or its base, learns."""
    if target is None:
        return list(data.crystals)
    recipe = learnt_recipe(surrogate)
    names = {target, *auxiliary_of(recipe), getattr(recipe, "pretrain_target", None)}
    return [c for c in data.crystals if names & c.labels.keys()]


def _seen(
    pool: Dataset, known: list[Crystal], left: Seen | None, workers: int
) -> dict[str, tuple[str, ...]]:
    """Return level → ids: by pymatgen's judgement, and by what a checkpoint keeps."""
    keys = {block_key(c) for c in known}
    shared = [c for c in pool.crystals if block_key(c) in keys]
    kept = left.matching(pool.crystals) if left else {}
    out = {}
    for level, alike in LEVELS.items():
        ids = {c.id for c in _matching(known, shared, alike, workers)}
        ids |= kept.get(level, frozenset())
        out[level] = tuple(c.id for c in pool.crystals if c.id in ids)
    return out


def _matching(
    known: list[Crystal], shared: list[Crystal], alike: Level | None, workers: int
) -> list[Crystal]:
    """Return the crystals of ``shared`` that have a counterpart in ``known``."""
    if alike is None or not shared:
        return shared
    groups = group_duplicates([*known, *shared], alike, workers=workers)
    n = len(known)
    found = {i - n for g in groups if g[0] < n for i in g if i >= n}
    return [c for i, c in enumerate(shared) if i in found]


def _by_keys(left: int, every: int, given: bool) -> str:
    how = (
        "by composition and pair distribution, which calls a few more the same than "
        "their structures would"
    )
    if given:
        return (
            f"{left:,} of the {every:,} records that it learnt are in none of the "
            f"datasets given; they were compared {how}"
        )
    return f"compared {how}; give the dataset that it learnt to compare structures"


def _about_data(
    training: Sequence[Dataset],
    surrogate: Surrogate | None,
    target: str | None,
    seen: Seen | None,
) -> list[str]:
    """Say what is not known of the data that it learnt."""
    if surrogate is None:
        return []
    recipe, notes = learnt_recipe(surrogate), []
    base = getattr(recipe, "pretrain", None)
    if base and not (seen and seen.base) and not _has_base(training, recipe, target):
        notes.append(f"it was pretrained on {base}; give that dataset as well")
    stated = surrogate.describe().get("dataset", "")
    hashes = {
        (labelled(d, target)[0] if target else d).content_hash[:16] for d in training
    }
    if stated and seen is None and stated not in hashes:
        notes.append(
            f"its checkpoint says it was fitted on dataset {stated}, which is none of "
            "those given; what that holds is unknown here"
        )
    return notes


def _has_base(training: Sequence[Dataset], recipe: object, target: str | None) -> bool:
    """Tell by content, not by name, whether a dataset is what the base learnt."""
    key = getattr(recipe, "pretrain_target", None) or target
    if key is None:
        return False
    try:
        base = pretraining_records(str(getattr(recipe, "pretrain", "")), key)[0]
    except SurrogateError:  # gone: nobody can tell
        return False
    return any(labelled(d, key)[0].content_hash == base.content_hash for d in training)


def _about_potentials(surrogate: Surrogate | None) -> list[str]:
    recipe = learnt_recipe(surrogate)
    words = [getattr(recipe, name, None) for name in ("features", "trend", "potential")]
    used = {part for word in words if word for part in str(word).split("+")}
    return [
        f"{meaning}. Formulas of that database count as seen for every energy-like "
        "target, and any pool labelled by this potential is fully leaked"
        for name, meaning in POTENTIALS.items()
        if any(word.partition("_")[0] == name for word in used)
    ]


def overlap_free(pool: Dataset, report: LeakageReport, level: str) -> Dataset:
    """Return the pool without what the report found at ``level``."""
    gone = set(report.seen[level])
    rows = [i for i, name in enumerate(pool.ids) if name not in gone]
    return pool.take(np.array(rows, dtype=np.int64))
