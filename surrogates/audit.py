"""Leakage audit: which crystals of a pool a surrogate was trained on.

Good scores on such crystals say nothing about new ones. Three levels, each holding the
one before: the same *structure* written in any way, the same *prototype* with the same
composition (pymatgen's default tolerances), the same *formula*. Pretrained potentials
saw crystals that no file here lists; for them the audit says what is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.duplicates import group_duplicates
from matdisco.data.fingerprints import Level, composition_key
from surrogates.base import Surrogate, labelled

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
    """Names of the training datasets that were compared."""
    n_pool: int
    """Crystals in the pool."""
    seen: Mapping[str, tuple[str, ...]]
    """Level → ids of pool crystals with a counterpart in the training data."""
    new_elements: tuple[str, ...] = ()
    """Elements of the pool that no training record holds."""
    warnings: tuple[str, ...] = field(default=())
    """What else a reader must know, one sentence each."""

    @property
    def leaks(self) -> bool:
        """Whether any pool crystal was trained on, as structure or prototype."""
        return bool(self.seen["prototype"])

    @override
    def __str__(self) -> str:
        compared = ", ".join(self.training) or "no dataset"
        lines = [f"{self.pool}: {self.n_pool:,} crystals compared with {compared}"]
        for level in LEVELS:
            ids = self.seen[level]
            share = len(ids) / max(self.n_pool, 1)
            line = f"  same {level:<10} {len(ids):>7,}  ({share:.1%})"
            if ids:
                line += f"  for example {', '.join(ids[:3])}"
            lines.append(line)
        if self.new_elements:
            lines.append(f"  elements never seen: {' '.join(self.new_elements)}")
        lines += [f"  note: {w}" for w in self.warnings]
        return "\n".join(lines)


def audit(
    pool: Dataset,
    training: Sequence[Dataset] = (),
    *,
    surrogate: Surrogate | None = None,
    target: str | None = None,
    workers: int = 1,
) -> LeakageReport:
    """Compare ``pool`` with everything that a surrogate may have learnt.

    Args:
        pool: candidates or a test set.
        training: datasets that the surrogate was fitted on or pretrained with.
        surrogate: fitted; its recipe says which potentials it rests on and its
            checkpoint whether ``training`` is what it was fitted on.
        target: label it learns; records of ``training`` without it do not count.
        workers: processes to use.
    """
    known = [
        crystal
        for data in training
        for crystal in (labelled(data, target)[0] if target else data).crystals
    ]
    keys = {composition_key(c.structure) for c in known}
    shared = [c for c in pool.crystals if composition_key(c.structure) in keys]
    seen = {
        level: tuple(c.id for c in _matching(known, shared, alike, workers))
        for level, alike in LEVELS.items()
    }
    elements = {e for c in known for e in c.elements}
    new = tuple(e for e in pool.elements if e not in elements) if known else ()
    notes = [*_about_data(training, surrogate, target), *_about_potentials(surrogate)]
    return LeakageReport(
        pool.name, tuple(d.name for d in training), len(pool), seen, new, tuple(notes)
    )


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


def _about_data(
    training: Sequence[Dataset], surrogate: Surrogate | None, target: str | None
) -> list[str]:
    if surrogate is None:
        return []
    stated = surrogate.describe().get("dataset", "")
    recipe = getattr(surrogate, "recipe", None)
    notes = []
    base = getattr(recipe, "pretrain", None)
    if base and not any(d.name in str(base) for d in training):
        notes.append(f"it was pretrained on {base}; give that dataset as well")
    hashes = {
        (labelled(d, target)[0] if target else d).content_hash[:16] for d in training
    }
    if stated and stated not in hashes:
        notes.append(
            f"its checkpoint says it was fitted on dataset {stated}, which is none of "
            "those given; what that holds is unknown here"
        )
    return notes


def _about_potentials(surrogate: Surrogate | None) -> list[str]:
    recipe = getattr(surrogate, "recipe", None)
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
