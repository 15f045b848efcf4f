"""How accurate boundaries are: scores near them (a trimap), and how close predicted ones are to true ones (a boundary F-score).

A boundary lies between two pixels of different classes, neither of them ignored. The frame's edge is not a boundary.
Sources: Kohli, Ladicky and Torr (CVPR 2008) for the trimap; Csurka, Larlus and Perronnin (BMVC 2013) for the F-score and its
tolerance of 0.75% of the diagonal. Here pixels are summed up over all frames, as they are for IoU.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from seg.label_sets import IGNORE, LabelSet
from seg.metrics import Scores, confusion_matrix

WIDTHS_PX = (3, 5, 9)  # on either side of a boundary
TOLERANCE = 0.0075  # of the frame's diagonal

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BoundaryScores:
    """All values are 0 to 1.

    Attributes:
        trimap_miou: by width [px], mIoU over the pixels that are no farther from a boundary of the truth.
        f_score: mean of the F-scores per class; NaN where no class has one.
        per_class_f_score: harmonic mean of precision (predicted boundary near a true one) and recall (true near a predicted one);
            NaN for a class without any boundary.
    """

    trimap_miou: dict[int, float]
    f_score: float
    per_class_f_score: dict[str, float]


class BoundaryCounts:
    """Sums up what `BoundaryScores` need, frame by frame."""

    def __init__(self, label_set: LabelSet) -> None:
        self._label_set = label_set
        self._confusions = np.zeros((len(WIDTHS_PX), len(label_set), len(label_set)), np.int64)
        # By class: boundary pixels, and how many of them are near a boundary pixel of the other (prediction or truth).
        self._predicted, self._true = np.zeros((256, 2), np.int64), np.zeros((256, 2), np.int64)

    def add(self, truth: Labels, prediction: Labels) -> None:
        """Counts a frame: truth and prediction (H, W) train ids; pixels with 255 in the truth are not counted."""
        edges = _between_classes(truth)
        distance = _distance_px(edges)
        inner = 0
        for i, width in enumerate(WIDTHS_PX):  # rings; each is part of all wider bands
            ring = (distance >= inner) & (distance < width)
            self._confusions[i:] += confusion_matrix(truth[ring], prediction[ring], len(self._label_set))
            inner = width
        prediction = np.where(truth == IGNORE, np.uint8(IGNORE), prediction)
        true, predicted = (np.where(there, labels, np.uint8(IGNORE)) for there, labels in (
            (edges, truth), (_between_classes(prediction), prediction)))
        from seg.boundary_search import load  # here, because importing Numba takes longer than most of the start

        count_near, offsets = load(), _disc(TOLERANCE * math.hypot(*truth.shape))
        for outline, other, counts in ((predicted, true, self._predicted), (true, predicted, self._true)):
            count_near(outline, other, offsets, counts)

    def scores(self) -> BoundaryScores:
        """Returns the scores over all frames so far."""
        classes = len(self._label_set)
        (predicted, right), (true, found) = (counts[:classes].T.astype(np.float64) for counts in (self._predicted, self._true))
        with np.errstate(divide="ignore", invalid="ignore"):
            f_scores = np.where(predicted + true > 0, 2 / (predicted / right + true / found), np.nan)
        f_scores[(right == 0) & (predicted + true > 0)] = 0.0
        named = dict(zip(self._label_set.classes, f_scores.tolist(), strict=True))
        existing = f_scores[~np.isnan(f_scores)]
        trimap = {width: Scores.from_confusion(confusion, self._label_set).miou
                  for width, confusion in zip(WIDTHS_PX, self._confusions, strict=True)}
        return BoundaryScores(trimap, float(existing.mean()) if len(existing) else math.nan, named)


def _between_classes(labels: Labels) -> npt.NDArray[np.bool_]:
    """Returns (H, W): the pixels on both sides of each boundary."""
    edges = np.zeros(labels.shape, bool)
    for one, other, at_one, at_other in ((labels[:, :-1], labels[:, 1:], edges[:, :-1], edges[:, 1:]),
                                         (labels[:-1], labels[1:], edges[:-1], edges[1:])):
        differ = (one != other) & (one != IGNORE) & (other != IGNORE)
        at_one |= differ
        at_other |= differ
    return edges


def _distance_px(edges: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Returns (H, W): how far each pixel is from the nearest of `edges`; infinite where there is none."""
    if not edges.any():
        return np.full(edges.shape, np.inf, np.float32)
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance.astype(np.float32, copy=False)


def _disc(reach_px: float) -> npt.NDArray[np.int64]:
    """Returns all (y, x) that are no farther from the middle than `reach_px`, the nearest first: (N, 2)."""
    side = np.arange(-int(reach_px), int(reach_px) + 1)
    offsets = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    squares = (offsets**2).sum(1)
    nearest = np.argsort(squares, kind="stable")
    return offsets[nearest[squares[nearest] <= reach_px**2]]
