"""What "auto" takes: the fastest that leaves the labels as they are; on fakes whose speed and faults are known."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import make_frame

from seg.errors import SegError
from seg.runtime import Predictor
from seg.runtime.auto import AutoEngine, make_engine
from seg.runtime.cache import Cache
from seg.runtime.choice import INT8_GAIN, Choice, Trial, choose
from seg.runtime.engines.table import ENGINES
from seg.runtime.protocol import Cell, UnavailablePrecision

FRAME = make_frame(80, 100)
FP32, ORT, INT8 = Cell("openvino", "fp32"), Cell("onnxruntime", "fp32"), Cell("openvino", "int8")


class Fake:
    """An engine whose labels are two halves, but for a share of them, and that takes its time.

    Scores have the frame's own size, so that the share is exact.
    """

    def __init__(self, cell: Cell, milliseconds: float = 0, changed: float = 0.0, size_hw: tuple[int, int] | None = None) -> None:
        self.name, self.precision = cell
        self.threads, self.fixed_size_hw, self.first_call_ms = 1, size_hw, {"read": 1.0}
        self.runs, self._milliseconds, self._changed = 0, milliseconds, changed

    def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
        self.runs += 1
        time.sleep(self._milliseconds / 1000)
        first = np.zeros(frame_bgr.shape[:2], np.float32)
        first[: frame_bgr.shape[0] // 2] = 1
        flipped = first.reshape(-1)[: round(self._changed * first.size)]
        flipped[:] = 1 - flipped
        return np.stack([first, 1 - first])


def automatic(*contestants: Fake, cache: Cache | None = None) -> AutoEngine:
    def maker(fake: Fake) -> Callable[[], Fake]:
        return lambda: fake

    others = {Cell(fake.name, fake.precision): maker(fake) for fake in contestants[1:]}
    return AutoEngine(contestants[0], others, cache or Cache(None), {"networks": "fakes"})


def chosen(engine: AutoEngine) -> Cell:
    engine.logits(FRAME)
    assert engine.choice is not None
    assert engine.choice.cell == Cell(engine.name, engine.precision)
    return engine.choice.cell


def test_a_slow_engine_loses() -> None:
    slow, fast = Fake(FP32, 12), Fake(ORT, 3)
    assert chosen(automatic(slow, fast)) == ORT
    runs = slow.runs
    assert runs <= 1 + 2, "one that is far behind isn't run to the end"
    assert chosen(automatic(Fake(FP32, 3), Fake(ORT, 12))) == FP32


def test_before_the_first_frame_it_is_the_reference_and_then_the_losers_rest() -> None:
    reference, other = Fake(FP32, 6), Fake(ORT, 1)
    engine = automatic(reference, other)
    assert (engine.name, engine.choice, reference.runs, other.runs) == ("openvino", None, 0, 0)
    engine.logits(FRAME)
    runs = reference.runs
    engine.logits(FRAME)
    engine.choose([FRAME])
    assert (engine.name, reference.runs) == ("onnxruntime", runs)
    assert engine.first_call_ms["trial"] > 6


@pytest.mark.parametrize(("changed", "taken"), [(0.0, True), (0.009, True), (0.011, False), (0.02, False)])
def test_a_fast_engine_that_is_wrong_is_not_taken(changed: float, taken: bool) -> None:
    engine = automatic(Fake(FP32, 12), Fake(ORT, 2, changed))
    assert chosen(engine) == (ORT if taken else FP32)
    assert engine.choice is not None
    assert engine.choice.trials[1].changed == pytest.approx(changed, abs=1e-4)
    assert ("changes more than 1% of the labels" in str(engine.choice)) == (not taken)


def test_labels_are_compared_on_all_frames_given() -> None:
    class WrongLater(Fake):
        def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
            scores = super().logits(frame_bgr)
            return scores[::-1] if frame_bgr[0, 0, 0] == 255 else scores

    bright = FRAME.copy()
    bright[0, 0] = 255
    engine = automatic(Fake(FP32, 12), WrongLater(ORT, 2))
    engine.choose(frame for frame in (FRAME, FRAME, bright))
    assert (engine.name, engine.choice.frames) == ("openvino", 3)


@pytest.mark.parametrize(("gain", "taken"), [(1.1, False), (1.19, False), (1.21, True), (3, True)])
def test_int8_is_taken_for_a_gain_alone(gain: float, taken: bool) -> None:
    trials = [Trial(*FP32, 300.0, 0), Trial("openvino", "bf16", 100.0, 0.002), Trial(*INT8, 100 / gain, 0.008)]
    best, reasons = choose(trials)
    assert best.precision == ("int8" if taken else "bf16")
    assert any(f"{gain:.2f} times as fast as openvino bf16" in reason for reason in reasons) != taken
    assert INT8_GAIN == 1.2


def test_what_a_short_trial_can_not_tell_apart_stays_with_the_first() -> None:
    assert choose([Trial(*FP32, 103.0, 0), Trial(*ORT, 100.0, 0)])[0].engine == "openvino"
    assert choose([Trial(*FP32, 106.0, 0), Trial(*ORT, 100.0, 0)])[0].engine == "onnxruntime"
    assert choose([Trial(*INT8, 50.0, 0), Trial("onnxruntime", "int8", 20.0, 0)])[0].engine == "onnxruntime"


def test_what_can_not_run_is_left_out_and_said() -> None:
    def fails(error: Exception) -> Callable[[], Fake]:
        def make() -> Fake:
            raise error

        return make

    others = {ORT: fails(SegError("It is broken.")), Cell("openvino", "bf16"): fails(UnavailablePrecision("none")),
              INT8: lambda: Fake(INT8, size_hw=(8, 8))}
    engine = AutoEngine(Fake(FP32), others, Cache(None), {})
    assert chosen(engine) == FP32
    assert engine.choice is not None
    assert engine.choice.left_out[0] == "onnxruntime fp32 was left out: It is broken."
    assert "other frame sizes" in engine.choice.left_out[1]
    assert "bf16" not in str(engine.choice), "a processor without it is nothing to tell"


def test_what_does_not_fit_into_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seg.runtime.memory.available_memory_bytes", lambda: 80 * 100 * 100)
    fast = Fake(ORT)
    engine = automatic(Fake(FP32, 5), fast)
    assert (chosen(engine), fast.runs) == (FP32, 0)
    assert "are free" in str(engine.choice)


# ---- remembered


def test_a_choice_is_remembered_for_its_size_and_facts(tmp_path: Path) -> None:
    first = automatic(Fake(FP32, 8), Fake(ORT, 1), cache=Cache(tmp_path))
    assert chosen(first) == ORT
    slow, fast = Fake(FP32, 8), Fake(ORT, 1)
    again = automatic(slow, fast, cache=Cache(tmp_path))
    taken = []
    again.choose(taken.append(frame) or frame for frame in (FRAME, FRAME))
    assert (again.name, slow.runs, fast.runs, len(taken)) == ("onnxruntime", 0, 0, 1)
    assert again.choice is not None
    assert "tried earlier on 1 frame, 80x100" in str(again.choice)
    other_size = automatic(slow, fast, cache=Cache(tmp_path))
    other_size.logits(make_frame(60, 60))
    assert slow.runs > 0
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"rubbish", None])
def test_a_choice_that_can_not_be_kept_to_is_made_anew(content: bytes | None, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """None: of an engine that is no longer there."""
    if content is None:
        gone = (Trial(*FP32, 9, 0), Trial("gone", "fp32", 1, 0))
        content = Choice("gone", "fp32", (80, 100), 1, gone, ()).to_json()
    monkeypatch.setattr(Cache, "read", lambda self, kind, facts: content)
    assert chosen(automatic(Fake(FP32, 8), Fake(ORT, 1), cache=Cache(tmp_path))) == ORT


def test_a_choice_survives_json() -> None:
    choice = Choice("openvino", "int8", (3, 4), 2, (Trial(*FP32, 9, 0), Trial(*INT8, 1, 0.001)), ("Said.",))
    again = Choice.from_json(choice.to_json())
    assert again.earlier
    assert str(again).replace("earlier ", "") == str(choice)
    assert again.size_hw == (3, 4)


# ---- with the real engines


def test_auto_runs_what_it_chose_and_remembers(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path))
    predictor = Predictor.load(tiny_weights, threads=1)
    assert (predictor.choice, predictor.note) == (None, None)
    labels = predictor(FRAME).train_ids
    assert predictor.choice is not None
    assert {trial.cell for trial in predictor.choice.trials} >= {FP32, ORT}
    assert predictor.choice.cell == (predictor.engine, predictor.precision)
    assert all(trial.changed <= 0.01 for trial in predictor.choice.trials if trial.cell == predictor.choice.cell)
    assert "trial" in predictor.first_call_ms
    again = Predictor.load(tiny_weights, threads=1)
    np.testing.assert_array_equal(again(FRAME).train_ids, labels)
    assert again.choice is not None
    assert again.choice.earlier
    assert "trial" not in again.first_call_ms


def test_one_engine_alone_leaves_nothing_to_choose(tiny_weights: Path) -> None:
    """In one precision, that is: no int8 file lies there, and what the processor lacks is found out in silence."""
    predictor = Predictor.load(tiny_weights, engine="onnxruntime")
    predictor(FRAME)
    assert (predictor.engine, predictor.precision, predictor.choice, predictor.note) == ("onnxruntime", "fp32", None, None)


def test_an_engine_that_is_installed_and_broken_is_passed_over(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "openvino", replace(ENGINES["openvino"], module="seg.runtime.engines.not_there"))
    engine, note = make_engine("auto", "fp32", tiny_weights, 1, Cache(None))
    assert engine.name == "fused"
    assert note is not None
    assert "'openvino' can't be used: No module named" in note
    monkeypatch.setattr("seg.runtime.engines.fused_engine.llvm.get_host_cpu_features", lambda: {"sse2": True, "fma": False})
    engine, _ = make_engine("auto", "fp32", tiny_weights, 1, Cache(None))
    assert engine.name == "onnxruntime", "so is one that the processor is too old for"
    with pytest.raises(SegError, match="'openvino' can't be used"):
        make_engine("openvino", "auto", tiny_weights, 1, Cache(None))
