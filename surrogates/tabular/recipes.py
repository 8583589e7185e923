"""What a configuration may ask of surrogates on fixed features. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import override

from matdisco.recipe import Recipe, nearest

if TYPE_CHECKING:
    from surrogates.base import Surrogate
    from surrogates.checkpoint import Checkpoint
    from surrogates.featurizers.answers import Answers

FEATURES = (
    "composition", "fractions", "charges", "sites", "environments", "chgnet",
    "chgnet_layers", "chgnet_formation", "sevennet", "sevennet_formation",
)  # fmt: skip
"""Names that :func:`surrogates.featurizers.table.features` knows."""
_BLIND = frozenset({"composition", "fractions", "charges"})
"""Those that are equal for all structures of one formula."""
_SEEING = ("trend", "answers", "potential")
"""Settings by which a surrogate knows of a structure besides its features."""
_EXTRAS = {
    "chgnet": ("chgnet", "chgnet"),
    "chgnet_layers": ("chgnet", "chgnet"),
    "chgnet_formation": ("chgnet", "chgnet"),
    "sevennet": ("sevenn", "sevennet"),
    "sevennet_formation": ("sevenn", "sevennet"),
}
"""Potential → package to import and extra that brings it."""
Potential = Literal["chgnet", "sevennet"]
"""Universal potentials whose weights come in their wheels."""


def _potential(text: str) -> str:
    module, _, name = text.partition(":")
    if text not in get_args(Potential) and not (module and name):
        near = nearest(text, get_args(Potential))
        raise ValueError(
            f"unknown potential {text!r}{near} (or one of your own, 'module:name')"
        )
    return text


AnyPotential = Annotated[str, AfterValidator(_potential)]
"""One of those, or ``module:name`` of your own: an ASE calculator, or what makes one
(:mod:`surrogates.featurizers.own_potential`)."""


class OnFeatures(Recipe):
    """What all surrogates on fixed features have in common."""

    unhashed: ClassVar[frozenset[str]] = frozenset({"threads"})

    features: str = "composition"
    """Columns to learn from, several joined with ``+``. ``composition``: statistics of
    elemental properties. ``fractions``: atomic fraction of each element. ``charges``:
    how far common oxidation states are from adding up (gaps, stability). ``sites``:
    which element sits where (one prototype). ``environments``: bond lengths and what
    neighbours differ in. ``chgnet``, ``sevennet``: frozen latents (extras of the same
    name); ``chgnet_layers`` is all of CHGNet's layers, more accurate with few labels.
    ``chgnet_formation``, ``sevennet_formation``: that potential's energy over its own
    elements, one column.
    They leak if that potential is also the simulator. ``package.module:name``: your
    own :class:`~surrogates.featurizers.table.Embedding`."""
    transform: Literal["none", "log", "ranks"] = "none"
    """What is learnt. ``log``: the logarithm of positive labels, for values over
    decades. ``ranks``: where each label stands among all, as a normal deviate, where a
    few far from the others would decide the scale. Answers come back in the unit."""
    calibration: Literal["errors", "scale", "interval", "isotonic"] = "errors"
    """How sigma is matched to errors on records that were left out. ``errors``: a
    factor that depends on the chemistry, learnt from 100 records on and kept only where
    it proves better than one factor. ``scale``: one factor that makes the variance
    right; ``interval``: one that makes the 90 % interval cover 90 % (errors with heavy
    tails); ``isotonic``: a monotone curve (from 30 records)."""
    calibration_prior: float = Field(20.0, ge=0)
    """Records that a scale of 1 counts for against the errors left out."""
    threads: int = Field(2, ge=1)
    """Threads of potentials, networks and trees."""

    @field_validator("features")
    @classmethod
    def _known(cls, text: str) -> str:
        for name in text.split("+"):
            if name not in FEATURES and ":" not in name:
                raise ValueError(
                    f"unknown features {name!r}{nearest(name, list(FEATURES))}"
                )
        return text

    @property
    def packages(self) -> tuple[tuple[str, str], ...]:
        """Packages that the features need, as (import name, extra)."""
        names = dict.fromkeys(self.features.split("+"))
        used = [_EXTRAS[name] for name in names if name in _EXTRAS]
        return tuple(dict.fromkeys(used))

    @property
    def blind(self) -> bool:
        """Whether all structures of one formula are the same to it."""
        told = any(getattr(self, key, None) is not None for key in _SEEING)
        return not told and set(self.features.split("+")) <= _BLIND


class AnswersRecipe(Recipe):
    """What another evaluator answered about the same crystals.

    For example a potential that relaxed every candidate first (``matdisco label``).
    """

    dataset: str
    """Dataset file or ``shipped:NAME``; records are found by id, some may lack."""
    label: str | None = None
    """Which of its labels is compared with the target; the target itself where not
    given."""
    alike: bool = False
    """Crystals that it relaxed into one structure (equal composition, energy and
    volume) share a part of their value with each other alone; rules for stable phases
    learn how often such copies of what is known come to anything."""

    def build(self, target: str) -> Answers:
        """Read the answers for a surrogate of ``target``."""
        from surrogates.featurizers.answers import Answers

        return Answers(self.dataset, self.label or target)


class GaussianProcessRecipe(OnFeatures):
    """Exact Gaussian process, Matérn-5/2 on standardised features."""

    kind: Literal["gaussian_process"] = "gaussian_process"
    """Selects this surrogate."""
    kernel: Literal["isotropic", "additive"] = "isotropic"
    """One length scale for all columns, or a sum with a length scale and a weight for
    each name in ``features``."""
    trend: AnyPotential | None = None
    """Linear trend under the process: the energy by ``chgnet``, ``sevennet`` or a
    potential of your own (``module:name``) over its own elements, so that the process
    learns what the potential gets wrong (delta learning; Ramakrishnan et al., J. Chem.
    Theory Comput. 11, 2087 (2015))."""
    answers: AnswersRecipe | None = None
    """Another evaluator's answers as linear trend: the process learns what it gets
    wrong."""
    max_records: int = Field(4000, ge=2, le=40_000)
    """More labelled records than this are refused, not thinned: cost grows with the
    cube, memory with the square (16 bytes per pair: 16,000 records some 4 GB and
    minutes, 4,000 a quarter of a GB and seconds)."""

    @property
    @override
    def packages(self) -> tuple[tuple[str, str], ...]:
        """Packages that features and trend need, as (import name, extra)."""
        trend = (_EXTRAS[self.trend],) if self.trend in _EXTRAS else ()
        return tuple(dict.fromkeys((*super().packages, *trend)))

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; it has no randomness and keeps no files."""
        from surrogates.tabular.gaussian_process import GaussianProcess

        return GaussianProcess(self, seed)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.tabular.gaussian_process import GaussianProcess

        return GaussianProcess.restored(self, checkpoint)


