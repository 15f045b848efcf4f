"""Train ids made visible: as colours, blended over their frame, and a legend of what the colours mean.

Everything here is BGR, as OpenCV writes and shows it; label sets hold RGB.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from seg.label_sets import LabelSet

UInt8Array = npt.NDArray[np.uint8]
OPACITY = 0.55  # of colours over a frame
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def colorize(train_ids: UInt8Array, label_set: LabelSet) -> UInt8Array:
    """Returns (H, W, 3) uint8 BGR: each pixel (H, W) in its class's colour, ignored ones black."""
    table = np.ascontiguousarray(label_set.palette()[:, ::-1]).reshape(256, 1, 3)
    # OpenCV's table look-up needs as many channels as the table has; it is several times faster than NumPy's indexing.
    return cv2.LUT(cv2.merge([train_ids] * 3), table).astype(np.uint8, copy=False)


def overlay(frame_bgr: UInt8Array, train_ids: UInt8Array, label_set: LabelSet, opacity: float = OPACITY) -> UInt8Array:
    """Blends the colours over the frame; both (H, W). Ignored pixels come out darkened.

    Args:
        frame_bgr: (H, W, 3) uint8.
        train_ids: (H, W) uint8.
        label_set: gives the colours.
        opacity: 0 shows the frame alone, 1 the colours alone.

    Raises:
        ValueError: frame and train ids differ in size.
    """
    if frame_bgr.shape[:2] != train_ids.shape:
        raise ValueError(f"the frame is {frame_bgr.shape[:2]} and the train ids are {train_ids.shape}; they must agree")
    blended = cv2.addWeighted(frame_bgr, 1 - opacity, colorize(train_ids, label_set), opacity, 0)
    return blended.astype(np.uint8, copy=False)


def legend(label_set: LabelSet, width: int, shares: Sequence[float] | None = None) -> UInt8Array:
    """Returns a strip (h, width, 3) uint8 BGR with a swatch and the name of each class, in as many rows as it takes.

    Args:
        label_set: names and colours.
        width: of the strip [px].
        shares: of each class, 0 to 1; each is written behind the name, and classes without any are left out. None names all.
    """
    shown = list(zip(label_set.classes, label_set.colors, strict=True))
    if shares is not None:
        shown = [(f"{name} {share:.0%}", color) for (name, color), share in zip(shown, shares, strict=True) if share]
    row_px, swatch_px, gap_px, scale = 22, 12, 8, 0.45
    cells = [swatch_px + 3 * gap_px + cv2.getTextSize(name, _FONT, scale, 1)[0][0] for name, _ in shown]
    places: list[tuple[int, int]] = []  # left edge, row
    x = row = 0
    for cell in cells:
        if x and x + cell > width:
            x, row = 0, row + 1
        places.append((x, row))
        x += cell
    strip = np.full(((row + 1) * row_px, width, 3), 24, np.uint8)
    for (x, row), (name, (red, green, blue)) in zip(places, shown, strict=True):
        left, top = x + gap_px, row * row_px + (row_px - swatch_px) // 2
        cv2.rectangle(strip, (left, top), (left + swatch_px, top + swatch_px), (blue, green, red), cv2.FILLED)
        origin = left + swatch_px + gap_px // 2, top + swatch_px - 1
        cv2.putText(strip, name, origin, _FONT, scale, (235, 235, 235), 1, cv2.LINE_AA)
    return strip


def write_text_on(image_bgr: UInt8Array, text: str) -> None:
    """Writes one line into the upper left corner, in place, on a dark box so that it reads on any picture."""
    (width, height), below = cv2.getTextSize(text, _FONT, 0.6, 1)
    cv2.rectangle(image_bgr, (0, 0), (width + 20, height + below + 12), (24, 24, 24), cv2.FILLED)
    cv2.putText(image_bgr, text, (10, height + 8), _FONT, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
