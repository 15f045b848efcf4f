"""A predictor alone in a process, as `benchmarks.start` starts it, with WEIGHTS ENGINE PRECISION THREADS H W."""

import sys
from pathlib import Path

import cv2
import numpy as np

from benchmarks.alone import tell
from seg.errors import SegError
from seg.files import read_image_bgr
from seg.runtime import Predictor
from seg.runtime.engines.table import AUTO

FRAME = Path(__file__).resolve().parent.parent / "docs/images/highway/100.jpg"


def _main(weights: str, engine: str, precision: str, threads: str, height: str, width: str) -> None:
    frame = cv2.resize(read_image_bgr(FRAME), (int(width), int(height))).astype(np.uint8, copy=False)
    predictor = Predictor.load(weights, engine, precision, int(threads), "own")
    out = np.empty(frame.shape[:2], np.uint8)
    tell(lambda: predictor(frame, out), lambda: f"{predictor.engine} {predictor.precision}", trial=AUTO in (engine, precision))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except SegError as error:
        sys.exit(f"error: {error}")
