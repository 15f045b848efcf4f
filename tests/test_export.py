"""Exports: the content of the file, that it computes the same as the network, and that a wrong file doesn't get its name."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
import torch
from networks import LABEL_SET, make_frame, make_network

from seg.errors import SegError
from seg.export import exporter, onnx_export
from seg.export.exporter import export_weights
from seg.export.onnx_export import export_onnx
from seg.export.options import ExportOptions
from seg.models import describe, load
from seg.runtime import Predictor
from seg.runtime.engines.openvino_engine import core
from seg.weights import (
    EXPORT_KEY,
    METADATA_KEY,
    SHIPPED_FOLDER,
    Description,
    Export,
    read_description,
    read_export,
    sha256,
)

# Operators that TensorRT, ncnn and others can't run: pooling to a given size, branches and loops, shapes that depend on data.
UNWANTED = {"If", "Loop", "Scan", "NonZero", "GlobalLpPool", "AdaptiveAveragePool", "Where", "Range"}


def test_the_graph_is_plain_and_takes_any_size(tiny_weights: Path) -> None:
    graph = onnx.load(tiny_weights.with_suffix(".onnx")).graph
    operators = {node.op_type for node in graph.node}
    assert not operators & UNWANTED
    assert all(node.domain == "" for node in graph.node)
    (images,), (logits,) = graph.input, graph.output
    assert (images.name, logits.name) == ("images", "logits")
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert logits.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [dim.dim_value or dim.dim_param for dim in images.type.tensor_type.shape.dim] == ["batch", 3, "height", "width"]


@pytest.mark.parametrize("shape", [(1, 33, 47), (3, 64, 40), (2, 130, 99)])
def test_batches_and_odd_sizes_give_the_networks_scores(shape: tuple[int, int, int], tiny_weights: Path) -> None:
    count, height, width = shape
    images = np.stack([make_frame(height, width, seed) for seed in range(count)]).transpose(0, 3, 1, 2).copy()
    session = onnxruntime.InferenceSession(tiny_weights.with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    logits = session.run(None, {"images": images})[0]
    with torch.inference_mode():
        expected = load(tiny_weights).logits(torch.from_numpy(images)).numpy()
    assert logits.shape == (count, len(LABEL_SET), -(-height // 8), -(-width // 8))
    np.testing.assert_allclose(logits, expected, atol=1e-4 * expected.std())


def test_carries_the_description_readable_without_onnx(tiny_weights: Path) -> None:
    assert read_description(tiny_weights.with_suffix(".onnx")) == read_description(tiny_weights)


def test_an_onnx_file_of_another_project_is_named(tmp_path: Path, tiny_weights: Path) -> None:
    model = onnx.load(tiny_weights.with_suffix(".onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(SegError, match=r"foreign.onnx is ONNX, but carries no 'lraspp' metadata"):
        read_description(tmp_path / "foreign.onnx")
    (tmp_path / "text.onnx").write_text("no protobuf at all")
    with pytest.raises(SegError, match=r"text.onnx is not a whole ONNX file"):
        read_description(tmp_path / "text.onnx")


def test_a_wrong_export_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = make_network(seed=0), make_network(seed=1)
    trace = onnx_export.trace
    monkeypatch.setattr(onnx_export, "trace", lambda network, options: trace(other, options))
    with pytest.raises(SegError, match="differ from the network's"):
        export_onnx(model, tmp_path / "wrong.onnx", describe(model, LABEL_SET, (96, 160)))
    assert not list(tmp_path.iterdir())


def test_refuses_a_name_that_does_not_end_in_onnx(tmp_path: Path) -> None:
    model = make_network()
    with pytest.raises(SegError, match=r"ends in \.onnx"):
        export_onnx(model, tmp_path / "model.bin", describe(model, LABEL_SET, (96, 160)))


def test_exporting_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    model = make_network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_onnx(model, tmp_path / "m.onnx", describe(model, LABEL_SET, (96, 160)), size_hw=(64, 64))
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_sliding_pool_needs_a_fixed_size(tmp_path: Path) -> None:
    size_hw = (96, 1200)  # wide enough that the window slides, and reaches over the edge
    model = make_network(pool="sliding")
    description = describe(model, LABEL_SET, (96, 160))
    with pytest.raises(SegError, match="--size HxW"):
        export_onnx(model, tmp_path / "sliding.onnx", description)
    export_onnx(model, tmp_path / "sliding.onnx", description, size_hw)
    frame = make_frame(*size_hw)
    for engine in ("openvino", "onnxruntime"):
        predictor = Predictor.load(tmp_path / "sliding.onnx", engine=engine)
        assert predictor.size_hw == size_hw
        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(frame[:, :, ::-1].transpose(2, 0, 1)))[None]
            assert (predictor(frame).train_ids == model(images)[0].argmax(0).numpy()).mean() > 0.999
        assert predictor(make_frame(100, 130)).train_ids.shape == (100, 130)  # stretched to the size and back
        with pytest.raises(SegError, match="exported for 96x1200"):
            Predictor.load(tmp_path / "sliding.onnx", engine=engine, size=(64, 64))


def test_a_network_that_torch_export_ties_to_sizes_needs_one(tiny_weights: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """As with mit_b0, whose export takes a minute: its guards raise an AssertionError when the exported network runs."""
    def guarded(images: torch.Tensor) -> None:
        raise AssertionError("Guard failed: images.size()[2] >= 33")

    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "save", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "load", lambda _: SimpleNamespace(module=lambda: guarded))
    with pytest.raises(SegError, match=r"takes no frame of 32x32 \(Guard failed: .*Fix the size: --size HxW"):
        export_weights(tiny_weights, tmp_path / "net.pt2", ExportOptions("pt2"))
    assert not list(tmp_path.iterdir())


def to_images(*frames: np.ndarray) -> np.ndarray:
    """Returns (H, W, 3) BGR frames of one size as (N, 3, H, W) RGB."""
    return np.ascontiguousarray(np.stack(frames)[:, :, :, ::-1].transpose(0, 3, 1, 2))


def labels_of(weights: Path, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return load(weights)(torch.from_numpy(images)).argmax(1).numpy()


@pytest.mark.parametrize("size_hw", [None, (64, 80)])
def test_labels_of_the_frames_size_come_out(size_hw: tuple[int, int] | None, tiny_weights: Path, tmp_path: Path) -> None:
    path, export = export_weights(tiny_weights, tmp_path / "l.onnx", ExportOptions(output="labels", size_hw=size_hw))
    graph = onnx.load(path).graph
    assert not {node.op_type for node in graph.node} & UNWANTED
    assert [value.name for value in graph.output] == ["labels"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for height, width in [size_hw] if size_hw else [(33, 47), (64, 40)]:
        images = to_images(make_frame(height, width, 1), make_frame(height, width, 2))
        labels = session.run(None, {"images": images})[0]
        assert (labels.dtype, labels.shape) == (np.uint8, (2, height, width))
        assert (labels == labels_of(tiny_weights, images)).mean() > 0.999
    assert export == read_export(path)
    assert (export.output, export.precision, export.size_hw) == ("labels", "fp32", size_hw)
    assert export.agreement > 0.999 and export.largest_difference < 1e-3
    assert export.weights_sha256 == sha256(tiny_weights)


@pytest.mark.parametrize("output", ["scores", "labels"])
def test_openvinos_own_format(output: str, tiny_weights: Path, tmp_path: Path) -> None:
    path, export = export_weights(tiny_weights, tmp_path / "o.xml", ExportOptions("openvino", output=output))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["o.bin", "o.xml"]
    model = core().read_model(path)
    kinds = {str(node.get_element_type()) for node in model.get_ops() if node.get_type_name() == "Constant"}
    assert not any("float16" in kind for kind in kinds), "the weights were rounded"
    assert Description.from_json(model.get_rt_info(METADATA_KEY).value, path) == read_description(tiny_weights)
    assert Export.from_json(model.get_rt_info(EXPORT_KEY).value, path) == export
    images = to_images(make_frame(33, 47))
    given = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": ov.Type.f32})(images)[0]
    if output == "labels":
        assert given.dtype == np.uint8 and (given == labels_of(tiny_weights, images)).mean() > 0.999
    else:
        with torch.inference_mode():
            expected = load(tiny_weights).logits(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(given, expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize(("precision", "output"), [("fp32", "scores"), ("bf16", "labels")])
def test_torchs_own_format(precision: str, output: str, tiny_weights: Path, tmp_path: Path) -> None:
    # Rounded to bfloat16, a random network gives other labels; a trained one has margins.
    weights = tiny_weights if precision == "fp32" else SHIPPED_FOLDER / "camvid_small_scratch.safetensors"
    path, export = export_weights(weights, tmp_path / "t.pt2", ExportOptions("pt2", precision, output))
    texts = {METADATA_KEY: "", EXPORT_KEY: ""}
    program = torch.export.load(path, extra_files=texts)
    assert Description.from_json(texts[METADATA_KEY], path) == read_description(weights)
    assert Export.from_json(texts[EXPORT_KEY], path) == export
    floats = {tensor.dtype for tensor in program.state_dict.values() if tensor.is_floating_point()}
    assert (torch.bfloat16 in floats) == (precision == "bf16")
    for shape in ((1, 33, 47), (3, 64, 40)):
        images = to_images(*(make_frame(*shape[1:], seed) for seed in range(shape[0])))
        given = program.module()(torch.from_numpy(images))
        if output == "labels":
            assert given.dtype == torch.uint8 and (given.numpy() == labels_of(weights, images)).mean() > 0.95
        else:
            with torch.inference_mode():
                torch.testing.assert_close(given, load(weights).logits(torch.from_numpy(images)))


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_nothing_wrong_is_written_in_any_format(format: str, tiny_weights: Path, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_network(seed=1)
    monkeypatch.setattr(exporter, "trace", lambda network, options: onnx_export.trace(other, options))
    for output in ("scores", "labels"):
        options = ExportOptions(format, output=output)
        with pytest.raises(SegError, match="It was not written"):
            export_weights(tiny_weights, options.file(tmp_path / "wrong"), options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "says"), [
    ({"format": "onxx"}, "no format 'onxx'. Did you mean 'onnx'"),
    ({"precision": "fp16"}, "no precision 'fp16'"),
    ({"output": "out.onnx"}, "--file out.onnx"),
    ({"precision": "bf16"}, "OpenVINO computes the fp32 file in bfloat16"),
    ({"format": "pt2", "precision": "int8", "calibrate": ["x"]}, "format pt2 has no int8"),
    ({"precision": "int8"}, "--calibrate FOLDER"),
    ({"calibrate": ["x"]}, "--calibrate is for --precision int8"),
    ({"size_hw": (16, 512)}, "at least 32x32"),
])
def test_what_does_not_go_together_is_a_sentence(arguments: dict, says: str) -> None:
    with pytest.raises(SegError, match=says):
        ExportOptions(**arguments)


def test_default_names() -> None:
    names = [ExportOptions(*options).file(Path("w/net.safetensors")).name for options in (
        (), ("onnx", "int8", "scores", None, ["x"]), ("openvino", "fp32", "labels"), ("pt2", "bf16"))]
    assert names == ["net.onnx", "net_int8.onnx", "net_labels.xml", "net_bf16.pt2"]


@pytest.mark.parametrize("format", ["openvino", "pt2"])
def test_a_folder_that_is_a_file_is_a_sentence(format: str, tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = ExportOptions(format)
    with pytest.raises(SegError, match="Can't write into"):
        export_weights(tiny_weights, options.file(tmp_path / "file" / "net"), options)


def test_how_it_was_exported_is_read_without_onnx(tiny_weights: Path, tmp_path: Path) -> None:
    path = tiny_weights.with_suffix(".onnx")
    export = read_export(path)
    assert export is not None and (export.output, export.size_hw, export.engines) == ("scores", None, ("openvino", "onnxruntime"))
    model = onnx.load(path)
    del model.metadata_props[1:]  # as before there was such a text
    onnx.save(model, tmp_path / "old.onnx")
    assert read_export(tmp_path / "old.onnx") is None
    onnx.helper.set_model_props(model, {EXPORT_KEY: "{}"})
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(SegError, match=r"damaged.onnx doesn't say as expected"):
        read_export(tmp_path / "damaged.onnx")


def test_the_command(tiny_weights: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "seg.export", *arguments], capture_output=True, text=True)

    output = tmp_path / "out.onnx"
    done = run("--weights", str(tiny_weights), "--file", str(output))
    assert done.returncode == 0, done.stderr
    assert "scores in fp32. In openvino and onnxruntime, on 5 frames" in done.stdout
    assert float(re.search(r"([\d.]+)% of the labels agree", done.stdout)[1]) > 99.9
    assert read_description(output) == read_description(tiny_weights)
    for arguments, words in ((("--weights", str(tiny_weights), "--size", "12"), "neither HxW"),
                             (("--weights", str(tiny_weights), "--file", "net.xml"), "ends in .onnx"),
                             (("--weights", str(tmp_path / "no.safetensors")), "There is no weights file")):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
