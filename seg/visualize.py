"""Train ids as pictures: as colours, blended over their frame, and a legend of the colours.

All pictures here are BGR, as OpenCV writes and shows them; label sets use RGB.
"""

from collections.abc import Collection, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from seg.label_sets import IGNORE, LabelSet

UInt8Array = npt.NDArray[np.uint8]
OPACITY = 0.55  # of colours over a frame
_BORDER_OPACITY = 0.6  # of the white lines between classes
_USUAL_PX = 1280  # longer side of a picture with lines 1 px wide; on larger pictures lines and text grow
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def colorize(train_ids: UInt8Array, label_set: LabelSet, shown: Collection[int] | None = None) -> UInt8Array:
    """Returns (H, W, 3) uint8 BGR: each pixel (H, W) in its class's colour; black where it is ignored or not in `shown`."""
    table = np.ascontiguousarray(label_set.palette()[:, ::-1]).reshape(256, 1, 3)
    if shown is not None:
        table[[label for label in range(256) if label not in shown]] = 0
    # OpenCV's table look-up needs a picture with as many channels as the table; it is several times faster than NumPy's indexing.
    return cv2.LUT(cv2.merge([train_ids] * 3), table).astype(np.uint8, copy=False)


def overlay(frame_bgr: UInt8Array, train_ids: UInt8Array, label_set: LabelSet, opacity: float = OPACITY,
            shown: Collection[int] | None = None, out: UInt8Array | None = None) -> UInt8Array:
    """Blends the colours over the frame, with a thin light line between classes; both (H, W). Ignored pixels come out darkened.

    Args:
        frame_bgr: (H, W, 3) uint8.
        train_ids: (H, W) uint8.
        label_set: gives the colours.
        opacity: 0 shows the frame alone, 1 the colours alone.
        shown: train ids that are coloured; elsewhere the frame shows. None for all.
        out: (H, W, 3) uint8, C-contiguous; the result is written into it.

    Raises:
        ValueError: frame and train ids differ in size.
    """
    from seg.blend import ADDED, BLOCK, BORDER, WEIGHT, load  # nothing else here needs Numba

    if frame_bgr.shape[:2] != train_ids.shape:
        raise ValueError(f"the frame is {frame_bgr.shape[:2]} and the train ids are {train_ids.shape}; they must agree")
    weight = np.full(256, round(256 * opacity), np.uint16)  # of the colours, in 1/256
    groups = train_ids
    if shown is not None:
        group = np.full(256, IGNORE, np.uint8)
        group[list(shown)] = list(shown)
        weight[group == IGNORE] = 0
        groups = cv2.LUT(train_ids, group).astype(np.uint8, copy=False)
    line = round(256 * min(_BORDER_OPACITY, opacity))
    table = np.empty((BORDER + 1, 4 * BLOCK), np.uint16)
    table[:BORDER, WEIGHT:ADDED] = 256 - weight[:, None]
    added = weight[:, None] * label_set.palette()[:, ::-1] + np.uint16(128)  # rounds to the nearest
    table[:BORDER, ADDED:] = np.tile(added, BLOCK)
    table[BORDER, WEIGHT:ADDED], table[BORDER, ADDED:] = 256 - line, 255 * line + 128
    border_px = max(1, round(max(train_ids.shape) / _USUAL_PX)) if opacity else 0
    out = np.empty(frame_bgr.shape, np.uint8) if out is None else out
    # Read-only arrays and arrays with gaps have types of their own for Numba, and it would compile for each.
    frame, labels, own = (np.require(array, requirements=("C", "W")) for array in (frame_bgr, train_ids, groups))
    load()(frame, labels, own, table, border_px, out)
    return out


def class_shares(train_ids: UInt8Array, label_set: LabelSet) -> list[float]:
    """Returns each class's share of the pixels, 0 to 1."""
    pixels = cv2.calcHist([train_ids], [0], None, [256], [0, 256]).ravel()  # in a third of NumPy's time
    return [float(pixels[label]) / train_ids.size for label in range(len(label_set))]


def legend(label_set: LabelSet, width: int, shares: Sequence[float] | None = None,
           shown: Collection[int] | None = None) -> UInt8Array:
    """Returns a strip (h, width, 3) uint8 BGR with a swatch and the name of each class, in as many rows as needed.

    Args:
        label_set: names and colours.
        width: width of the strip [px].
        shares: share of each class, 0 to 1; each is written after the name, and classes with a share of 0 are left out. None
            names all.
        shown: train ids that are named; None for all.
    """
    labels = [label for label in range(len(label_set)) if shown is None or label in shown]
    if shares is not None:
        labels = [label for label in labels if shares[label]]
    names = [label_set.classes[label] + (f" {_percent(shares[label])}" if shares else "") for label in labels]
    named = [(name, label_set.colors[label]) for name, label in zip(names, labels, strict=True)]
    large = _enlargement(width)
    row_px, swatch_px, gap_px, thick_px = (round(px * large) for px in (22, 12, 8, 1))
    scale = 0.45 * large
    cells = [swatch_px + 3 * gap_px + cv2.getTextSize(name, _FONT, scale, thick_px)[0][0] for name, _ in named]
    places: list[tuple[int, int]] = []  # left edge, row
    x = row = 0
    for cell in cells:
        if x and x + cell > width:
            x, row = 0, row + 1
        places.append((x, row))
        x += cell
    strip = np.full(((row + 1) * row_px, width, 3), 24, np.uint8)
    for (x, row), (name, (red, green, blue)) in zip(places, named, strict=True):
        left, top = x + gap_px, row * row_px + (row_px - swatch_px) // 2
        cv2.rectangle(strip, (left, top), (left + swatch_px, top + swatch_px), (blue, green, red), cv2.FILLED)
        origin = left + swatch_px + gap_px // 2, top + swatch_px - 1
        cv2.putText(strip, name, origin, _FONT, scale, (235, 235, 235), thick_px, cv2.LINE_AA)
    return strip


def write_text_on(image_bgr: UInt8Array, text: str) -> None:
    """Writes one line into the upper left corner, in place, on a dark box so that it can be read on any picture."""
    large = _enlargement(image_bgr.shape[1])
    scale, thick_px, gap_px = 0.6 * large, round(large), round(10 * large)
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thick_px)
    cv2.rectangle(image_bgr, (0, 0), (width + 2 * gap_px, height + below + gap_px), (24, 24, 24), cv2.FILLED)
    cv2.putText(image_bgr, text, (gap_px, height + gap_px * 7 // 10), _FONT, scale, (255, 255, 255), thick_px, cv2.LINE_AA)


def _enlargement(width: int) -> float:
    """Returns the factor by which text is enlarged on a picture of this width [px], which is usually shown smaller."""
    return max(1.0, width / _USUAL_PX)


def _percent(share: float) -> str:
    return "<1%" if share < 0.005 else f"{share:.0%}"
