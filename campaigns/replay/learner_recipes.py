"""What may learn in a replay, as a replay file says it (no heavy imports)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from campaigns.replay.feature_names import Features as Features
from campaigns.replay.peers.recipes import Ax, BayBE
from matdisco.recipe import Recipe
from surrogates.tabular.recipes import Potential


class Exact(Recipe):
    """Exact Gaussian process: a Matérn-5/2 on each standardised feature table."""

    kind: Literal["gaussian_process"] = "gaussian_process"
    features: tuple[Features, ...] = Field(min_length=1)
    """Feature tables; several get a kernel each, with its own length and weight."""
    prior: Literal["constant", "zero_shot", "transfer", "answers"] = "constant"
    """What the process corrects: a constant; an energy of a pretrained potential with
    elemental references fitted to the labels; what a process on the same features
    learnt from another dataset; or what another evaluator answered about these very
    candidates, which is a cheaper fidelity that was asked about all of them first."""
    trend: Potential | None = None
    """Linear trend under the process: this potential's formation energies, over its own
    elements, of the candidates as they are."""
    transfer: str | None = None
    """That dataset (path or ``shipped:NAME``), with ``prior: transfer``."""
    transfer_target: str | None = None
    """Its label, of the kind that the replay learns; for stable phases
    ``compressed_formation_energy``."""
    answers: str | None = None
    """Dataset with those answers (path or ``shipped:NAME``), with ``prior: answers``;
    records are found by id, and some may be missing."""
    answers_label: str | None = None
    """Their label; for stable phases an energy per atom."""
    alike: bool = False
    """With ``prior: answers``: candidates that the other evaluator relaxed into one
    structure share a part of their value with each other alone."""
    labels: Literal["values", "ranks"] = "values"
    """What is learnt: the labels, or where each stands among those known so far, as a
    normal deviate; for labels over decades, or with a few that decide the scale."""
    relevance: bool = False
    """A length scale for every column of one table, with priors that suit few labels,
    instead of one for all; for tables of a few dozen columns at most."""
    scaled_by: Literal["labels", "pool"] = "labels"
    """Whose mean and deviation columns are measured in: those of the labelled
    candidates, or of the whole pool, which few labels represent badly."""
    tuned_on: int = Field(300, ge=20)
    """Latest-spread records that choose length scale and noise; all condition."""

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if self.alike and (self.prior != "answers" or self.relevance):
            raise ValueError(
                "alike: expected with prior: answers and without relevance, got prior: "
                f"{self.prior} and relevance: {self.relevance}"
            )
        if self.relevance and (len(self.features) > 1 or self.trend is not None):
            raise ValueError(
                "relevance: expected with one feature table and no trend, got "
                f"{', '.join(self.features)} and trend: {self.trend}"
            )
        return self

    @model_validator(mode="after")
    def _prior_given(self) -> Self:
        for first, second in (("transfer", "transfer_target"),
                              ("answers", "answers_label")):  # fmt: skip
            given = {
                getattr(self, first) is not None,
                getattr(self, second) is not None,
            }
            if given != {self.prior == first}:
                raise ValueError(
                    f"{first}, {second}: expected with prior: {first}, and only then"
                )
        return self


class Additive(Recipe):
    """Exact Gaussian process, sum of products of kernels of the sites.

    One kernel per site over elemental properties with a length scale each and a part
    for the element itself; learned weights of every interaction (D. Duvenaud et al.,
    NeurIPS 2011). Needs a pool with ``structure: sites``.
    """

    kind: Literal["additive_process"] = "additive_process"
    features: tuple[Features, ...] = ()
    """Feature tables that get one kernel more, for example ``chgnet``."""
    steps: int = Field(80, ge=1)
    """Gradient steps on the marginal likelihood at the start."""
    refit_steps: int = Field(12, ge=0)
    """Steps in each later round, from where the last ended."""


class Forest(Recipe):
    """Random forest; the spread of its trees is the uncertainty."""

    kind: Literal["random_forest"] = "random_forest"
    features: tuple[Features, ...] = Field(min_length=1)
    """Feature tables put side by side."""
    trees: int = Field(100, ge=10)
    """Trees."""


class ZeroShot(Recipe):
    """Energy of a pretrained potential with elemental references fitted to labels."""

    kind: Literal["zero_shot"] = "zero_shot"


class Nothing(Recipe):
    """Learns nothing; for random choice."""

    kind: Literal["nothing"] = "nothing"


class Cokriging(Recipe):
    """A process per fidelity, each on what the one below does not explain.

    Autoregressive co-kriging (M. C. Kennedy and A. O'Hagan, Biometrika 87, 1 (2000)) in
    its recursive form (L. Le Gratiet and J. Garnier, Int. J. Uncertain. Quantif. 4, 365
    (2014)), which is exact as a candidate is only asked at a fidelity once it is
    answered at those below. With a plain acquisition function, all candidates are asked
    at the cheaper fidelities first.
    """

    kind: Literal["cokriging"] = "cokriging"
    process: Annotated[Exact | Additive, Field(discriminator="kind")]
    """The process of every fidelity."""

    @model_validator(mode="after")
    def _constant_prior(self) -> Self:
        prior = getattr(self.process, "prior", "constant")
        if prior != "constant":
            raise ValueError(
                "process.prior: expected constant, since the fidelity below is the "
                f"prior; got {prior}"
            )
        return self


AnyLearner = Annotated[
    Exact | Additive | Forest | ZeroShot | Cokriging | Nothing | BayBE | Ax,
    Field(discriminator="kind"),
]
"""Every learner, chosen by ``kind``."""
