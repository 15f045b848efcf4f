"""Steady labels: scores are blended with those of the frame before where the picture agrees with it.

Noise of the camera and of its compression makes labels flicker where nothing happens. There the picture at the scores' own size
hardly changes, so a difference of frames tells where the old scores still hold; where something moves the new ones count alone.
That costs a small part of what optical flow costs, which would say the same of all that stands still.
"""

import cv2
import numpy as np
import numpy.typing as npt

from seg.files import UInt8Array

Scores = npt.NDArray[np.float32]

_KEPT = 0.8  # of the old scores, where the picture is the same
_CHANGED = 16.0  # of 255 levels: what differs by more is another picture


class Smoother:
    """Blends the scores of one frame after the other; for one video, in order.

    Where a cell of the scores shows the same as in the frame before, its new scores count 0.2, the blended ones of before 0.8;
    the share of these falls linearly to 0 where the mean colour over the cell, or over a neighbour, changed by 16 of 255 levels.
    """

    def __init__(self) -> None:
        self._picture: npt.NDArray[np.float32] | None = None
        self._scores: Scores | None = None

    def __call__(self, image: UInt8Array, scores_chw: Scores) -> Scores:
        """Returns the blended scores.

        Args:
            image: (H, W, 3) uint8, what the network saw.
            scores_chw: (C, h, w) that it gave.
        """
        height, width = scores_chw.shape[1:]
        picture = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._scores is not None and self._picture is not None and self._scores.shape == scores_chw.shape:
            changed = cv2.dilate(np.abs(picture - self._picture).max(2), np.ones((3, 3), np.uint8))
            kept = (_KEPT * np.clip(1 - changed / _CHANGED, 0, 1)).astype(np.float32)
            scores_chw = scores_chw + kept * (self._scores - scores_chw)
        self._picture, self._scores = picture, scores_chw
        return scores_chw
