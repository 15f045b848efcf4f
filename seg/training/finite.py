"""Finds the step at which a loss is no number any more, without waiting for a GPU in each step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_EVERY = 20  # steps between two looks at the losses of a GPU, which wait for it


class Found(NamedTuple):
    """A loss that is no finite number: of which step, and of which samples of the data sets."""

    step: int
    loss: float
    samples: Sequence[int]


class LossWatch:
    """Keeps the latest losses, and looks at them: on a processor each time, on a GPU every so many steps."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, loss: Tensor, samples: Tensor) -> Found | None:
        """Keeps the loss () of a step and the numbers (N,) of its samples; returns the first bad one if it is time to look."""
        self._kept.append((step, loss.detach(), samples))
        return self.look() if loss.device.type == "cpu" or len(self._kept) >= _EVERY else None

    def look(self) -> Found | None:
        """Returns the first of the kept losses that is no finite number, and forgets them all."""
        kept, self._kept = self._kept, []
        finite = torch.stack([loss for _, loss, _ in kept]).isfinite().tolist() if kept else []
        if all(finite):
            return None
        step, loss, samples = kept[finite.index(False)]
        return Found(step, float(loss), samples.tolist())
