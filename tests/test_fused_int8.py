"""Our own engine in int8: its scores equal those of a plain computation with the same levels, see `fused_reference`.

On a processor without the instructions, the loops are compiled to others that give the same sums, so these tests run anywhere.
The instructions themselves are looked for in LLVM's output for processors that have them.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import onnx
import pytest
from fused_reference import ranges_of, scores
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import make_frame
from onnx import TensorProto, helper, numpy_helper
from test_fused import AVX2, NAMES, OPTIONS, TOLERANCE, weights_of

from seg import instructions, ranges
from seg.errors import SegError
from seg.instructions import intrinsic
from seg.ranges import Range
from seg.runtime import Predictor, trial
from seg.runtime.engines.candidates import candidates
from seg.runtime.engines.fused_engine import FusedEngine
from seg.runtime.fused import emit, processor
from seg.runtime.fused.formats import INT8
from seg.runtime.fused.processor import LANES, LOWEST_LEVEL
from seg.runtime.fused.vectors import at
from seg.runtime.protocol import Cell, UnavailablePrecision
from seg.weights import EXPORT_KEY, METADATA_KEY, Export, find, int8_file, read_description, read_tensors, sha256

FRAME = make_frame(40, 40)
HIGHER = processor.beside_int8()
EXPORT = Export("int8", "scores", None, 0.1, 0.99, 1, ("openvino",), calibration_frames=1)


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows int8 on any processor; which instructions its loops are compiled to is decided as usual."""
    missing = processor.missing
    monkeypatch.setattr(processor, "missing", lambda precision: None if precision == "int8" else missing(precision))


def write_int8(weights: Path, found: Mapping[str, Range], export: Export = EXPORT) -> Path:
    """Writes an int8 ONNX beside weights, with all that our engine reads from it; half of its ranges are for signed bytes."""
    nodes, tensors = [], []
    for i, (part, (step, zero)) in enumerate(found.items()):
        place = np.array(zero - 128, np.int8) if i % 2 else np.array(zero, np.uint8)
        tensors.append(numpy_helper.from_array(np.array(step, np.float32), f"step {i}") if i % 3 else
                       helper.make_tensor(f"step {i}", TensorProto.FLOAT, [], [step]))
        tensors.append(numpy_helper.from_array(place, f"zero {i}") if i % 3 else
                       helper.make_tensor(f"zero {i}", TensorProto.INT8 if i % 2 else TensorProto.UINT8, [], [int(place)]))
        name = part.replace(".", "/").replace("blocks/", "blocks.")
        nodes += [helper.make_node("DequantizeLinear", [f"q {i}", f"step {i}", f"zero {i}"], [f"x {i}"], f"/{i}"),
                  helper.make_node("Conv", [f"x {i}", f"w {i}"], [f"y {i}"], f"/{name}/conv/Conv")]
    model = helper.make_model(helper.make_graph(nodes, "int8", [], [], tensors))
    export = replace(export, weights_sha256=sha256(weights)) if export is EXPORT else export
    description = read_description(weights)
    helper.set_model_props(model, {METADATA_KEY: description.to_json(), EXPORT_KEY: export.to_json()})
    path = int8_file(weights)
    onnx.save(model, path)
    return path


def quantised(folder: Path, **arguments: Any) -> tuple[Path, dict[str, Range]]:
    """Writes a random network and its int8 ONNX, in which one layer stays unquantised; returns the weights and the ranges."""
    weights = weights_of(folder, **arguments)
    found = ranges_of(weights, make_frame(64, 64))
    del found["encoder.blocks.1.expand"]
    write_int8(weights, found)
    return weights, found


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("options", [*({"encoder_name": name} for name in NAMES), *OPTIONS], ids=str)
def test_scores_are_those_of_the_same_levels(options: dict[str, Any], tmp_path: Path) -> None:
    """Equal, except where a number lies so close to the middle between two levels that float32 rounds it to the other one.

    With few numbers that is rare, so at least two of five small frames are equal.
    """
    weights, found = quantised(tmp_path, **options)
    engine, differences = FusedEngine(int8_file(weights), 2, precision="int8"), []
    for seed, size_hw in enumerate([(32, 35), (33, 47), (41, 32), (32, 51), (39, 33)]):
        frame = make_frame(*size_hw, seed)
        expected, exact = scores(weights, frame, HIGHER, found), scores(weights, frame, HIGHER)
        assert np.abs(expected - exact).max() > 1e3 * TOLERANCE * exact.std(), "nothing was quantised"
        differences.append(np.abs(engine.logits(frame) - expected).max() / exact.std())
        if sum(difference <= TOLERANCE for difference in differences) == 2:
            return
    pytest.fail(f"scores differ by {differences} of their spread")


