"""Scores and latencies of a predictor over samples."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import LABEL_SET, make_frame

from seg.errors import SegError
from seg.evaluate import EvalSample, evaluate
from seg.label_sets import CAMVID
from seg.metrics import Scores, confusion_matrix
from seg.models import load
from seg.models.macs import count
from seg.runtime import Prediction, Predictor


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights)


def test_scores_and_latencies_of_every_sample(predictor: Predictor) -> None:
    random = np.random.default_rng(0)
    frames = [make_frame(40, 56, seed=0), make_frame(48, 40, seed=1), make_frame(40, 56, seed=2)]
    truths = [random.choice([0, 1, 2, 3, 4, 255], frame.shape[:2]).astype(np.uint8) for frame in frames]
    samples = [EvalSample(f"seq/{i}", frame, truth) for i, (frame, truth) in enumerate(zip(frames, truths, strict=True))]
    seen: list[str] = []
    result = evaluate(predictor, samples, LABEL_SET, lambda sample, *_: seen.append(sample.name), dataset="toy", split="val")

    matrix = sum(confusion_matrix(truth, predictor(frame).train_ids, len(LABEL_SET))
                 for frame, truth in zip(frames, truths, strict=True))
    assert result.scores == Scores.from_confusion(matrix, LABEL_SET)
    assert seen == ["seq/0", "seq/1", "seq/2"]
    assert (result.frames, result.labelled, result.frame_sizes) == (3, 3, [(40, 56), (48, 40)])
    assert (result.dataset, result.split, result.label_set) == ("toy", "val", LABEL_SET)
    assert result.network == "LRASPP mobilenet_v3_small_rf2"
    assert (result.engine, result.precision, result.threads) == (predictor.engine, "fp32", predictor.threads)
    assert result.machine.cores >= 1
    summary = result.latency.summary()
    assert set(summary) == {"p50", "p90", "p99", "mean", "stages"}
    assert set(summary["stages"]) == {"preprocess", "network", "upsample"}
    assert len(result.latency) == 3

    for record, frame, truth in zip(result.records, frames, truths, strict=True):
        assert record.size_hw == frame.shape[:2] and set(record.latency_ms) == {"preprocess", "network", "upsample", "total"}
        np.testing.assert_array_equal(record.confusion, confusion_matrix(truth, predictor(frame).train_ids, len(LABEL_SET)))
    assert [record.name for record in result.records] == seen
    assert result.records[0].began_s < result.records[1].began_s < result.records[2].began_s
    assert result.confusion is not None and (result.confusion == matrix).all()


class _Slowing:
    """A stand-in for a predictor: call number n takes n ms."""

    def __init__(self, real: Predictor) -> None:
        self.real, self.calls = real, itertools.count(1)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def __call__(self, frame_bgr: np.ndarray) -> Prediction:
        return Prediction(np.zeros(frame_bgr.shape[:2], np.uint8), {"total": float(next(self.calls))})


def test_runs_that_warm_up_are_not_counted(predictor: Predictor) -> None:
    samples = [EvalSample("a", make_frame(40, 40)), EvalSample("b", make_frame(40, 40)), EvalSample("c", make_frame(33, 40))]
    slowing: list[Any] = [_Slowing(predictor), _Slowing(predictor)]
    result = evaluate(slowing[0], samples, LABEL_SET)
    # 1 to 6 warm up for the first size, as long as it takes; 9 and 10 for the second, when the machine is warm
    assert result.latency.stages["total"] == [7, 8, 11]
    assert [(one.size_hw, one.runs) for one in result.warm_ups] == [((40, 40), 6), ((33, 40), 2)]
    assert evaluate(slowing[1], samples, LABEL_SET, warm_up_runs=0).latency.stages["total"] == [1, 2, 3]


def test_without_truth_there_are_latencies_only(predictor: Predictor) -> None:
    result = evaluate(predictor, [EvalSample("a", make_frame(40, 40))], LABEL_SET)
    assert result.scores is None
    assert (result.frames, result.labelled) == (1, 0)
    assert result.latency.summary()["p50"] > 0


def test_no_sample_is_a_result_without_figures(predictor: Predictor) -> None:
    result = evaluate(predictor, [], LABEL_SET)
    assert (result.frames, result.scores, result.latency.summary()) == (0, None, {})


def test_refuses_other_classes_and_truth_of_another_size(predictor: Predictor) -> None:
    with pytest.raises(SegError, match="label set 'camvid' has the classes sky, building"):
        evaluate(predictor, [], CAMVID)
    with pytest.raises(SegError, match=r"seq/7: the frame is 40x40 and its labels are 20x40"):
        evaluate(predictor, [EvalSample("seq/7", make_frame(40, 40), np.zeros((20, 40), np.uint8))], LABEL_SET)
    with pytest.raises(SegError, match=r"seq/7: the frame is 40x40 and its instance ids are 20x40"):
        evaluate(predictor, [EvalSample("seq/7", make_frame(40, 40), np.zeros((40, 40), np.uint8),
                                        np.zeros((20, 40), np.uint16))], LABEL_SET)


def test_boundaries_and_counts_where_a_thorough_look_is_wanted(predictor: Predictor, tiny_weights: Path) -> None:
    frame = make_frame(64, 96)
    sample = EvalSample("a", frame, predictor(frame).train_ids)
    plain, thorough = (evaluate(predictor, [sample], LABEL_SET, thorough=flag) for flag in (False, True))
    assert (plain.boundaries, plain.parameters, plain.multiply_adds) == (None, None, None)
    assert thorough.boundaries is not None and thorough.boundaries.f_score == 1.0
    assert thorough.calibration is None, "nobody asked for confidence"
    model = load(tiny_weights)
    assert thorough.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert thorough.multiply_adds == count(model, (64, 96)).convolutions
    assert plain.first_frame_ms and plain.first_frame_ms > 0
    assert plain.peak_memory_mib and plain.peak_memory_mib > 50


def test_calibration_where_confidence_is_there(tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights, engine="openvino", precision="fp32", confidence=True)
    frame = make_frame(64, 96)
    prediction = predictor(frame)
    result = evaluate(predictor, [EvalSample("a", frame, prediction.train_ids)], LABEL_SET, thorough=True)
    assert result.calibration is not None and prediction.confidence is not None
    assert result.calibration.expected_error == pytest.approx(1 - prediction.confidence.mean(), abs=1e-4)
    assert any("confidence" in note for note in result.notes)


def test_variants_see_the_same_frames(predictor: Predictor) -> None:
    frames = [make_frame(64, 96, seed) for seed in range(2)]
    samples = [EvalSample(str(i), frame, predictor(frame).train_ids) for i, frame in enumerate(frames)]
    result = evaluate(predictor, samples, LABEL_SET, variants={"64": predictor.at(64), "own": predictor.at("own")})
    assert [(one.name, one.network_hw) for one in result.variants] == [("64", (48, 64)), ("own", (64, 96))]
    alone = evaluate(predictor.at(64), samples, LABEL_SET)
    assert result.variants[0].miou == alone.scores.miou < result.variants[1].miou == result.scores.miou == 1.0
