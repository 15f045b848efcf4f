"""A few frames of a result, kept small, for the pictures in a report: the best, the median, and the worst ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from seg.document import Picture, Pictures
from seg.files import UInt8Array, spread
from seg.flow import Ending, Segmented, Stream
from seg.label_sets import IGNORE, LabelSet
from seg.visualize import overlay

_MAX_WIDTH_PX = 640
_JPEG_QUALITY = 92
_MOST_SCORED, _MOST_OTHERS = 400, 24  # frames that are kept in memory, about 0.1 MB each
_WANTED = 6
_EACH = 2  # number of best, median and worst frames


@dataclass(frozen=True)
class Example:
    """A frame with its prediction and, if there is one, its ground truth.

    Attributes:
        name: name of the frame.
        frame_bgr: (H, W, 3) uint8, scaled down.
        truth, prediction: (H, W) train ids of the same size; truth may be None.
        why: why it was picked, such as "worst"; empty for an arbitrary frame.
        miou: over the classes of its truth; None without truth.
    """

    name: str
    frame_bgr: UInt8Array
    truth: UInt8Array | None
    prediction: UInt8Array
    why: str = ""
    miou: float | None = None

    def pictures(self, label_set: LabelSet) -> Pictures:
        """Returns frame, truth, prediction and error map side by side."""
        shown = [Picture("frame", self.frame_bgr)]
        if self.truth is not None:
            shown.append(Picture("truth", overlay(self.frame_bgr, self.truth, label_set)))
        shown.append(Picture("prediction", overlay(self.frame_bgr, self.prediction, label_set)))
        if self.truth is not None:
            shown.append(Picture("errors: wrong pixels are yellow, unscored ones black",
                                 error_map(self.frame_bgr, self.truth, self.prediction)))
        score = "" if self.miou is None else f", mIoU {100 * self.miou:.1f} % over the classes in it"
        return Pictures(f"{self.why.capitalize()}: {self.name}{score}" if self.why else f"{self.name}{score}", shown)


def error_map(frame_bgr: UInt8Array, truth: UInt8Array, prediction: UInt8Array) -> UInt8Array:
    """Returns (H, W, 3) BGR: grey where labels are right, yellow where they are wrong, black where pixels aren't scored."""
    grey = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY) // 2 + 30
    shown = cv2.merge([grey] * 3)
    shown[truth != prediction] = (40, 220, 255)
    shown[truth == IGNORE] = 0
    return shown.astype(np.uint8, copy=False)


@dataclass(frozen=True)
class _Kept:
    """An example in memory: the frame compressed as JPEG, the labels as PNG."""

    name: str
    miou: float | None
    frame: UInt8Array
    truth: UInt8Array | None
    prediction: UInt8Array

    def example(self, why: str) -> Example:
        """Returns the decompressed example."""
        return Example(self.name, _decoded(self.frame, cv2.IMREAD_COLOR),
                       None if self.truth is None else _decoded(self.truth, cv2.IMREAD_UNCHANGED),
                       _decoded(self.prediction, cv2.IMREAD_UNCHANGED), why, self.miou)


def _decoded(data: UInt8Array, flags: int) -> UInt8Array:
    picture = cv2.imdecode(data, flags)
    assert picture is not None  # it was encoded by this class
    return picture.astype(np.uint8, copy=False)


class ExampleCollector:
    """Keeps some of the frames that pass through, evenly thinned out if there are many; a `seg.flow.Sink`.

    The frames with the best and the worst scores are always kept, so that `examples` can return them.

    Args:
        table: maps predicted train ids to those of the truth, if they differ.
    """

    name = "examples"
    in_callers_thread = True

    def __init__(self, table: UInt8Array | None = None) -> None:
        self.delays_ms: dict[int, float] = {}
        self._table = table
        self._kept: list[_Kept] = []
        self._extremes: dict[bool, list[_Kept]] = {False: [], True: []}  # the worst and the best ones
        self._step, self._passed = 1, 0

    def open(self, stream: Stream) -> None:
        """Does nothing."""

    def take(self, item: Segmented) -> bool:
        shown = item.train_ids if self._table is None else self._table[item.train_ids]
        self.offer(item.sample.name, item.frame_bgr, item.sample.train_ids, shown, item.miou)
        return True

    def close(self, ending: Ending) -> None:
        """Does nothing: the kept frames remain."""

    def offer(self, name: str, frame_bgr: UInt8Array, truth: UInt8Array | None, prediction: UInt8Array,
              miou: float | None = None) -> None:
        """Takes the next frame if it is one of those to keep; scales it down to at most 640 pixels of width."""
        score = None if miou is None or math.isnan(miou) else miou
        due = self._passed % self._step == 0
        self._passed += 1
        if not due and not any(self._is_extreme(score, best) for best in (False, True)):
            return
        kept = _compressed(name, score, frame_bgr, truth, prediction)
        for best in (False, True):
            if self._is_extreme(score, best):
                self._extremes[best] = sorted([*self._extremes[best], kept], key=_score, reverse=best)[:_EACH]
        if due:
            self._kept.append(kept)
        if len(self._kept) > (_MOST_OTHERS if truth is None else _MOST_SCORED):
            self._kept, self._step = self._kept[::2], self._step * 2

    def examples(self) -> list[Example]:
        """Returns the best, the median and the worst of the scored frames; if none is scored, evenly spread frames."""
        scored = sorted((kept for kept in self._kept if kept.miou is not None), key=_score)
        if not scored:
            return [kept.example("") for kept in spread(self._kept, _WANTED)]
        middle = max(0, (len(scored) - _EACH) // 2)
        picked: dict[str, tuple[_Kept, str]] = {}
        for why, some in (("best", self._extremes[True]), ("worst", self._extremes[False]),
                          ("median", scored[middle:middle + _EACH])):
            for kept in some:
                picked.setdefault(kept.name, (kept, why))
        order = ("best", "median", "worst")
        return [kept.example(why) for kept, why in sorted(picked.values(), key=lambda pair: order.index(pair[1]))]

    def _is_extreme(self, score: float | None, best: bool) -> bool:
        known = self._extremes[best]
        if score is None or len(known) < _EACH:
            return score is not None
        return score > _score(known[-1]) if best else score < _score(known[-1])


def _score(kept: _Kept) -> float:
    return kept.miou if kept.miou is not None else 0.0


def _compressed(name: str, miou: float | None, frame_bgr: UInt8Array, truth: UInt8Array | None, prediction: UInt8Array) -> _Kept:
    height, width = frame_bgr.shape[:2]
    scale = min(1.0, _MAX_WIDTH_PX / width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))

    def small(picture: UInt8Array, how: int, suffix: str, options: Sequence[int] = ()) -> UInt8Array:
        scaled = picture if scale == 1 else cv2.resize(picture, size_wh, interpolation=how)
        return np.frombuffer(cv2.imencode(suffix, scaled, list(options))[1].tobytes(), np.uint8)

    return _Kept(name, miou, small(frame_bgr, cv2.INTER_AREA, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)),
                 None if truth is None else small(truth, cv2.INTER_NEAREST, ".png"), small(prediction, cv2.INTER_NEAREST, ".png"))
