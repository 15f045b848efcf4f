"""Our own engine computes the same as torch, for any network, size and number of threads.

In bfloat16 it computes the same as a plain computation with the same roundings, see `fused_reference`.
"""

import inspect
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fused_reference import scores
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import CLASSES, LABEL_SET, make_frame, write_weights
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from seg.architecture import NAMES, pool_windows
from seg.errors import SegError
from seg.export.onnx_export import export_onnx
from seg.export.torch_engine import TorchEngine
from seg.models import LRASPP, RASPP, SegmentationNetwork, save
from seg.runtime import Predictor, trial
from seg.runtime.engines.fused_engine import FusedEngine
from seg.runtime.engines.table import ENGINES
from seg.runtime.fused import cutting, processor, program
from seg.runtime.fused.formats import FORMATS
from seg.runtime.fused.packing import Map, pack, pack_taps, place
from seg.runtime.fused.processor import LANES
from seg.runtime.once import SIZES_KEPT
from seg.runtime.protocol import UnavailablePrecision
from seg.weights import METADATA_KEY, read_description, read_tensors

TOLERANCE = 1e-5  # of the scores' spread; torch's own float32 is about 1e-6 away from float64
SIZES = ((64, 96), (75, 133), (32, 32), (130, 47))
needs_bf16 = pytest.mark.skipif(processor.missing("bf16") is not None,
                                reason=f"this processor has no {processor.missing('bf16')} instructions")
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse2,+sse4.2,+bmi,+bmi2,+lzcnt,+popcnt,+movbe,+f16c"}
OPTIONS: tuple[dict[str, Any], ...] = (
    {"pool": "global"}, {"gate": "sigmoid"}, {"skip": "first"}, {"skip": "last"}, {"dilate_first": True},
    {"encoder_output_stride": 8}, {"encoder_output_stride": 32}, {"decoder_channels": 100},
    {"encoder_norm_eps": 1e-5, "decoder_norm_eps": 1e-5}, {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    {"encoder_name": "mobilenet_v2_075"}, {"encoder_name": "mobilenet_v3_large_013"},
)


def weights_of(folder: Path, **arguments: Any) -> Path:
    """Writes a random network with batch norms that keep values from growing from block to block."""
    torch.manual_seed(0)
    network = LRASPP(**{"encoder_name": "mobilenet_v3_small_rf2", "classes": CLASSES, **arguments})
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for tensor, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -0.2, 0.2), (norm.running_mean, -0.2, 0.2),
                                  (norm.running_var, 0.5, 1.5)):
            tensor.data.uniform_(low, high)
    path = folder / "network.safetensors"
    save(network, path, LABEL_SET, (64, 64))
    return path


def assert_as_torch(weights: Path, size_hw: tuple[int, int], threads: int = 2) -> None:
    frame = make_frame(*size_hw)
    expected, found = TorchEngine(weights, torch.get_num_threads()).logits(frame), FusedEngine(weights, threads).logits(frame)
    assert_alike(found, expected)


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * expected.std()


@pytest.mark.parametrize("encoder_name", NAMES)
def test_scores_are_torchs_with_every_encoder(encoder_name: str, tmp_path: Path) -> None:
    weights = weights_of(tmp_path, encoder_name=encoder_name)
    for size_hw in SIZES[:2]:
        assert_as_torch(weights, size_hw)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scores_are_torchs_with_every_option(options: dict[str, Any], tmp_path: Path) -> None:
    weights = weights_of(tmp_path, **options)
    for size_hw in SIZES:
        assert_as_torch(weights, size_hw)


@needs_bf16
@pytest.mark.parametrize("options", [*({"encoder_name": name} for name in NAMES), *OPTIONS], ids=str)
def test_scores_in_bfloat16_are_those_of_the_same_roundings(options: dict[str, Any], tmp_path: Path) -> None:
    """Equal, except where a sum lies so close to the middle between two numbers that float32 rounds it to the other one.

    That happens on some of the small frames. There the scores differ by less than bfloat16's own error.
    """
    weights, differences = weights_of(tmp_path, **options), []
    engine = FusedEngine(weights, 2, precision="bf16")
    for seed, size_hw in enumerate([(32, 35), (33, 47), (41, 32), (32, 51), (39, 33)]):
        frame = make_frame(*size_hw, seed)
        expected, exact = (scores(weights, frame, precision) for precision in ("bf16", "fp32"))
        difference = engine.logits(frame) - expected
        differences.append(np.abs(difference).max() / exact.std())
        assert np.sqrt(np.mean(difference**2)) < 0.6 * np.sqrt(np.mean((expected - exact)**2))
    assert min(differences) <= TOLERANCE


