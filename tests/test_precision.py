"""Precisions: fp32 means fp32; in bf16 the scores stay in float32; int8 is a file. A missing precision is faked."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from networks import LABEL_SET, make_frame, make_network

from seg.errors import SegError
from seg.export.exporter import export_weights
from seg.export.onnx_export import trace
from seg.export.options import ExportOptions
from seg.models import RASPP, save
from seg.runtime import Predictor
from seg.runtime.cache import Cache
from seg.runtime.engines import openvino_engine
from seg.runtime.engines.openvino_engine import OpenVINOEngine
from seg.runtime.engines.openvino_graph import for_size, split_scores
from seg.runtime.protocol import UnavailablePrecision
from seg.weights import SHIPPED_FOLDER, int8_file

FRAME = make_frame(72, 100)
IN_FLOAT = {"INFERENCE_PRECISION_HINT": ov.Type.f32}


def types(model: ov.Model) -> list[str]:
    return [node.get_type_name() for node in model.get_ops()]


# ---- bf16


@pytest.mark.parametrize("network", ["lraspp", "raspp"])
def test_what_is_cut_off_gives_the_scores_and_nothing_changes(network: str) -> None:
    """Both parts in float32 give the same as the whole; the second contains only the classifiers and their sum."""
    model = make_network() if network == "lraspp" else RASPP("mobilenet_v3_small_rf2", classes=5).eval()
    core = openvino_engine.core()
    graph = core.read_model(trace(model, ExportOptions()))
    whole = core.compile_model(for_size(graph, FRAME.shape[:2]), "CPU", IN_FLOAT)(FRAME[None])[0]
    features, scores = split_scores(for_size(graph, FRAME.shape[:2]))
    classifiers = 2 if network == "lraspp" else 1
    assert types(scores).count("Convolution") == len(scores.inputs) == classifiers
    assert types(scores).count("Interpolate") == classifiers - 1
    assert set(types(scores)) <= {"Parameter", "Constant", "Convolution", "Add", "Interpolate", "Result"}
    assert all(node.get_output_shape(0)[1] == 5 for node in scores.get_ops() if node.get_type_name() == "Convolution")
    given = core.compile_model(features, "CPU", IN_FLOAT)(FRAME[None])
    again = core.compile_model(scores, "CPU", IN_FLOAT)([given[i] for i in range(classifiers)])[0]
    np.testing.assert_allclose(again, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


REAL_CORE = openvino_engine.core()


class Bfloat16Core:
    """A fake of OpenVINO on a processor with bfloat16; it records the precision for which each part is compiled."""

    compiled: list[tuple[str, ov.Type]]

    def get_property(self, device: str, name: str) -> list[str]:
        return [*REAL_CORE.get_property(device, name), "BF16"]

    def compile_model(self, model: ov.Model, device: str, config: dict) -> object:
        self.compiled.append((model.get_friendly_name(), config["INFERENCE_PRECISION_HINT"]))
        return REAL_CORE.compile_model(model, device, {**config, **IN_FLOAT})

    def import_model(self, stream: object, device: str, config: dict) -> object:
        """Loads in float32 as well, because a processor with bfloat16 would compute the cached network in it."""
        return REAL_CORE.import_model(stream, device, {**config, **IN_FLOAT})

    def __getattr__(self, name: str) -> object:
        return getattr(REAL_CORE, name)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ov.Type]]:
    """A fake processor that has bfloat16; the list gets the name and precision of each compiled part."""
    monkeypatch.setattr(openvino_engine, "core", Bfloat16Core)
    monkeypatch.setattr(Bfloat16Core, "compiled", [], raising=False)
    return Bfloat16Core.compiled


def test_bf16_keeps_scores_and_their_sum_in_float32(compiled: list, tiny_weights: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "_precision", lambda compiled: "bf16")  # the precision of the first part
    path, expected = tiny_weights.with_suffix(".onnx"), OpenVINOEngine(tiny_weights.with_suffix(".onnx"), 1).logits(FRAME)
    compiled.clear()
    cache = Cache(tmp_path)
    engine = OpenVINOEngine(path, 1, precision="bf16", cache=cache)
    np.testing.assert_allclose(engine.logits(FRAME), expected, atol=1e-5 * np.abs(expected).max())
    assert compiled == [("features", ov.Type.bf16), ("scores", ov.Type.f32)]
    assert (engine.precision, engine.threads) == ("bf16", 1)
    other = np.ascontiguousarray(FRAME[::-1])
    assert np.abs(engine.logits(other) - expected).max() > 0.01, "each frame runs through both parts"
    again = OpenVINOEngine(path, 1, precision="bf16", cache=cache)
    np.testing.assert_allclose(again.logits(FRAME), expected, atol=1e-5 * np.abs(expected).max())
    assert len(compiled) == 2, "both parts are kept"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif("BF16" not in REAL_CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="no bfloat16 here")
def test_real_bf16_is_the_same_from_the_cache_and_near_float32(tiny_weights: Path, tmp_path: Path) -> None:
    path, cache = tiny_weights.with_suffix(".onnx"), Cache(tmp_path)
    expected = OpenVINOEngine(path, 1).logits(FRAME)
    engines = [OpenVINOEngine(path, 1, precision="bf16", cache=cache) for _ in range(2)]
    compiled, kept = (engine.logits(FRAME) for engine in engines)
    assert [engine.precision for engine in engines] == ["bf16", "bf16"]
    np.testing.assert_array_equal(kept, compiled)
    difference = np.abs(compiled - expected).max() / expected.std()
    assert 1e-4 < difference < 0.5, "bfloat16 was computed in, and rightly"


def test_what_is_read_back_counts_and_not_what_was_asked(compiled: list, tiny_weights: Path) -> None:
    """This fake processor reports bfloat16 but computes in float32."""
    engine = OpenVINOEngine(tiny_weights.with_suffix(".onnx"), 1, precision="bf16")
    with pytest.raises(UnavailablePrecision, match="was asked for bf16 and computes this network in fp32"):
        engine.logits(FRAME)
    assert compiled


def test_a_processor_without_bf16_says_so(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bfloat16Core, "get_property", lambda self, device, name: ["FP32", "INT8"])
    monkeypatch.setattr(openvino_engine, "core", Bfloat16Core)
    monkeypatch.setattr("seg.runtime.fused.processor.FEATURES", frozenset({"fma"}))
    for engine in ("openvino", "auto"):
        with pytest.raises(SegError, match="This processor has no bfloat16"):
            Predictor.load(tiny_weights, engine=engine, precision="bf16")(FRAME)


def test_fp32_means_fp32_where_openvino_would_choose_bf16(compiled: list, tiny_weights: Path) -> None:
    engine = OpenVINOEngine(tiny_weights.with_suffix(".onnx"), 1, precision="fp32")
    engine.logits(FRAME)
    assert [precision for _, precision in compiled] == [ov.Type.f32]
    assert engine.precision == "fp32"


# ---- int8


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shipped weights with their ONNX and an int8 file beside them; returns the safetensors."""
    folder = tmp_path_factory.mktemp("int8")
    for seed in range(4):
        cv2.imwrite(str(folder / f"{seed}.png"), make_frame(96, 128, seed))
    for suffix in (".safetensors", ".onnx"):
        shutil.copy(SHIPPED_FOLDER / f"camvid_small{suffix}", folder / f"net{suffix}")
    export_weights(folder / "net.safetensors", None, ExportOptions(precision="int8", calibrate=[folder]))
    assert int8_file(folder / "net.onnx").is_file()
    return folder / "net.safetensors"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_int8_is_found_beside_the_weights_and_read_back(engine: str, quantized: Path) -> None:
    frame = make_frame(96, 128, 9)
    in_fp32, in_int8 = (Predictor.load(quantized, engine=engine, precision=precision) for precision in ("fp32", "int8"))
    labels = [predictor(frame).train_ids for predictor in (in_fp32, in_int8)]
    assert (in_fp32.precision, in_int8.precision) == ("fp32", "int8")
    assert 0.9 < (labels[0] == labels[1]).mean() < 1
    itself = Predictor.load(int8_file(quantized), engine=engine)
    np.testing.assert_array_equal(itself(frame).train_ids, labels[1])
    assert itself.precision == "int8"


