"""Scores compared with cityscapesScripts' evaluator and with counting by hand."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluator
import cv2
import numpy as np
import pytest
from cityscapes_tree import Frame, make_frame, predict, write_frame

from seg.label_sets import CAMVID, CITYSCAPES, LabelSet
from seg.metrics import InstanceCounts, Scores, confusion_matrix, frame_miou
from seg.sizes import best_long_side


def test_iou_is_cityscapesscripts_iou() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 19, (64, 96)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    truth[truth == 16] = 2  # an absent class, which is predicted
    prediction = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 19, truth.shape)).astype(np.uint8)
    prediction[prediction == 255] = 0
    ours = Scores.from_confusion(confusion_matrix(truth, prediction, 19), CITYSCAPES)

    to_label_ids = CITYSCAPES.to_label_ids()
    truth_ids = np.where(truth == 255, 0, to_label_ids[truth])
    matrix = evaluator.generateMatrix(evaluator.args)
    np.add.at(matrix, (truth_ids, to_label_ids[prediction]), 1)
    for name, label_id in zip(CITYSCAPES.classes, CITYSCAPES.label_ids, strict=True):
        theirs = evaluator.getIouScoreForLabel(label_id, matrix, evaluator.args)
        assert ours.per_class_iou[name] == pytest.approx(theirs, abs=1e-12), name
    assert ours.per_class_iou["train"] == 0


def test_by_hand() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 1, 5]], np.uint8)
    scores = Scores.from_confusion(confusion_matrix(truth, prediction, 11), CAMVID)
    assert scores.per_class_iou["sky"] == scores.per_class_iou["building"] == 0.5
    assert math.isnan(scores.per_class_iou["road"])  # neither truth nor prediction: left out
    assert (scores.miou, scores.pixel_accuracy, scores.pixels) == (0.5, pytest.approx(2 / 3), 3)
    assert scores.to_dict()["per_class_iou"]["road"] is None


def test_predicted_but_absent_counts_as_zero() -> None:
    confusion = confusion_matrix(np.zeros((1, 2), np.uint8), np.array([[0, 3]], np.uint8), 11)
    scores = Scores.from_confusion(confusion, CAMVID)
    assert scores.per_class_iou["road"] == 0
    assert scores.miou == 0.25
    assert scores.present_miou == frame_miou(confusion) == 0.5, "of the classes in the truth"


def test_a_pixel_of_an_absent_class_decides_no_size() -> None:
    """Of two sizes one is better in all classes that the truth has, and wrong in one pixel of another."""
    truth = np.array([[0] * 50, [1] * 50], np.uint8)
    worse, better = truth.copy(), truth.copy()
    worse[:, :10], better[0, 0] = 1 - truth[:, :10], 3
    results: Any = {side: SimpleNamespace(scores=Scores.from_confusion(confusion_matrix(truth, found, 11), CAMVID))
                    for side, found in ((64, worse), (96, better))}
    assert results[64].scores.miou > results[96].scores.miou
    assert best_long_side(results) == 96


def test_nothing_to_score_is_nan() -> None:
    nothing = np.full((2, 2), 255, np.uint8)
    scores = Scores.from_confusion(confusion_matrix(nothing, np.zeros_like(nothing), 11), CAMVID)
    assert math.isnan(scores.miou) and math.isnan(scores.present_miou)
    assert scores.to_dict()["miou"] is None


def test_sizes_and_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="own size"):
        confusion_matrix(np.zeros((2, 2), np.uint8), np.zeros((4, 4), np.uint8), 11)
    with pytest.raises(ValueError, match="train id 11"):
        confusion_matrix(np.full((1, 1), 11, np.uint8), np.zeros((1, 1), np.uint8), 11)


def score(frames: list[Frame], predictions: list[np.ndarray]) -> Scores:
    matrix, instances = np.zeros((19, 19), np.int64), InstanceCounts(CITYSCAPES)
    for frame, prediction in zip(frames, predictions, strict=True):
        matrix += confusion_matrix(CITYSCAPES.to_train_ids()[frame.label_ids].astype(np.uint8), prediction, 19)
        instances.add(frame.instance_ids, prediction)
    return Scores.from_confusion(matrix, CITYSCAPES, instances)


def evaluate_theirs(root: Path, frames: list[Frame], predictions: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns cityscapesScripts' own result on the same frames, written to files in its format."""
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # NumPy 2.4 has removed it
    monkeypatch.setattr(evaluator.args, "quiet", True)
    monkeypatch.setattr(evaluator.args, "JSONOutput", False)
    (root / "results").mkdir()
    pairs = []
    for i, (frame, prediction) in enumerate(zip(frames, predictions, strict=True)):
        write_frame(root, "val", f"ulm_{i:06d}_000019", frame)
        path = root / "results" / f"ulm_{i:06d}_000019.png"
        assert cv2.imwrite(str(path), CITYSCAPES.to_label_ids()[prediction])
        pairs.append((str(path), str(root / f"gtFine/val/ulm/ulm_{i:06d}_000019_gtFine_labelIds.png")))
    return evaluator.evaluateImgLists([path for path, _ in pairs], [path for _, path in pairs], evaluator.args)