@needs_bf16
def test_scores_in_bfloat16_are_those_at_a_size_that_is_cut_into_many_tasks(tmp_path: Path) -> None:
    weights, frame = weights_of(tmp_path, encoder_name="mobilenet_v3_large_rf2"), make_frame(256, 544)
    found, expected, exact = (FusedEngine(weights, 3, precision="bf16").logits(frame), scores(weights, frame, "bf16"),
                              scores(weights, frame, "fp32"))
    assert np.sqrt(np.mean((found - expected)**2)) < 0.6 * np.sqrt(np.mean((expected - exact)**2))


@pytest.mark.skipif(not {"avx2", "fma"} <= processor.FEATURES, reason="runs on AVX2")
@pytest.mark.parametrize("lanes", [4, 8])
def test_scores_are_torchs_in_shorter_vectors(lanes: int, tmp_path: Path) -> None:
    """As on processors with AVX2, and with vectors as long as Arm's. As usual, Numba keeps the compiled code.

    The separate process only runs our engine, because importing torch once more takes longer than all frames.
    """
    script = (f"from seg.runtime.fused import processor; assert processor.LANES == 8; processor.LANES = {lanes}; "
              "from seg.runtime.fused import kernels; from seg.runtime.engines.fused_engine import FusedEngine; "
              f"assert kernels.LANES == {lanes}; import pathlib, sys, numpy as np; frame = np.load(sys.argv[1]); "
              "[np.save(f'{path}.npy', FusedEngine(pathlib.Path(path), 2).logits(frame)) for path in sys.argv[2:]]")
    frame, expected = make_frame(75, 133), {}
    np.save(tmp_path / "frame.npy", frame)
    for name, options in (("plain", {}), ("other", {"decoder_channels": 100, "skip": "last"})):
        (tmp_path / name).mkdir()
        weights = weights_of(tmp_path / name, **options)
        expected[weights] = TorchEngine(weights, torch.get_num_threads()).logits(frame)
    command = [sys.executable, "-c", script, str(tmp_path / "frame.npy"), *map(str, expected)]
    subprocess.run(command, check=True, env=os.environ | AVX2, timeout=300)
    for weights, scores_of_torch in expected.items():
        assert_alike(np.load(f"{weights}.npy"), scores_of_torch)


@pytest.mark.skipif(not processor.TILES, reason="this processor multiplies no tiles, and the tests above run without them")
def test_scores_in_bfloat16_are_those_of_the_same_roundings_without_tiles(tmp_path: Path) -> None:
    """As on processors that have bfloat16 for vectors alone; there the expanded rows are bfloat16, too."""
    weights = weights_of(tmp_path)
    frames = [make_frame(*size_hw, seed) for seed, size_hw in enumerate([(32, 35), (33, 47), (41, 32)])]
    np.savez(tmp_path / "frames.npz", *frames)
    script = ("import pathlib, sys, numpy as np; from seg.runtime.fused import processor; assert not processor.TILES; "
              "from seg.runtime.engines.fused_engine import FusedEngine; "
              "engine = FusedEngine(pathlib.Path(sys.argv[1]), 2, precision='bf16'); "
              "np.savez(sys.argv[3], *[engine.logits(frame).copy() for frame in np.load(sys.argv[2]).values()])")
    features = {"NUMBA_CPU_NAME": "cooperlake", "NUMBA_CPU_FEATURES": ",".join(
        f"+{name}" for name in sorted(processor.FEATURES) if not name.startswith("amx"))}
    command = [sys.executable, "-c", script, str(weights), str(tmp_path / "frames.npz"), str(tmp_path / "scores.npz")]
    subprocess.run(command, check=True, env=os.environ | features, timeout=300)
    differences = []
    for frame, found in zip(frames, np.load(tmp_path / "scores.npz").values(), strict=True):
        expected, exact = scores(weights, frame, "bf16", expanded="bf16"), scores(weights, frame, "fp32")
        assert np.sqrt(np.mean((found - expected)**2)) < 0.6 * np.sqrt(np.mean((expected - exact)**2))
        differences.append(np.abs(found - expected).max() / exact.std())
    assert min(differences) <= TOLERANCE


def test_weights_are_packed_in_the_order_in_which_they_are_read() -> None:
    matrix = np.arange(8 * 3 * LANES).reshape(8, 3 * LANES)
    assert pack(matrix, depth=2)[:4].tolist() == [0, 3 * LANES, 1, 3 * LANES + 1]  # two inputs next to each other
    np.testing.assert_array_equal(np.sort(pack(matrix, chunk=LANES, depth=4)), np.arange(matrix.size))
    np.testing.assert_array_equal(pack(matrix, chunk=LANES)[:matrix.size // 3], matrix[:, :LANES].ravel())
    taps = np.arange(2 * 9).reshape(2, 1, 3, 3)
    assert pack_taps(taps, 2).tolist() == [value for tap in range(9) for value in (tap, 9 + tap)]
    assert pack_taps(taps, 1, depth=2).tolist()[:12] == [0, 3, 1, 4, 2, 5, 6, 0, 7, 0, 8, 0]  # three rows, and one of zeros


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1))
def test_bfloat16_is_torchs(values: list[float]) -> None:
    numbers, given_values = FORMATS["bf16"], np.array(values, np.float32)
    expected = torch.from_numpy(given_values).bfloat16().float().numpy()
    np.testing.assert_array_equal(numbers.value(numbers.round(given_values)), expected)


