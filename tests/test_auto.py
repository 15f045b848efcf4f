"""What "auto" chooses: the fastest that keeps the labels; tested on fakes with known speed and faults."""

import os
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import make_frame, write_weights

from seg.errors import SegError
from seg.export.exporter import export_weights
from seg.runtime import Predictor, apart, auto, trial
from seg.runtime.auto import AutoEngine, make_engine
from seg.runtime.cache import Cache
from seg.runtime.choice import TELLABLE, Choice, Trial, choose
from seg.runtime.engines.table import ENGINES
from seg.runtime.fused import kernels
from seg.runtime.protocol import Cell, MissingEngine, UnavailablePrecision

FRAME = make_frame(80, 100)
FP32, FUSED, ORT = Cell("openvino", "fp32"), Cell("fused", "fp32"), Cell("onnxruntime", "fp32")
BF16, INT8, TORCH = Cell("openvino", "bf16"), Cell("openvino", "int8"), Cell("torch", "fp32")


class Fake:
    """A fake engine with a known duration, whose labels are two halves except for a share of them.

    Scores have the frame's own size, so that the share is exact.
    """

    def __init__(self, cell: Cell, milliseconds: float = 0, changed: float = 0.0, size_hw: tuple[int, int] | None = None) -> None:
        self.name, self.precision = cell
        self.threads, self.fixed_size_hw, self.first_call_ms = 1, size_hw, {"read": 1.0}
        self.sizes_hw: list[tuple[int, int]] = []
        self.milliseconds, self._changed = milliseconds, changed

    @property
    def runs(self) -> int:
        return len(self.sizes_hw)

    def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
        self.sizes_hw.append(frame_bgr.shape[:2])
        time.sleep(self.milliseconds / 1000)
        first = np.zeros(frame_bgr.shape[:2], np.float32)
        first[: frame_bgr.shape[0] // 2] = 1
        flipped = first.reshape(-1)[: round(self._changed * first.size)]
        flipped[:] = 1 - flipped
        return np.stack([first, 1 - first])


def automatic(*contestants: Fake, cache: Cache | None = None, fixed_size_hw: tuple[int, int] | None = None) -> AutoEngine:
    by_cell = {Cell(fake.name, fake.precision): fake for fake in contestants}
    return AutoEngine(list(by_cell), by_cell.__getitem__, cache or Cache(None), {"networks": "fakes"}, 1, fixed_size_hw)


def failing(faults: dict[Cell, SegError], *others: Fake) -> AutoEngine:
    """Chooses among fakes; cells that can't be made come first."""
    by_cell = {Cell(fake.name, fake.precision): fake for fake in others}

    def make(cell: Cell) -> Fake:
        if cell in faults:
            raise faults[cell]
        return by_cell[cell]

    return AutoEngine([*faults, *by_cell], make, Cache(None), {}, 1)


def chosen(engine: AutoEngine) -> Cell:
    engine.logits(FRAME)
    assert engine.choice is not None
    assert engine.choice.cell == Cell(engine.name, engine.precision)
    return engine.choice.cell


def said(engine: AutoEngine) -> str:
    return " ".join(engine.choice.sentences()) if engine.choice else ""


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Prevents work in the background; the list records when it would have started."""
    starts: list[str] = []
    monkeypatch.setattr("seg.runtime.apart.later", lambda job: starts.append("start"))
    return starts


@pytest.fixture(autouse=True)
def all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_state", lambda cell: "kept")


# ---- the rule


def test_the_fastest_is_taken_whatever_its_precision() -> None:
    trials = [Trial(*FP32, 300.0, 0), Trial(*BF16, 100.0, 0.002), Trial(*INT8, 90.0, 0.008)]
    assert choose(trials)[0].cell == INT8


def test_of_those_as_fast_the_one_is_taken_that_changes_the_fewest_labels() -> None:
    fast = 100.0
    assert choose([Trial(*FP32, fast * TELLABLE * 0.99, 0), Trial(*ORT, fast, 0)])[0].cell == FP32
    assert choose([Trial(*FP32, fast * TELLABLE * 1.01, 0), Trial(*ORT, fast, 0)])[0].cell == ORT
    assert choose([Trial(*FP32, 300.0, 0), Trial(*INT8, 97, 0.004), Trial(*BF16, fast, 0.002)])[0].cell == BF16
    assert choose([Trial(*INT8, 50.0, 0), Trial("onnxruntime", "int8", 20.0, 0)])[0].engine == "onnxruntime"


@pytest.mark.parametrize(("changed", "taken"), [(0.0, True), (0.009, True), (0.011, False), (0.02, False)])
def test_a_fast_engine_that_is_wrong_is_not_taken(changed: float, taken: bool) -> None:
    engine = automatic(Fake(FP32, 12), Fake(ORT, 2, changed))
    assert chosen(engine) == (ORT if taken else FP32)
    assert engine.choice is not None
    assert engine.choice.trials[1].changed == pytest.approx(changed, abs=1e-4)
    assert ("changes more than 1% of the labels" in said(engine)) == (not taken)


def test_labels_are_compared_on_all_frames_given() -> None:
    class WrongLater(Fake):
        def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
            scores = super().logits(frame_bgr)
            return scores[::-1] if frame_bgr[0, 0, 0] == 255 else scores

    bright = FRAME.copy()
    bright[0, 0] = 255
    engine = automatic(Fake(FP32, 12), WrongLater(ORT, 2))
    engine.choose(frame for frame in (FRAME, FRAME, bright))
    assert engine.choice is not None
    assert (engine.name, engine.choice.frames) == ("openvino", 3)


# ---- the trial


def test_a_slow_engine_loses_and_is_not_run_to_the_end() -> None:
    slow, fast = Fake(ORT, 25), Fake(FP32, 3)
    assert chosen(automatic(fast, slow)) == FP32
    assert slow.runs == 2, "the first isn't timed"
    assert chosen(automatic(Fake(FP32, 12), Fake(ORT, 3))) == ORT


def test_before_the_first_frame_nothing_is_made_and_then_the_losers_are_gone() -> None:
    alive: list[weakref.ref[Fake]] = []
    most = 0

    def make(cell: Cell) -> Fake:
        nonlocal most
        fake = Fake(cell, {FP32: 6, ORT: 7}.get(cell, 1))
        alive.append(weakref.ref(fake))
        most = max(most, sum(each() is not None for each in alive))
        if cell == INT8:
            raise SegError("It is broken, after it took memory.")
        return fake

    engine = AutoEngine([FP32, ORT, INT8, BF16], make, Cache(None), {}, 1)
    assert (engine.name, engine.precision, engine.threads, engine.choice, len(alive)) == ("openvino", "fp32", 1, None, 0)
    assert chosen(engine) == BF16
    assert most == 1, "of all of them together no machine has the memory"
    assert [each().precision for each in alive if each() is not None] == ["bf16"]
    made = len(alive)
    engine.choose([FRAME])
    assert len(alive) == made
    assert engine.first_call_ms["trial"] > 6


def test_what_was_disturbed_for_a_while_can_still_win() -> None:
    class Disturbed(Fake):
        def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
            self.milliseconds = 8 if self.runs < 6 else 2
            return super().logits(frame_bgr)

    assert chosen(automatic(Fake(FP32, 6), Disturbed(ORT))) == ORT


def test_a_large_frame_is_cut_to_its_middle_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_PIXELS", 64 * 96)
    slow, fast = Fake(FP32, 4), Fake(ORT, 1)
    engine = automatic(slow, fast)
    engine.choose([make_frame(128, 192), make_frame(120, 192)])
    assert engine.choice is not None
    height, width = engine.choice.size_hw
    assert (height * width <= 64 * 96, height % 8, width % 8, engine.choice.frame_hw) == (True, 0, 0, (128, 192))
    assert set(slow.sizes_hw) == set(fast.sizes_hw) == {(height, width)}
    assert f"tried on 2 frames, the middle {height}x{width} of 128x192" in said(engine)


def test_frames_that_differ_are_cut_to_what_they_share() -> None:
    frames = [make_frame(100, 120), make_frame(90, 160), make_frame(40, 120)]
    cut = trial.same_size(frames, 10**9)
    assert [frame.shape for frame in cut] == [(90, 120, 3)] * 2, "the last one has less than half the first one's height"
    np.testing.assert_array_equal(cut[0], frames[0][5:95])
    np.testing.assert_array_equal(cut[1], frames[1][:, 20:140])
    assert trial.same_size([make_frame(32, 4000)], 10_000)[0].shape == (32, 1104, 3), "never below what networks take"


def test_where_a_frame_takes_long_a_smaller_part_of_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class BySize(Fake):
        def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
            self.milliseconds = 200 if frame_bgr.shape[0] > 128 else 10
            return super().logits(frame_bgr)

    monkeypatch.setattr(trial, "LONGEST_S", 0.1)
    engine = automatic(BySize(FP32), Fake(ORT, 1))
    engine.choose([make_frame(256, 256)] * 3)
    assert engine.choice is not None
    assert engine.choice.size_hw == (128, 128)
    assert (engine.name, engine.choice.frames) == ("onnxruntime", 3)


def test_a_black_frame_tells_nothing_unless_there_is_no_other() -> None:
    class WrongInTheDark(Fake):
        def logits(self, frame_bgr: np.ndarray) -> np.ndarray:
            scores = super().logits(frame_bgr)
            return scores if frame_bgr.mean() > 8 else scores[::-1]

    black = np.random.default_rng(0).integers(0, 4, FRAME.shape).astype(np.uint8)
    engine = automatic(Fake(FP32, 8), WrongInTheDark(BF16, 1))
    engine.choose([black, FRAME, black])
    assert engine.choice is not None
    assert (engine.precision, engine.choice.frames) == ("bf16", 1)
    engine = automatic(Fake(FP32, 8), WrongInTheDark(BF16, 1))
    engine.choose([black])
    assert engine.precision == "fp32"


def test_of_one_size_alone_the_whole_frame_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_PIXELS", 64)
    fast = Fake(ORT, 1, size_hw=(80, 100))
    engine = automatic(Fake(FP32, 5, size_hw=(80, 100)), fast, Fake(INT8, size_hw=(8, 8)), fixed_size_hw=(80, 100))
    assert chosen(engine) == ORT
    assert set(fast.sizes_hw) == {(80, 100)}
    assert "openvino int8 was left out: it was exported for other frame sizes." in said(engine)


# ---- what can't run


def test_what_can_not_run_is_left_out_and_said() -> None:
    engine = failing({BF16: UnavailablePrecision("none"), INT8: SegError("It is broken.")}, Fake(FP32), Fake(ORT, 4))
    assert chosen(engine) == FP32
    assert engine.choice is not None
    assert engine.choice.left_out == ("openvino int8 was left out: It is broken.",), "a processor without one is nothing to tell"


def test_a_package_that_is_broken_is_told_once_and_not_tried_again() -> None:
    faults: dict[Cell, SegError] = {FP32: MissingEngine("It can't be imported."), BF16: MissingEngine("It can't be imported.")}
    engine = failing(faults, Fake(ORT))
    assert chosen(engine) == ORT
    assert said(engine) == "openvino fp32 was left out: It can't be imported.", "with one alone there was no choice"


def test_where_nothing_runs_the_first_fault_is_said() -> None:
    with pytest.raises(SegError, match="The first"):
        failing({FP32: SegError("The first."), ORT: SegError("The second.")}).logits(FRAME)


def test_what_is_slow_to_start_is_a_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Fake(TORCH)
    assert chosen(automatic(fast, Fake(FP32, 5))) == FP32
    assert fast.runs == 0
    assert chosen(failing({FP32: SegError("Broken.")}, fast)) == TORCH


def test_what_does_not_fit_into_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    per_pixel = ENGINES["openvino"].bytes_per_pixel
    monkeypatch.setattr("seg.runtime.memory.available_memory_bytes", lambda: per_pixel * 100 * 100)
    fast = Fake(ORT)
    engine = automatic(Fake(FP32, 5), fast)
    assert (chosen(engine), fast.runs) == (FP32, 0)
    assert "are free" in said(engine)


def test_a_frame_counts_as_a_whole_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the middle is tried, but the chosen engine must run on the whole frame."""
    monkeypatch.setattr(trial, "MOST_PIXELS", 64 * 64)
    monkeypatch.setattr("seg.runtime.memory.available_memory_bytes", lambda: ENGINES["onnxruntime"].bytes_per_pixel * 64 * 64)
    assert chosen(automatic(Fake(ORT), Fake(FP32, 5))) == FP32


# ---- compiled once per machine


def test_nobody_waits_for_what_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[str]) -> None:
    """It is compiled in the background. Once that is done, it is tried against the chosen one, and nothing else is tried."""
    states = {FUSED: "to compile"}
    monkeypatch.setattr(auto, "_state", lambda cell: states.get(cell, "kept"))
    fakes = [Fake(FP32, 8), Fake(FUSED, 1), Fake(ORT, 3)]
    first = automatic(*fakes, cache=Cache(tmp_path))
    assert (chosen(first), fakes[1].runs, started) == (ORT, 0, ["start"])
    assert "fused fp32 is compiled for this processor in the background now" in said(first)
    assert chosen(automatic(*fakes, cache=Cache(tmp_path))) == ORT
    assert started == ["start"] * 2, "the first may have been ended"
    states.clear()
    later = automatic(*(replaced := [Fake(FP32, 8), Fake(FUSED, 1), Fake(ORT, 3)]), cache=Cache(tmp_path))
    assert (chosen(later), len(started)) == (FUSED, 2)
    assert all(fake.runs for fake in replaced)
    assert later.choice is not None
    assert (later.choice.pending, later.choice.left_out) == ((), ())


