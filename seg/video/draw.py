"""What is shown of a segmented frame."""

import time
from collections import deque
from typing import Literal

import numpy as np

from seg.files import UInt8Array
from seg.flow import Segmented
from seg.label_sets import LabelSet
from seg.visualize import colorize, legend, overlay, write_text_on

Show = Literal["overlay", "color"]


class Painter:
    """Makes the picture of a frame.

    Args:
        label_set: gives the colours.
        show: the colours blended over the frame, or alone.
    """

    def __init__(self, label_set: LabelSet, show: Show = "overlay") -> None:
        self._label_set, self._show = label_set, show
        self._stamps = deque[float](maxlen=31)

    def __call__(self, item: Segmented) -> UInt8Array:
        """Returns the picture, (H, W, 3) uint8 BGR."""
        if self._show == "overlay":
            return overlay(item.frame_bgr, item.train_ids, self._label_set)
        return colorize(item.train_ids, self._label_set)

    def annotated(self, item: Segmented) -> UInt8Array:
        """Returns the picture with a head-up line on it and a legend below."""
        self._stamps.append(time.perf_counter())
        picture = self(item)
        if len(self._stamps) > 1:
            speed = (len(self._stamps) - 1) / (self._stamps[-1] - self._stamps[0])
            dropped = f"   {item.dropped} dropped" if item.dropped else ""
            write_text_on(picture, f"{speed:.1f} frames/s   {item.latency_ms['total']:.1f} ms{dropped}")
        return np.vstack([picture, legend(self._label_set, picture.shape[1])])
