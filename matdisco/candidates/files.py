"""Candidates that are already there: a dataset, or files of any known format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.candidates.base import (
    CandidateRecipe,
    Compositions,
    SizeEstimate,
    counts_of,
    refuse_empty,
)
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from matdisco.crystal import Crystal

COUNTED = 200_000
"""Records of a dataset whose atoms are counted for the estimate, in two seconds."""
READ = 100
"""Structures of files that are read for it, in seconds."""


class FileCandidates(CandidateRecipe):
    """Every crystal of a Parquet dataset, its labels left behind."""

    kind: Literal["dataset"] = "dataset"
    path: str = Field(min_length=1)
    """Path of the dataset, or ``shipped:NAME``."""

    @override
    def size(self) -> SizeEstimate:
        import pyarrow.parquet as pq

        path = self._file()
        try:
            file = pq.ParquetFile(path)
            count = file.metadata.num_rows
            atoms = file.read(columns=["nsites"]).column(0).to_numpy()
        except Exception as error:
            raise ConfigError(
                f"candidates.path: {path} is not a matdisco dataset ({error})"
            ) from error
        refuse_empty(count, f"{path} has no records; give another dataset")
        return SizeEstimate(count, True, float(atoms.mean()))

    @override
    def compositions(self) -> Compositions:
        """Count the atoms of the first :data:`COUNTED` records by their columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from matdisco.data.layout import atom_counts

        columns = ["species_at_sites", "species"]
        found: list[Mapping[str, int]] = []
        with pq.ParquetFile(self._file()) as file:
            for batch in file.iter_batches(columns=columns):
                found += atom_counts(pa.Table.from_batches([batch]))
                if len(found) >= COUNTED:
                    break
            return found[:COUNTED], file.metadata.num_rows <= COUNTED

    @override
    def generate(self) -> Iterator[Crystal]:
        from matdisco.data.dataset import Dataset
        from matdisco.data.packed import described

        # The labels are what a campaign is to find out: they must not leak in.
        for crystal in Dataset.open(self._file()):
            yield described(crystal, labels={})

    def elements_found(self) -> tuple[str, ...]:
        """Name the elements in the file, alphabetical."""
        import pyarrow.parquet as pq

        column = pq.read_table(self._file(), columns=["elements"])["elements"]
        return tuple(sorted({e for row in column.to_pylist() for e in row}))

    @override
    def title(self) -> str:
        from matdisco.data.shipped import PREFIX

        return Path(self.path.removeprefix(PREFIX)).stem

    def _file(self) -> Path:
        from matdisco.data.shipped import resolve

        path = resolve(self.path)
        if not path.exists():
            raise ConfigError(
                f"candidates.path: no such file: {path}; give the path of a Parquet "
                "dataset, relative to where the command is run"
            )
        return path


class ReadCandidates(CandidateRecipe):
    """Structures from files of any known format: a folder, a zip, an extxyz.

    Generative tools write such: MatterGen a zip of CIF files and one extxyz, CDVAE and
    DiffCSP folders of CIF files. What a file holds is decided by its content, and read
    in a guarded process.
    """

    kind: Literal["files"] = "files"
    path: str = Field(min_length=1)
    """File, folder or archive."""
    skip_unreadable: bool = False
    """Leave out what cannot be read, instead of refusing all of it."""
    volume: Literal["as_given", "additive", "bonds"] = "as_given"
    """Keep the volumes, or start from those of ``kind: prototypes``."""

    @override
    def title(self) -> str:
        return Path(self.path).stem

    def elements_found(self) -> tuple[str, ...]:
        """Name the elements in the files, alphabetical; reads all of them."""
        return tuple(sorted({e for c in self.generate() for e in c.elements}))

    @override
    def size(self) -> SizeEstimate:
        """Count blocks of CIF and frames of extended XYZ; read what is neither."""
        from matdisco.candidates.sources import count_records, existing

        file = existing(self.path, "candidates.path")
        if file.suffix == ".parquet":
            return FileCandidates(path=self.path).size()
        count, atoms = count_records(file)
        return SizeEstimate(count, False, atoms)

    @override
    def why_none_made(self) -> str:
        return (
            f"no structure in {self.path} can be read; matdisco data curate "
            f"{self.path} --to DATASET tells of each file why"
        )

    @override
    def compositions(self) -> Compositions:
        """Read the first :data:`READ` structures."""
        made = [counts_of(c) for c in islice(self.generate(), READ + 1)]
        return made[:READ], len(made) <= READ

    @override
    def generate(self) -> Iterator[Crystal]:
        from dataclasses import replace

        from matdisco.candidates.sources import known_crystals
        from matdisco.candidates.volume import prescaled

        taken: dict[str, int] = {}
        for crystal in known_crystals(
            self.path, "candidates.path", skip_unreadable=self.skip_unreadable
        ):
            n = taken[crystal.id] = taken.get(crystal.id, 0) + 1
            name = crystal.id if n == 1 else f"{crystal.id}~{n}"
            structure = crystal.structure
            if self.volume != "as_given" and structure.is_ordered:
                structure = prescaled(structure, self.volume)
            # Labels would leak what a campaign is to find out.
            yield replace(crystal, id=name, structure=structure, labels={})
