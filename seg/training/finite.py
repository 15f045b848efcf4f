"""Finds the step at which a loss stops being a finite number, without waiting for a GPU in each step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_EVERY = 20  # steps between two checks of a GPU's losses, because a check waits for the GPU


class Found(NamedTuple):
    """A loss that is not finite: its step, and the indices of its samples in the data sets."""

    step: int
    loss: float
    samples: Sequence[int]


class LossWatch:
    """Keeps the latest losses and checks them: on a processor each time, on a GPU once in a number of steps."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, loss: Tensor, samples: Tensor) -> Found | None:
        """Keeps the loss () of a step and the indices (N,) of its samples; returns the first bad one if it is time to check."""
        self._kept.append((step, loss.detach(), samples))
        return self.look() if loss.device.type == "cpu" or len(self._kept) >= _EVERY else None

    def look(self) -> Found | None:
        """Returns the first of the kept losses that is not finite, and forgets all kept losses."""
        kept, self._kept = self._kept, []
        finite = torch.stack([loss for _, loss, _ in kept]).isfinite().tolist() if kept else []
        if all(finite):
            return None
        step, loss, samples = kept[finite.index(False)]
        return Found(step, float(loss), samples.tolist())
