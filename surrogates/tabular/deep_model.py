"""One member of a deep kernel: a variational process with what it takes in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gpytorch
import numpy as np
import torch
from torch import Tensor, nn

from surrogates.base import Progress
from surrogates.featurizers.table import Standardizer
from surrogates.gp.variational import Evidence, Process
from surrogates.tabular.trained_recipes import DeepKernelRecipe
from surrogates.training import Schedule, blocks, train
from surrogates.training_state import Resume

_CHUNK = 2048  # crystals predicted at once where their covariance is not wanted


@dataclass
class DeepModel:
    """A process with the standardisation of its features; answers are standardised."""

    standard: Standardizer
    process: Process
    likelihood: Any

    @classmethod
    def fresh(cls, recipe: DeepKernelRecipe, x: np.ndarray, seed: int) -> DeepModel:
        """Return a model that learnt nothing; inducing points start at records.

        Args:
            recipe: all settings.
            x: raw features of the records that it is to learn, shape (n, d).
            seed: of weights and inducing points.
        """
        standard = Standardizer.of(x)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            widths = [x.shape[1], *[recipe.width] * recipe.depth]
            layers: list[nn.Module] = []
            for fan_in, fan_out in pairwise(widths):
                layers += [nn.Linear(fan_in, fan_out), nn.SiLU()]
            if recipe.depth:
                layers.append(nn.Linear(widths[-1], recipe.latent))
            body = nn.Sequential(*layers).double()
        draw = np.random.default_rng(np.random.SeedSequence([seed, 2]))
        # as many points whatever the data: a checkpoint has the same shapes
        n = recipe.inducing
        chosen = draw.choice(len(x), n, replace=len(x) < n)
        with torch.no_grad():
            points = body(torch.from_numpy(standard(x[chosen])))
            # repeated records would make a singular matrix
            shake = torch.from_numpy(draw.standard_normal(tuple(points.shape)))
            points = points + 1e-2 * points.std() * shake
        likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
        return cls(standard, Process(points, body).double(), likelihood)

    @classmethod
    def trained(
        cls,
        recipe: DeepKernelRecipe,
        x: np.ndarray,
        z: np.ndarray,
        seed: int,
        *,
        stage: str,
        progress: Progress | None = None,
        resume: Resume | None = None,
    ) -> DeepModel:
        """Return a model that learnt raw features (n, d) and standardised labels (n,).

        Args:
            recipe: all settings.
            x: raw features.
            z: labels.
            seed: of weights, inducing points and the order of the records.
            stage: as it is called in the history.
            progress: told of every row of it.
            resume: where states of the training are left.
        """
        steps = recipe.steps_for(len(z))
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # GPyTorch draws its start from the global
            model = cls.fresh(recipe, x, seed)
            rows, labels = torch.from_numpy(model.standard(x)), torch.from_numpy(z)
            model._begin(rows)
            task = Evidence(
                model.process,
                model.likelihood,
                rows,
                labels,
                steps=steps,
                batch_size=recipe.batch_size,
                seed=seed,
            )
            schedule = Schedule.of(recipe, blocks(steps))
            train(task, schedule, stage=stage, progress=progress, resume=resume)
        return model

    def _begin(self, rows: Tensor) -> None:
        process = self.process
        with torch.no_grad():
            if len(rows) > 1:  # a start: some records tell a median
                far = torch.pdist(process.body(rows[:500])).median()
                scale = far.clamp_min(1e-3)  # equal ones have none
                process.covar_module.base_kernel.lengthscale = scale
            self.likelihood.noise = 0.1  # of the variance of the labels
            process.train()
            process(rows[:1])  # draws the variational start, which a resume replaces

    @property
    def noise(self) -> float:
        """Variance of a label that the process does not explain."""
        return float(self.likelihood.noise.detach())

    def joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means (n,) and the covariance (n, n) of raw features (n, d)."""
        self.process.eval()
        with torch.no_grad():
            found = self.process(torch.from_numpy(self.standard(x)))
            return found.mean.numpy(), found.covariance_matrix.numpy()

    def apart(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and variances, without noise, of raw features (n, d)."""
        self.process.eval()
        with torch.no_grad():
            rows = torch.from_numpy(self.standard(x))
            parts = [self.process(part) for part in torch.split(rows, _CHUNK)]
            mean = torch.cat([p.mean for p in parts]).numpy()
            return mean, torch.cat([p.variance for p in parts]).numpy()

    def shared(self, some: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return covariances of some raw rows (r, d) with all, shape (r, n)."""
        self.process.eval()
        with torch.no_grad():
            few = torch.from_numpy(self.standard(some))
            rows = torch.from_numpy(self.standard(x))
            parts = [
                self.process(torch.cat([few, part])).covariance_matrix
                for part in torch.split(rows, _CHUNK)
            ]
            n = len(few)
            return np.concatenate([p[:n, n:].numpy() for p in parts], axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that :meth:`restore` needs."""
        tensors = {
            **self.process.state_dict(prefix="process."),
            **self.likelihood.state_dict(prefix="likelihood."),
        }
        arrays = {k: v.detach().numpy() for k, v in tensors.items()}
        standard = self.standard
        scaling = {"mean": standard.mean, "std": standard.std}
        return arrays | {f"standard.{k}": v for k, v in scaling.items()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what :meth:`arrays` returned."""
        self.standard = Standardizer(arrays["standard.mean"], arrays["standard.std"])
        for prefix, module in (
            ("process.", self.process),
            ("likelihood.", self.likelihood),
        ):
            module.load_state_dict(
                {
                    name.removeprefix(prefix): torch.from_numpy(np.array(array))
                    for name, array in arrays.items()
                    if name.startswith(prefix)
                }
            )
