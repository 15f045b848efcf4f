"""Scores and latencies of a predictor over samples."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from networks import LABEL_SET, make_frame

from seg.errors import SegError
from seg.evaluate import EvalSample, Latency, evaluate
from seg.label_sets import CAMVID
from seg.metrics import Scores, confusion_matrix
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
    result = evaluate(predictor, samples, LABEL_SET, lambda sample, _: seen.append(sample.name), dataset="toy", split="val")

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


def test_percentiles_are_of_the_total() -> None:
    latency = Latency()
    assert latency.summary() == {}
    for value in range(1, 102):
        latency.add({"network": value / 2, "total": float(value)})
    summary = latency.summary()
    assert (summary["p50"], summary["p90"], summary["p99"], summary["mean"]) == (51, 91, 100, 51)
    assert summary["stages"] == {"network": {"p50": 25.5, "p90": 45.5, "p99": 50, "mean": 25.5}}


class _Slowing:
    """Stands in for a predictor: call number n takes n ms."""

    def __init__(self, real: Predictor) -> None:
        self.real, self.calls = real, itertools.count(1)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def __call__(self, frame_bgr: np.ndarray) -> Prediction:
        return Prediction(np.zeros(frame_bgr.shape[:2], np.uint8), {"total": float(next(self.calls))})


def test_runs_that_warm_up_are_not_counted(predictor: Predictor) -> None:
    samples = [EvalSample("a", make_frame(40, 40)), EvalSample("b", make_frame(40, 40)), EvalSample("c", make_frame(33, 40))]
    result = evaluate(_Slowing(predictor), samples, LABEL_SET)
    assert result.latency.stages["total"] == [3, 4, 7]  # 1 and 2 warm up for the first size, 5 and 6 for the second
    assert result.warm_up_runs == 2
    assert evaluate(_Slowing(predictor), samples, LABEL_SET, warm_up_runs=0).latency.stages["total"] == [1, 2, 3]


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
