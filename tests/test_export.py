"""Exports: what is in the file, that it computes what the network computes, and that nothing wrong gets its name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import LABEL_SET, make_frame, make_network

from seg.errors import SegError
from seg.export import onnx_export
from seg.export.onnx_export import export_onnx
from seg.models import describe, load
from seg.runtime import Predictor
from seg.weights import read_description

# What TensorRT, ncnn and others choke on: pooling to a given size, branches and loops, shapes that follow from data.
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
    trace = onnx_export._trace
    monkeypatch.setattr(onnx_export, "_trace", lambda network, size_hw: trace(other, size_hw))
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
            Predictor.load(tmp_path / "sliding.onnx", engine=engine, size_hw=(64, 64))


def test_the_command(tiny_weights: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "seg.export", *arguments], capture_output=True, text=True)

    output = tmp_path / "out.onnx"
    done = run("--weights", str(tiny_weights), "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert "100.000% of the winners agree" in done.stdout
    assert read_description(output) == read_description(tiny_weights)
    for arguments, words in ((("--weights", str(tiny_weights), "--size", "12"), "neither HxW"),
                             (("--weights", str(tmp_path / "no.safetensors")), "There is no weights file")):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
