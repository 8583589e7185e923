"""What a configuration may ask for. Importing this file does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from matdisco.errors import ConfigError
from matdisco.recipe import Recipe
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.tabular.recipes import (
    CoregionalRecipe,
    GaussianProcessRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
)
from surrogates.tabular.trained_recipes import DeepKernelRecipe, LastLayerRecipe

if TYPE_CHECKING:
    from surrogates.base import Surrogate
    from surrogates.checkpoint import Checkpoint

__all__ = [
    "AnySurrogate",
    "AutoRecipe",
    "CoregionalRecipe",
    "DeepKernelRecipe",
    "GaussianProcessRecipe",
    "LastLayerRecipe",
    "NetworkEnsembleRecipe",
    "OneSurrogate",
    "RandomForestRecipe",
    "ZeroShotRecipe",
    "recipe_of",
]

OneSurrogate = Annotated[
    NetworkEnsembleRecipe
    | GaussianProcessRecipe
    | RandomForestRecipe
    | ZeroShotRecipe
    | LastLayerRecipe
    | DeepKernelRecipe
    | CoregionalRecipe,
    Field(discriminator="kind"),
]
"""Any surrogate that learns by itself."""


class AutoRecipe(Recipe):
    """The best of several surrogates by cross-validated likelihood."""

    kind: Literal["auto"] = "auto"
    """Selects this surrogate."""
    candidates: tuple[OneSurrogate, ...] = ()
    """What to compare; empty compares processes and forests on composition,
    environments and, where chgnet is installed, CHGNet's latents, with and without its
    formation energies as a trend. With more records than an exact process takes, deep
    kernels and networks with a Bayesian last layer stand in for the processes, and
    graph networks join where there is a CUDA card."""
    folds: int = Field(5, ge=2, le=20)
    """Parts of the records, chemical systems whole; each judges once. Of more than
    6,000 records fewer of them do, two at least."""

    def options(
        self, n_records: int = 0, *, card: Callable[[], bool] = bool
    ) -> tuple[OneSurrogate, ...]:
        """Return what is compared.

        Args:
            n_records: labelled records that the winner is to learn; 0 where that is
                not known yet.
            card: tells whether there is a CUDA card, asked for large sets alone as it
                imports torch; without a card, folds of graph networks on thousands of
                records take hours.
        """
        if self.candidates:
            return self.candidates
        both, latents = "composition+environments", "chgnet_layers"
        chgnet = find_spec("chgnet") is not None
        forest = RandomForestRecipe(features=both)
        if n_records > GaussianProcessRecipe().max_records:
            large: list[OneSurrogate] = [LastLayerRecipe(features=both)]
            large += [DeepKernelRecipe(features=both), forest]
            if chgnet:
                large.append(LastLayerRecipe(features=f"{latents}+composition"))
            if card():
                large.append(NetworkEnsembleRecipe())
            return tuple(large)
        made: list[OneSurrogate] = [
            GaussianProcessRecipe(),
            GaussianProcessRecipe(features=both, kernel="additive"),
            forest,
        ]
        if chgnet:
            made.append(GaussianProcessRecipe(features=latents))
            made += [
                GaussianProcessRecipe(
                    features=f"{latents}+composition", kernel="additive", trend=trend
                )
                for trend in (None, "chgnet")
            ]
        return tuple(made)

    @property
    def packages(self) -> tuple[tuple[str, str], ...]:
        """Packages that the candidates need, as (import name, extra)."""
        needed = [p for c in self.candidates for p in getattr(c, "packages", ())]
        return tuple(dict.fromkeys(needed))

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; candidates keep their files in ``folder``."""
        from surrogates.auto import Auto

        return Auto(self, seed, folder)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.auto import Auto

        return Auto.restored(self, checkpoint)


AnySurrogate = Annotated[
    NetworkEnsembleRecipe
    | GaussianProcessRecipe
    | RandomForestRecipe
    | ZeroShotRecipe
    | LastLayerRecipe
    | DeepKernelRecipe
    | CoregionalRecipe
    | AutoRecipe,
    Field(discriminator="kind"),
]
"""Any surrogate block of a configuration, chosen by its ``kind``."""


class _Block(Recipe):
    """What :func:`recipe_of` reads, so that mistakes are told as in a file."""

    surrogate: AnySurrogate
    """The block."""


def recipe_of(block: object, source: str) -> AnySurrogate:
    """Return the recipe that ``block`` is, or whose fields it holds.

    Args:
        block: a recipe, or a mapping with ``kind``.
        source: where it is from, for messages.

    Raises:
        ConfigError: one line per mistake, each with the nearest known word.
    """
    if not isinstance(block, Recipe | Mapping):
        raise ConfigError(
            f"{source}: expected a surrogate recipe, or its fields such as "
            f"{{'kind': 'gaussian_process'}}, got {block!r}"
        )
    return _Block.from_mapping({"surrogate": block}, source=source).surrogate
