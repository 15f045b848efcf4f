"""Steady labels: scores are blended with those of the frame before where the picture is the same.

Noise from the camera and from compression makes labels flicker where nothing happens. There the picture, scaled to the scores'
size, hardly changes, so the difference of two frames shows where the old scores still hold. Where something moves, only the new
scores count. This costs a small part of what optical flow costs, and for everything that stands still it gives the same result.
"""

import cv2
import numpy as np
import numpy.typing as npt

from seg.files import UInt8Array

Scores = npt.NDArray[np.float32]

_KEPT = 0.8  # weight of the old scores where the picture is the same
_CHANGED = 16.0  # of 255 levels; where the difference is larger, the picture has changed


class Smoother:
    """Blends the scores of successive frames; use one for each video, with its frames in order.

    If a cell of the scores shows the same as in the frame before, its new scores weigh 0.2 and the blended scores of before 0.8.
    The weight of the old ones falls linearly, to 0 where the mean colour of the cell or of a neighbour changed by 16 of 255
    levels.
    """

    def __init__(self) -> None:
        self._picture: npt.NDArray[np.float32] | None = None
        self._scores: Scores | None = None

    def __call__(self, image: UInt8Array, scores_chw: Scores) -> Scores:
        """Returns the blended scores.

        Args:
            image: (H, W, 3) uint8, the input of the network.
            scores_chw: (C, h, w) float32, its output.
        """
        height, width = scores_chw.shape[1:]
        picture = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._scores is not None and self._picture is not None and self._scores.shape == scores_chw.shape:
            changed = cv2.dilate(np.abs(picture - self._picture).max(2), np.ones((3, 3), np.uint8))
            kept = (_KEPT * np.clip(1 - changed / _CHANGED, 0, 1)).astype(np.float32)
            scores_chw = scores_chw + kept * (self._scores - scores_chw)
        self._picture, self._scores = picture, scores_chw
        return scores_chw
