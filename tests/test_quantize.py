"""int8: what is quantised and what isn't, that both engines run it, and how the frames are used."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from networks import make_frame, make_network

from seg.errors import SegError
from seg.export import quantize
from seg.export.compare import Comparison, read_frames
from seg.export.exporter import export_weights
from seg.export.onnx_export import trace
from seg.export.options import ExportOptions
from seg.export.quantize import parts_of, split
from seg.models import RASPP, load
from seg.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from seg.runtime.engines.openvino_engine import OpenVINOEngine
from seg.weights import Export, int8_file, read_description, read_export

WEIGHTS = "camvid_small_scratch"  # trained, because a random network has no margins and its labels change in eight bits


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten pictures of two sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(10):
        cv2.imwrite(str(folder / f"{i}.png"), make_frame(*((96, 160) if i % 2 else (64, 101)), seed=i))
    return folder


@pytest.fixture(scope="module")
def quantized(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Export]:
    path = int8_file(tmp_path_factory.mktemp("int8") / "net.onnx")
    return export_weights(WEIGHTS, path, ExportOptions(precision="int8", calibrate=[pictures]))


def test_both_engines_run_it_and_most_labels_stay(quantized: tuple[Path, Export]) -> None:
    path, export = quantized
    assert path.name == "net_int8.onnx"
    network = load(WEIGHTS)
    for size_hw in ((64, 101), (130, 99)):
        frame = make_frame(*size_hw, seed=77)
        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(frame[:, :, ::-1].transpose(2, 0, 1)))[None]
            expected = network.logits(images)[0].numpy()
        for engine in (OpenVINOEngine(path, 1), OnnxRuntimeEngine(path, 1)):
            scores = engine.logits(frame)
            assert scores.shape == expected.shape
            assert (scores.argmax(0) == expected.argmax(0)).mean() > 0.9
            assert np.abs(scores - expected).max() > 1e-3 * expected.std(), "nothing was quantised"
    assert read_description(path) == network.description
    assert read_export(path) == export
    assert (export.precision, export.calibration_frames, export.compared_frames) == ("int8", 8, 2)
    assert 0.9 <= export.agreement < 1 and export.largest_difference > 1e-3


def test_weights_are_int8_but_for_scores_and_gates(quantized: tuple[Path, Export]) -> None:
    graph = onnx.load(quantized[0]).graph
    makers = {output: node for node in graph.node for output in node.output}

    def is_quantized(node: onnx.NodeProto) -> bool:
        return all((maker := makers.get(name)) is not None and maker.op_type == "DequantizeLinear" for name in node.input[:2])

    in_fp32 = {node.name for node in graph.node if node.op_type == "Conv" and not is_quantized(node)}
    parts = parts_of(onnx.load_model_from_string(trace(load(WEIGHTS), ExportOptions())), (256, 512))
    kept = set().union(*(parts[part] for part in quantized[1].kept_fp32))
    assert in_fp32 == {node.name for node in graph.node if node.op_type == "Conv"} & kept
    assert {"/decoder/attention/Conv", "/decoder/project/conv/Conv", "/decoder/Conv", "/decoder/Conv_1"} <= in_fp32
    assert "/encoder/blocks.5/expand/conv/Conv" not in in_fp32
    stored = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}
    assert onnx.TensorProto.INT8 in stored


def test_parts_are_found_by_what_they_are() -> None:
    lraspp = parts_of(onnx.load_model_from_string(trace(make_network(), ExportOptions())), (256, 512))
    assert {"/decoder/project/conv/Conv", "/decoder/Conv", "/decoder/Conv_1", "/decoder/Add",
            "/decoder/Resize"} <= lraspp["scores"]
    assert not any(name.startswith("/encoder") for name in lraspp["scores"])
    assert {"/encoder/blocks.0/squeeze_excite/reduce/Conv", "/encoder/blocks.0/squeeze_excite/Mul", "/decoder/attention/Conv",
            "/decoder/Mul"} <= lraspp["gates"]
    assert not any("depthwise" in name or "project" in name for name in lraspp["gates"])
    assert "/encoder/stem/conv/Conv" in lraspp["1/2"]
    assert {name for name in lraspp["1/4"] - lraspp["1/2"] if name.endswith("Conv")} >= {
        "/encoder/blocks.0/depthwise/conv/Conv", "/encoder/blocks.1/expand/conv/Conv"}
    assert "/encoder/blocks.1/depthwise/conv/Conv" not in lraspp["1/4"]  # at 1/8

    raspp = parts_of(onnx.load_model_from_string(trace(RASPP("mobilenet_v2_050").eval(), ExportOptions())), (256, 512))
    assert {name for name in raspp["scores"] if name.endswith("Conv")} == {"/decoder/project/conv/Conv", "/decoder/Conv"}


def test_labels_have_the_same_scores_part() -> None:
    parts = parts_of(onnx.load_model_from_string(trace(make_network(), ExportOptions(output="labels"))), (256, 512))
    assert {"/decoder/Conv", "/decoder/Conv_1", "/ArgMax"} <= parts["scores"]
    assert not any(name.startswith("/encoder") for name in parts["scores"])


def test_more_stays_in_fp32_where_labels_are_lost(pictures: Path, tiny_weights: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF is replaced by a recorder of the layers to be left out, and the comparison is never satisfied."""
    asked: list[set[str]] = []
    agreements = iter((0.95, 0.97, 0.96))

    def nothing(network: onnx.ModelProto, dataset: object, **settings: Any) -> onnx.ModelProto:
        asked.append(set(settings["ignored_scope"].names))
        return network

    monkeypatch.setattr("nncf.quantize", nothing)
    monkeypatch.setattr(quantize, "compare", lambda *_: Comparison(0.1, next(agreements), 2, ("made up",)))
    network = load(tiny_weights)
    options = ExportOptions(precision="int8", calibrate=[pictures])
    given = quantize.quantize(network, trace(network, options), options)
    assert len(asked) == 3 and asked[0] < asked[1] < asked[2]
    assert given.kept_fp32 == ("scores", "gates", "1/2"), "not the best was taken"

    asked.clear()
    agreements = iter((0.985, 0.992))
    assert quantize.quantize(network, trace(network, options), options).kept_fp32 == ("scores", "gates", "1/2")
    assert len(asked) == 2, "it went on although the goal was reached"


