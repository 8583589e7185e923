"""The configuration that ``matdisco init`` writes: short, commented, valid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from campaigns.config import CampaignConfig
from matdisco.errors import ConfigError

ANSWERING = {
    "emt": (
        "ASE's effective-medium potential: quick, for trying things out with\n"
        "# Al, Cu, Ag, Au, Ni, Pd and Pt; its energies mean little.",
        "  kind: calculator\n  calculator: emt\n",
    ),
    "chgnet": (
        "CHGNet, a universal potential trained on PBE and PBE+U: about 30 meV/atom.",
        "  kind: calculator\n  calculator: chgnet      # needs the extra: chgnet\n",
    ),
    "sevennet": (
        "SevenNet-0, a universal potential trained on PBE and PBE+U.",
        "  kind: calculator\n  calculator: sevennet    # needs the extra: sevennet\n",
    ),
    "dft": (
        "Density-functional theory; presets: screen, relax, accurate.",
        "  kind: dft\n  code: gpaw              # or espresso, vasp\n  preset: relax\n",
    ),
    "laboratory": (
        "People: matdisco writes what is to be made, and waits for `matdisco tell`.",
        "  kind: laboratory\n"
        "  returns: [{property}]\n"
        "  hours: 8                # of work for one material\n",
    ),
}
"""What may answer for a candidate: why, and its block."""


@dataclass(frozen=True)
class Answers:
    """What ``matdisco init`` needs to know."""

    name: str = "my-campaign"
    """Name of the campaign."""
    elements: tuple[str, ...] = ("Al", "Cu", "Ni")
    """Chemical space of generated candidates; unused with ``candidates``."""
    candidates: str | None = None
    """Own candidates: a dataset, a folder, a zip or a file of structures."""
    evaluator: str = "chgnet"
    """A key of :data:`ANSWERING`."""
    property: str | None = None
    """Property to bring to its best; None looks for stable phases."""
    goal: str = "maximise"
    """``maximise`` or ``minimise``, with a property."""
    evaluations: int = 60
    """Evaluations that may be spent."""
    max_atoms: int = 8
    """Atoms in the cell of generated candidates."""
    workers: int = 2
    """Evaluations at a time."""


def template(answers: Answers) -> str:
    """Return a commented configuration.

    Raises:
        ConfigError: an answer makes no valid configuration.
    """
    if answers.evaluator not in ANSWERING:
        known = ", ".join(ANSWERING)
        raise ConfigError(
            f"evaluator: expected one of {known}, got {answers.evaluator!r}"
        )
    if answers.evaluator == "laboratory" and answers.property is None:
        raise ConfigError(
            "property: a laboratory measures a property; say which (--property)"
        )
    why, block = ANSWERING[answers.evaluator]
    chosen = "log_expected_improvement" if answers.property else "hull_probability"
    text = "\n".join(
        [
            "# Check:    matdisco validate THIS_FILE   (spends nothing)",
            "# Run:      matdisco run THIS_FILE        (the same command continues it)",
            "# Every key there is, with its unit: configs/every-option.yaml",
            f"name: {answers.name}",
            "description: >-             # the report opens with it",
            f"  {_question(answers)}",
            "seed: 0                     # same seed and answers, same proposals",
            "",
            *_candidates(answers),
            "",
            "# What is wanted.",
            *_objective(answers),
            "",
            "# What answers for a candidate.",
            f"# {why}",
            "evaluator:",
            block.format(property=answers.property).rstrip(),
            *_relaxation(answers),
            "execution:",
            f"  workers: {answers.workers}                # evaluations at a time",
            "",
            "# What is evaluated before there is anything to learn from.",
            "start:",
            *([] if answers.property else ["  per_element: 3          # hull corners"]),
            f"  random: {min(8, max(1, answers.evaluations // 6))}",
            "",
            "# What learns from the answers, on statistics of elemental properties.",
            "# Stronger with few labels: features: sevennet or chgnet_layers, and for",
            "# energies trend: chgnet, where that potential is not also the evaluator.",
            "surrogate:",
            "  kind: gaussian_process",
            "  features: composition",
            "",
            "# How the next candidates are chosen.",
            "acquisition:",
            f"  kind: {chosen}",
            f"  batch_size: {max(1, min(8, answers.evaluations // 6))}",
            "",
            "budget:",
            f"  evaluations: {answers.evaluations}         # failed ones count",
            "",
        ]
    )
    CampaignConfig.parse(text, source="matdisco init")
    return text


def _question(answers: Answers) -> str:
    if answers.property:
        return f"Which candidate has the best {answers.property} ({answers.goal})?"
    if answers.candidates:
        return f"Which crystals of {answers.candidates} are stable?"
    return f"Which compounds of {', '.join(answers.elements)} are stable?"


def _candidates(answers: Answers) -> list[str]:
    if answers.candidates:
        own = Path(answers.candidates)
        ours = own.suffix == ".parquet" or any(own.glob("*.parquet"))
        kind = "dataset" if ours or own.name.startswith("shipped:") else "files"
        return [
            "# Which crystals may be chosen: your own.",
            "candidates:",
            f"  kind: {kind}",
            f"  path: {answers.candidates}",
        ]
    shown = ", ".join(answers.elements)
    return [
        "# Which crystals may be chosen: decorations of the known structure types.",
        "candidates:",
        "  kind: prototypes",
        f"  elements: [{shown}]",
        f"  components: {list(range(1, min(len(answers.elements), 3) + 1))}"
        "    # numbers of different elements",
        f"  max_atoms: {answers.max_atoms}            # in the primitive cell",
    ]


def _objective(answers: Answers) -> list[str]:
    if answers.property:
        return [
            "objective:",
            "  kind: property",
            f"  property: {answers.property}",
            f"  goal: {answers.goal}",
        ]
    return [
        "objective:",
        "  kind: energy_above_hull # eV/atom, below all mixtures of other phases",
    ]


def _relaxation(answers: Answers) -> list[str]:
    lines = []
    if answers.evaluator != "laboratory" and answers.property:
        lines.append(f"  compute: [{answers.property}]  # after relaxing")
    if answers.evaluator not in ("laboratory", "dft"):
        lines += ["  relax:", "    fmax: 0.05            # eV/Å, largest force left"]
    return lines
