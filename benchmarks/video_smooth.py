"""How steady labels are, and what smoothing over time gives and costs.

Label changes of pixels that don't move, labels that hold for one frame alone, and mIoU where everything moves.
"""

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

_STILL_LEVELS, _STILL_PX = 4, 9  # a pixel doesn't move if the mean around it changes by less, in every channel


class Smoothing(NamedTuple):
    """The results, without and with smoothing.

    Attributes:
        changes: label changes per second of a pixel, over the pixels that don't move.
        still: share of these pixels.
        miou: on drives along rendered streets, with exact labels for every frame; None if the network has other classes.
        share: share of a frame's time that smoothing takes, from medians.
        classes: by class that occurs, without smoothing: its share of all pixels, and the share of all pixels that have it in one
            frame alone, between two frames in which they have another one.
    """

    changes: tuple[float, float]
    still: float
    miou: tuple[float, float] | None
    share: float
    classes: dict[str, tuple[float, float]]

    @property
    def fewer(self) -> float:
        """Share of the changes that smoothing removes."""
        return 1 - self.changes[1] / self.changes[0] if self.changes[0] else 0.0


def changes_per_second(frames_bgr: Sequence[UInt8Array], labels: Sequence[UInt8Array], fps: float) -> tuple[float, float]:
    """Returns how often per second the label of a pixel that doesn't move changes, and the share of such pixels.

    Args:
        frames_bgr: successive frames, (H, W, 3) each.
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


def flashes(labels: Sequence[UInt8Array], classes: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Returns how much there is of each class that occurs, and how much of it flashes; see `Smoothing.classes`.

    Args:
        labels: (H, W) each, of successive frames.
        classes: names.
    """
    there = np.bincount(np.concatenate([label.ravel() for label in labels]), minlength=256)
    flashing = np.zeros(256, np.int64)
    for before, label, after in zip(labels, labels[1:], labels[2:], strict=False):
        flashing += np.bincount(label[(before == after) & (label != before)], minlength=256)
    pixels = labels[0].size
    return {name: (float(there[i] / (pixels * len(labels))), float(flashing[i] / (pixels * max(len(labels) - 2, 1))))
            for i, name in enumerate(classes) if there[i]}


def measure_smoothing(predictor: Predictor, frames_bgr: Sequence[UInt8Array], fps: float, rendered: int,
                      size_hw: tuple[int, int] = (384, 768)) -> Smoothing:
    """Measures both, on frames of a video and on the given number of rendered ones of a size."""
    table = CITYSCAPES.to_train_ids().astype(np.uint8)
    frames = islice(drive(catalog(), "smooth", size_hw, FRAMES_PER_SECOND), rendered)
    scenes = [(frame.bgr, table[frame.label_ids]) for frame in frames]
    known = predictor.label_set.classes == CITYSCAPES.classes and rendered > 0
    changes, mious, share, still, classes = [], [], 0.0, 0.0, dict[str, tuple[float, float]]()
    for smooth in (False, True):
        labels, times = [], []
        predictor.blend = Smoother() if smooth else None
        for frame in frames_bgr:
            prediction = predictor(frame)
            labels.append(prediction.train_ids)
            times.append((prediction.latency_ms.get("smooth", 0.0), prediction.latency_ms["total"]))
        changed, still = changes_per_second(frames_bgr, labels, fps)
        changes.append(changed)
        if not smooth:
            classes = flashes(labels, predictor.label_set.classes)
        part, whole = np.median(times, 0)
        share = float(part / whole)
        predictor.blend = Smoother() if smooth else None
        if known:
            confusion = sum(confusion_matrix(truth, predictor(frame).train_ids, len(CITYSCAPES)) for frame, truth in scenes)
            mious.append(Scores.from_confusion(confusion, CITYSCAPES).miou)
        predictor.blend = None
    return Smoothing((changes[0], changes[1]), still, (mious[0], mious[1]) if known else None, share, classes)
