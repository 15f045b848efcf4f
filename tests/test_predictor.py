"""From frame to label map: engines compared with each other, sizes, threads, refusals, and modules that aren't imported."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
from networks import LABEL_SET, make_frame, scores_at_own_size, write_weights

from seg.errors import SegError
from seg.machine import usable_cores
from seg.models import load
from seg.runtime import Predictor, memory
from seg.runtime.engines.table import ENGINES
from seg.runtime.preprocess import place
from seg.weights import describe_anew, read_description

SIZES = ((96, 160), (101, 75), (32, 32), (181, 203))


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, engine="openvino")


@pytest.fixture(autouse=True)
def same_torch_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_are_the_networks(engine: str, tiny_weights: Path) -> None:
    model = load(tiny_weights)
    predictor = Predictor.load(tiny_weights, engine=engine)
    equal = total = 0
    for seed, (height, width) in enumerate(SIZES):
        frame_bgr = make_frame(height, width, seed)
        prediction = predictor(frame_bgr)
        assert prediction.train_ids.shape == (height, width)
        assert prediction.train_ids.dtype == np.uint8
        expected = scores_at_own_size(model, frame_bgr).argmax(0).numpy()
        assert len(np.unique(expected)) > 1, "a frame with one label would hide any fault"
        equal += int((prediction.train_ids == expected).sum())
        total += expected.size
    assert equal / total > 0.999
    assert (predictor.engine, predictor.precision) == (engine, "fp32")
    assert predictor.label_set == LABEL_SET


def test_latency_is_of_every_stage(predictor: Predictor) -> None:
    """The total is measured separately; only a little of it belongs to no stage."""
    frame = make_frame(384, 512)
    predictor(frame)
    runs = [predictor(frame).latency_ms for _ in range(9)]
    latency_ms = runs[0]
    assert list(latency_ms) == ["preprocess", "network", "upsample", "total"]
    assert all(value >= 0 for value in latency_ms.values())
    shares = [sum(value for stage, value in run.items() if stage != "total") / run["total"] for run in runs]
    assert max(shares) < 1
    assert np.median(shares) > 0.98


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_govern_everything(engine: str, tiny_weights: Path) -> None:
    before = cv2.getNumThreads()
    try:
        predictor = Predictor.load(tiny_weights, engine=engine, threads=1)
        predictor(make_frame(40, 40))
        assert predictor.threads == 1
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


def test_several_threads_and_predictors_get_the_same_labels(predictor: Predictor, tiny_weights: Path) -> None:
    frames = [make_frame(*SIZES[i % 3], seed=i) for i in range(18)]
    expected = [predictor(frame).train_ids for frame in frames]
    other = Predictor.load(tiny_weights, engine="onnxruntime")
    expected_of_other = [other(frame).train_ids for frame in frames]
    with ThreadPoolExecutor(6) as pool:
        found = [pool.submit(predictor, frame) for frame in frames]
        found_by_other = [pool.submit(other, frame) for frame in frames]
    for one, future in zip(expected + expected_of_other, found + found_by_other, strict=True):
        np.testing.assert_array_equal(future.result().train_ids, one)


def test_any_strides_and_an_output(predictor: Predictor) -> None:
    frame = make_frame(90, 120)
    expected = predictor(frame).train_ids
    padded = np.zeros((90, 130, 4), np.uint8)
    padded[:, 5:125, :3] = frame
    out = np.zeros((90, 120), np.uint8)
    assert predictor(padded[:, 5:125, :3], out).train_ids is out
    np.testing.assert_array_equal(out, expected)
    frame.flags.writeable = False
    np.testing.assert_array_equal(predictor(frame).train_ids, expected)
    np.testing.assert_array_equal(predictor(frame[::-1][::-1]).train_ids, expected)


@pytest.mark.parametrize(("frame_hw", "long_side", "expected"), [
    ((1024, 2048), 1024, (512, 1024)), ((720, 1280), 1024, (576, 1024)), ((1920, 1080), 1024, (1024, 576)),
    ((360, 480), 640, (480, 640)), ((360, 480), 480, (368, 480)), ((101, 75), 101, (96, 80)), ((101, 75), None, (112, 80)),
    ((64, 96), None, (64, 96)), ((20, 40), None, (32, 48)),
    ((20, 2000), 1000, (32, 1008)),
])
def test_frames_are_scaled_in_their_own_shape(frame_hw: tuple[int, int], long_side: int | None,
                                              expected: tuple[int, int]) -> None:
    assert place(frame_hw, None, "stretch", long_side).size_hw == expected


def test_the_size_that_weights_name_is_the_default(tiny_weights: Path, tmp_path: Path) -> None:
    for file in (tiny_weights, tiny_weights.with_suffix(".onnx")):
        shutil.copy(file, tmp_path)
    path = tmp_path / tiny_weights.name
    assert Predictor.load(path, engine="openvino").network_size((90, 120)) == (96, 128), "nothing was measured"
    changed = describe_anew(path, long_side=80)
    assert changed == [path, path.with_suffix(".onnx")]
    before, after = (read_description(weights) for weights in (tiny_weights, path))
    assert after == replace(before, long_side=80)
    tensors = load(tiny_weights).state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load(path).state_dict().items())
    frame = make_frame(90, 120)
    expected = Predictor.load(tiny_weights, engine="openvino", size=(64, 80))(frame)
    for weights, engine in ((path, "openvino"), (path, "fused"), (path.with_suffix(".onnx"), "onnxruntime")):
        predictor = Predictor.load(weights, engine=engine)
        assert (predictor.long_side, predictor.network_size((90, 120))) == (80, (64, 80))
        found = predictor(frame).train_ids
        assert found.shape == (90, 120) and (found == expected.train_ids).mean() > 0.999
        sizes: list[tuple[Any, tuple[int, int]]] = [("own", (96, 128)), (160, (128, 160)), ((96, 96), (96, 96))]
        for size, size_hw in sizes:
            assert predictor.at(size).network_size((90, 120)) == size_hw


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 200), (31, 33), (7, 5)])
@pytest.mark.parametrize("engine", ["openvino", "fused", "onnxruntime"])
def test_small_frames(engine: str, size_hw: tuple[int, int], tiny_weights: Path) -> None:
    assert Predictor.load(tiny_weights, engine=engine)(make_frame(*size_hw)).train_ids.shape == size_hw


def test_stretch_runs_at_the_size_and_answers_at_the_frames(tiny_weights: Path, predictor: Predictor) -> None:
    frame = make_frame(96, 160)
    large = cv2.resize(frame, (320, 192), interpolation=cv2.INTER_NEAREST).astype(np.uint8)  # shrinks back to the very same frame
    stretched = Predictor.load(tiny_weights, engine="openvino", size=(96, 160))(large).train_ids
    assert stretched.shape == (192, 320)
    own = predictor(frame).train_ids
    inner = cv2.resize(own, (320, 192), interpolation=cv2.INTER_NEAREST)
    assert (stretched == inner).mean() > 0.9  # borders between labels are finer at the larger size


def test_letterbox_is_cut_off_exactly(tiny_weights: Path, predictor: Predictor) -> None:
    """The frame's label map equals the part of the padded image's label map that covers the frame."""
    frame = make_frame(64, 160)
    mean_bgr = [round(value * 255) for value in predictor.description.mean[::-1]]
    padded = np.full((128, 160, 3), mean_bgr, np.uint8)
    padded[32:96] = frame
    letterboxed = Predictor.load(tiny_weights, engine="openvino", size=(128, 160), fit="letterbox")(frame).train_ids
    assert letterboxed.shape == (64, 160)
    np.testing.assert_array_equal(letterboxed, predictor(padded).train_ids[32:96])


@pytest.mark.parametrize("frame_hw", [(1, 1), (3, 900), (900, 3), (360, 480), (97, 211)])
def test_letterbox_keeps_the_shape_and_stays_inside(frame_hw: tuple[int, int]) -> None:
    placement = place(frame_hw, (128, 160), "letterbox")
    assert placement.size_hw == (128, 160)
    assert 0 <= placement.top <= placement.top + placement.height <= 128
    assert 0 <= placement.left <= placement.left + placement.width <= 160
    assert placement.height == 128 or placement.width == 160
    scale = min(128 / frame_hw[0], 160 / frame_hw[1])
    assert abs(placement.height - frame_hw[0] * scale) <= 1
    assert abs(placement.width - frame_hw[1] * scale) <= 1


@pytest.mark.parametrize(("frame", "words"), [
    (make_frame(40, 40).astype(np.float32), "float32; expected uint8"),
    (make_frame(40, 40).astype(np.uint16), "uint16; expected uint8"),
    (make_frame(40, 40)[:, :, 0], r"\(40, 40\); expected"),
    (np.zeros((40, 40, 4), np.uint8), r"\(40, 40, 4\); expected"),
    (np.zeros((1, 40, 40, 3), np.uint8), "expected"),
    (np.zeros((0, 40, 3), np.uint8), "no pixel"),
    ([[0, 0, 0]], "list; expected a NumPy array"),
])
def test_refuses_what_is_no_frame(predictor: Predictor, frame: np.ndarray, words: str) -> None:
    with pytest.raises(SegError, match=words):
        predictor(frame)


def test_refuses_a_frame_beyond_memory_before_the_work(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(tiny_weights, engine="openvino")
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 2**30)
    monkeypatch.setattr(predictor._engine, "logits", lambda frame: pytest.fail("the work began"))
    with pytest.raises(SegError, match=r"4320x7680 the network needs about .* GiB and 1.0 GiB are free"):
        predictor(np.zeros((4320, 7680, 3), np.uint8))


@pytest.mark.parametrize(("arguments", "words"), [
    ({"engine": "openvinno"}, "Did you mean 'openvino'"),
    ({"precision": "fp16"}, "no precision 'fp16'"),
    ({"engine": "onnxruntime", "precision": "bf16"}, "'onnxruntime' computes in fp32 or int8 here, not in bf16; for that take"),
    ({"engine": "torch", "precision": "int8"}, "'torch' computes in fp32 here, not in int8"),
    ({"precision": "int8"}, "no tiny_int8.onnx .*--precision int8 --calibrate"),
    ({"threads": 0}, "0 threads"),
    ({"threads": usable_cores() + 1}, "may use 1 to"),
    ({"size": (16, 64)}, "16x64 is too small"),
    ({"size": 16}, "long side 16 is too small"),
    ({"size": "small"}, "it can be"),
    ({"size": None}, "it can be"),
    ({"size": [96, 160]}, "it can be"),
    ({"fit": "crop"}, "fit is 'crop'"),
    ({"weights": "no_such_weights"}, "no weights"),
])
def test_refuses_arguments(tiny_weights: Path, arguments: dict, words: str) -> None:
    with pytest.raises(SegError, match=words):
        Predictor.load(**{"weights": tiny_weights} | arguments)


def test_says_how_to_make_a_missing_or_stale_export(tiny_weights: Path, tmp_path: Path) -> None:
    alone = shutil.copy(tiny_weights, tmp_path / "alone.safetensors")
    with pytest.raises(SegError, match=r"lraspp export --weights .*alone.safetensors"):
        Predictor.load(alone, engine="openvino")
    retrained = write_weights(tmp_path, "retrained", seed=1)
    shutil.copy(tiny_weights.with_suffix(".onnx"), retrained.with_suffix(".onnx"))
    with pytest.raises(SegError, match=r"was not made from .*retrained.safetensors"):
        Predictor.load(retrained, engine="openvino")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_damaged_graph_is_a_sentence(engine: str, tiny_weights: Path, tmp_path: Path) -> None:
    whole = tiny_weights.with_suffix(".onnx").read_bytes()
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(SegError, match=r"truncated.onnx is not a whole ONNX file"):
        Predictor.load(truncated, engine=engine)
    garbled = tmp_path / "garbled.onnx"
    garbled.write_bytes(whole.replace(b"HardSwish", b"HardSwosh"))
    with pytest.raises(SegError, match=r"garbled.onnx can't"):
        Predictor.load(garbled, engine=engine)(make_frame(32, 32))


def test_runs_an_onnx_file_that_stands_alone(tiny_weights: Path, tmp_path: Path) -> None:
    alone = shutil.copy(tiny_weights.with_suffix(".onnx"), tmp_path / "alone.onnx")
    predictor = Predictor.load(alone)
    assert predictor.label_set == LABEL_SET
    assert predictor.description.training == {"seed": 0}
    for engine in ("fused", "torch"):
        with pytest.raises(SegError, match=r"no alone.safetensors"):
            Predictor.load(alone, engine=engine)


def test_a_missing_engine_is_a_sentence_and_auto_falls_back(tiny_weights: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    assert Predictor.load(tiny_weights).notes == []
    monkeypatch.delitem(sys.modules, "seg.runtime.engines.openvino_engine", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SegError, match=r"'openvino' can't be used: .*pip install openvino"):
        Predictor.load(tiny_weights, engine="openvino")
    predictor = Predictor.load(tiny_weights)
    assert predictor.engine == "fused"
    assert "pip install openvino" in predictor.notes[0]
    alone = shutil.copy(tiny_weights.with_suffix(".onnx"), tmp_path / "alone.onnx")  # without a safetensors next to it
    predictor = Predictor.load(alone)
    assert predictor.engine == "onnxruntime"
    assert "openvino can't be used here (pip install openvino)." in predictor.notes
    monkeypatch.setattr("seg.runtime.fused.processor.FEATURES", frozenset({"fma"}))
    with pytest.raises(SegError, match="This processor has no bfloat16"):
        Predictor.load(tiny_weights, precision="bf16")
    with patch.dict(ENGINES, {"openvino": ENGINES["openvino"]}, clear=True), \
            pytest.raises(SegError, match="no engine to run the network"):  # monkeypatch would change the table's order
        Predictor.load(tiny_weights)


def test_confidence_is_the_softmax_of_the_labels(tiny_weights: Path, predictor: Predictor) -> None:
    frame = make_frame(70, 90)
    with_confidence = Predictor.load(tiny_weights, engine="openvino", precision="fp32", confidence=True)(frame)
    expected = scores_at_own_size(load(tiny_weights), frame).double().softmax(0).amax(0).numpy()
    assert with_confidence.confidence is not None
    assert with_confidence.confidence.dtype == np.float32
    np.testing.assert_allclose(with_confidence.confidence, expected, atol=2e-4)
    without = predictor(frame)
    assert without.confidence is None
    np.testing.assert_array_equal(with_confidence.train_ids, without.train_ids)


def test_what_is_done_once_is_told(tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights, engine="openvino", precision="fp32")
    assert set(predictor.first_call_ms) == {"import", "read", "kernel"}
    predictor(make_frame(40, 48))
    assert list(predictor.first_call_ms) == ["import", "read", "compile", "kernel"]
    assert all(value >= 0 for value in predictor.first_call_ms.values())
    assert predictor.first_call_ms["compile"] > 1
    assert (predictor.choice, predictor.notes) == (None, [])


@pytest.mark.parametrize("engine", ["openvino", "fused", "onnxruntime"])
def test_imports_no_torch_and_sends_nothing(engine: str, tiny_weights: Path, tmp_path: Path) -> None:
    """No socket is opened, no other host is looked up, and the home folder contains only our own cache."""
    code = f"""
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError(args)
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np
import seg, seg.evaluate
predictor = seg.Predictor.load({str(tiny_weights)!r}, engine={engine!r})
assert predictor(np.zeros((40, 50, 3), np.uint8)).train_ids.shape == (40, 50)
unwanted = {{"torch", "pytorch_lightning", "albumentations", "cityscapesscripts", "timm", "onnx", "safetensors"}}
loaded = unwanted & set(sys.modules)
assert not loaded, loaded
assert sys.modules.get("openvino_telemetry") is None
"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"OMP_NUM_THREADS": "1", "HOME": str(tmp_path), "LRASPP_CACHE_DIR": str(tmp_path / "ours")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"ours"}


def test_a_signal_after_several_predictors_is_handled(tiny_weights: Path) -> None:
    """With one OpenVINO core for each, a released alternate signal stack stayed in use, and the next signal ended the process."""
    code = f"""
import signal
import numpy as np
import seg
first, second = (seg.Predictor.load({str(tiny_weights)!r}, engine="openvino") for _ in range(2))
for predictor in (first, second):
    predictor(np.zeros((40, 50, 3), np.uint8))
del predictor, first  # in the order in which they came
del second
handled = []
signal.signal(signal.SIGINT, lambda *signal: handled.append(signal))
signal.raise_signal(signal.SIGINT)
assert handled
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
