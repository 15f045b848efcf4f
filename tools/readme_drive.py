"""Makes the animation in the README: a drive along a rendered street, with the labels of the default weights left of an edge.

    python tools/readme_drive.py docs/images/drive.webp
"""

import math
import sys
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from datasets.scenes.catalog import catalog
from datasets.scenes.write import drive
from seg import Predictor
from seg.files import UInt8Array
from seg.visualize import overlay

RENDERED_HW, SHOWN_HW = (540, 960), (324, 576)
SEED, FRAMES, FRAMES_PER_SECOND = "12 7", 80, 10
QUALITY = 45  # of WebP
EDGE_PX = 3


def main(output: str) -> None:
    """Renders and segments the drive, and writes it as an endless animation."""
    predictor = Predictor.load()
    with av.open(output, "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=FRAMES_PER_SECOND,
                                      options={"quality": str(QUALITY), "compression_level": "6"})
        stream.height, stream.width = SHOWN_HW
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(islice(drive(catalog(), SEED, RENDERED_HW, FRAMES_PER_SECOND), FRAMES)):
            labels = predictor(frame.bgr).train_ids
            seen = overlay(_small(frame.bgr, cv2.INTER_AREA), _small(labels, cv2.INTER_NEAREST), predictor.label_set)
            picture = _wiped(_small(frame.bgr, cv2.INTER_AREA), seen, number / FRAMES)
            container.mux(stream.encode(VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode(None))
    print(f"{output}: {Path(output).stat().st_size / 1e6:.2f} MB")


def _small(picture: UInt8Array, interpolation: int) -> UInt8Array:
    return cv2.resize(picture, SHOWN_HW[::-1], interpolation=interpolation).astype(np.uint8, copy=False)


def _wiped(frame: UInt8Array, seen: UInt8Array, share: float) -> UInt8Array:
    """Returns the overlay left of an edge and the frame right of it; the edge goes there and back as `share` goes from 0 to 1."""
    edge = round(frame.shape[1] * (0.5 + 0.42 * math.sin(2 * math.pi * share)))
    picture = seen.copy()
    picture[:, edge:] = frame[:, edge:]
    picture[:, max(0, edge - EDGE_PX // 2):edge + EDGE_PX // 2 + 1] = 255
    return picture


if __name__ == "__main__":
    main(*sys.argv[1:])
