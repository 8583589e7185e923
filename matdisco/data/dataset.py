"""Dataset: an immutable, content-hashed collection of crystals with a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.errors import DataError
from matdisco.properties import get
from matdisco.recipe import digest_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Dataset(Sequence[Crystal]):
    """Crystals that belong together, in a fixed order.

    ``dataset[3]`` is a crystal, ``dataset[:10]`` and ``dataset.take(rows)`` are
    datasets, ``dataset.values(key)`` is an array with NaN where there is no label.
    """

    name: str
    """Short name, used in file names and MLflow."""
    crystals: tuple[Crystal, ...]
    """The records, each with a unique id."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """What a reader must know: description, licence, sources, methods, limits."""

    def __post_init__(self) -> None:
        counts = Counter(c.id for c in self.crystals)
        double = [k for k, n in counts.items() if n > 1]
        if double:
            raise DataError(
                f"dataset {self.name}: {len(double)} ids occur more than once, "
                f"for example {double[0]!r}; ids must be unique"
            )

    @classmethod
    def open(cls, path: str | Path) -> Dataset:
        """Read a dataset folder or Parquet file that matdisco wrote."""
        from matdisco.data.store import read

        return read(Path(path))

    def save(self, path: str | Path) -> Path:
        """Write one Parquet file (the card travels in its metadata)."""
        from matdisco.data.store import write

        return write(self, Path(path))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all records; independent of name, card and file format."""
        return digest_of(c.to_dict() for c in self.crystals)

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """The label keys that occur, in order of first appearance."""
        return tuple(dict.fromkeys(k for c in self.crystals for k in c.labels))

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """All element symbols, alphabetical."""
        return tuple(sorted({e for c in self.crystals for e in c.elements}))

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The record ids in order."""
        return tuple(c.id for c in self.crystals)

    def values(self, key: str) -> np.ndarray:
        """Return label values, shape (n,), NaN where a record has no such label."""
        return np.array(
            [c.labels[key].value if key in c.labels else np.nan for c in self.crystals]
        )

    def take(self, rows: Sequence[int] | np.ndarray) -> Dataset:
        """Return the records at ``rows`` as a dataset with the same card."""
        return Dataset(self.name, tuple(self.crystals[int(i)] for i in rows), self.card)

    def to_frame(self) -> pd.DataFrame:
        """Return a table: one row per crystal, one column per label."""
        import pandas as pd

        rows = [
            {
                "id": c.id,
                "formula": c.formula,
                "chemical_system": c.chemical_system,
                "n_atoms": c.n_atoms,
                **{k: v.value for k, v in c.labels.items()},
            }
            for c in self.crystals
        ]
        return pd.DataFrame(rows)

    @overload
    @override
    def __getitem__(self, item: int) -> Crystal: ...
    @overload
    def __getitem__(self, item: slice) -> Dataset: ...
    @override
    def __getitem__(self, item: int | slice) -> Crystal | Dataset:
        if isinstance(item, slice):
            return Dataset(self.name, self.crystals[item], self.card)
        return self.crystals[item]

    @override
    def __len__(self) -> int:
        return len(self.crystals)

    @override
    def __iter__(self) -> Iterator[Crystal]:
        return iter(self.crystals)

    @override
    def __repr__(self) -> str:
        atoms = [c.n_atoms for c in self.crystals]
        lines = [
            f"Dataset {self.name}: {len(self):,} crystals, "
            f"{len(self.elements)} elements, "
            f"{len({c.chemical_system for c in self.crystals}):,} chemical systems"
        ]
        if atoms:
            lines.append(
                f"  atoms per cell  {min(atoms)} to {max(atoms)}, "
                f"median {np.median(atoms):g}"
            )
        for key in self.properties:
            values = self.values(key)
            have = values[np.isfinite(values)]
            low, high, mean = map(_shown, (have.min(), have.max(), have.mean()))
            lines.append(
                f"  {get(key).label}  {len(have):,} values, "
                f"{low} to {high}, mean {mean} {self._unit(key)}".rstrip()
            )
        lines.append(f"  content {self.content_hash[:16]}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from matdisco.displays import dataset_html

        return dataset_html(self)

    def _unit(self, key: str) -> str:
        """Return the unit of a label, also of one that no property is named after."""
        labels = (c.labels[key] for c in self.crystals if key in c.labels)
        return get(key).unit or next((x.unit for x in labels), "")


def _shown(value: float) -> str:
    """Return three decimals, or three digits where these would all be zero.

    >>> _shown(-1234.5678), _shown(2.5e-7), _shown(0.0)
    ('-1234.568', '2.5e-07', '0.000')
    """
    return f"{value:.3f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3g}"