def test_who_measures_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[str]) -> None:
    """Its compiling is part of the trial then, and of no latency; engines that were tried already are not compiled again."""
    states, compiled = {FUSED: "to compile"}, list[str]()
    monkeypatch.setattr(auto, "_state", lambda cell: states.get(cell, "kept"))
    monkeypatch.setattr("seg.runtime.compile_ahead.compile_all", lambda: (compiled.append("all"), states.clear()))
    assert chosen(automatic(Fake(FP32, 8), Fake(FUSED, 1), Fake(ORT, 3), cache=Cache(tmp_path))) == ORT
    for _ in range(2):
        engine = automatic(Fake(FP32, 8), Fake(FUSED, 1), Fake(ORT, 3), cache=Cache(tmp_path))
        engine.choose([FRAME], complete=True)
        assert (engine.name, compiled, started) == ("fused", ["all"], ["start"])
        assert engine.choice is not None and not engine.choice.pending
        states[FUSED] = "to compile"


def test_alone_it_is_compiled_at_once(monkeypatch: pytest.MonkeyPatch, started: list[str]) -> None:
    monkeypatch.setattr(auto, "_state", lambda cell: "to compile" if cell == FUSED else "kept")
    engine = failing({FP32: SegError("Broken.")}, Fake(FUSED))
    assert (chosen(engine), started) == (FUSED, [])
    assert "in the background" not in said(engine)