def test_scores_are_torchs_at_a_size_that_is_cut_into_many_tasks(tmp_path: Path) -> None:
    """Its maps are also written past the caches."""
    weights = weights_of(tmp_path, encoder_name="mobilenet_v3_large_rf2")
    found = program.plan(read_description(weights), read_tensors(weights), (544, 1056), 3)
    assert found.steps["streams"].any() and (found.steps["strips"] > 1).any() and (found.steps["chunks"] > 1).any()
    assert_as_torch(weights, (544, 1056), threads=3)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_nothing_counts_that_this_frame_has_not_written(threads: int, precision: str, tiny_weights: Path) -> None:
    """With tiles some of it is read, and multiplied by zero; there it is large, and not NaN."""
    engine, frame = FusedEngine(tiny_weights, threads, precision=precision), make_frame(101, 203)
    expected = engine.logits(frame).copy()
    workspace = engine._workspaces((101, 203))
    numbers, arrays = workspace.program.numbers, workspace.arrays
    nothing = np.float32(1e30 if numbers.tiled else np.nan)
    for array in (arrays.maps, arrays.floats, *(part for own in workspace.scratch for part in own if part is not None),
                  workspace.scores):
        array.fill(nothing if array.dtype == np.float32 else numbers.round(np.array([nothing]))[0])
    np.testing.assert_array_equal(engine.logits(frame), expected)
    if precision == "fp32":
        other = FusedEngine(tiny_weights, 1).logits(frame)  # which sums up for squeeze-and-excite in another order
        assert np.abs(other - expected).max() <= 1e-4 * expected.std()


def test_predictors_side_by_side_get_the_labels_that_each_gets_alone(tiny_weights: Path) -> None:
    frames = [make_frame(70 + 20 * i, 120, seed=i) for i in range(4)]
    predictors = [Predictor.load(tiny_weights, engine="fused", threads=2) for _ in range(3)]
    expected = [predictors[0](frame).train_ids for frame in frames]
    with ThreadPoolExecutor(6) as pool:
        found = [pool.submit(predictors[i % 3], frames[i % 4]) for i in range(48)]
    for i, future in enumerate(found):
        np.testing.assert_array_equal(future.result().train_ids, expected[i % 4])


def test_an_older_size_makes_room(tiny_weights: Path) -> None:
    engine = FusedEngine(tiny_weights, 1)
    for side in range(32, 32 + 8 * (SIZES_KEPT + 1), 8):
        engine.logits(make_frame(side, 40))
    assert len(engine._workspaces) == SIZES_KEPT
    assert engine.logits(make_frame(32, 40)).shape == (CLASSES, 4, 5)


def test_each_step_is_timed(tiny_weights: Path) -> None:
    times_ms = FusedEngine(tiny_weights, 2).profile(make_frame(64, 64), runs=2)
    first, *_, last = times_ms
    assert (first, last) == ("block 0, depthwise", program.LAST_STEP)
    assert all(value > 0 for value in times_ms.values())


def test_memory_is_what_is_said(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, encoder_name="mobilenet_v3_large", encoder_output_stride=8)
    found = program.plan(read_description(weights), read_tensors(weights), (1024, 2048), 4)
    own = found.ring_size + found.rows_size + found.lines_size
    taken = 4 * (found.maps_size + found.floats_size + 4 * own + len(found.constants) + len(found.weights) + len(found.taps))
    assert taken < ENGINES["fused"].bytes_per_pixel * 1024 * 2048


def test_defaults_are_the_networks() -> None:
    signature = inspect.signature(LRASPP).parameters
    assert {name: signature[name].default for name in program.DEFAULTS} == program.DEFAULTS


@pytest.mark.parametrize("network", [RASPP("mobilenet_v3_small_rf2", classes=CLASSES),
                                     LRASPP("tu-mobilenetv3_small_050", classes=CLASSES, pool="global")])
