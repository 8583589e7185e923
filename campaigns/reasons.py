"""Why a proposal was made, and why before the next one, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaigns.costs import core_time
from campaigns.fronts import words as front_words
from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import AnyObjective, HullObjective
from matdisco.properties import get

RULES = {
    "quantile": "highest quantile of what is expected",
    "max_value_entropy": "tells most about the value of the best candidate",
    "knowledge_gradient": "expected to raise the best expected value most",
    "noisy_log_expected_improvement": "largest joint expected improvement under noise",
    "new_phases": "expected to find most stable phases, given the choices before it",
    "hull_volume": "expected to deepen the hull most, given the choices before it",
    "log_expected_improvement": "largest joint expected improvement",
    "upper_confidence_bound": "highest joint upper confidence bound",
    "probability_of_improvement": "most probable to beat the best so far",
    "top_share": "most probable to belong to the best share of all candidates",
    "max_variance": "most uncertain, given the choices before it",
    "level_set": "closest to the level, in view of its uncertainty",
    "thompson": "best of one joint draw of all candidates",
    "greedy": "best expected value",
    "fidelity_improvement": "largest expected improvement of the dearest fidelity per "
    "cost",
    "fidelity_entropy": "tells most about the dearest fidelity's best value per cost",
    "promotion": "highest upper confidence bound of the dearest fidelity",
    "random": "drawn at random, as a check",
    "space_filling": "least like anything evaluated, because calibration failed",
    "pinned": "pinned by a person",
    "hypervolume_improvement": "expected to add most hypervolume, given the choices "
    "before it",
}
"""What each rule looks for, in words."""
COMPARABLE = frozenset(
    {
        "hull_probability",
        "greedy",
        "quantile",
        "probability_of_improvement",
        "top_share",
    }
)
"""Rules whose value does not depend on the members of the batch before."""


def why(
    objective: AnyObjective, facts: Mapping[str, Any], *, weighed: bool = False
) -> str:
    """Say in a sentence what spoke for a candidate.

    Args:
        objective: what is wanted.
        facts: what :class:`campaigns.explain.Explainer` found.
        weighed: the rule's value is no plain probability.
    """
    value, unit = facts["acquisition"], get(objective.target).unit
    if facts["reason"] == "hull_probability" and weighed:
        rule = f"share of joint draws on the hull, weighed, {value or 0:.2f}"
    elif facts["reason"] == "hull_probability":
        rule = f"on the hull in {value or 0:.0%} of the joint draws"
    else:
        rule = RULES.get(facts["reason"], facts["reason"].replace("_", " "))
    predicted = f"predicted {facts['mean']:.3f} ± {facts['std']:.3f} {unit}".strip()
    parts = [rule, predicted]
    if isinstance(objective, FrontObjective):
        parts = [rule, *front_words.said(objective, facts)]
    if isinstance(objective, HullObjective):
        depth = facts["expected_merit"] * 1000
        side = "below" if depth > 0 else "above"
        parts.append(f"{abs(depth):.0f} meV/atom {side} today's hull")
    if facts["reason"] not in ("random", "pinned", "space_filling"):
        parts.append(f"{facts['exploration']:.0%} exploration")
    far = (
        f"most like {facts['nearest']} (distance {facts['nearest_distance']:.2f}, "
        f"{facts['distance_ratio']:.1f} times the usual spacing)"
    )
    parts.append(far)
    if facts["chance_of_answer"] is not None:
        parts.append(f"answered with probability {facts['chance_of_answer']:.0%}")
    if facts["relative_cost"] is not None:
        time = facts.get("predicted_core_seconds")
        taken = f" ({core_time(time)} predicted)" if time else ""
        parts.append(f"relative cost {facts['relative_cost']:.3g}{taken}")
    if facts["copy_of"]:
        parts.append(f"probably a copy of {facts['copy_of']}")
    if facts["screening"].startswith("flagged"):
        parts.append(facts["screening"])
    return "; ".join(parts)


def before(
    objective: AnyObjective,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    left_out: bool,
    alone: bool = False,
) -> str:
    """Say why one candidate comes before another.

    Args:
        objective: for units.
        first: facts of the one.
        second: facts of the other.
        left_out: whether the other is not in the batch any more.
        alone: nothing was chosen before the one, or something else weighed, so that
            what the choices before it leave open does not explain its place.
    """
    name = second["candidate"] + (", the first left out" if left_out else "")
    a, b = first["reason"], second["reason"]
    if a == "pinned":
        return f"before {name}: pinned by a person"
    if a != b or a in ("random", "space_filling"):
        said = RULES.get(a, a.replace("_", " "))
        return f"before {name}: {said}; the other: {RULES.get(b, b.replace('_', ' '))}"
    if isinstance(objective, FrontObjective):
        return f"before {name}: {front_words.compared(objective, first, second)}"
    hull = isinstance(objective, HullObjective)
    unit = "meV/atom below the hull" if hull else get(objective.headline).unit
    scale = 1000.0 if hull else 1.0
    shown = [scale * f["expected_merit" if hull else "mean"] for f in (first, second)]
    sigmas = [scale * f["std"] for f in (first, second)]
    better = first["expected_merit"] - second["expected_merit"]
    surer = sigmas[0] - sigmas[1]
    words = [
        f"expected {'better' if better >= 0 else 'worse'} ({shown[0]:.4g} against "
        f"{shown[1]:.4g} {unit})".replace(" )", ")"),
        f"{'more' if surer >= 0 else 'less'} uncertain ({sigmas[0]:.3g} against "
        f"{sigmas[1]:.3g})",
    ]
    words += _weighed(first, second)
    if a not in COMPARABLE and better < 0 and surer < 0 and not alone:
        # worse on both counts alone: what it adds to the batch decided
        words.append("tells more that the choices before it do not")
    if first["acquisition"] is not None and a in COMPARABLE:
        words.insert(
            0, f"{first['acquisition']:.4g} against {second['acquisition']:.4g}"
        )
    return f"before {name}: " + ", ".join(words)


def _weighed(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Say how two candidates differ in what the rule's value was multiplied by."""
    words = []
    ours, other = (f.get("chance_of_answer") for f in (first, second))
    if ours is not None and other is not None and abs(ours - other) >= 0.005:
        more = "likelier" if ours > other else "less likely"
        words.append(f"{more} to be answered ({ours:.0%} against {other:.0%})")
    ours, other = (f.get("relative_cost") for f in (first, second))
    if ours is not None and other is not None and ours != other:
        times = max(ours, other) / min(ours, other)
        words.append(
            f"{'cheaper' if ours < other else 'dearer'} by a factor of {times:.3g}"
        )
    if bool(first.get("copy_of")) != bool(second.get("copy_of")):
        words.append(
            "probably a copy of what is known, and the other is not"
            if first.get("copy_of") else "the other is probably a copy of what is known"
        )  # fmt: skip
    return words
