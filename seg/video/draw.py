"""Draws the picture of a segmented frame."""

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
        show: the colours blended over the frame, alone, or beside it; or the frame alone.
        shown: train ids that are coloured; None for all.

    Attributes:
        show: see the argument; may be changed from frame to frame.
        opacity: opacity of the colours over the frame, 0 to 1.
        with_legend: whether `annotated` draws a legend.
    """

    def __init__(self, label_set: LabelSet, show: Show = "overlay", shown: Collection[int] | None = None) -> None:
        self.show, self.opacity, self.with_legend = show, OPACITY, True
        self._shown = shown
        self._label_set = label_set
        self._stamps = deque[float](maxlen=31)
        self._canvas = np.empty((0, 0, 3), np.uint8)

    def __call__(self, item: Segmented) -> UInt8Array:
        """Returns the picture, (H, W, 3) uint8 BGR; twice as wide where frame and colours stand side by side."""
        return self._paint(item, np.empty(self._shape(item), np.uint8))

    def _shape(self, item: Segmented) -> tuple[int, int, int]:
        height, width = item.train_ids.shape
        return height, width * (2 if self.show == "side by side" else 1), 3

    def _paint(self, item: Segmented, picture: UInt8Array) -> UInt8Array:
        """Fills the picture and returns it."""
        width = item.train_ids.shape[1]
        if self.show == "overlay":
            return overlay(item.frame_bgr, item.train_ids, self._label_set, self.opacity, self._shown, picture)
        if self.show != "color":
            picture[:, :width] = item.frame_bgr
        if self.show != "off":
            picture[:, -width:] = colorize(item.train_ids, self._label_set, self._shown)
        return picture

    def next_show(self) -> None:
        """Switches to the next of `SHOWS`, and from the last to the first."""
        self.show = SHOWS[(SHOWS.index(self.show) + 1) % len(SHOWS)]

    def seen(self) -> None:
        """Counts a frame for the speed that `annotated` writes."""
        self._stamps.append(time.perf_counter())

    def annotated(self, item: Segmented) -> UInt8Array:
        """Returns the picture with a line of figures on it and, below, a legend of the classes that occur, with their shares.

        Use it only for display: the next call overwrites it, because allocating fresh memory would take as long as the drawing.
        """
        height, width, channels = self._shape(item)
        strip = np.empty((0, width, channels), np.uint8)
        if self.with_legend:
            strip = legend(self._label_set, width, class_shares(item.train_ids, self._label_set), self._shown)
        if self._canvas.shape != (height + len(strip), width, channels):
            self._canvas = np.empty((height + len(strip), width, channels), np.uint8)
        self._canvas[height:] = strip
        parts = [f"{item.latency_ms['total']:.1f} ms"]
        if len(self._stamps) > 1:
            parts.insert(0, f"{(len(self._stamps) - 1) / (self._stamps[-1] - self._stamps[0]):.1f} frames/s")
        if item.dropped:
            parts.append(f"{item.dropped} dropped")
        write_text_on(self._paint(item, self._canvas[:height]), "   ".join(parts))
        return self._canvas
