"""Our own engine: what it computes is what torch computes, whatever the network, the size and the number of threads."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import CLASSES, LABEL_SET, make_frame, write_weights
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from seg import weights as files
from seg.architecture import NAMES, pool_windows
from seg.errors import SegError
from seg.export.torch_engine import TorchEngine
from seg.models import LRASPP, RASPP, save
from seg.runtime import Predictor, auto
from seg.runtime.cache import Cache
from seg.runtime.engines import fused_engine
from seg.runtime.engines.fused_engine import FusedEngine
from seg.runtime.engines.table import ENGINES
from seg.runtime.fused import cutting, program
from seg.runtime.fused.packing import Map, place
from seg.runtime.once import SIZES_KEPT
from seg.runtime.protocol import Cell, UnavailablePrecision

TOLERANCE = 1e-5  # of the scores' spread; torch's own float32 is about 1e-6 away from float64
SIZES = ((64, 96), (75, 133), (32, 32), (130, 47))
OPTIONS: tuple[dict[str, Any], ...] = (
    {"pool": "global"}, {"gate": "sigmoid"}, {"skip": "first"}, {"skip": "last"}, {"dilate_first": True},
    {"encoder_output_stride": 8}, {"encoder_output_stride": 32}, {"decoder_channels": 100},
    {"encoder_norm_eps": 1e-5, "decoder_norm_eps": 1e-5}, {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    {"encoder_name": "mobilenet_v2_075"}, {"encoder_name": "mobilenet_v3_large_013"},
)


def weights_of(folder: Path, **arguments: Any) -> Path:
    """Writes a random network, whose batch norms don't let values grow from block to block as random ones can."""
    torch.manual_seed(0)
    network = LRASPP(**{"encoder_name": "mobilenet_v3_small_rf2", "classes": CLASSES} | arguments)
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


def test_scores_are_torchs_at_a_size_that_is_cut_into_many_tasks(tmp_path: Path) -> None:
    """And whose maps are streamed past the caches."""
    weights = weights_of(tmp_path, encoder_name="mobilenet_v3_large_rf2")
    found = program.plan(files.read_description(weights), files.read_tensors(weights), (544, 1056), 3)
    assert found.steps["streams"].any() and (found.steps["strips"] > 1).any() and (found.steps["chunks"] > 1).any()
    assert_as_torch(weights, (544, 1056), threads=3)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_nothing_is_read_that_this_frame_has_not_written(threads: int, tiny_weights: Path) -> None:
    engine, frame = FusedEngine(tiny_weights, threads), make_frame(101, 203)
    expected = engine.logits(frame).copy()
    workspace = engine._workspaces((101, 203))
    for array in (workspace.maps, *workspace.scratch, workspace.scores):
        array.fill(np.nan)
    np.testing.assert_array_equal(engine.logits(frame), expected)
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
    found = program.plan(files.read_description(weights), files.read_tensors(weights), (1024, 2048), 4)
    taken = 4 * (found.maps_size + 4 * found.scratch_size + len(found.constants))
    assert taken < ENGINES["fused"].bytes_per_pixel * 1024 * 2048


def test_defaults_are_the_networks() -> None:
    signature = inspect.signature(LRASPP).parameters
    assert {name: signature[name].default for name in program.DEFAULTS} == program.DEFAULTS


@pytest.mark.parametrize("network", [RASPP("mobilenet_v3_small_rf2", classes=CLASSES), LRASPP("resnet18", classes=CLASSES)])
def test_refuses_other_networks_and_auto_passes_over_them(network: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save(network, path, LABEL_SET, (64, 64))
    with pytest.raises(UnavailablePrecision, match="'fused' runs LR-ASPP over MobileNets"):
        Predictor.load(path, engine="fused")
    with pytest.raises(UnavailablePrecision):  # which "auto" says nothing of
        auto._make(Cell("fused", "fp32"), path, 1, Cache(None))


@pytest.mark.parametrize(("change", "says"), [
    (lambda tensors: tensors.pop("encoder.tail.conv.weight"), r"'encoder.tail.conv.weight' as .* the file has none"),
    (lambda tensors: tensors.update({"decoder.attention.weight": np.zeros((3, 4, 1, 1), np.float32)}),
     r"'decoder.attention.weight' as .* has it as \(3, 4, 1, 1\)"),
])
def test_refuses_tensors_of_another_network(change: Any, says: str, tiny_weights: Path, tmp_path: Path) -> None:
    tensors, path = load_file(tiny_weights), tmp_path / "changed.safetensors"
    change(tensors)
    save_file(tensors, path, {files.METADATA_KEY: files.read_description(tiny_weights).to_json()})
    with pytest.raises(SegError, match=says):
        Predictor.load(path, engine="fused")(make_frame(40, 40))


def test_refuses_a_processor_that_is_too_old(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_engine.llvm, "get_host_cpu_features", lambda: {"sse2": True, "fma": False})
    with pytest.raises(UnavailablePrecision, match="FMA instructions"):
        Predictor.load(tiny_weights, engine="fused")


def test_auto_leaves_out_what_would_be_compiled_at_each_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seg.runtime.fused.kernels.state", lambda: "unkeepable")
    predictor = Predictor.load(write_weights(tmp_path), precision="fp32")
    predictor(make_frame(40, 40))
    assert predictor.engine != "fused"
    assert "fused fp32 was left out: it would be compiled at each start" in " ".join(predictor.notes)


def test_tensors_are_read_without_a_package(tiny_weights: Path) -> None:
    expected, found = load_file(tiny_weights), files.read_tensors(tiny_weights)
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
    places, total = place(maps)
    for i, one in enumerate(maps):
        assert places[i] >= 0 and places[i] + one.size <= total
        for j, other in enumerate(maps[:i]):
            together = one.first <= other.last and other.first <= one.last
            apart = places[i] + one.size <= places[j] or places[j] + other.size <= places[i]
            assert apart or not together


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 300), width=st.integers(1, 600), vectors=st.integers(1, 60), stride=st.integers(1, 2),
       kernel=st.sampled_from([3, 5]), dilation=st.integers(1, 4), outputs=st.sampled_from([0, 16, 80]),
       threads=st.integers(1, 16))
def test_tasks_cover_a_block_and_stay_in_the_cache(height: int, width: int, vectors: int, stride: int, kernel: int, dilation: int,
                                                   outputs: int, threads: int) -> None:
    work = cutting.Work(height, width, width * stride, 24, 8 * vectors, stride, kernel, (kernel - 1) * dilation + 1, outputs)
    found = cutting.cut(work, threads)
    assert found.strips(work) * found.strip >= width and found.chunks(work) * found.chunk >= 8 * vectors
    assert 1 <= found.bands <= max(1, height) and found.chunk % 8 == 0
    if any(one.ring(work) <= cutting.CACHE_FLOATS for one in cutting._cuts(work)):
        assert found.ring(work) <= cutting.CACHE_FLOATS