def test_what_would_be_compiled_at_each_start_is_left_out(monkeypatch: pytest.MonkeyPatch, started: list[str]) -> None:
    monkeypatch.setattr(auto, "_state", lambda cell: "unkeepable" if cell == FUSED else "kept")
    engine = automatic(Fake(FP32, 5), Fake(FUSED))
    assert (chosen(engine), started) == (FP32, [])
    assert "fused fp32 was left out: it would be compiled at each start" in said(engine)


def test_an_engine_that_crashes_in_the_trial_is_not_run_here() -> None:
    """The preferred engine runs then, and the next start tries again."""
    def hold(*arguments: object) -> trial.TrialOutcome:
        raise apart.Killed("its process was killed by signal 11.")

    slow, fast = Fake(FP32, 5), Fake(ORT)
    engine = AutoEngine([FP32, ORT], {FP32: slow, ORT: fast}.__getitem__, Cache(None), {}, 1, hold=hold)
    assert (chosen(engine), fast.runs) == (FP32, 0)
    assert "The trial was given up: its process was killed by signal 11." in said(engine)


def test_an_engine_that_can_not_be_made_again_is_a_fault_at_each_frame() -> None:
    fake, made = Fake(FP32), list[Cell]()

    def make(cell: Cell) -> Fake:
        made.append(cell)
        if len(made) > 1:
            raise SegError("Gone.")
        return fake

    engine = AutoEngine([FP32], make, Cache(None), {}, 1)
    for _ in range(2):
        with pytest.raises(SegError, match="Gone"):
            engine.logits(FRAME)
    assert engine.choice is None


