"""Run folders whose ledger is written here: any campaign's record, without running it.

Energies follow a made-up but smooth law, so that there is a hull to find.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from campaign_files import small_campaign

from campaigns import Campaign, CampaignConfig, Ledger
from campaigns.answers import write_evaluation
from campaigns.driver import Driver, Interrupt
from campaigns.environment import describe_environment
from campaigns.ledger import VOLATILE
from campaigns.progress import Display
from campaigns.propose import first_round
from campaigns.state import State
from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.evaluators.base import (
    Evaluation,
    Failure,
    FailureKind,
    evaluation_key,
)
from matdisco.thermo import compressed, fractions

RUN_ID = "0123456789abcdef0123456789abcdef"


def made_up_energy(crystal: Crystal) -> float:
    """Mixing lowers the energy, a hash of the id scatters it; eV/atom."""
    x = fractions([crystal.composition], crystal.elements)[0]
    pairs = zip(x, crystal.elements, strict=True)
    own = sum(f * (len(e) + ord(e[0]) % 7) for f, e in pairs)
    scatter = zlib.crc32(crystal.id.encode()) / 2**32
    return float(-own - 1.2 * (1 - (x**2).sum()) + 0.4 * scatter)


class Recording:
    """Writes a campaign's ledger round by round."""

    def __init__(self, folder: Path, *, run_id: str = RUN_ID, **changes: Any) -> None:
        self.folder = folder
        self.config = CampaignConfig.model_validate(small_campaign(**changes))
        self.pool = self.config.candidates.build()
        self.ledger = Ledger.writing(folder)
        self.pool.save(folder / "pool.parquet")
        (folder / "config.yaml").write_text(self.config.dump())
        facts = {"run_id": run_id, **describe_environment()}
        body = {"config": self.config.digest(), "name": self.config.name}
        self.ledger.append("started", {**body, VOLATILE: facts})
        content = {"content": self.pool.content_hash, "candidates": len(self.pool)}
        self.ledger.append("pool", content)
        self.driver = Driver(
            self.config,
            folder,
            self.ledger,
            self.pool,
            Display(quiet=True),
            Interrupt(),
        )

    def round(self, *, batch: int = 4, fail: tuple[int, ...] = ()) -> None:
        """Propose, answer and close one round; ``fail`` names ranks that fail."""
        events = self.ledger.events()
        state = State.of(self.pool, self.config.objective, events)
        number = sum(e.kind == "proposed" for e in events)
        payload: dict[str, Any] = {VOLATILE: {"seconds": {}}}
        if number == 0:
            payload["proposals"] = first_round(self.config, state)
        else:
            payload |= self._proposals(state, number, batch)
        event = self.ledger.append("proposed", payload, round=number)
        for proposal in payload["proposals"]:
            evaluation = self._answer(proposal, failed=proposal["rank"] in fail)
            body = write_evaluation(proposal["rank"], evaluation)
            self.ledger.append("evaluated", body, round=number)
        self.driver._close(event)

    def finish(self, reason: str = "budget: spent") -> None:
        """Close the campaign."""
        body = {"reason": reason, "ranking": [], "scale": None}
        self.ledger.append("finished", body)

    def _proposals(self, state: State, number: int, batch: int) -> dict[str, Any]:
        rng = np.random.default_rng(number)
        rows = rng.choice(state.available, size=batch, replace=False)
        hull = state.hull
        proposals = []
        for rank, row in enumerate(rows):
            crystal = self.pool[int(row)]
            value = self._value(crystal)
            if hull is not None:
                above = value - float(state.x[int(row)] @ hull.references)
                value = float(compressed(np.array(above)))
            proposals.append(
                {
                    "rank": rank,
                    "candidate": crystal.id,
                    "formula": crystal.formula,
                    "key": evaluation_key(crystal, self.config.evaluator),
                    "reason": "looks good & <cheap>",
                    "mean": value + float(rng.normal(0, 0.1)),
                    "std": 0.1,
                    "expected_merit": 0.0,
                    "acquisition": 0.5,
                    "nearest": self.pool[int(state.answered[0])].id,
                    "nearest_distance": 0.25,
                }
            )
        metrics = {"mae": 0.1}
        seconds = {"learn": 1.5, "predict": 0.2, "acquire": 0.1}
        return {
            "proposals": proposals,
            "surrogate": {"scale": 1.1, "n_train": 8, "metrics": metrics},
            "outlook": self._outlook(state, number),
            VOLATILE: {"seconds": seconds},
        }

    def _outlook(self, state: State, number: int) -> dict[str, float]:
        """A belief about the whole pool that narrows by round."""
        hull = state.hull is not None
        middle = len(state.found) if hull else state.best
        wide = max(0, 4 - number) if hull else 5.0 / number
        return {
            "expected_improvement": 0.1 / number,
            "probability_best_found": 1 - 0.9 / number,
            "whole_low": float(middle),
            "whole_median": float(middle + wide // 2),
            "whole_high": float(middle + wide),
        }

    def _answer(self, proposal: dict[str, Any], *, failed: bool) -> Evaluation:
        position = self.pool.ids.index(proposal["candidate"])
        crystal = self.pool[position]
        if failed:
            failure = Failure(
                FailureKind.NOT_CONVERGED, "no end in sight after <b>250</b> steps"
            )
            return Evaluation(proposal["key"], crystal.id, failure=failure, seconds=9.0)
        key = self.config.objective.label
        label = Label(self._value(crystal), "eV/atom", "made up")
        if key != "energy_per_atom":
            label = replace(label, unit="GPa")
        return Evaluation(
            proposal["key"], crystal.id, {key: label}, relaxed=crystal, seconds=2.0
        )

    def _value(self, crystal: Crystal) -> float:
        return made_up_energy(crystal)


def record(
    folder: Path, *, rounds: int = 3, finish: bool = True, **changes: Any
) -> Path:
    """Write the record of a campaign with one failure per later round."""
    recording = Recording(folder, **changes)
    for number in range(rounds):
        recording.round(fail=(0,) if number else ())
    if finish:
        recording.finish()
    recording.ledger.close()
    return folder


def truth_of(folder: Path, path: Path) -> Path:
    """Write the made-up answer of every candidate of a recorded campaign."""
    with Campaign.open(folder) as campaign:
        crystals = [
            c.with_labels(
                {"energy_per_atom": Label(made_up_energy(c), "eV/atom", "made up")}
            )
            for c in campaign.pool
        ]
    return Dataset("truth", tuple(crystals)).save(path)


PROPERTY = {
    "evaluator": {
        "kind": "function",
        "function": "evaluators:emt_energy",
        "returns": ["bulk_modulus"],
    },
    "objective": {"kind": "property", "property": "bulk_modulus", "goal": "maximise"},
}
"""Changes that make it a campaign for a property."""


def chemistry(*elements: str, components: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    """Changes that give it another chemical space."""
    return {
        "candidates": {
            "kind": "prototypes",
            "elements": list(elements),
            "components": list(components),
            "max_atoms": 4,
        }
    }