def assert_equal_scores(ours: Scores, theirs: Any) -> None:
    for own, mean, key, mean_key in ((ours.per_class_iou, ours.miou, "classScores", "averageScoreClasses"),
                                     (ours.per_class_iiou, ours.iiou, "classInstScores", "averageScoreInstClasses"),
                                     (ours.per_category_iou, ours.category_miou, "categoryScores", "averageScoreCategories"),
                                     (ours.per_category_iiou, ours.category_iiou, "categoryInstScores",
                                      "averageScoreInstCategories")):
        assert own is not None
        for name, value in theirs[key].items():
            assert own.get(name, math.nan) == pytest.approx(value, abs=1e-9, nan_ok=True), (key, name)
        assert mean == pytest.approx(theirs[mean_key], abs=1e-9), mean_key
    matrix = np.array(theirs["confMatrix"])[list(CITYSCAPES.label_ids)]  # it has no accuracy of its own
    correct = sum(row[label_id] for row, label_id in zip(matrix, CITYSCAPES.label_ids, strict=True))
    assert ours.pixel_accuracy == pytest.approx(correct / matrix.sum(), abs=1e-9)
    assert ours.pixels == matrix.sum()


def test_all_scores_are_those_of_cityscapesscripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [make_frame(seed) for seed in range(6)]
    predictions = [predict(frame, seed) for seed, frame in enumerate(frames)]
    ours = score(frames, predictions)
    assert_equal_scores(ours, evaluate_theirs(tmp_path, frames, predictions, monkeypatch))
    assert set(ours.per_class_iiou or ()) == set(CITYSCAPES.classes[11:])
    assert set(ours.per_category_iiou or ()) == {"human", "vehicle"}
    assert ours.per_class_iou["train"] == 0 < ours.per_class_iou["car"] < 1
    assert len({ours.miou, ours.category_miou, ours.iiou, ours.category_iiou, ours.pixel_accuracy}) == 5


def test_scores_of_few_instances_are_those_of_cityscapesscripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One car, a group of people, an ignored caravan; buses are predicted where there are none."""
    ids = np.full((20, 40), 7, np.uint16)
    ids[2:8, 2:9], ids[10:16, 5:20], ids[2:8, 20:30] = 26000, 24, 29000
    frame = Frame(np.zeros((20, 40, 3), np.uint8), np.where(ids > 1000, ids // 1000, ids).astype(np.uint8), ids)
    prediction = np.zeros((20, 40), np.uint8)
    prediction[2:8, 4:14], prediction[10:16, :8], prediction[2:4, 20:30], prediction[18:] = 13, 12, 11, 15
    ours = score([frame], [prediction])
    assert_equal_scores(ours, evaluate_theirs(tmp_path, [frame], [prediction], monkeypatch))
    iiou = ours.per_class_iiou or {}
    assert math.isnan(iiou["train"]) and iiou["bus"] == 0 < iiou["car"], "no instance and no prediction is left out"


def test_a_label_set_without_categories_and_instances_has_no_such_scores() -> None:
    scores = Scores.from_confusion(np.eye(11, dtype=np.int64), CAMVID)
    assert (scores.category_miou, scores.per_category_iou, scores.iiou, scores.per_category_iiou) == (None,) * 4
    assert scores.to_dict()["iiou"] is None
    plain = LabelSet("two", ("a", "b"), ((0, 0, 0),) * 2, (1, 2), instance_sizes=(0, 8.0))
    instances = InstanceCounts(plain)
    instances.add(np.array([[2001, 2001, 2000, 1]], np.uint16), np.array([[1, 0, 1, 1]], np.uint8))
    scores = Scores.from_confusion([[0, 1], [1, 2]], plain, instances)  # 8 / 2 + 8 / 1 hit, 8 / 2 missed, one pixel too many
    assert scores.per_class_iiou == {"b": pytest.approx(12 / (12 + 4 + 1))}
    assert scores.category_iiou is None


def test_instance_ids_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="instance ids are"):
        InstanceCounts(CITYSCAPES).add(np.zeros((2, 2), np.uint16), np.zeros((4, 4), np.uint8))