def test_refuses_other_networks_and_auto_passes_over_them(network: SegmentationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    description = save(network.eval(), path, LABEL_SET, (64, 64))
    with pytest.raises(UnavailablePrecision, match="'fused' runs LR-ASPP over MobileNets"):
        Predictor.load(path, engine="fused")(make_frame(64, 64))
    export_onnx(network, path.with_suffix(".onnx"), description)
    predictor = Predictor.load(path, precision="fp32")
    predictor(make_frame(64, 64))
    assert predictor.engine != "fused"


@pytest.mark.parametrize(("change", "says"), [
    (lambda tensors: tensors.pop("encoder.tail.conv.weight"), r"'encoder.tail.conv.weight' as .* the file has none"),
    (lambda tensors: tensors.update({"decoder.attention.weight": np.zeros((3, 4, 1, 1), np.float32)}),
     r"'decoder.attention.weight' as .* has it as \(3, 4, 1, 1\)"),
])
def test_refuses_tensors_of_another_network(change: Any, says: str, tiny_weights: Path, tmp_path: Path) -> None:
    tensors, path = load_file(tiny_weights), tmp_path / "changed.safetensors"
    change(tensors)
    save_file(tensors, path, {METADATA_KEY: read_description(tiny_weights).to_json()})
    with pytest.raises(SegError, match=says):
        Predictor.load(path, engine="fused")(make_frame(40, 40))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_refuses_a_precision_that_the_processor_lacks_and_auto_passes_over_it(precision: str, tiny_weights: Path,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", "")
    monkeypatch.setattr(processor, "FEATURES", frozenset({"sse2"}))
    with pytest.raises(UnavailablePrecision, match=f"no .* instructions, which the engine 'fused' needs for {precision}"):
        Predictor.load(tiny_weights, engine="fused", precision=precision)
    monkeypatch.setattr("seg.runtime.auto._hold_apart", trial.hold)  # another process would see the real processor
    predictor = Predictor.load(tiny_weights, precision="fp32")
    predictor(make_frame(40, 40))
    assert predictor.engine != "fused"
    assert "fused" not in " ".join(predictor.notes), "what no user can change isn't said"


def test_without_a_precision_it_takes_float32(tiny_weights: Path) -> None:
    assert FusedEngine(tiny_weights, 1).precision == "fp32"


def test_auto_leaves_out_what_would_be_compiled_at_each_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", "")  # another test's choice would be taken
    monkeypatch.setattr("seg.runtime.fused.kernels.state", lambda precision: "unkeepable")
    predictor = Predictor.load(write_weights(tmp_path), precision="fp32")
    predictor(make_frame(40, 40))
    assert predictor.engine != "fused"
    assert "fused fp32 was left out: it would be compiled at each start" in " ".join(predictor.notes)


def test_tensors_are_read_without_a_package(tiny_weights: Path) -> None:
    expected, found = load_file(tiny_weights), read_tensors(tiny_weights)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor)


@given(side=st.integers(1, 90), kernel=st.integers(1, 60), stride=st.integers(1, 40))
def test_pool_windows_are_torchs(side: int, kernel: int, stride: int) -> None:
    kernel = min(kernel, side)
    values = torch.arange(side, dtype=torch.float64).square()
    expected = F.avg_pool2d(values.view(1, 1, 1, -1), (1, kernel), (1, stride), ceil_mode=True).flatten()
    found = [values[begin:end].mean() for begin, end in pool_windows(side, kernel, stride)]
    torch.testing.assert_close(torch.stack(found), expected)


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=12))
def test_maps_that_live_together_lie_apart(given_maps: list[tuple[int, int, int]]) -> None:
    maps = [Map(size, first, first + length) for size, first, length in given_maps]
    places, total = place(maps, 16)
    for i, one in enumerate(maps):
        assert places[i] >= 0 and places[i] % 16 == 0 and places[i] + one.size <= total
        for j, other in enumerate(maps[:i]):
            together = one.first <= other.last and other.first <= one.last
            apart = places[i] + one.size <= places[j] or places[j] + other.size <= places[i]
            assert apart or not together


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 300), width=st.integers(1, 600), vectors=st.integers(1, 30), stride=st.integers(1, 2),
       kernel=st.sampled_from([3, 5]), dilation=st.integers(1, 4), outputs=st.sampled_from([0, 16, 80]),
       threads=st.integers(1, 16), number_bytes=st.sampled_from([2, 4]))
def test_tasks_cover_a_block_and_stay_in_the_cache(height: int, width: int, vectors: int, stride: int, kernel: int, dilation: int,
                                                   outputs: int, threads: int, number_bytes: int) -> None:
    work = cutting.Work(height, width, width * stride, 24, LANES * vectors, stride, kernel, (kernel - 1) * dilation + 1, outputs,
                        number_bytes)
    found = cutting.cut(work, threads)
    assert found.strips(work) * found.strip >= width and found.chunks(work) * found.chunk >= LANES * vectors
    assert 1 <= found.bands <= max(1, height) and found.chunk % LANES == 0
    numbers = cutting.CACHE_BYTES // number_bytes
    if any(one.ring(work) <= numbers for one in cutting._cuts(work)):
        assert found.ring(work) <= numbers