@intrinsic
def _dot(typing_context: Any, levels: Any, weights: Any, sums: Any) -> Any:
    """Adds the dot products of a vector of words to sums, in the same way as products do."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        words, others = (INT8.load_words(build, pointer) for pointer in args[:2])
        instructions.store(build, INT8.dot(build, words, others, instructions.load(build, args[2], emit.WORDS, 4)), args[2], 4)
        return context.get_dummy_value()

    return numba.types.void(levels, weights, sums), emit_it


@numba.njit
def dot(levels: Any, weights: Any, sums: Any) -> None:
    _dot(at(levels, 0), at(weights, 0), at(sums, 0))


BYTES = st.lists(st.integers(0, 255), min_size=4 * LANES, max_size=4 * LANES)


@settings(deadline=None)
@given(levels=BYTES, weights=BYTES, first=st.integers(-2**30, 2**30))
@example(levels=[255] * 4 * LANES, weights=[127] * 4 * LANES, first=0)
@example(levels=[255] * 4 * LANES, weights=[128] * 4 * LANES, first=0)
@example(levels=[128] * 4 * LANES, weights=[128] * 4 * LANES, first=0)
def test_a_dot_product_is_exact(levels: list[int], weights: list[int], first: int) -> None:
    """For any bytes: instructions that add in 16 bits would overflow on large ones."""
    given_levels, given_weights = np.array(levels, np.uint8), np.array(weights, np.uint8).view(np.int8)
    read = given_levels.view(np.int8) if LOWEST_LEVEL < 0 else given_levels
    expected = first + (read.astype(np.int64) * given_weights).reshape(-1, 4).sum(1)
    sums = np.full(LANES, first, np.int32)
    dot(given_levels, given_weights, sums)
    np.testing.assert_array_equal(sums, expected)


X86 = AVX2["NUMBA_CPU_FEATURES"]


@pytest.mark.parametrize(("triple", "cpu", "features", "expected"), [
    ("x86_64-linux-gnu", "znver4", f"{X86},+avx512f,+avx512vnni", r"vpdpbusd\s.*%zmm"),
    ("x86_64-linux-gnu", "alderlake", f"{X86},+avxvnni", r"vpdpbusd\s.*%ymm"),
    ("x86_64-linux-gnu", "haswell", X86, r"vpm(ulld|addwd)\s.*%ymm"),
    ("aarch64-linux-gnu", "apple-m1", "+neon,+dotprod", r"sdot\s+v\d+\.4s"),
])
def test_products_are_compiled_to_the_processors_own_instruction(triple: str, cpu: str, features: str, expected: str) -> None:
    """The instruction can be looked for everywhere, but only these processors can run it."""
    script = Path(__file__).parent / "fused_assembly.py"
    numbas = {} if triple.startswith("aarch64") else {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    if numbas and processor.IS_ARM:
        pytest.skip("Numba compiles for the machine's own kind of processor")
    done = subprocess.run([sys.executable, script, triple, cpu, features], env=os.environ | numbas, timeout=300,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(expected, done.stdout), done.stdout
    assert done.stdout.startswith("None\n") == (cpu != "haswell")


@pytest.mark.usefixtures("anywhere")
def test_all_pixels_are_computed_at_a_size_that_is_cut_into_many_tasks(tmp_path: Path) -> None:
    """With so many numbers some are rounded to another level, so the scores are only as near as int8's error."""
    weights, found = quantised(tmp_path, encoder_name="mobilenet_v3_large_rf2")
    frame = make_frame(256, 544)
    engine = FusedEngine(int8_file(weights), 3, precision="int8")
    steps = engine._workspaces((256, 544)).program.steps
    assert (steps["strips"] > 1).any() and (steps["chunks"] > 1).any()
    in_int8, expected, exact = engine.logits(frame), scores(weights, frame, HIGHER, found), scores(weights, frame, HIGHER)
    error = np.sqrt(np.mean((expected - exact) ** 2, axis=0))
    assert np.sqrt(np.mean((in_int8 - expected) ** 2)) < 1.2 * np.sqrt(np.mean(error**2))
    assert (np.sqrt(np.mean((in_int8 - exact) ** 2, axis=0)) < 4 * error.max()).all(), "a part of the frame is far off"
    np.testing.assert_array_equal(FusedEngine(int8_file(weights), 3, precision="int8").logits(frame), in_int8)