def test_frames_come_at_the_size_that_the_network_is_best_at(pictures: Path, tiny_weights: Path) -> None:
    network = load(tiny_weights)
    paths = [pictures / "0.png", pictures / "1.png"]
    own = [frame.shape[:2] for frame in read_frames(paths, None, network)]
    network.description = replace(network.description, long_side=128)
    best = [frame.shape[:2] for frame in read_frames(paths, None, network)]
    assert (own, best) == ([(64, 112), (96, 160)], [(80, 128), (80, 128)])
    assert [frame.shape[:2] for frame in read_frames(paths, (32, 64), network)] == [(32, 64)] * 2


def test_frames_are_spread_and_held_out(pictures: Path, tmp_path: Path) -> None:
    calibration, held_out = split([pictures])
    assert (len(calibration), len(held_out)) == (8, 2) and not set(calibration) & set(held_out)
    only = pictures / "3.png"
    assert split([only]) == ([only], [only])
    many = tmp_path / "many"
    many.mkdir()
    for i in range(200):
        (many / f"{i:03}.png").touch()
    calibration, held_out = split([many])
    assert len(calibration) + len(held_out) == quantize.FRAMES
    assert len(held_out) == quantize.FRAMES // quantize.EVERY
    assert {path.stem for path in (calibration[0], calibration[-1])} == {"000", "199"}
    with pytest.raises(SegError, match="There is no file or folder"):
        split([tmp_path / "none"])


def test_a_damaged_picture_is_named(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SegError, match=r"broken\.png is not a picture"):
        export_weights(tiny_weights, tmp_path / "n.onnx", ExportOptions(precision="int8", calibrate=[tmp_path / "broken.png"]))
    assert not (tmp_path / "n.onnx").exists()


def test_a_network_that_no_engine_runs_in_int8_is_not_called_damaged(pictures: Path, tiny_weights: Path, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, data: bytes) -> None:
            pass

        def runners(self) -> None:
            raise SegError("The exported network can't be read by OpenVINO; it may be damaged: Conversion is failed for: Some-1")

    monkeypatch.setattr(quantize, "OnnxFile", Refusing)
    with pytest.raises(SegError, match=r"can't run this network in int8 as NNCF makes it.*Some-1") as refused:
        export_weights(tiny_weights, tmp_path / "n.onnx", ExportOptions(precision="int8", calibrate=[pictures]))
    assert "damaged" not in str(refused.value)
