"""Learning rates over the optimizer's steps: warm-up, then poly (DeepLab) or cosine (SGDR without restarts) decay to zero.

The factors are those of torch's `LinearLR` followed by `PolynomialLR` or `CosineAnnealingLR`. Those aren't used, because they
keep the length of the training in their state and compute each learning rate from the one before. A run that continues with
more epochs would get the old length back: `PolynomialLR` would stay at zero, and `CosineAnnealingLR` would rise again.
`LambdaLR` computes each rate from a function of the step, and its state contains no function, so the new length is used.
"""

import math
from collections.abc import Callable
from typing import Literal

Schedule = Literal["poly", "cosine", "constant"]


def learning_rate_factor(schedule: Schedule, steps: int, warmup_steps: int, power: float) -> Callable[[int], float]:
    """Returns a function from the step, counted from 0, to the factor on the optimizer's own learning rate.

    Args:
        schedule: the form of the decay.
        steps: steps of the whole training.
        warmup_steps: steps in which the factor first rises linearly to 1.
        power: exponent of the poly schedule.
    """
    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
        if schedule == "poly":
            return float((1 - progress) ** power)
        if schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1.0

    return factor
