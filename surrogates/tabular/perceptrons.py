"""Multilayer perceptrons that differ in weights and records, trained as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from surrogates.base import Progress
from surrogates.tabular.recipes import LastLayerRecipe


class Perceptrons(nn.Module):
    """k multilayer perceptrons with their own weights, run as one.

    Args:
        members: k.
        widths: units of the input, of each hidden layer.
        generator: of the first weights.
    """

    def __init__(
        self, members: int, widths: list[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.members = members
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in zip(widths, [*widths[1:], 1], strict=True):
            weight = torch.randn(members, fan_in, fan_out, generator=generator)
            self.weights.append(nn.Parameter(weight * math.sqrt(2.0 / fan_in)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))

    def hidden(self, x: Tensor) -> Tensor:
        """Return the last hidden layer, k x n x width, for x of k x n x d."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = nn.functional.silu(torch.baddbmm(bias, x, weight))
        return x

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return one value each, k x n."""
        return torch.baddbmm(self.biases[-1], self.hidden(x), self.weights[-1])[..., 0]


def train(
    networks: Perceptrons,
    x: np.ndarray,
    z: np.ndarray,
    rows: Sequence[np.ndarray],
    recipe: LastLayerRecipe,
    draw: np.random.Generator,
    progress: Progress | None = None,
) -> None:
    """Train all networks by the squared error, each on batches of its own records.

    Args:
        networks: k of them, changed in place.
        x: standardised features, shape (n, d).
        z: standardised labels, shape (n,).
        rows: of each network, the records that it learns, k arrays.
        recipe: steps, batch size, learning rate and weight decay.
        draw: of the batches.
        progress: told every hundredth step.
    """
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(z).float()
    optimiser = torch.optim.AdamW(
        networks.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps
    )
    size = min(recipe.batch_size, min(len(own) for own in rows))
    for step in range(recipe.steps):
        batch = torch.from_numpy(np.stack([draw.choice(own, size) for own in rows]))
        loss = ((networks(inputs[batch]) - labels[batch]) ** 2).mean(dim=1).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimiser.step()
        cycle.step()
        if progress is not None and step % 100 == 0:
            mean_loss = loss.item() / len(rows)
            progress({"stage": "fit", "epoch": step, "loss": mean_loss})
