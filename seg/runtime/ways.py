"""How the network looks at a frame: at the whole of it, through sliding windows, or at several scales and mirrored.

Papers often score with windows and scales. They cost one run of the network for each part, and a result says so.
Scores are averaged before they are upsampled. Overlapping windows are averaged as scores, because they have one scale; scales
are averaged as probabilities.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from seg.architecture import MIN_SIZE
from seg.errors import SegError
from seg.runtime.protocol import Frame, Scores
from seg.runtime.resize import resize

Network = Callable[[Frame], Scores]
_GRID = 32  # sides are multiples of it, so that scores of any stride lie on whole cells
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
OVERLAP = 1 / 3


class Way(Protocol):
    """Computes a frame's scores with a network that may run several times."""

    def __call__(self, network: Network, image_bgr: Frame) -> Scores:
        """Returns scores (C, h, w) that cover the image (H, W, 3)."""
        ...

    def largest(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Returns the largest (H, W) that the network runs at for an image of (H, W)."""
        ...


@dataclass(frozen=True)
class Whole:
    """The whole frame in one run."""

    def __call__(self, network: Network, image_bgr: Frame) -> Scores:
        return network(image_bgr)

    def largest(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        return size_hw

    def __str__(self) -> str:
        return "whole"


@dataclass(frozen=True)
class Slide:
    """Windows of one size, evenly spread, so that neighbours overlap by at least a given share of their side.

    Attributes:
        window_hw: (H, W), rounded to multiples of 32; a frame that is smaller in one direction fits completely in that direction.
        overlap: share from 0 to below 1.

    Raises:
        SegError: a value is not valid.
    """

    window_hw: tuple[int, int]
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if min(self.window_hw) < MIN_SIZE:
            raise SegError(f"A window of {self.window_hw[0]}x{self.window_hw[1]} is too small: the network needs at least "
                           f"{MIN_SIZE}x{MIN_SIZE}.")
        if not 0 <= self.overlap < 1:
            raise SegError(f"Windows overlap by a share of 0 to below 1, not {self.overlap:g}.")

    def __call__(self, network: Network, image_bgr: Frame) -> Scores:
        image = _resized(image_bgr, 1.0)
        size_hw = image.shape[0], image.shape[1]
        window_hw = self.largest(size_hw)
        total, seen = None, np.zeros((1, 1, 1), np.float32)
        for top in _starts(size_hw[0], window_hw[0], self.overlap):
            for left in _starts(size_hw[1], window_hw[1], self.overlap):
                scores = network(np.ascontiguousarray(image[top:top + window_hw[0], left:left + window_hw[1]]))
                stride = window_hw[0] // scores.shape[1]
                if total is None:
                    total = np.zeros((scores.shape[0], size_hw[0] // stride, size_hw[1] // stride), np.float32)
                    seen = np.zeros((1, *total.shape[1:]), np.float32)
                there = (slice(None), slice(top // stride, top // stride + scores.shape[1]),
                         slice(left // stride, left // stride + scores.shape[2]))
                total[there] += scores
                seen[there] += 1
        assert total is not None
        return np.divide(total, seen, dtype=np.float32)

    def largest(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        height, width = (min(_whole(window), _whole(side)) for window, side in zip(self.window_hw, size_hw, strict=True))
        return height, width

    def __str__(self) -> str:
        return f"slide, {self.window_hw[0]}x{self.window_hw[1]}, overlap {self.overlap:.0%}"


@dataclass(frozen=True)
class Multiscale:
    """Several sizes, each also mirrored.

    Attributes:
        scales: factors of the size at which the frame would run, above 0.

    Raises:
        SegError: there is no scale, or one is not valid.
    """

    scales: tuple[float, ...] = SCALES

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 8 for scale in self.scales):
            raise SegError(f"Scales are above 0 and at most 8, and there is at least one; got {self.scales}.")

    def __call__(self, network: Network, image_bgr: Frame) -> Scores:
        total = None
        for scale in sorted(self.scales, reverse=True):  # the first one's scores are the finest
            image = _resized(image_bgr, scale)
            mean = (_probabilities(network(image)) + _probabilities(network(np.ascontiguousarray(image[:, ::-1])))[..., ::-1]) / 2
            if total is None:
                total = mean
            else:
                size_wh = total.shape[2], total.shape[1]
                total += np.stack([cv2.resize(one, size_wh, interpolation=cv2.INTER_LINEAR) for one in mean])
        assert total is not None
        return np.log(total / len(self.scales)).astype(np.float32, copy=False)  # the softmax of these are the mean probabilities

    def largest(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        height, width = (_whole(side * max(self.scales)) for side in size_hw)
        return height, width

    def __str__(self) -> str:
        return f"multiscale, {', '.join(f'{scale:g}' for scale in self.scales)}, mirrored too"


WHOLE = Whole()


def _whole(side: float) -> int:
    return max(MIN_SIZE, round(side / _GRID) * _GRID)


def _resized(image_bgr: Frame, scale: float) -> Frame:
    height, width = (_whole(side * scale) for side in image_bgr.shape[:2])
    return resize(image_bgr, (height, width))


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """Returns the starts of the windows, on the grid; the last window ends at the border."""
    count = math.ceil((side - window) / max(1.0, window * (1 - overlap))) + 1
    return [round(i * (side - window) / max(1, count - 1) / _GRID) * _GRID for i in range(count)]


def _probabilities(scores: Scores) -> npt.NDArray[np.float32]:
    """Returns the softmax over classes of (C, h, w)."""
    powers = np.exp(scores - scores.max(0, keepdims=True))
    return (powers / powers.sum(0, keepdims=True)).astype(np.float32)
