"""What smoothing over time gives and costs: how often labels change where the picture stands still, and mIoU where all moves."""

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import cv2
import numpy as np

from datasets.scenes.catalog import catalog
from datasets.scenes.write import FRAMES_PER_SECOND, drive
from seg.files import UInt8Array
from seg.label_sets import CITYSCAPES
from seg.metrics import Scores, confusion_matrix
from seg.runtime import Predictor
from seg.video.smooth import Smoother

_STILL_LEVELS, _STILL_PX = 4, 9  # a pixel stands still if the mean around it changes by less, in every channel


class Smoothing(NamedTuple):
    """What was found, without smoothing and with it.

    Attributes:
        changes: of a pixel's label in a second, over pixels that stand still.
        still: share of the pixels that do.
        miou: on rendered streets driven along, with exact labels in every frame; None where the network's classes are others.
        share: of a frame's time that smoothing takes, medians.
    """

    changes: tuple[float, float]
    still: float
    miou: tuple[float, float] | None
    share: float

    @property
    def fewer(self) -> float:
        """Share of the changes that smoothing takes away."""
        return 1 - self.changes[1] / self.changes[0] if self.changes[0] else 0.0


def changes_per_second(frames_bgr: Sequence[UInt8Array], labels: Sequence[UInt8Array], fps: float) -> tuple[float, float]:
    """Returns how often in a second the label of a pixel changes that stands still, and what share of the pixels does.

    Args:
        frames_bgr: (H, W, 3) each, one after the other.
        labels: (H, W) each.
        fps: frames per second.
    """
    changed = still = 0
    for (frame, after), (label, label_after) in zip(pairwise(frames_bgr), pairwise(labels), strict=True):
        stands = cv2.blur(cv2.absdiff(frame, after), (_STILL_PX, _STILL_PX)).max(2) < _STILL_LEVELS
        changed += int(((label != label_after) & stands).sum())
        still += int(stands.sum())
    pixels = (len(frames_bgr) - 1) * labels[0].size
    return changed / max(still, 1) * fps, still / pixels


def measure_smoothing(predictor: Predictor, frames_bgr: Sequence[UInt8Array], fps: float, rendered: int,
                      size_hw: tuple[int, int] = (384, 768)) -> Smoothing:
    """Measures both on frames of a video and on as many rendered ones as are asked for, of a size."""
    table = CITYSCAPES.to_train_ids().astype(np.uint8)
    frames = islice(drive(catalog(), "smooth", size_hw, FRAMES_PER_SECOND), rendered)
    scenes = [(frame.bgr, table[frame.label_ids]) for frame in frames]
    known = predictor.label_set.classes == CITYSCAPES.classes and rendered > 0
    changes, mious, share, still = [], [], 0.0, 0.0
    for smooth in (False, True):
        labels, times = [], []
        predictor.blend = Smoother() if smooth else None
        for frame in frames_bgr:
            prediction = predictor(frame)
            labels.append(prediction.train_ids)
            times.append((prediction.latency_ms.get("smooth", 0.0), prediction.latency_ms["total"]))
        changed, still = changes_per_second(frames_bgr, labels, fps)
        changes.append(changed)
        part, whole = np.median(times, 0)
        share = float(part / whole)
        predictor.blend = Smoother() if smooth else None
        if known:
            confusion = sum(confusion_matrix(truth, predictor(frame).train_ids, len(CITYSCAPES)) for frame, truth in scenes)
            mious.append(Scores.from_confusion(confusion, CITYSCAPES).miou)
        predictor.blend = None
    return Smoothing((changes[0], changes[1]), still, (mious[0], mious[1]) if known else None, share)