def test_ranges_are_those_that_a_package_reads(tmp_path: Path) -> None:
    for path in (int8_file(find("street_small")), int8_file(quantised(tmp_path)[0])):
        graph = onnx.load(path).graph
        tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        makers = {output: node for node in graph.node for output in node.output}
        expected = {}
        for node in graph.node:
            maker = makers.get(node.input[0]) if node.op_type == "Conv" else None
            if maker is not None and maker.op_type == "DequantizeLinear" and tensors[maker.input[1]].size == 1:
                step, zero = (tensors[name].item() for name in maker.input[1:])
                signed = tensors[maker.input[2]].dtype == np.int8
                expected[node.name] = Range(step, zero + 128 if signed else zero)
        found = ranges.read(path)
        assert list(found.values()) == list(expected.values()) and len(found) > 10
        assert all(name.startswith("/" + part.split(".")[0]) for name, part in zip(expected, found, strict=True))
        assert found.keys() <= {name.removesuffix(".conv.weight") for name in read_tensors(
            path.with_name(path.name.replace("_int8.onnx", ".safetensors")))}


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("change", "says"), [
    (lambda weights, found: write_int8(weights, found, replace(EXPORT, weights_sha256="0" * 64)),
     r"network_int8\.onnx was not made from .*network\.safetensors.*Make it again: .* --precision int8 --calibrate"),
    (lambda weights, found: write_int8(weights, found | {"encoder.tail": Range(0.0, 0)}),
     r"network_int8\.onnx is not a whole ONNX file"),
    (lambda weights, found: write_int8(weights, {}), r"network_int8\.onnx holds no ranges of activations"),
    (lambda weights, found: write_int8(weights, {"encoder.other": Range(1.0, 0)}), "has no range for any layer of this network"),
    (lambda weights, found: int8_file(weights).write_bytes(int8_file(weights).read_bytes()[:-900]),
     r"network_int8\.onnx is not a whole ONNX file"),
    (lambda weights, found: int8_file(weights).unlink(),
     r"no network_int8\.onnx next to .*--precision int8 --calibrate FOLDER"),
])
def test_refuses_an_int8_file_that_tells_nothing_of_these_weights(change: Any, says: str, tmp_path: Path) -> None:
    weights, found = quantised(tmp_path)
    change(weights, found)
    with pytest.raises(SegError, match=says):
        Predictor.load(weights, engine="fused", precision="int8")(FRAME)


@pytest.mark.usefixtures("anywhere")
def test_the_int8_file_may_be_named_itself_and_needs_the_weights_beside_it(tmp_path: Path) -> None:
    weights, _ = quantised(tmp_path)
    expected = Predictor.load(weights, engine="fused", precision="int8")(FRAME).train_ids
    predictor = Predictor.load(int8_file(weights), engine="fused")
    np.testing.assert_array_equal(predictor(FRAME).train_ids, expected)
    assert predictor.precision == "int8"
    weights.unlink()
    with pytest.raises(UnavailablePrecision, match=r"beside .*network_int8\.onnx there is no network\.safetensors"):
        Predictor.load(int8_file(weights), engine="fused")


def test_refuses_a_processor_without_the_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, _ = quantised(tmp_path)
    monkeypatch.setattr(processor, "FEATURES", frozenset({"sse2"}))
    with pytest.raises(UnavailablePrecision, match=r"has no 8-bit dot product .* which the engine 'fused' needs for int8"):
        Predictor.load(weights, engine="fused", precision="int8")


@pytest.mark.usefixtures("anywhere")
def test_auto_tries_it_where_the_processor_and_a_file_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", "")
    weights, _ = quantised(tmp_path)
    assert Cell("fused", "int8") in candidates("auto", "auto", weights)[0]
    predictor = Predictor.load(weights, engine="fused")
    predictor.choose([make_frame(64, 64)], complete=True)
    assert predictor.choice is not None
    assert "int8" in {trial.precision for trial in predictor.choice.trials}


def test_auto_passes_over_it_where_the_processor_lacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", "")
    missing = processor.missing
    monkeypatch.setattr(processor, "missing", lambda precision: "dot product" if precision == "int8" else missing(precision))
    monkeypatch.setattr("seg.runtime.auto._hold_apart", trial.hold)  # another process would see the real processor
    predictor = Predictor.load(quantised(tmp_path)[0], engine="fused")
    predictor.choose([make_frame(64, 64)], complete=True)
    assert predictor.precision != "int8"
    assert "int8" not in " ".join(predictor.notes), "what no user can change isn't said"
