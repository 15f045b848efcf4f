"""Labels of whole frames from scores, band by band, because scores at a large frame's full size would take gigabytes."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_BAND_SCORES = 2**23  # scores at full size that are made at once: 32 MB, and as much again while they are computed


def bands(logits: Tensor, size_hw: tuple[int, int]) -> Iterator[tuple[slice, Tensor]]:
    """Yields the rows of each band, and its train ids (N, rows, W) int64.

    Together they are `interpolate(logits, size_hw, mode="bilinear").argmax(1)`, to the rounding of the interpolation.

    Args:
        logits: (N, C, h, w) scores of the network's own size.
        size_hw: size of the frames.
    """
    height, width = size_hw
    count, classes, low = logits.shape[:3]
    position = ((torch.arange(height, device=logits.device) + 0.5) * (low / height) - 0.5).clamp(0, low - 1)
    near = position.long()
    far, share = (near + 1).clamp(max=low - 1), (position - near).to(logits.dtype)[:, None]
    step = max(1, _BAND_SCORES // (count * classes * width))
    for begin in range(0, height, step):
        rows = slice(begin, min(begin + step, height))
        above, below = logits[:, :, near[rows]], logits[:, :, far[rows]]
        tall = torch.lerp(above, below, share[rows])
        yield rows, interpolate(tall, (tall.shape[2], width), mode="bilinear", align_corners=False).argmax(1)
