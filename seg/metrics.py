"""From a confusion matrix to IoU per class, mIoU and pixel accuracy. One rule for all of the project.

The rule is cityscapesScripts': pixels whose truth is 255 count nowhere; a class with neither truth nor prediction is left
out (its IoU is NaN); one that is predicted but absent scores 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.label_sets import IGNORE, LabelSet


def confusion_matrix(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.int64]:
    """Counts pixels: entry [t, p] is the number with truth t and prediction p, both (H, W) train ids.

    Raises:
        ValueError: shapes differ, or a prediction that counts is not below `classes`.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape} and prediction {prediction.shape}; score at the labels' own size")
    counted = truth != IGNORE
    truth_counted, prediction_counted = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, ids in (("truth", truth_counted), ("prediction", prediction_counted)):
        if ids.size and ids.max() >= classes:
            raise ValueError(f"{name} holds the train id {ids.max()}; there are {classes} classes")
    flat = np.bincount(truth_counted * classes + prediction_counted, minlength=classes * classes)
    return flat.reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says. All values are 0 to 1.

    Attributes:
        miou: mean of the IoUs that exist; NaN if none does.
        per_class_iou: IoU by class name; NaN for a class with neither truth nor prediction.
        pixel_accuracy: correct pixels among those that count; NaN if none counts.
        pixels: how many count.
    """

    miou: float
    per_class_iou: dict[str, float]
    pixel_accuracy: float
    pixels: int

    @classmethod
    def from_confusion(cls, matrix: npt.ArrayLike, label_set: LabelSet) -> "Scores":
        """Scores a (C, C) matrix of `confusion_matrix`, summed over all samples."""
        counts = np.asarray(matrix, dtype=np.int64)
        correct = np.diag(counts).astype(np.float64)
        union = counts.sum(0) + counts.sum(1) - np.diag(counts)
        iou = np.divide(correct, union, out=np.full(len(counts), np.nan), where=union > 0)
        total = int(counts.sum())
        return cls(
            miou=float(np.nanmean(iou)) if (union > 0).any() else float("nan"),
            per_class_iou={name: float(value) for name, value in zip(label_set.classes, iou, strict=True)},
            pixel_accuracy=float(correct.sum() / total) if total else float("nan"),
            pixels=total,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types for JSON; NaN becomes None."""
        def plain(value: float) -> float | None:
            return None if np.isnan(value) else value

        return {"miou": plain(self.miou), "per_class_iou": {k: plain(v) for k, v in self.per_class_iou.items()},
                "pixel_accuracy": plain(self.pixel_accuracy), "pixels": self.pixels}
