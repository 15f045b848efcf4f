"""How well boundaries are met: scores near them (a trimap) and how far they lie off (a boundary F-score).

A boundary lies between two pixels of different classes; where one of them is ignored there is none, and the frame's edge is none.
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

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BoundaryScores:
    """All values are 0 to 1.

    Attributes:
        trimap_miou: by width [px], mIoU over the pixels that are no farther from a boundary of the truth.
        f_score: mean of those by class; NaN where no class has one.
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
        # By class: predicted boundary pixels, those of them near a true boundary, true ones, those near a predicted one.
        self._counts = np.zeros((len(label_set), 4), np.int64)

    def add(self, truth: Labels, prediction: Labels) -> None:
        """Counts a frame: truth and prediction (H, W) train ids, of which 255 in the truth counts nowhere."""
        distance = _distance_px(_between_classes(truth))
        inner = 0
        for i, width in enumerate(WIDTHS_PX):  # rings, each of which counts in all wider bands
            ring = (distance >= inner) & (distance < width)
            self._confusions[i:] += confusion_matrix(truth[ring], prediction[ring], len(self._label_set))
            inner = width
        ignored = (truth == IGNORE).astype(np.uint8)
        prediction = np.where(ignored, np.uint8(IGNORE), prediction)
        reach_px = TOLERANCE * math.hypot(*truth.shape)
        present = np.bincount(truth.ravel(), minlength=256) + np.bincount(prediction.ravel(), minlength=256)
        for train_id in np.flatnonzero(present[: len(self._label_set)]):
            predicted, true = (_outline(labels == train_id, ignored) for labels in (prediction, truth))
            self._counts[train_id] += (predicted.sum(), _near(predicted, true, reach_px).sum(), true.sum(),
                                       _near(true, predicted, reach_px).sum())

    def scores(self) -> BoundaryScores:
        """Returns what came of all frames so far."""
        predicted, right, true, found = self._counts.T.astype(np.float64)
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


def _outline(mask: npt.NDArray[np.bool_], ignored: Labels) -> npt.NDArray[np.bool_]:
    """Returns the pixels of a class that have another class beside them."""
    inside = cv2.erode(mask.astype(np.uint8) | ignored, _CROSS, borderType=cv2.BORDER_REPLICATE)
    return mask & (inside == 0)


def _near(edges: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], reach_px: float) -> npt.NDArray[np.bool_]:
    """Returns those of `edges` from which one of `others` is no farther than `reach_px`."""
    return edges & (_distance_px(others) <= reach_px) if edges.any() else edges
