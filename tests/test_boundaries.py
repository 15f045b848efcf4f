"""Boundary scores against loops over single pixels, and calibration against counting by hand."""

import itertools
import math

import numpy as np
import pytest

from seg.boundaries import TOLERANCE, WIDTHS_PX, BoundaryCounts
from seg.calibration import CalibrationCounts
from seg.label_sets import IGNORE, LabelSet
from seg.metrics import Scores, confusion_matrix

LABEL_SET = LabelSet("three", ("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), (0, 1, 2))


def patches(seed: int, ignored: bool) -> np.ndarray:
    """Returns (15, 24) train ids in patches, some of them ignored."""
    random = np.random.default_rng(seed)
    return np.kron(random.choice([0, 1, 2, IGNORE] if ignored else [0, 1, 2], (5, 6)), np.ones((3, 4))).astype(np.uint8)


def neighbours(y: int, x: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return [(v, u) for v, u in near if 0 <= v < shape[0] and 0 <= u < shape[1]]


def outline(labels: np.ndarray, train_id: int | None = None) -> list[tuple[int, int]]:
    """Returns the pixels of a class, or of any class, that have a neighbour of another class that isn't ignored."""
    return [(y, x) for y, x in itertools.product(*map(range, labels.shape))
            if labels[y, x] != IGNORE and train_id in (None, labels[y, x])
            and any(labels[near] not in (labels[y, x], IGNORE) for near in neighbours(y, x, labels.shape))]


def reached(points: list[tuple[int, int]], others: list[tuple[int, int]], reach: float) -> int:
    return sum(any(math.dist(point, other) <= reach for other in others) for point in points)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_boundary_scores_are_those_of_a_loop_over_pixels(seed: int) -> None:
    truth, prediction = patches(seed, True), np.roll(patches(seed, False), 1, axis=1)
    counts = BoundaryCounts(LABEL_SET)
    counts.add(truth, prediction)
    scores = counts.scores()

    edges = outline(truth)
    for width in WIDTHS_PX:
        band = np.array([[any(math.dist((y, x), edge) < width for edge in edges) for x in range(truth.shape[1])]
                         for y in range(truth.shape[0])])
        expected = Scores.from_confusion(confusion_matrix(truth[band], prediction[band], 3), LABEL_SET).miou
        assert scores.trimap_miou[width] == pytest.approx(expected)

    seen = np.where(truth == IGNORE, IGNORE, prediction)
    reach = TOLERANCE * math.hypot(*truth.shape)
    for train_id, name in enumerate(LABEL_SET.classes):
        predicted, true = outline(seen, train_id), outline(truth, train_id)
        precision, recall = (reached(some, others, reach) / len(some) for some, others in ((predicted, true), (true, predicted)))
        f_score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert scores.per_class_f_score[name] == pytest.approx(f_score)
    assert scores.f_score == pytest.approx(np.mean(list(scores.per_class_f_score.values())))


def test_boundaries_of_several_frames_are_summed_up() -> None:
    """Two frames give the same as one frame with both, separated by a wide ignored strip."""
    two, one = BoundaryCounts(LABEL_SET), BoundaryCounts(LABEL_SET)
    pairs = [(patches(seed, True), patches(seed + 10, False)) for seed in (3, 4)]
    for truth, prediction in pairs:
        two.add(truth, prediction)
    between = np.full((15, 20), IGNORE, np.uint8)
    one.add(np.hstack([pairs[0][0], between, pairs[1][0]]), np.hstack([pairs[0][1], between * 0, pairs[1][1]]))
    assert two.scores() == one.scores()


def test_a_perfect_prediction_and_a_frame_without_boundaries() -> None:
    counts = BoundaryCounts(LABEL_SET)
    plain = np.zeros((8, 8), np.uint8)
    counts.add(plain, plain)
    assert math.isnan(counts.scores().f_score) and math.isnan(counts.scores().trimap_miou[3])
    halves = plain.copy()
    halves[:, 4:] = 1
    counts.add(halves, halves)
    scores = counts.scores()
    assert (scores.f_score, set(scores.trimap_miou.values())) == (1.0, {1.0})
    assert math.isnan(scores.per_class_f_score["c"])


def test_a_boundary_that_is_off_by_more_than_the_tolerance_counts_nothing() -> None:
    truth, near, far = (np.zeros((300, 400), np.uint8) for _ in range(3))  # the tolerance is 3.75 px
    for labels, at in ((truth, 200), (near, 203), (far, 205)):
        labels[:, at:] = 1
    for prediction, expected in ((near, 1.0), (far, 0.0)):
        counts = BoundaryCounts(LABEL_SET)
        counts.add(truth, prediction)
        assert counts.scores().f_score == expected


def test_calibration_error_is_counted_by_bin() -> None:
    counts = CalibrationCounts()
    assert counts.result() is None
    truth = np.array([[0, 0, 0, 0, IGNORE]], np.uint8)
    counts.add(truth, np.array([[0, 0, 1, 1, 1]], np.uint8), np.array([[1.0, 1.0, 0.5, 0.5, 0.1]], np.float32))
    found = counts.result()
    assert found is not None
    assert (found.confidence, found.accuracy, found.share) == ((0.5, 1.0), (0.0, 1.0), (0.5, 0.5))
    assert found.expected_error == pytest.approx(0.25)


def test_a_network_that_is_right_as_often_as_it_claims_has_no_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, (400, 500)).astype(np.float32)
    right = random.uniform(0, 1, confidence.shape) < confidence
    counts = CalibrationCounts()
    counts.add(np.zeros(confidence.shape, np.uint8), (~right).astype(np.uint8), confidence)
    found = counts.result()
    assert found is not None and found.expected_error < 0.01
