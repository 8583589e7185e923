"""Multilayer perceptrons that differ in weights and records, trained as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from surrogates.training import Task, block


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


class PerceptronTask(Task[Tensor]):
    """All networks learn the squared error, each on batches of its own records.

    Args:
        networks: k of them, changed in place.
        x: standardised features, shape (n, d).
        z: standardised labels, shape (n,).
        rows: of each network, the records that it learns, k arrays.
        steps: of all epochs.
        batch_size: records in a step, where every network has as many.
        seed: of the batches.
    """

    def __init__(
        self,
        networks: Perceptrons,
        x: np.ndarray,
        z: np.ndarray,
        rows: Sequence[np.ndarray],
        *,
        steps: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__([networks], networks.members, steps)
        self.networks, self.rows, self.seed = networks, rows, seed
        self.size = min(batch_size, min(len(own) for own in rows))
        self.inputs, self.labels = torch.from_numpy(x).float(), torch.from_numpy(z)
        self.labels = self.labels.float()

    @override
    def batches(self, epoch: int) -> Iterator[Tensor]:
        """Return rows, k x size, for every step of a block; drawn with replacement."""
        steps = len(block(epoch, self.steps))
        draw = np.random.default_rng(np.random.SeedSequence([self.seed, 2, epoch]))
        picked = [
            own[draw.integers(len(own), size=(steps, self.size))] for own in self.rows
        ]
        return iter(torch.from_numpy(np.stack(picked, axis=1)))

    @override
    def loss(self, batch: Tensor) -> Tensor:
        """Return the mean squared error of each network, summed."""
        errors = self.networks(self.inputs[batch]) - self.labels[batch]
        loss: Tensor = (errors**2).mean(dim=1).sum()
        return loss

    @override
    def facts(self) -> tuple[object, Iterable[np.ndarray]]:
        """Return settings, table and which network learns what."""
        table = self.inputs.numpy(), self.labels.numpy()
        return (self.seed, self.size), (*table, *self.rows)
