"""Whether a network is right as often as it claims: a reliability diagram and the expected calibration error.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), with their 15 equal bins.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seg.label_sets import IGNORE

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Values for each bin of confidence; bins without a pixel are left out.

    Attributes:
        confidence: mean of the softmax probabilities that the labels were given.
        accuracy: share of the labels that are right.
        share: share of all pixels that are in the bin.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    share: tuple[float, ...]

    @property
    def expected_error(self) -> float:
        """ECE: mean over pixels of the distance between accuracy and confidence of their bin, 0 to 1."""
        return sum(share * abs(accuracy - confidence) for confidence, accuracy, share
                   in zip(self.confidence, self.accuracy, self.share, strict=True))


class CalibrationCounts:
    """Sums up what `Calibration` needs, frame by frame."""

    def __init__(self) -> None:
        self._pixels, self._right, self._confidence = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64), np.zeros(BINS)

    def add(self, truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], confidence: npt.NDArray[np.float32]) -> None:
        """Counts a frame: truth and prediction (H, W) train ids, and the probability (H, W) of each prediction, 0 to 1."""
        counted = truth != IGNORE
        claimed = confidence[counted]
        bins = np.minimum((claimed * BINS).astype(np.int64), BINS - 1)
        self._pixels += np.bincount(bins, minlength=BINS)
        self._confidence += np.bincount(bins, claimed, BINS)
        self._right += np.bincount(bins[truth[counted] == prediction[counted]], minlength=BINS)

    def result(self) -> Calibration | None:
        """Returns the calibration over all frames so far; None without a pixel."""
        there = np.flatnonzero(self._pixels)
        if not len(there):
            return None
        pixels = self._pixels[there]
        return Calibration(tuple((self._confidence[there] / pixels).tolist()), tuple((self._right[there] / pixels).tolist()),
                           tuple((pixels / pixels.sum()).tolist()))
