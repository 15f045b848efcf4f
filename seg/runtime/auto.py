"""The engine "auto": tries all that there are on the user's own first frames, and becomes the one that `choice` takes.

The first cell, in float32 wherever the weights are, is the reference: the labels of the others are compared with its labels.
What was chosen is kept in the cache, for the same networks, size, threads, processor and versions.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seg.errors import SegError
from seg.runtime.cache import Cache, this_machine
from seg.runtime.choice import Choice, Trial, choose
from seg.runtime.engines.candidates import candidates
from seg.runtime.engines.make import make
from seg.runtime.engines.model_files import model_file
from seg.runtime.engines.table import AUTO, ENGINES, check_names
from seg.runtime.memory import check_memory
from seg.runtime.once import timed
from seg.runtime.protocol import Cell, Engine, Frame, MissingEngine, Scores, UnavailablePrecision
from seg.runtime.upsample import upsample_argmax
from seg.weights import sha256

_ROUNDS = 5
_CONTENDS = 2.0  # what takes more than this many times as long as the fastest is not tried again


class AutoEngine:
    """See `Engine`. Until the first frame it is the reference.

    Args:
        reference: what the others are compared with.
        others: make the engines of further cells, called when they are tried or were chosen earlier; may raise `SegError`.
        cache: where choices are kept.
        facts: what a choice depends on, except for the frames' size.

    Attributes:
        choice: None until a frame came.
    """

    def __init__(self, reference: Engine, others: Mapping[Cell, Callable[[], Engine]], cache: Cache,
                 facts: Mapping[str, Any]) -> None:
        self._engine, self._others, self._cache, self._facts = reference, others, cache, facts
        self._trial_ms: dict[str, float] = {}
        self.choice: Choice | None = None

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def precision(self) -> str:
        return self._engine.precision

    @property
    def threads(self) -> int:
        return self._engine.threads

    @property
    def fixed_size_hw(self) -> tuple[int, int] | None:
        return self._engine.fixed_size_hw

    @property
    def first_call_ms(self) -> dict[str, float]:
        return {**self._engine.first_call_ms, **self._trial_ms}

    def logits(self, frame_bgr: Frame) -> Scores:
        """Maps a frame to scores, see `Engine`; chooses first where that has yet to be done."""
        self.choose([frame_bgr])
        return self._engine.logits(frame_bgr)

    def choose(self, frames_bgr: Iterable[Frame]) -> None:
        """Chooses on these frames; does nothing if it has chosen. An earlier choice needs the first frame's size alone.

        Raises:
            SegError: the reference can't run.
        """
        frames = iter(frames_bgr)
        if self.choice is not None or (first := next(frames, None)) is None:
            return
        facts = {**self._facts, "size_hw": first.shape[:2]}
        if self._take_earlier(facts):
            return
        with timed(self._trial_ms, "trial"):
            self.choice, self._engine = self._try([first, *frames])
        if len(self.choice.trials) > 1:
            self._cache.write("choice", facts, self.choice.to_json())

    def _take_earlier(self, facts: Mapping[str, Any]) -> bool:
        kept = self._cache.read("choice", facts)
        if kept is None:
            return False
        try:
            choice = Choice.from_json(kept)
            if choice.cell != Cell(self.name, self.precision):
                self._engine = self._others[choice.cell]()
        except (SegError, ValueError, TypeError, KeyError, StopIteration):  # something is no longer there: try anew
            return False
        self.choice = choice
        return True

    def _try(self, frames: Sequence[Frame]) -> tuple[Choice, Engine]:
        """Runs all that can run, in turn: what disturbs the machine for a while then disturbs them all alike."""
        expected = [_labels(self._engine, frame) for frame in frames]
        contestants, changed = {Cell(self.name, self.precision): self._engine}, {Cell(self.name, self.precision): 0.0}
        left_out = []
        for cell, make_it in self._others.items():
            try:
                for frame in frames:
                    check_memory((frame.shape[0], frame.shape[1]), cell.engine)
                engine = make_it()
                if engine.fixed_size_hw not in (None, self.fixed_size_hw):
                    raise SegError("it was exported for other frame sizes.")
                differ = [np.mean(_labels(engine, frame) != one) for frame, one in zip(frames, expected, strict=True)]
            except UnavailablePrecision:  # most processors and weights don't have all of them; that's nothing to tell
                continue
            except (SegError, MemoryError) as fault:
                left_out.append(f"{cell} was left out: {fault}")
                continue
            contestants[cell], changed[cell] = engine, float(np.mean(differ))
        times_ms: dict[Cell, list[float]] = {cell: [] for cell in contestants}
        running = list(contestants)
        for _ in range(_ROUNDS if len(contestants) > 1 else 0):
            for cell, frame in ((cell, frame) for frame in frames for cell in running):
                start = time.perf_counter()
                contestants[cell].logits(frame)
                times_ms[cell].append((time.perf_counter() - start) * 1000)
            fastest = min(map(statistics.median, times_ms.values()))
            running = [cell for cell in running if statistics.median(times_ms[cell]) <= _CONTENDS * fastest]
        trials = [Trial(*cell, statistics.median(times_ms[cell] or [0.0]), changed[cell]) for cell in contestants]
        chosen, reasons = choose(trials)
        size_hw = frames[0].shape[0], frames[0].shape[1]
        return (Choice(*chosen.cell, size_hw, len(frames), tuple(trials), tuple(chain(reasons, left_out))),
                contestants[chosen.cell])


def make_engine(engine: str, precision: str, weights: Path, threads: int, cache: Cache) -> tuple[Engine, str | None]:
    """Makes the engine that was asked for, where either name may be "auto".

    Args:
        engine: one of `table.names()`.
        precision: one of `table.precisions()`.
        weights: a .safetensors or .onnx file.
        threads: how many it may use.
        cache: for choices and compiled networks.

    Returns:
        The engine, and a note where one that "auto" would prefer can't be used.

    Raises:
        SegError: a name is unknown, a package, a precision or a file is missing, or the file can't be run.
    """
    check_names(engine, precision)
    if AUTO not in (engine, precision):
        return make(Cell(engine, precision), weights, threads, cache), None
    cells, notes = candidates(engine, precision, weights)
    while True:
        try:
            reference = make(cells[0], weights, threads, cache)
            break
        except MissingEngine as fault:  # it is installed, but can't be imported
            cells = [cell for cell in cells if cell.engine != cells[0].engine]
            if not cells:
                raise
            notes.append(str(fault))
        except UnavailablePrecision:
            if len(cells) == 1:
                raise
            cells = cells[1:]
    cells = [cells[0], *(cell for cell in cells[1:] if not ENGINES[cell.engine].last_resort)]
    if len(cells) > 1:
        networks = {str(cell): sha256(model_file(weights, cell)) for cell in cells}
        facts = {"networks": networks, "threads": threads, **this_machine("openvino", "onnxruntime", "numba")}
        others = {cell: partial(_make, cell, weights, threads, cache) for cell in cells[1:]}
        reference = AutoEngine(reference, others, cache, facts)
    return reference, " ".join(notes) or None


def _make(cell: Cell, weights: Path, threads: int, cache: Cache) -> Engine:
    """Makes an engine that it is worth to choose.

    Raises:
        SegError: it would be slow each time anew, or can't be made.
    """
    loops = ENGINES[cell.engine].loops
    if loops is not None and import_module(loops).state() == "unkeepable":
        raise SegError("it would be compiled at each start, for its code can't be kept; let NUMBA_CACHE_DIR name a folder.")
    return make(cell, weights, threads, cache)


def _labels(engine: Engine, frame_bgr: Frame) -> Frame:
    return upsample_argmax(engine.logits(frame_bgr), (frame_bgr.shape[0], frame_bgr.shape[1]), threads=engine.threads)