# ---- remembered


def test_a_choice_by_a_black_frame_is_not_remembered(tmp_path: Path) -> None:
    fakes = Fake(FP32, 5), Fake(ORT)
    automatic(*fakes, cache=Cache(tmp_path)).logits(np.zeros_like(FRAME))
    engine = automatic(*fakes, cache=Cache(tmp_path))
    assert chosen(engine) == ORT
    assert engine.choice is not None and not engine.choice.earlier


def test_a_choice_is_remembered_for_its_size_and_facts(tmp_path: Path) -> None:
    first = automatic(Fake(FP32, 8), Fake(ORT, 1), cache=Cache(tmp_path))
    assert chosen(first) == ORT
    slow, fast = Fake(FP32, 8), Fake(ORT, 1)
    again = automatic(slow, fast, cache=Cache(tmp_path))
    taken = []
    again.choose(taken.append(frame) or frame for frame in (FRAME, FRAME))
    assert (again.name, slow.runs, fast.runs, len(taken)) == ("onnxruntime", 0, 0, 1)
    assert again.choice is not None
    assert "tried earlier on 1 frame, 80x100" in said(again)
    other_size = automatic(slow, fast, cache=Cache(tmp_path))
    other_size.logits(make_frame(60, 60))
    assert slow.runs > 0
    assert len(list(tmp_path.glob("choice-*"))) == 2


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"rubbish", b"\xff", None])
def test_a_choice_that_can_not_be_kept_to_is_made_anew(content: bytes | None, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """None stands for an engine that no longer exists."""
    if content is None:
        gone = (Trial(*FP32, 9, 0), Trial("gone", "fp32", 1, 0))
        content = Choice("gone", "fp32", (80, 100), (80, 100), 1, gone).to_json()
    monkeypatch.setattr(Cache, "read", lambda self, kind, facts: content)
    assert chosen(automatic(Fake(FP32, 8), Fake(ORT, 1), cache=Cache(tmp_path))) == ORT


def test_a_choice_survives_json() -> None:
    choice = Choice("openvino", "int8", (30, 40), (3, 4), 2, (Trial(*FP32, 9, 0), Trial(*INT8, 1, 0.001)), ("Said.",), (FUSED,))
    again = Choice.from_json(choice.to_json())
    assert again == replace(choice, earlier=True)
    assert " ".join(again.sentences()).replace("earlier ", "") == " ".join(choice.sentences())


def test_those_that_start_at_once_choose_the_same(tmp_path: Path) -> None:
    """Each would choose another one if it held its own trial."""
    def start(fast: Cell) -> Cell:
        return chosen(automatic(*(Fake(cell, 1 if cell == fast else 8) for cell in (FP32, ORT, INT8)), cache=Cache(tmp_path)))

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(start, (FP32, ORT, INT8)))) == 1


