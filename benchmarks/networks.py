"""Prepares networks of this project for timing: exports them into a folder, loads them in a predictor, and feeds them a frame."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Contestant
from seg.export.onnx_export import export_onnx
from seg.label_sets import CITYSCAPES
from seg.models import describe
from seg.models.network import SegmentationNetwork
from seg.runtime import Predictor


def make_frame(size_hw: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    """Returns a (H, W, 3) uint8 BGR frame of coloured patches and a little noise; its label map has areas and borders."""
    height, width = size_hw
    random = np.random.default_rng(seed)
    patches = random.integers(0, 230, (height // 64 + 1, width // 64 + 1, 3)).repeat(64, 0).repeat(64, 1)[:height, :width]
    return (patches + random.integers(0, 25, (height, width, 3))).astype(np.uint8)


def frame_to_labels(predictor: Predictor, frame_bgr: npt.NDArray[np.uint8]) -> Contestant:
    """Returns a contestant that labels `frame_bgr` and returns its stages."""
    out = np.empty(frame_bgr.shape[:2], np.uint8)
    return lambda: predictor(frame_bgr, out).latency_ms


def export(network: SegmentationNetwork, path: Path, size_hw: tuple[int, int]) -> Path:
    """Writes a network with 19 classes as ONNX for one frame size; it is compared with torch, like every export.

    Raises:
        SegError: it can't be exported, or the export computes something else.
    """
    export_onnx(network, path, describe(network, CITYSCAPES, size_hw), size_hw)
    return path