class CoregionalRecipe(OnFeatures):
    """Gaussian process of several labels at once: multi-target and multi-fidelity."""

    kind: Literal["coregional"] = "coregional"
    """Selects this surrogate."""
    auxiliary: tuple[str, ...] = Field(min_length=1, max_length=8)
    """Labels that help: related properties, or the target by a cheaper method. Records
    that have only some of the labels count too."""
    max_records: int = Field(4000, ge=2, le=20_000)
    """More labels in total than this are refused: cost grows with the cube."""

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        if self.transform == "ranks":
            raise ValueError(
                "transform: labels that help each other are compared by value; "
                "expected none or log, got ranks"
            )
        return self

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; it has no randomness and keeps no files."""
        from surrogates.tabular.coregional import Coregional

        return Coregional(self, seed)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.tabular.coregional import Coregional

        return Coregional.restored(self, checkpoint)


class RandomForestRecipe(OnFeatures):
    """Random forest, the honest baseline (Breiman 2001)."""

    kind: Literal["random_forest"] = "random_forest"
    """Selects this surrogate."""
    trees: int = Field(200, ge=10, le=5000)
    """Trees; their spread is the uncertainty."""
    min_leaf: int = Field(1, ge=1)
    """Least records in a leaf."""
    max_features: float = Field(0.5, gt=0, le=1)
    """Fraction of the features that each split may use."""

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; it keeps no files."""
        from surrogates.tabular.random_forest import RandomForest

        return RandomForest(self, seed)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.tabular.random_forest import RandomForest

        return RandomForest.restored(self, checkpoint)


class ZeroShotRecipe(OnFeatures):
    """A potential's energy with fitted elemental references: no other learning."""

    kind: Literal["zero_shot"] = "zero_shot"
    """Selects this surrogate."""
    features: Literal["fractions"] = "fractions"
    """Always the elemental references."""
    potential: AnyPotential = "chgnet"
    """Whose energy per atom is the one other column: ``chgnet``, ``sevennet``, or
    ``module:name`` of your own."""

    @property
    @override
    def packages(self) -> tuple[tuple[str, str], ...]:
        """The potential's package, as (import name, extra)."""
        return (_EXTRAS[self.potential],) if self.potential in _EXTRAS else ()

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; it has no randomness and keeps no files."""
        from surrogates.tabular.linear import ZeroShot

        return ZeroShot(self, seed)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.tabular.linear import ZeroShot

        return ZeroShot.restored(self, checkpoint)
