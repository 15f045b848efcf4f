"""How "auto" finds the fastest engine: all cells run on the user's own frames, and their labels are compared.

They run one after the other, and each is deleted before the next one is built, because no machine has the memory for all of them.
A short disturbance of the machine would then hit only one of them. So the fastest ones run a second time, in the opposite
order, and the better time counts. Frames that are large, or that take long at their size, are cropped to their middle.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from seg.architecture import MIN_SIZE
from seg.errors import SegError
from seg.runtime.choice import MOST_CHANGED, Trial
from seg.runtime.memory import check_memory
from seg.runtime.preprocess import GRID
from seg.runtime.protocol import Cell, Engine, Frame, MissingEngine, UnavailablePrecision
from seg.runtime.upsample import upsample_argmax

MOST_PIXELS = 1024 * 2048  # of a frame that is tried uncropped; more pixels take time and memory and give no new information
LONGEST_S = 1.0  # longest time of the reference for a frame; if it takes longer, a smaller part of the frame is tried
_LEAST_RUNS, _MOST_RUNS, _VISIT_S = 3, 10, 0.25  # timed runs of a visit, which lasts at least _VISIT_S
_CONTENDS = 1.5  # a cell that takes more than this many times as long as the fastest doesn't run again
_HOPELESS = 2.0  # a cell that takes this many times as long ends its visit after one run
_BLANK = 4.0  # levels; if the pixels deviate less, the frame shows no picture

Make = Callable[[Cell], Engine]


@dataclass
class TrialOutcome:
    """The result of a trial.

    Attributes:
        trials: results of all cells that ran, the reference first.
        size_hw: (H, W) of the tried image.
        frames: number of tried frames.
        left_out: a sentence for each cell that didn't run.
    """

    trials: list[Trial]
    size_hw: tuple[int, int]
    frames: int
    left_out: list[str]


def hold(cells: Sequence[Cell], reserves: Sequence[Cell], make: Make, frames_bgr: Sequence[Frame], largest_hw: tuple[int, int],
         fixed_size_hw: tuple[int, int] | None = None) -> TrialOutcome:
    """Tries cells on frames.

    Args:
        cells: in order of preference. The first one that runs is the reference, with whose labels those of the others are
            compared.
        reserves: tried only if none of the others runs, until one runs.
        make: makes the engine of a cell, or raises a `SegError` that says why it can't.
        frames_bgr: (H, W, 3) uint8, at least one.
        largest_hw: (H, W) of the largest frame that the engine will run on; a cell with too little memory for it isn't tried.
        fixed_size_hw: (H, W) of the only frames that the network takes; None for any size.

    Raises:
        SegError: none of them runs; the message says what is wrong with the first.
    """
    shown = with_picture(frames_bgr)

    def make_fitting(cell: Cell) -> Engine:
        check_memory(largest_hw, cell.engine)
        return make(cell)

    trial = _Trial(make_fitting, fixed_size_hw, shown if fixed_size_hw else same_size(shown, MOST_PIXELS))
    for cell in cells:
        trial.visit(cell)
    for cell in reserves:
        if not trial.found:
            trial.visit(cell)
    if not trial.found:
        raise next(iter(trial.faults.values()))
    for cell in reversed(trial.contenders()):
        trial.visit(cell)
    return trial.findings()


def shows_picture(frame: Frame) -> bool:
    """Returns whether a frame shows anything. On a black one scores tie, and rounding changes labels."""
    return bool(cv2.meanStdDev(frame)[1].max() > _BLANK)


def with_picture(frames_bgr: Sequence[Frame]) -> list[Frame]:
    """Returns the frames that show a picture, or all if none does."""
    return list(filter(shows_picture, frames_bgr)) or list(frames_bgr)


def same_size(frames_bgr: Sequence[Frame], most_pixels: int) -> list[Frame]:
    """Returns the middles of the frames, all of one size, so that an engine compiles only once.

    Args:
        frames_bgr: (H, W, 3) uint8. Frames with a side below half of the first frame's are left out.
        most_pixels: largest number of pixels; the shape is the frame's own, as near as sides in steps of 16 px allow.
    """
    first = frames_bgr[0].shape
    kept = [frame for frame in frames_bgr if all(2 * frame.shape[axis] >= first[axis] for axis in (0, 1))]
    height, width = (min(frame.shape[axis] for frame in kept) for axis in (0, 1))
    if height * width > most_pixels:
        scale = (most_pixels / (height * width)) ** 0.5
        height, width = (min(side, max(MIN_SIZE, int(side * scale) // GRID * GRID)) for side in (height, width))
    return [_middle(frame, height, width) for frame in kept]


def _middle(frame: Frame, height: int, width: int) -> Frame:
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return np.ascontiguousarray(frame[top:top + height, left:left + width])


@dataclass
class _Found:
    """The results of a cell: the median of each visit [ms], and for each frame the share of changed labels."""

    medians_ms: list[float] = field(default_factory=list)
    changed: dict[int, float] = field(default_factory=dict)


class _Trial:
    def __init__(self, make: Make, fixed_size_hw: tuple[int, int] | None, frames: list[Frame]) -> None:
        self._make, self._fixed_size_hw, self._frames = make, fixed_size_hw, frames
        self._expected: list[Frame] = []  # only the labels: the reference itself is deleted by then
        self.found: dict[Cell, _Found] = {}
        self.faults: dict[Cell, SegError] = {}

    def visit(self, cell: Cell) -> None:
        """Makes an engine, runs it for a while, and records the results."""
        if any(isinstance(fault, MissingEngine) and other.engine == cell.engine for other, fault in self.faults.items()):
            return
        try:
            self.found[cell] = self._run(cell)
        except SegError as fault:
            self.faults[cell] = type(fault)(str(fault))  # the raised one's traceback keeps the engine alive
        except MemoryError:
            self.faults[cell] = SegError("there was too little memory.")
        gc.collect()  # an engine may be part of a reference cycle

    def contenders(self) -> list[Cell]:
        """Returns the cells that may be the fastest; none if that is already clear."""
        right = {cell: min(found.medians_ms) for cell, found in self.found.items() if _share(found) <= MOST_CHANGED}
        near = [cell for cell, median_ms in right.items() if median_ms <= _CONTENDS * min(right.values())]
        return near if len(near) > 1 else []

    def findings(self) -> TrialOutcome:
        trials = [Trial(*cell, min(found.medians_ms), _share(found)) for cell, found in self.found.items()
                  if cell not in self.faults]
        # Most processors and weights lack some precision; the user needn't be told.
        left_out = [f"{cell} was left out: {fault}" for cell, fault in self.faults.items()
                    if not isinstance(fault, UnavailablePrecision)]
        size_hw = self._frames[0].shape[0], self._frames[0].shape[1]
        return TrialOutcome(trials, size_hw, len(self._frames), left_out)

    def _run(self, cell: Cell) -> _Found:
        engine = self._make(cell)
        if engine.fixed_size_hw not in (None, self._fixed_size_hw):
            raise SegError("it was exported for other frame sizes.")
        if not self._expected:
            return self._reference(engine)
        found = self.found.get(cell) or _Found()
        best_ms = min((median_ms for other in self.found.values() for median_ms in other.medians_ms), default=float("inf"))

        def compare(index: int, labels: Frame) -> None:
            found.changed[index] = float(np.mean(labels != self._expected[index]))

        found.medians_ms.append(self._timed(engine, compare, _HOPELESS * best_ms))
        return found

    def _reference(self, engine: Engine) -> _Found:
        """Runs the first cell that can; if a frame takes it too long, all cells use a smaller part of the frames."""
        while True:
            labels: dict[int, Frame] = {}
            median_ms = self._timed(engine, labels.__setitem__, LONGEST_S * 1000)
            height, width = self._frames[0].shape[:2]
            smaller = same_size(self._frames, height * width // 4)
            if median_ms <= LONGEST_S * 1000 or self._fixed_size_hw is not None or smaller[0].shape == self._frames[0].shape:
                break
            self._frames = smaller
        self._expected, self._frames = list(labels.values()), self._frames[:len(labels)]
        return _Found([median_ms], dict.fromkeys(labels, 0.0))

    def _timed(self, engine: Engine, look: Callable[[int, Frame], object], hopeless_ms: float) -> float:
        """Returns the median time of the network alone [ms], after one untimed run; passes all frames' labels to `look`.

        Args:
            engine: the engine to run.
            look: receives the number of a frame and its labels.
            hopeless_ms: if the first run takes longer, it is the only one.
        """
        times_ms: list[float] = []
        started = time.perf_counter()
        engine.logits(self._frames[0])
        while True:
            index = len(times_ms) % len(self._frames)
            frame = self._frames[index]
            start = time.perf_counter()
            logits = engine.logits(frame)
            now = time.perf_counter()
            times_ms.append((now - start) * 1000)
            if len(times_ms) <= len(self._frames):
                look(index, upsample_argmax(logits, (frame.shape[0], frame.shape[1]), threads=engine.threads))
            enough = len(times_ms) >= max(_LEAST_RUNS, len(self._frames)) and now - started >= _VISIT_S
            if enough or len(times_ms) == _MOST_RUNS or times_ms[0] > hopeless_ms:
                return statistics.median(times_ms)


def _share(found: _Found) -> float:
    return statistics.mean(found.changed.values())
