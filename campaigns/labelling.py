"""Labelling: evaluate every candidate and keep the answers as a dataset.

The same candidates, evaluators and workers as in a campaign, without the choosing:
for a training set, or for the full answer that replays are judged against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import as_completed
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from tqdm import tqdm

from campaigns.file_kinds import load_kind
from matdisco.candidates.recipes import AnyCandidates
from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import CampaignError
from matdisco.evaluators.base import Evaluation, evaluation_key
from matdisco.evaluators.execution import open_workers
from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.recipes import AnyEvaluator
from matdisco.recipe import Recipe
from matdisco.thermo import (
    compressed,
    formation_energies,
    fractions,
    reference_energies,
)


class LabellingConfig(Recipe):
    """A dataset to be computed."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the dataset."""
    description: str = ""
    """What it is for."""
    licence: str = ""
    """SPDX identifier of the licence it is given under."""
    citation: str = ""
    """What to cite."""
    limits: str = ""
    """What it must not be used for."""
    candidates: AnyCandidates
    """Which structures."""
    evaluator: AnyEvaluator
    """What answers for them."""
    execution: ExecutionRecipe = Field(default_factory=ExecutionRecipe)
    """How evaluations are run."""
    keep_failures: bool = False
    """Keep records whose evaluation failed, without labels, with the reason."""
    version: Literal[1] = 1
    """Version of this file's format."""

    @classmethod
    def load(cls, path: Path) -> LabellingConfig:
        """Read and validate a YAML file.

        Raises:
            ConfigError: one line per mistake.
        """
        return load_kind(cls, path, "labelling")


def compute(config: LabellingConfig, folder: Path, *, quiet: bool = False) -> Dataset:
    """Evaluate all candidates; continue where an earlier call stopped.

    Args:
        config: what to compute.
        folder: working folder; every answer is kept there as it comes.
        quiet: no progress bar.

    Raises:
        CampaignError: too many evaluations failed.
    """
    pool = config.candidates.build()
    config.evaluator.check(frozenset(pool.elements))
    answers: dict[str, Evaluation] = {}
    workers = open_workers(config.evaluator, config.execution, folder / "logs")
    done = False
    try:
        futures = {}
        for crystal in pool:
            key = evaluation_key(crystal, config.evaluator)
            home = folder / "evaluations" / key[:16]
            futures[workers.submit(crystal, key, home)] = crystal.id
        bar = tqdm(
            as_completed(futures), total=len(futures), disable=quiet, unit="crystal"
        )
        for future in bar:
            answers[futures[future]] = future.result()
        done = True
    finally:
        workers.shutdown(kill=not done)
    failed = sum(not a.ok for a in answers.values())
    if failed > config.execution.tolerated_failure_rate * len(answers):
        raise CampaignError(
            f"{failed} of {len(answers)} evaluations failed; see {folder / 'logs'}"
        )
    return assemble(config, pool, answers)


def assemble(
    config: LabellingConfig, pool: Dataset, answers: dict[str, Evaluation]
) -> Dataset:
    """Make the dataset: candidates as they were asked for, labels as answered."""
    energies = {k: a for k, a in answers.items() if "energy_per_atom" in a.labels}
    with_energy = [c for c in pool if c.id in energies]
    values = np.array(
        [energies[c.id].labels["energy_per_atom"].value for c in with_energy]
    )
    compositions = [c.composition for c in with_energy]
    references = reference_energies(compositions, list(values))
    formation: dict[str, float] = {}
    if set(pool.elements) <= set(references):
        x = fractions(compositions, pool.elements)
        per_element = np.array([references[e] for e in pool.elements])
        numbers = formation_energies(values, x, per_element)
        formation = dict(zip((c.id for c in with_energy), numbers, strict=True))
    crystals: list[Crystal] = []
    for crystal in pool:
        answer = answers[crystal.id]
        if answer.failure is not None:
            if config.keep_failures:
                reason = f"{answer.failure.kind}: {answer.failure.message}"
                crystals.append(
                    Crystal(
                        crystal.id,
                        crystal.structure,
                        source={**crystal.source, "failure": reason},
                    )
                )
            continue
        labels = {
            k: Label(round(v.value, 6), v.unit, v.method, v.sigma)
            for k, v in answer.labels.items()
            if k != "max_force"
        }
        if crystal.id in formation:
            method = labels["energy_per_atom"].method
            value = formation[crystal.id]
            for key, number in (
                ("formation_energy_per_atom", value),
                ("compressed_formation_energy", compressed(np.array(value))),
            ):
                labels[key] = Label(round(float(number), 6), "eV/atom", method)
        crystals.append(crystal.with_labels(labels))
    return Dataset(config.name, tuple(crystals), _card(config, answers, references))


def _card(
    config: LabellingConfig,
    answers: dict[str, Evaluation],
    references: Mapping[str, float],
) -> dict[str, object]:
    kinds = Counter(str(a.failure.kind) for a in answers.values() if a.failure)
    versions: Mapping[str, str] = next(
        (
            a.provenance["versions"]
            for a in answers.values()
            if "versions" in a.provenance
        ),
        {},
    )
    return {
        "description": " ".join(config.description.split()),
        "licence": config.licence,
        "citation": " ".join(config.citation.split()),
        "limits": " ".join(config.limits.split()),
        "structures": "as proposed, before relaxation; labels are those of the "
        "relaxed structure",
        "candidates": config.candidates.model_dump(mode="json"),
        "evaluator": config.evaluator.model_dump(mode="json"),
        "versions": versions,
        "evaluated": len(answers),
        "failed": dict(sorted(kinds.items())),
        "elemental_references_eV_per_atom": {
            k: round(float(v), 6) for k, v in sorted(references.items())
        },
    }
