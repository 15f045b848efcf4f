"""A few of the frames that a result is of, kept small, for the pictures in a report."""

from dataclasses import dataclass

import cv2

from seg.files import UInt8Array
from seg.flow import Ending, Segmented, Stream

_MAX_WIDTH_PX = 640


@dataclass(frozen=True)
class Example:
    """A frame (H, W, 3) with its prediction and, where there is one, its truth, both (H, W) train ids."""

    name: str
    frame_bgr: UInt8Array
    truth: UInt8Array | None
    prediction: UInt8Array


class ExampleCollector:
    """Picks frames that are evenly spread, as they pass by; a `seg.flow.Sink`.

    Attributes:
        examples: those picked so far.
    """

    name = "examples"
    in_callers_thread = True

    def __init__(self, total: int | None = None, wanted: int = 6, table: UInt8Array | None = None) -> None:
        """Says how many frames will pass by.

        Args:
            total: how many; None takes what the stream says, and one in 50 is picked if nobody knows.
            wanted: how many to pick.
            table: from predicted train ids to those of the truth, where they differ.
        """
        self.examples: list[Example] = []
        self.delays_ms: dict[int, float] = {}
        self._wanted, self._table = wanted, table
        self._total = total or 50 * wanted
        self._passed = 0

    def open(self, stream: Stream) -> None:
        self._total = stream.frames or self._total

    def take(self, item: Segmented) -> bool:
        shown = item.train_ids if self._table is None else self._table[item.train_ids]
        self.offer(item.sample.name, item.frame_bgr, item.sample.train_ids, shown)
        return True

    def close(self, ending: Ending) -> None:
        """Does nothing: what was picked stays."""

    def offer(self, name: str, frame_bgr: UInt8Array, truth: UInt8Array | None, prediction: UInt8Array) -> None:
        """Takes the frame if it is one of those to pick; scales it down to at most 640 pixels of width."""
        step = max(1.0, self._total / self._wanted)
        due = int((len(self.examples) + 0.5) * step)
        if len(self.examples) < self._wanted and self._passed == due:
            height, width = frame_bgr.shape[:2]
            scale = min(1.0, _MAX_WIDTH_PX / width)
            size_wh = max(1, round(width * scale)), max(1, round(height * scale))
            small = [picture if picture is None or scale == 1 else cv2.resize(picture, size_wh, interpolation=how)
                     for picture, how in ((frame_bgr.copy(), cv2.INTER_AREA), (truth, cv2.INTER_NEAREST),
                                          (prediction, cv2.INTER_NEAREST))]
            self.examples.append(Example(name, *small))  # type: ignore[arg-type]
        self._passed += 1
