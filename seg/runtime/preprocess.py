"""How a frame is fitted to the size at which the network runs, and how its label map is mapped back.

By default a frame keeps its shape and is scaled to the size at which the network is most accurate, if its weights name one;
otherwise it runs at its own size, extended by at most 15 px of mean colour on the right and below so that its sides are multiples
of 16. If a size is given, the frame is either stretched to it or letterboxed: scaled as large as it fits without distortion,
centred, and surrounded by the mean colour, which the network reads as zeros. The label map is always computed at the frame's own
size, directly from the scores that cover the frame. The engine and the network do colour order and normalisation.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from seg.architecture import MIN_SIZE
from seg.errors import SegError
from seg.runtime.resize import resize

# Sides are multiples of it. Otherwise features at 1/16 that are enlarged to those at 1/8 are up to 8 px from where they were in
# training, and so are the enlarged scores. That costs one to two points of mIoU, and several of some classes.
GRID = 16
Fit = Literal["stretch", "letterbox"]
Size: TypeAlias = tuple[int, int] | int | Literal["best", "own"]


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in the image that the network sees; all values are pixels of that image.

    Attributes:
        size_hw: (H, W) of the image.
        top, left, height, width: the frame's place in it.
    """

    size_hw: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    def window(self, scores_hw: tuple[int, int]) -> tuple[float, float, float, float]:
        """Returns the frame's place in units of scores, in the form that `upsample_argmax` takes."""
        vertical, horizontal = scores_hw[0] / self.size_hw[0], scores_hw[1] / self.size_hw[1]
        return self.top * vertical, self.left * horizontal, self.height * vertical, self.width * horizontal


def check_size(size: Size, fit: str) -> None:
    """Refuses a size or a fit that is not valid.

    Raises:
        SegError: a side is below the network's minimum, the size is an unknown word, or the fit is unknown.
    """
    if fit not in get_args(Fit):
        raise SegError(f"fit is {fit!r}; it can be {' or '.join(map(repr, get_args(Fit)))}.")
    if not (isinstance(size, int) or (isinstance(size, tuple) and len(size) == 2) or size in ("best", "own")):
        raise SegError(f"The size is {size!r}; it can be (height, width), the longer side alone, 'best' or 'own'.")
    if isinstance(size, int) and size < MIN_SIZE:
        raise SegError(f"The long side {size} is too small: the network needs at least {MIN_SIZE} pixels.")
    if isinstance(size, tuple) and min(size) < MIN_SIZE:
        raise SegError(f"The size {size[0]}x{size[1]} is too small: the network needs at least {MIN_SIZE}x{MIN_SIZE}.")


def place(frame_hw: tuple[int, int], size_hw: tuple[int, int] | None, fit: Fit, long_side: int | None = None) -> Placement:
    """Computes where a frame goes.

    Args:
        frame_hw: (H, W) of the frame.
        size_hw: (H, W) to which it is brought; None keeps its own shape.
        fit: how it is brought to `size_hw`.
        long_side: longer side of a frame that keeps its shape [px]; both sides are rounded to multiples of 16. None for its own
            size, in the top left corner of an image whose sides are multiples of 16. In both cases a side below 32 is stretched
            to 32.
    """
    if size_hw is None:
        if long_side is None:
            height, width = (max(side, MIN_SIZE) for side in frame_hw)
            return Placement((math.ceil(height / GRID) * GRID, math.ceil(width / GRID) * GRID), 0, 0, height, width)
        height, width = (max(MIN_SIZE, math.floor(side * long_side / max(frame_hw) / GRID + 0.5) * GRID) for side in frame_hw)
        return Placement((height, width), 0, 0, height, width)
    if fit == "stretch":
        return Placement(size_hw, 0, 0, *size_hw)
    scale = min(size_hw[0] / frame_hw[0], size_hw[1] / frame_hw[1])
    height, width = (max(1, min(round(side * scale), limit)) for side, limit in zip(frame_hw, size_hw, strict=True))
    return Placement(size_hw, (size_hw[0] - height) // 2, (size_hw[1] - width) // 2, height, width)


def fit_frame(frame_bgr: npt.NDArray[np.uint8], placement: Placement, mean_rgb: tuple[float, ...],
              threads: int = 1) -> npt.NDArray[np.uint8]:
    """Returns the (H, W, 3) BGR image that the network sees, C-contiguous; the frame itself if it already fits.

    Args:
        frame_bgr: (H, W, 3) uint8.
        placement: where it goes.
        mean_rgb: 0 to 1, the colour around the frame.
        threads: how many threads share the work.
    """
    inner_hw = (placement.height, placement.width)
    frame = resize(np.ascontiguousarray(frame_bgr), inner_hw, threads)
    if inner_hw == placement.size_hw:
        return frame
    bottom = placement.size_hw[0] - placement.top - placement.height
    right = placement.size_hw[1] - placement.left - placement.width
    color = [round(value * 255) for value in mean_rgb[::-1]]
    image = cv2.copyMakeBorder(frame, placement.top, bottom, placement.left, right, cv2.BORDER_CONSTANT, value=color)
    return np.asarray(image, np.uint8)
