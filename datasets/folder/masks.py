"""Masks as their files hold them: ids, indices into a palette, or colours; never a format whose compression changes them.

Source of the PNG's layout: https://www.w3.org/TR/png-3/#5DataRep
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datasets.base import UInt8Array, pictures_below
from datasets.faults import listing
from seg.errors import SegError
from seg.files import TooManyPixels, decode, read_labels

LOSSLESS = (".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm")

_MEND = ("Compression changes labels, and saving such a file as PNG doesn't bring them back: export the masks again as PNG "
         "from where they were made.")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_GREY, _PALETTE = 0, 3  # PNG's colour types
_HEADER_END = 33  # of the signature and IHDR


@dataclass(frozen=True)
class Mask:
    """What a file holds, undecided between ids and colours where it has both.

    Attributes:
        ids: (H, W) uint8; None if the file holds colours alone.
        colors: (H, W, 3) uint8 RGB; None if it holds ids alone.
        palette: (N, 3) uint8 RGB, of a file whose ids are indices into it.
    """

    ids: UInt8Array | None
    colors: UInt8Array | None
    palette: UInt8Array | None = None


def masks_below(folder: Path) -> dict[str, Path]:
    """Returns the masks in `folder` and below by name, as `pictures_below` does.

    Raises:
        SegError: some are in a format that changes labels.
    """
    masks = pictures_below(folder)
    changed = [path for path in masks.values() if path.suffix.lower() not in LOSSLESS]
    if changed:
        formats = ", ".join(sorted({path.suffix.lower().lstrip(".") for path in changed}))
        raise SegError(f"{len(changed)} of the {len(masks)} masks in {folder} are in a format that loses detail ({formats}): "
                       f"{listing([path.relative_to(folder) for path in changed], 3)}. {_MEND}")
    return masks


def read_mask(path: Path) -> Mask:
    """Reads a mask; indices into a palette stay what they are.

    Raises:
        SegError: the file is missing, can't be read, isn't 8-bit, or is a JPEG under another name.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""  # `read_labels` says what is wrong
    if data.startswith(_JPEG):
        raise SegError(f"{path} is a JPEG by its content. {_MEND}")
    if data.startswith(_PNG) and data[25:26] == bytes([_PALETTE]):
        indices, palette = _read_indices(data)
        if indices is not None:
            return Mask(indices, palette[indices], palette)
    labels = read_labels(path)
    if labels.ndim == 2:
        return Mask(labels, None)
    grey = (labels == labels[:, :, :1]).all()  # ids that were saved with three channels
    return Mask(np.ascontiguousarray(labels[:, :, 0]) if grey else None, labels)


def _read_indices(png: bytes) -> tuple[UInt8Array | None, UInt8Array]:
    """Returns the indices (H, W) of a palette PNG, None if it is damaged, and its palette (256, 3), filled up with black.

    OpenCV gives the palette's colours only, and two indices may share one. So it is shown the same file as a grey one: its
    samples are stored alike.
    """
    bits = png[24]
    palette = np.zeros((256, 3), np.uint8)
    grey = _PNG + _chunk(b"IHDR", png[16:25] + bytes([_GREY]) + png[26:29])
    place = _HEADER_END
    while place + 8 <= len(png):
        length, kind = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        content = png[place + 8 : place + 8 + length]
        if kind == b"PLTE":
            colors = np.frombuffer(content[: len(content) // 3 * 3], np.uint8).reshape(-1, 3)[:256]
            palette[: len(colors)] = colors
        elif kind in (b"IDAT", b"IEND"):  # others may mean something else in a grey file
            grey += png[place : place + 12 + length]
        place += 12 + length
    try:
        samples = decode(np.frombuffer(grey, np.uint8), cv2.IMREAD_UNCHANGED)
    except TooManyPixels:
        samples = None
    # OpenCV stretches grey samples of 1, 2 or 4 bits to 0..255.
    return None if samples is None else (samples // (255 // (2**bits - 1))).astype(np.uint8), palette


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
