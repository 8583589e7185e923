"""What must not change the answer, what must, and what must be refused."""

from __future__ import annotations

import numpy as np

from matdisco.crystal import Crystal
from surrogates.assessment import variants
from surrogates.assessment.result import Section
from surrogates.assessment.subject import Guess, Predict, predict_each
from surrogates.assessment.trial import Trial

_SEES = 1e-3
"""Change over the spread of the target above which a prediction has reacted: the same
number below which an invariance counts as kept."""
_ODD = 0.95
"""An absurd input is flagged when its sigma exceeds this quantile of the sigmas of
ordinary test records."""
_FLAT = 8  # crystals of the absurd inputs, of each kind
_INVARIANCE = "Schütt et al., J. Chem. Phys. 148, 241722 (2018)"


def measure(trial: Trial, section: Section) -> None:
    """Fill the section."""
    if trial.predict is None or trial.dataset is None:
        section.skip(
            "robustness", "a table of predictions cannot be asked anything new"
        )
        return
    rng = trial.generator(4)
    suite, slow = trial.suite, trial.subject.calculator is not None
    n = suite.potential_crystals if slow else suite.robustness_crystals
    rows = np.sort(rng.permutation(trial.rows)[:n])
    crystals = trial.dataset.take(rows).crystals
    base = predict_each(trial.predict, crystals).mean
    _invariances(trial, section, crystals, base, rng)
    _paths(trial, section, crystals, rng)
    _sensitivity(trial, section, crystals, base, rng)
    _absurd(trial, section, crystals[:_FLAT])


def _invariances(
    trial: Trial,
    section: Section,
    crystals: tuple[Crystal, ...],
    base: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Describe each crystal otherwise; the prediction may not move."""
    assert trial.predict is not None
    other = [variants.rewritten(c, rng) for c in crystals]
    names = list(other[0])
    found = predict_each(trial.predict, [o[k] for o in other for k in names]).mean
    gaps = np.abs(found.reshape(len(crystals), len(names)) - base[:, None])
    for k, name in enumerate(names):
        finite = gaps[:, k][np.isfinite(gaps[:, k])]
        section.add(
            name, float(finite.max() / trial.spread) if len(finite) else float("nan"),
            f"largest change under {name.replace('_', ' ')}, over the spread of the "
            "target", source=_INVARIANCE,
        )  # fmt: skip


def _paths(
    trial: Trial,
    section: Section,
    crystals: tuple[Crystal, ...],
    rng: np.random.Generator,
) -> None:
    """Shake and strain along fine paths; the prediction may not jump."""
    assert trial.predict is not None
    ways = {
        "rattle": (variants.RATTLE, variants.STEP),
        "strain": (variants.STRAIN, variants.STEP / 10),
    }
    for name, (grid, step) in ways.items():
        asked = []
        for crystal in crystals:
            towards = variants.direction(crystal, rng)
            for t in grid:
                for s in (t, t + step):
                    asked.append(
                        variants.moved(crystal, s * towards)
                        if name == "rattle"
                        else variants.strained(crystal, float(s))
                    )
        found = predict_each(trial.predict, asked).mean
        pairs = found.reshape(len(crystals), len(grid), 2)
        jumps = np.abs(pairs[..., 1] - pairs[..., 0])
        finite = jumps[np.isfinite(jumps)]
        distance = f"{step:g} Å" if name == "rattle" else f"a strain of {step:g}"
        section.add(
            f"{name}_jump",
            float(finite.max() / trial.spread) if len(finite) else float("nan"),
            f"largest jump over {distance}, over the spread of the target",
            source="smoothness test after Fu et al., arXiv:2502.12147 (2025)",
        )
        section.series[name] = {
            "x": grid,
            "y": pairs[:6, :, 0] - pairs[:6, :1, 0] * (name == "rattle"),
        }


def _sensitivity(
    trial: Trial,
    section: Section,
    crystals: tuple[Crystal, ...],
    base: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Change what matters; the prediction should follow."""
    assert trial.predict is not None
    several = [i for i, c in enumerate(crystals) if c.n_atoms > 1]
    if several:
        shaken = [
            variants.moved(crystals[i], 0.3 * variants.direction(crystals[i], rng))
            for i in several
        ]
        moved = predict_each(trial.predict, shaken).mean - base[several]
        section.add(
            "sees_structure",
            _reacted(moved, trial.spread),
            "share of crystals whose prediction follows atoms moved by 0.3 Å "
            "(0: it sees the composition only)",
        )
    else:
        section.skip("sees_structure", "no crystal has more than one atom")
    pairs = [(i, variants.swapped(c)) for i, c in enumerate(crystals)]
    uneven = [
        (i, c) for i, c in pairs if c is not None and c.formula != crystals[i].formula
    ]
    if not uneven:
        section.skip("sees_species", "no crystal changes composition by a swap")
        return
    found = predict_each(trial.predict, [c for _, c in uneven]).mean
    change = found - base[[i for i, _ in uneven]]
    section.add(
        "sees_species",
        _reacted(change, trial.spread),
        "share of crystals whose prediction follows a swap of two elements",
    )


def _reacted(change: np.ndarray, spread: float) -> float:
    """Refusing a changed crystal counts as a reaction."""
    reacted = ~np.isfinite(change) | (np.abs(change) > _SEES * spread)
    return float(reacted.mean())


def _absurd(trial: Trial, section: Section, crystals: tuple[Crystal, ...]) -> None:
    """Offer what no material is; each must be refused or flagged by its sigma."""
    assert trial.predict is not None
    usual = trial.std
    limit = None if usual is None else float(np.quantile(usual, _ODD))
    by_energy = trial.suite.asks(trial.subject.kind).flagged_by == "energy"
    ceiling = float(trial.mean.max()) + trial.spread if by_energy else None
    table = []
    shares: dict[str, float] = {}
    for name, odd in variants.absurd(crystals).items():
        # without positions there is no energy: a high one is no answer either
        wall = None if name == variants.NOT_A_NUMBER else ceiling
        caught = [_caught(trial.predict, c, limit, wall) for c in odd]
        refused, flagged = (
            sum(c == what for c in caught) / len(caught)
            for what in ("refused", "flagged")
        )
        table.append({"input": name, "refused": refused, "flagged": flagged})
        shares[name] = refused + flagged
    section.series["absurd"] = table
    passed = [name for name, share in shares.items() if share < 0.5]
    section.add(
        "absurd_caught", float(np.mean([*shares.values()])),
        "share of absurd inputs refused or flagged by a large "
        + ("energy" if by_energy else "sigma")
        + (f"; answered with confidence: {', '.join(passed)}" if passed else ""),
    )  # fmt: skip


def _caught(
    predict: Predict, crystal: Crystal, limit: float | None, ceiling: float | None
) -> str:
    found: Guess = predict_each(predict, [crystal])
    if not np.isfinite(found.mean[0]):
        return "refused"
    if ceiling is not None and found.mean[0] > ceiling:
        return "flagged"  # a repulsive wall is a potential's way to say no
    if found.std is not None and limit is not None:
        std = float(found.std[0])
        if not np.isfinite(std) or std > limit:
            return "flagged"
    return "answered"
