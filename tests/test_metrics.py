"""Scores against cityscapesScripts' evaluator and by hand."""

import math

import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluator
import numpy as np
import pytest

from seg.label_sets import CAMVID, CITYSCAPES
from seg.metrics import Scores, confusion_matrix


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
    scores = Scores.from_confusion(confusion_matrix(np.zeros((1, 2), np.uint8), np.array([[0, 3]], np.uint8), 11), CAMVID)
    assert scores.per_class_iou["road"] == 0
    assert scores.miou == 0.25


def test_nothing_to_score_is_nan() -> None:
    nothing = np.full((2, 2), 255, np.uint8)
    scores = Scores.from_confusion(confusion_matrix(nothing, np.zeros_like(nothing), 11), CAMVID)
    assert math.isnan(scores.miou)
    assert scores.to_dict()["miou"] is None


def test_sizes_and_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="own size"):
        confusion_matrix(np.zeros((2, 2), np.uint8), np.zeros((4, 4), np.uint8), 11)
    with pytest.raises(ValueError, match="train id 11"):
        confusion_matrix(np.full((1, 1), 11, np.uint8), np.zeros((1, 1), np.uint8), 11)