# ---- with the real engines


@pytest.fixture
def compiled() -> Iterator[None]:
    kernels.load("fp32")
    yield


def test_auto_runs_what_it_chose_and_remembers(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path))
    predictor = Predictor.load(tiny_weights, threads=1)
    assert (predictor.choice, predictor.notes) == (None, [])
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
    """In one precision only: there is no int8 file, and a precision that the processor lacks is skipped silently."""
    predictor = Predictor.load(tiny_weights, engine="onnxruntime")
    predictor(FRAME)
    assert (predictor.engine, predictor.precision, predictor.choice, predictor.notes) == ("onnxruntime", "fp32", None, [])


def test_what_was_only_tried_is_not_loaded_here(tiny_weights: Path, tmp_path: Path) -> None:
    """The trial's process ends with the libraries of the engines that lost."""
    code = """
import sys
import numpy as np
from seg.runtime import Predictor
predictor = Predictor.load(sys.argv[1], threads=1)
predictor(np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8))
print(len({trial.engine for trial in predictor.choice.trials}), predictor.engine,
      *(name for name in ("openvino", "onnxruntime") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, tiny_weights], capture_output=True, text=True, check=True,
                          env=os.environ | {"LRASPP_CACHE_DIR": str(tmp_path)})
    tried, engine, *loaded = done.stdout.split()
    assert int(tried) >= 2
    assert set(loaded) <= {ENGINES[engine].package}


def test_an_engine_that_is_installed_and_broken_is_passed_over(tiny_weights: Path, compiled: None,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    def engine_and_note(engine: str = "auto") -> tuple[str, str]:
        made, _ = make_engine(engine, "fp32" if engine == "auto" else "auto", tiny_weights, 1, Cache(None))
        assert isinstance(made, AutoEngine)
        made.logits(FRAME)
        return made.choice.trials[0].engine if made.choice else "", said(made)

    monkeypatch.setattr(auto, "_hold_apart", trial.hold)  # another process would find the engine unbroken
    monkeypatch.setitem(ENGINES, "openvino", replace(ENGINES["openvino"], module="seg.runtime.engines.not_there"))
    reference, note = engine_and_note()
    assert reference == "fused"
    assert "'openvino' can't be used: No module named" in note
    monkeypatch.setattr("seg.runtime.fused.processor.FEATURES", frozenset({"sse2"}))
    assert engine_and_note()[0] == "onnxruntime", "so is one that the processor is too old for"
    with pytest.raises(SegError, match="'openvino' can't be used"):
        engine_and_note("openvino")


def test_without_an_onnx_our_own_engine_runs_the_weights(tmp_path: Path, compiled: None) -> None:
    path = write_weights(tmp_path)
    path.with_suffix(".onnx").unlink()
    predictor = Predictor.load(path, precision="fp32")
    predictor(FRAME)
    assert predictor.engine == "fused"
    assert "openvino and onnxruntime can't be tried: There is no tiny.onnx" in " ".join(predictor.notes)
    assert "lraspp export --weights" in " ".join(predictor.notes)
    export_weights(path)
    assert Predictor.load(path, precision="fp32").notes == []


def test_a_damaged_onnx_is_told_and_our_own_engine_runs_the_weights(tmp_path: Path, compiled: None) -> None:
    path = write_weights(tmp_path)
    path.with_suffix(".onnx").write_bytes(path.with_suffix(".onnx").read_bytes().replace(b"HardSwish", b"HardSwosh"))
    predictor = Predictor.load(path)
    predictor(FRAME)
    assert predictor.engine == "fused"
    assert "openvino fp32 was left out" in " ".join(predictor.notes)


# ---- bad input


@pytest.mark.parametrize(("engine", "precision", "says"), [
    ("openvino", "int8", r"There is no tiny_int8.onnx next to .*--precision int8 --calibrate FOLDER"),
    ("onnxruntime", "int8", r"There is no tiny_int8.onnx next to"),
    ("auto", "int8", r"There is no tiny_int8.onnx next to"),
    ("fused", "int9", r"There is no precision 'int9'. Did you mean 'int8'"),
    ("fuse", "fp32", r"There is no engine 'fuse'. Did you mean 'fused'"),
    ("torch", "bf16", r"'torch' computes in fp32 here, not in bf16; for that take 'openvino'"),
])
def test_what_there_is_not_is_a_sentence(engine: str, precision: str, says: str, tiny_weights: Path) -> None:
    with pytest.raises(SegError, match=says):
        Predictor.load(tiny_weights, engine=engine, precision=precision)


def test_an_export_of_other_weights_is_passed_over_and_told(tmp_path: Path, compiled: None) -> None:
    path, other = write_weights(tmp_path), write_weights(tmp_path, "other", seed=1)
    other.with_suffix(".onnx").replace(path.with_suffix(".onnx"))
    predictor = Predictor.load(path)
    predictor(FRAME)
    assert predictor.engine == "fused"
    assert "openvino fp32 was left out" in " ".join(predictor.notes)
    assert "it is of other weights. Make it again: lraspp export" in " ".join(predictor.notes)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 500), (33, 2)])
def test_a_tiny_frame_works(size_hw: tuple[int, int], tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights, threads=1)
    assert predictor(make_frame(*size_hw)).train_ids.shape == size_hw
    assert predictor.choice is not None and min(predictor.choice.size_hw) >= 32


def test_a_frame_in_8k_is_tried_in_part_and_then_refused_where_memory_is_short(tiny_weights: Path,
                                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    frame = np.zeros((4320, 7680, 3), np.uint8)
    assert trial.same_size([frame], trial.MOST_PIXELS)[0].shape == (1072, 1920, 3)
    monkeypatch.setattr("seg.runtime.memory.available_memory_bytes", lambda: 2**30)
    with pytest.raises(SegError, match=r"At 4320x7680 the network needs about 2.5 GiB and 1.0 GiB are free. Give a smaller size"):
        Predictor.load(tiny_weights, threads=1)(frame)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "folders"])
def test_a_damaged_cache_costs_time_and_nothing_else(damage: str, tiny_weights: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path))
    first = Predictor.load(tiny_weights, threads=1, engine="openvino")
    labels = first(FRAME).train_ids
    for path in list(tmp_path.iterdir()):
        content = path.read_bytes()
        path.unlink()
        if damage == "folders":
            path.mkdir()
        else:
            path.write_bytes({"cut": content[:-1], "changed": content[:-1] + b"x"}.get(damage, b""))
    again = Predictor.load(tiny_weights, threads=1, engine="openvino")
    assert (again(FRAME).train_ids == labels).mean() > 0.98
    assert "trial" in again.first_call_ms, "nothing was believed"
