"""Candidates from a dataset that is already there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.candidates.base import CandidateRecipe, SizeEstimate, refuse_empty
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


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
        refuse_empty(count, f"{path} has no records")
        return SizeEstimate(count, True, float(atoms.mean()))

    @override
    def generate(self) -> Iterator[Crystal]:
        from dataclasses import replace

        from matdisco.data.dataset import Dataset

        # The labels are what a campaign is to find out: they must not leak in.
        for crystal in Dataset.open(self._file()):
            yield replace(crystal, labels={})

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
