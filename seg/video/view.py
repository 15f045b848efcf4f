"""The view that a viewer has chosen, and its pictures; each picture is drawn once for all viewers with the same view."""

from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from seg.errors import SegError, did_you_mean
from seg.files import UInt8Array
from seg.flow import Segmented
from seg.label_sets import LabelSet
from seg.video.draw import SHOWS, Painter, Show
from seg.visualize import OPACITY

_KEPT = 16  # pictures, for several viewers
_QUALITY = 82  # of JPEG
_WIDEST = 7680
_NARROWEST = 64


@dataclass(frozen=True)
class View:
    """What is shown, and how.

    Attributes:
        show: see `Painter`.
        opacity: of the colours, 0 to 1.
        classes: train ids that are highlighted; None for all.
        width: largest width of the picture [px]; None keeps the frame's own size.
    """

    show: Show = "overlay"
    opacity: float = OPACITY
    classes: frozenset[int] | None = None
    width: int | None = None

    @classmethod
    def of(cls, wanted: Mapping[str, Any], label_set: LabelSet, default: "View") -> "View":
        """Reads a view from untrusted input; what is missing there is taken from `default`.

        Args:
            wanted: `show`, `opacity`, `classes` (names, in a list or with commas between; "all" for all), `width`.
            label_set: names the classes.
            default: see above.

        Raises:
            SegError: a value is not valid.
        """
        values: dict[str, Any] = {}
        if "show" in wanted:
            if wanted["show"] not in SHOWS:
                raise SegError(f"There is no view {wanted['show']!r}. {did_you_mean(str(wanted['show']), SHOWS)}")
            values["show"] = wanted["show"]
        for name, low, high, kind in (("opacity", 0, 1, float), ("width", _NARROWEST, _WIDEST, int)):
            if name in wanted:
                try:
                    values[name] = kind(wanted[name])
                except (TypeError, ValueError, OverflowError):
                    raise SegError(f"{name} is {wanted[name]!r}; expected a number from {low} to {high}.") from None
                if not low <= values[name] <= high:
                    raise SegError(f"{name} is {wanted[name]!r}; expected a number from {low} to {high}.")
        if "classes" in wanted:
            names = wanted["classes"]
            if isinstance(names, str):
                names = None if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
            if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                raise SegError("classes must be a list of names.")
            values["classes"] = None if names is None else frozenset(label_set.train_ids_of(names))
        return replace(default, **values)


class Gallery:
    """Draws pictures in its own threads, and keeps the last few for viewers with the same view.

    Args:
        label_set: gives the colours.
    """

    def __init__(self, label_set: LabelSet) -> None:
        self._label_set = label_set
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="seg-page")
        self._made = OrderedDict[tuple[int, View], tuple[Segmented, Future[bytes]]]()  # keeps the item, so its id stays unique

    def jpeg(self, item: Segmented, view: View) -> "Future[bytes]":
        """Returns the future JPEG, at most `view.width` wide. Call it from one thread only."""
        key = id(item), view
        if key not in self._made:
            self._made[key] = item, self._pool.submit(self._encode, item, view)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return self._made[key][1]

    def png(self, item: Segmented, view: View) -> "Future[bytes]":
        """Returns the future PNG, at the frame's own size."""
        return self._pool.submit(lambda: _encoded(".png", self._picture(item, view), [cv2.IMWRITE_PNG_COMPRESSION, 3]))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _encode(self, item: Segmented, view: View) -> bytes:
        columns = 2 if view.show == "side by side" else 1
        if view.width is not None and view.width < columns * item.frame_bgr.shape[1]:
            item = _narrowed(item, view.width // columns)
        return _encoded(".jpg", self._picture(item, view), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])

    def _picture(self, item: Segmented, view: View) -> UInt8Array:
        painter = Painter(self._label_set, view.show, view.classes)
        painter.opacity = view.opacity
        return painter(item)


def _narrowed(item: Segmented, width: int) -> Segmented:
    """Returns the item with frame and labels scaled down, so that less has to be drawn and the lines stay thin."""
    height = max(1, round(item.frame_bgr.shape[0] * width / item.frame_bgr.shape[1]))
    frame, labels = (cv2.resize(picture, (width, height), interpolation=how).astype(np.uint8, copy=False)
                     for picture, how in ((item.frame_bgr, cv2.INTER_AREA), (item.train_ids, cv2.INTER_NEAREST)))
    return replace(item, sample=replace(item.sample, frame_bgr=frame, train_ids=None),
                   prediction=replace(item.prediction, train_ids=labels))


def _encoded(suffix: str, picture: UInt8Array, options: list[int]) -> bytes:
    return cv2.imencode(suffix, picture, options)[1].tobytes()