def test_a_file_is_not_run_in_another_precision_than_it_holds(quantized: Path, tmp_path: Path) -> None:
    with pytest.raises(SegError, match=r"net_int8.onnx holds int8; for fp32 give"):
        Predictor.load(int8_file(quantized), engine="openvino", precision="fp32")
    with pytest.raises(SegError, match=r"holds int8, which torch can't run"):
        Predictor.load(int8_file(quantized), engine="torch")
    mixed_up = Path(shutil.copy(quantized, tmp_path / "net.safetensors"))
    shutil.copy(int8_file(quantized), tmp_path / "net.onnx")
    with pytest.raises(SegError, match=r"was asked for fp32 and computes this network in int8"):
        Predictor.load(mixed_up, engine="openvino", precision="fp32")(FRAME)
    with pytest.raises(SegError, match=r"holds int8; for fp32 give|was asked for fp32"):
        Predictor.load(mixed_up, engine="onnxruntime", precision="fp32")


def test_auto_counts_int8_in_and_leaves_one_of_other_weights_out(quantized: Path, tiny_weights: Path, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path / "cache"))
    predictor = Predictor.load(quantized, engine="openvino", threads=1)
    predictor(FRAME)
    assert predictor.choice is not None
    assert {trial.precision for trial in predictor.choice.trials} >= {"fp32", "int8"}

    for suffix in (".safetensors", ".onnx"):
        shutil.copy(tiny_weights.with_suffix(suffix), tmp_path / f"net{suffix}")
    shutil.copy(int8_file(quantized), tmp_path / "net_int8.onnx")
    with pytest.raises(SegError, match=r"net_int8.onnx was not made from .* --precision int8 --calibrate"):
        Predictor.load(tmp_path / "net.safetensors", engine="openvino", precision="int8")
    predictor = Predictor.load(tmp_path / "net.safetensors", threads=1)
    predictor(FRAME)
    assert predictor.precision == "fp32"
    assert "openvino int8 was left out" in " ".join(predictor.notes)


def test_labels_instead_of_scores_are_refused(tmp_path: Path) -> None:
    save(make_network(), tmp_path / "net.safetensors", LABEL_SET, (96, 160))
    export_weights(tmp_path / "net.safetensors", tmp_path / "net.onnx", ExportOptions(output="labels"))
    with pytest.raises(SegError, match=r"gives labels, and scores are needed"):
        Predictor.load(tmp_path / "net.safetensors", engine="openvino")
