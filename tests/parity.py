"""Shared code for comparisons with other implementations: random networks in which no agreement comes from zeros or ones."""

from typing import TypeVar

import torch
from torch import nn

TOLERANCE = 1e-4  # relative to the output's spread, in float32

_M = TypeVar("_M", bound=nn.Module)


def randomize(model: _M, seed: int = 0) -> _M:
    """Gives `model` random weights, batch-norm statistics and affines; returns it in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5), (module.running_mean, -0.5, 0.5),
                                      (module.running_var, 0.5, 1.5)):
                tensor.data.uniform_(low, high, generator=generator)
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
    return model.eval()


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.std()


def images(height: int, width: int, seed: int = 0, channels: int = 3) -> torch.Tensor:
    """Returns a batch with one random uint8 image."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, channels, height, width), dtype=torch.uint8, generator=generator)
