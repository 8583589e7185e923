"""Configurations of small real campaigns."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).parent


def small_campaign(**changes) -> dict:
    """A real campaign of seconds: Cu-Au decorations, EMT single points, a GP."""
    config = {
        "name": "small",
        "candidates": {
            "kind": "prototypes",
            "elements": ["Cu", "Au"],
            "components": [1, 2],
            "max_atoms": 4,
        },
        "evaluator": {
            "kind": "function",
            "function": "evaluators:emt_energy",
            "returns": ["energy_per_atom"],
        },
        "execution": {"workers": 1, "timeout": 60},
        "surrogate": {"kind": "gaussian_process"},
        "acquisition": {"kind": "log_expected_improvement", "batch_size": 4},
        "start": {"per_element": 2, "random": 4},
        "budget": {"evaluations": 20},
        "tracking": {"enabled": False},
    }
    made = {**config, **changes}
    if "start" not in changes and made.get("objective", {}).get("kind") == "property":
        made["start"] = {"random": 4}  # pure elements are for hulls only
    return made


def small_front(*targets: dict, **changes) -> dict:
    """The same with several targets; energy and density are minimised by default."""
    wanted = targets or (
        {"property": "energy_per_atom", "goal": "minimise", "reference": 2.0},
        {
            "property": "density",
            "goal": "minimise",
            "reference": 20000,
            "unit": "kg/m³",
        },
    )
    front = {
        "objective": {"kind": "front", "targets": list(wanted)},
        "evaluator": {
            "kind": "function",
            "function": "evaluators:emt_several",
            "returns": ["energy_per_atom", "density", "gold"],
        },
        "acquisition": {"kind": "hypervolume_improvement", "batch_size": 4},
        "start": {"per_element": 0, "random": 8},
    }
    return small_campaign(**{**front, **changes})
