"""An exponential moving average of a network's weights. It scores more steadily and usually better than the weights themselves.

Buffers are averaged too: batch-norm statistics that belong to other weights would cancel the gain. The decay warms up as in
TensorFlow's `ExponentialMovingAverage(num_updates=...)`, so that the random start is forgotten quickly.

Why not Lightning's `WeightAveraging`: it copies the whole task before the task's `setup` adds the auxiliary head and the
teacher's features, and matches the tensors of copy and task by their order, which then fails. It also swaps the copy's buffers in
for a validation and back before the task scores it, so the task finds an empty confusion matrix. Its decay is constant.
Why not only torch's `AveragedModel`: it reads its step counter from the device in each step, which waits for a GPU,
and we would still need our own function for the decay that warms up and for the counters of batch norm.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """Holds `network`, the averaged copy. It is a module, so that checkpoints and devices handle it automatically."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Copies `network`.

        Args:
            network: the network that is trained.
            decay: in the long run, the share of the old average that each step keeps.
        """
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Moves the average towards `network`; `step` counts the optimizer's steps from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, values = [], []
        for average, value in zip(_tensors(self.network), _tensors(network), strict=True):
            if average.is_floating_point():
                averages.append(average)
                values.append(value)
            else:  # counters
                average.copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)


def _tensors(network: nn.Module) -> Iterable[Tensor]:
    yield from network.parameters()
    yield from network.buffers()
