"""Compares an exported network with the one in torch, on frames: the largest difference, and how many labels agree."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from seg.errors import SegError
from seg.export.torch_engine import TorchEngine
from seg.files import read_image_bgr
from seg.models import SegmentationNetwork
from seg.models.network import resize
from seg.runtime.preprocess import fit_frame, place
from seg.runtime.upsample import upsample_argmax

Frame = npt.NDArray[np.uint8]
COMPARED_SIZES_HW = ((32, 32), (33, 47), (96, 160), (101, 75), (180, 241))
TOLERANCE = 1e-3  # of the scores' spread; float32 in another order of summation stays well below
LEAST_AGREEMENT = 0.9  # an export in fewer bits is useless if fewer labels than this agree


class Runner(Protocol):
    """Something that runs an export; every engine is one.

    Attributes:
        name: for messages.
    """

    name: str

    def logits(self, frame_bgr: Frame) -> npt.NDArray[Any]:
        """Maps a C-contiguous (H, W, 3) frame to what the export gives: scores (C, h, w), or labels (H, W) uint8."""
        ...


@dataclass(frozen=True)
class Comparison:
    """How far an export is from its network, over all engines and frames compared; as in `seg.weights.Export`."""

    largest_difference: float
    agreement: float
    compared_frames: int
    engines: tuple[str, ...]

    def check(self, precision: str) -> None:
        """Refuses an export that computes something else than the network.

        Raises:
            SegError: the export does.
        """
        if precision == "fp32" and not self.largest_difference <= TOLERANCE:
            raise SegError(f"The export's scores differ from the network's by {self.largest_difference:.2g} of their spread, "
                           f"above {TOLERANCE:g}. It was not written.")
        if self.agreement < LEAST_AGREEMENT:
            raise SegError(f"In {precision} {self.agreement:.1%} of the labels are the network's, below {LEAST_AGREEMENT:.0%}. "
                           "It was not written.")


def compare(model: SegmentationNetwork, runners: Sequence[Runner], frames: Iterable[Frame], output: str) -> Comparison:
    """Runs frames through the network and all runners, and compares the results.

    Args:
        model: the network.
        runners: run its export.
        frames: (H, W, 3) uint8 BGR.
        output: what the export gives, "scores" or "labels".

    Raises:
        SegError: an engine can't run it, or what it gives has another shape.
    """
    reference = TorchEngine(model, torch.get_num_threads())
    largest, agreeing, pixels, count = 0.0, 0, 0, 0
    for frame in frames:
        expected = reference.logits(frame)
        for runner in runners:
            given = runner.logits(frame)
            shape = expected.shape if output == "scores" else frame.shape[:2]
            if given.shape != shape:
                raise SegError(f"In {runner.name} the export gives {output} {given.shape} at {frame.shape[0]}x"
                               f"{frame.shape[1]}; the network gives {shape}. It was not written.")
            differs = _scores_differ if output == "scores" else _labels_differ
            difference, same = differs(expected, given, (frame.shape[0], frame.shape[1]))
            largest = max(largest, difference / max(float(expected.std()), 1e-12))
            agreeing += same
            pixels += frame.shape[0] * frame.shape[1]
        count += 1
    return Comparison(largest, agreeing / pixels, count, tuple(runner.name for runner in runners))


def _scores_differ(expected: npt.NDArray[np.float32], given: npt.NDArray[np.float32],
                   size_hw: tuple[int, int]) -> tuple[float, int]:
    """Returns the largest difference, and at how many pixels of the frame the label is the same."""
    same = upsample_argmax(expected, size_hw) == upsample_argmax(given, size_hw)
    return float(np.abs(given - expected).max()), int(same.sum())


def _labels_differ(expected: npt.NDArray[np.float32], given: Frame, size_hw: tuple[int, int]) -> tuple[float, int]:
    """Returns the most by which the network scores a given label below its own, and how many labels are the same."""
    scores = resize(torch.from_numpy(expected)[None], size_hw)[0].numpy()  # (C, H, W)
    chosen = np.take_along_axis(scores, given[None].astype(np.int64), 0)[0]
    return float((scores.max(0) - chosen).max()), int((scores.argmax(0) == given).sum())


def made_up_frames(sizes_hw: Iterable[tuple[int, int]] = COMPARED_SIZES_HW) -> Iterator[Frame]:
    """Yields frames of coarse blobs and noise, whose scores differ from place to place."""
    random = np.random.default_rng(0)
    for height, width in sizes_hw:
        blobs = random.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3)).repeat(16, 0).repeat(16, 1)
        yield (blobs[:height, :width] + random.integers(0, 56, (height, width, 3))).astype(np.uint8)


def read_frames(paths: Iterable[Path], size_hw: tuple[int, int] | None, model: SegmentationNetwork) -> Iterator[Frame]:
    """Yields pictures scaled to `size_hw`, or to the size at which the network is most accurate, or at their own size.

    Raises:
        SegError: one can't be read.
    """
    for path in paths:
        frame = read_image_bgr(path)
        placement = place((frame.shape[0], frame.shape[1]), size_hw, "stretch", model.description.long_side)
        yield fit_frame(frame, placement, model.mean)


def to_images(frame_bgr: Frame) -> Frame:
    """Returns a frame as exports take it: (1, 3, H, W) RGB."""
    return np.ascontiguousarray(frame_bgr[:, :, ::-1].transpose(2, 0, 1))[None]
