"""From a confusion matrix to IoU per class and category, mIoU, iIoU and pixel accuracy. The whole project uses this one rule.

The rule is cityscapesScripts' (`evaluation/evalPixelLevelSemanticLabeling.py`): pixels with truth 255 are not counted; a class
with neither truth nor prediction is left out (its IoU is NaN); one that is predicted but absent scores 0. iIoU is IoU with each
instance weighted as if it had its class's mean size, so that near and far ones count alike (Cordts et al., CVPR 2016).
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from seg.label_sets import IGNORE, INSTANCE_FACTOR, LabelSet

Float64Array = npt.NDArray[np.float64]


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


def frame_miou(matrix: npt.NDArray[np.int64]) -> float:
    """Returns `Scores.present_miou` of a frame."""
    iou, there = np.array(_iou(*_parts(matrix))), matrix.sum(1) > 0
    return float(iou[there].mean()) if there.any() else float("nan")


class InstanceCounts:
    """Hit and missed pixels of instances, for iIoU; each is weighted by its class's mean instance size divided by its own size.

    Attributes:
        hits, misses: (C,) per class; a hit predicts that class.
        category_hits, category_misses: (K,) per category; a hit predicts any class of it.
        frames: how many were added.
    """

    def __init__(self, label_set: LabelSet) -> None:
        """Starts from nothing; without the label set's `instance_sizes` every weight is 0."""
        classes, names = len(label_set), label_set.category_names()
        self._sizes = np.array(label_set.instance_sizes or (0,) * classes, np.float64)
        self._train_ids = label_set.to_train_ids()  # (256,) by label id
        self._categories = np.array([names.index(name) for name in label_set.categories] or (0,) * classes)  # (C,)
        self.hits, self.misses = np.zeros(classes), np.zeros(classes)
        self.category_hits, self.category_misses = np.zeros(len(names)), np.zeros(len(names))
        self.frames = 0

    def add(self, instance_ids: npt.NDArray[np.uint16], prediction: npt.NDArray[np.uint8]) -> None:
        """Counts a frame: instance ids (H, W), label id x 1000 + number, and predicted train ids (H, W).

        Raises:
            ValueError: shapes differ.
        """
        if instance_ids.shape != prediction.shape:
            raise ValueError(f"instance ids are {instance_ids.shape} and prediction {prediction.shape}")
        single = instance_ids > INSTANCE_FACTOR
        ids, predicted = instance_ids[single].astype(np.int64), prediction[single]
        truth = self._train_ids[ids // INSTANCE_FACTOR]
        counted = (truth >= 0) & (truth != IGNORE)
        ids, predicted, truth = ids[counted], predicted[counted], truth[counted]
        size = np.bincount(ids)  # by instance id, like all arrays that follow
        present = np.flatnonzero(size)
        of_class = self._train_ids[present // INSTANCE_FACTOR]
        weight = self._sizes[of_class] / size[present]

        def tally(right: npt.NDArray[np.bool_], groups: npt.NDArray[Any], hits: Float64Array, misses: Float64Array) -> None:
            hit = np.bincount(ids[right], minlength=len(size))[present]
            hits += np.bincount(groups, hit * weight, len(hits))
            misses += np.bincount(groups, (size[present] - hit) * weight, len(misses))

        tally(predicted == truth, of_class, self.hits, self.misses)
        if len(self.category_hits):
            same = self._categories[predicted] == self._categories[truth]
            tally(same, self._categories[of_class], self.category_hits, self.category_misses)
        self.frames += 1


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says. All values are 0 to 1.

    Attributes:
        miou: mean of the IoUs that exist; NaN if none does.
        per_class_iou: IoU by class name; NaN for a class with neither truth nor prediction.
        per_class_precision: share of the pixels predicted as a class that are correct; NaN where none was.
        per_class_recall: share of a class's pixels that were found; NaN where it has none.
        per_class_share: share of all counted pixels whose truth is the class; NaN if none is counted.
        pixel_accuracy: correct pixels among those that count; NaN if none counts.
        pixels: how many count.
        category_miou, per_category_iou: the same for categories; None for a label set without them.
        iiou, per_class_iiou: for the classes whose instances have separate ids; None without instance ids.
        category_iiou, per_category_iiou: of the categories that have such classes only; None without instance ids.
    """

    miou: float
    per_class_iou: dict[str, float]
    per_class_precision: dict[str, float]
    per_class_recall: dict[str, float]
    per_class_share: dict[str, float]
    pixel_accuracy: float
    pixels: int
    category_miou: float | None = None
    per_category_iou: dict[str, float] | None = None
    iiou: float | None = None
    per_class_iiou: dict[str, float] | None = None
    category_iiou: float | None = None
    per_category_iiou: dict[str, float] | None = None

    @property
    def present_miou(self) -> float:
        """Mean IoU of the classes that the truth has; NaN without truth.

        In `miou` a class that is only predicted, by mistake, counts as 0, be it a single pixel. With few frames, many classes are
        absent, and chance decides which of them get a pixel. So results on one frame or a few are compared by this mean.
        """
        return _mean({name: self.per_class_iou[name] for name, share in self.per_class_share.items() if share > 0})

    @classmethod
    def from_confusion(cls, matrix: npt.ArrayLike, label_set: LabelSet, instances: InstanceCounts | None = None) -> Self:
        """Scores a (C, C) matrix of `confusion_matrix`, and instances where there are any, both summed over all samples."""
        counts = np.asarray(matrix, dtype=np.int64)
        iou = dict(zip(label_set.classes, _iou(*_parts(counts)), strict=True))
        total = int(counts.sum())
        precision, recall, share = (dict(zip(label_set.classes, _share(part, whole), strict=True)) for part, whole in (
            (np.diag(counts), counts.sum(0)), (np.diag(counts), counts.sum(1)), (counts.sum(1), np.full(len(counts), total))))
        more: dict[str, Any] = {}
        names = label_set.category_names()
        member = np.array([[category == name for name in names] for category in label_set.categories], np.int64)  # (C, K)
        if names:
            counts_by_category = member.T @ counts @ member  # (K, K)
            more["per_category_iou"] = dict(zip(names, _iou(*_parts(counts_by_category)), strict=True))
            more["category_miou"] = _mean(more["per_category_iou"])
        if instances is not None:
            sizes = np.array(label_set.instance_sizes)
            iiou = _iou(instances.hits, instances.misses, _parts(counts)[2])
            more["per_class_iiou"] = {name: iiou[i] for i, name in enumerate(label_set.classes) if sizes[i]}
            more["iiou"] = _mean(more["per_class_iiou"])
        if names and instances is not None:
            iiou = _iou(instances.category_hits, instances.category_misses, _parts(counts_by_category)[2])
            more["per_category_iiou"] = {name: iiou[i] for i, name in enumerate(names) if sizes[member[:, i] > 0].all()}
            more["category_iiou"] = _mean(more["per_category_iiou"])
        accuracy = float(np.trace(counts) / total) if total else float("nan")
        return cls(_mean(iou), iou, precision, recall, share, accuracy, total, **more)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types for JSON; NaN becomes None."""
        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(entry) for name, entry in value.items()}
            return None if value is None or np.isnan(value) else value

        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


def _parts(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns true positives, false negatives and false positives (C,) of a confusion matrix (C, C)."""
    correct = np.diag(counts)
    return correct, counts.sum(1) - correct, counts.sum(0) - correct


def _iou(hits: npt.NDArray[Any], misses: npt.NDArray[Any], false_positives: npt.NDArray[Any]) -> list[float]:
    return _share(hits, hits + misses + false_positives)


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> list[float]:
    """Returns part divided by whole (C,); NaN where there is no whole."""
    whole = whole.astype(np.float64)
    values: list[float] = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0).tolist()
    return values


def _mean(values: dict[str, float]) -> float:
    existing = [value for value in values.values() if not np.isnan(value)]
    return float(np.mean(existing)) if existing else float("nan")
