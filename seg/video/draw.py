"""What is shown of a segmented frame."""

import time
from collections import deque
from collections.abc import Collection
from typing import Literal, get_args

import numpy as np

from seg.files import UInt8Array
from seg.flow import Segmented
from seg.label_sets import LabelSet
from seg.visualize import OPACITY, class_shares, colorize, legend, overlay, write_text_on

Show = Literal["overlay", "color", "side by side", "off"]
SHOWS: tuple[Show, ...] = get_args(Show)


class Painter:
    """Makes the picture of a frame.

    Args:
        label_set: gives the colours.
        show: the colours blended over the frame, alone, beside it, or the frame alone.
        shown: train ids that are coloured; None for all.

    Attributes:
        show: as said; may be changed from frame to frame.
        opacity: of the colours over the frame, 0 to 1.
        with_legend: whether `annotated` has a legend.
    """

    def __init__(self, label_set: LabelSet, show: Show = "overlay", shown: Collection[int] | None = None) -> None:
        self.show, self.opacity, self.with_legend = show, OPACITY, True
        self._shown = shown
        self._label_set = label_set
        self._stamps = deque[float](maxlen=31)

    def __call__(self, item: Segmented) -> UInt8Array:
        """Returns the picture, (H, W, 3) uint8 BGR; twice as wide where frame and colours stand side by side."""
        if self.show == "overlay":
            return overlay(item.frame_bgr, item.train_ids, self._label_set, self.opacity, self._shown)
        if self.show == "color":
            return colorize(item.train_ids, self._label_set, self._shown)
        if self.show == "side by side":
            return np.hstack([item.frame_bgr, colorize(item.train_ids, self._label_set, self._shown)])
        return item.frame_bgr.copy()

    def next_show(self) -> None:
        """Goes on to the next thing to show, and from the last to the first."""
        self.show = SHOWS[(SHOWS.index(self.show) + 1) % len(SHOWS)]

    def seen(self) -> None:
        """Counts a frame for the speed that `annotated` writes."""
        self._stamps.append(time.perf_counter())

    def annotated(self, item: Segmented) -> UInt8Array:
        """Returns the picture with a head-up line on it and, below, a legend of the classes that are there with their shares."""
        picture = self(item)
        parts = [f"{item.latency_ms['total']:.1f} ms"]
        if len(self._stamps) > 1:
            parts.insert(0, f"{(len(self._stamps) - 1) / (self._stamps[-1] - self._stamps[0]):.1f} frames/s")
        if item.dropped:
            parts.append(f"{item.dropped} dropped")
        write_text_on(picture, "   ".join(parts))
        if not self.with_legend:
            return picture
        shares = class_shares(item.train_ids, self._label_set)
        return np.vstack([picture, legend(self._label_set, picture.shape[1], shares, self._shown)])
