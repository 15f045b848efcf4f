"""The engine "auto": at the first frame it becomes the fastest engine that is right on this machine.

The choice is kept in the cache for the same networks, size, threads, processor and versions, so a trial is held only once, in a
process of its own; processes that start at the same time wait for the one that holds it. Before the first frame nothing is
imported, compiled or built.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from seg.errors import SegError
from seg.runtime import apart, compile_ahead, trial
from seg.runtime.cache import Cache, this_machine
from seg.runtime.choice import Choice, choose
from seg.runtime.engines.candidates import candidates
from seg.runtime.engines.make import engine_class, make
from seg.runtime.engines.model_files import fixed_size
from seg.runtime.engines.table import AUTO, ENGINES, check_names
from seg.runtime.once import timed
from seg.runtime.protocol import Cell, Engine, Frame, Scores
from seg.weights import sha256

Hold = Callable[..., trial.TrialOutcome]
Again = Callable[[Sequence[Frame]], None]

_RULES = 3  # version of the rules of the choice; choices made under other rules don't count


class AutoEngine:
    """See `Engine`. Until the first frame it has the name and precision of the preferred cell.

    Args:
        cells: to choose among, in order of preference; the first one that runs is the reference for the others.
        make: makes the engine of a cell; may raise `SegError`.
        cache: where choices are kept.
        facts: what a choice depends on, except for the frames' size.
        threads: number of threads of each engine.
        fixed_size_hw: (H, W) of the only frames that the network was exported for; None for any size.
        hold: holds a trial, see `trial.hold`.
        again: chooses again on frames, for a later start; it is left to a process that outlives this program.

    Attributes:
        choice: None until a frame came.
    """

    def __init__(self, cells: Sequence[Cell], make: Callable[[Cell], Engine], cache: Cache, facts: Mapping[str, Any],
                 threads: int, fixed_size_hw: tuple[int, int] | None = None, hold: Hold = trial.hold,
                 again: Again | None = None) -> None:
        self._cells, self._make, self._cache, self._facts = list(cells), make, cache, facts
        self._threads, self._fixed_size_hw, self._hold, self._again = threads, fixed_size_hw, hold, again
        self._engine: Engine | None = None
        self._trial_ms: dict[str, float] = {}
        self.choice: Choice | None = None

    @property
    def name(self) -> str:
        return self._engine.name if self._engine else self._cells[0].engine

    @property
    def precision(self) -> str:
        return self._engine.precision if self._engine else self._cells[0].precision

    @property
    def threads(self) -> int:
        return self._engine.threads if self._engine else self._threads

    @property
    def fixed_size_hw(self) -> tuple[int, int] | None:
        return self._engine.fixed_size_hw if self._engine else self._fixed_size_hw

    @property
    def first_call_ms(self) -> dict[str, float]:
        return {**(self._engine.first_call_ms if self._engine else {}), **self._trial_ms}

    def logits(self, frame_bgr: Frame) -> Scores:
        """Maps a frame to scores, see `Engine`; chooses an engine first if none has been chosen yet."""
        self.choose([frame_bgr])
        assert self._engine is not None
        return self._engine.logits(frame_bgr)

    def choose(self, frames_bgr: Iterable[Frame], complete: bool = False) -> None:
        """Chooses on these frames; does nothing if it has chosen already. For an earlier choice the first frame's size is enough.

        Args:
            frames_bgr: (H, W, 3) uint8.
            complete: whether loops that aren't compiled yet are compiled before the trial instead of in the background;
                measurements need this.

        Raises:
            SegError: no engine can run.
        """
        frames = iter(frames_bgr)
        if self.choice is not None or (first := next(frames, None)) is None:
            return
        facts = {**self._facts, "rules": _RULES, "size_hw": first.shape[:2]}
        if complete and self._has_to_compile(facts):
            with timed(self._trial_ms, "trial"):
                compile_ahead.compile_all()
        tried = [first]
        if not self._take_earlier(facts):
            with self._cache.lock("trial"):
                if not self._take_earlier(facts):
                    tried = self._hold_trial(facts, first, frames)
        if self.choice is not None and self.choice.pending and not complete:
            # Larger frames were cropped, or take long to hand over.
            usable = first.shape[0] * first.shape[1] <= trial.MOST_PIXELS and any(map(trial.shows_picture, tried))
            apart.later(partial(self._again, tried) if self._again is not None and usable else None)

    def _has_to_compile(self, facts: Mapping[str, Any]) -> bool:
        """Returns whether a cell that was not tried yet needs loops that aren't compiled."""
        earlier = self._earlier(facts)
        cells = self._cells if earlier is None else earlier.pending
        return any(_state(cell) == "to compile" for cell in cells)

    def _take_earlier(self, facts: Mapping[str, Any]) -> bool:
        """Takes the choice that the cache kept, if it is still valid."""
        choice = self._earlier(facts)
        if choice is None or any(_state(cell) == "kept" for cell in choice.pending):
            return False
        try:
            if choice.cell not in self._cells:
                return False
            self._engine = self._make(choice.cell)
        except SegError:  # a file or package is gone
            return False
        self.choice = choice
        return True

    def _earlier(self, facts: Mapping[str, Any]) -> Choice | None:
        kept = self._cache.read("choice", facts)
        try:
            return None if kept is None else Choice.from_json(kept)
        except (ValueError, TypeError, KeyError, StopIteration):
            return None

    def _hold_trial(self, facts: Mapping[str, Any], first: Frame, others: Iterable[Frame]) -> list[Frame]:
        """Chooses by a trial; returns the frames that were tried."""
        frames, sizes_hw = [], set()
        for frame in chain([first], others):
            sizes_hw.add((frame.shape[0], frame.shape[1]))
            frames += trial.same_size([frame], trial.MOST_PIXELS) if self._fixed_size_hw is None else [frame]
        largest_hw = max(sizes_hw, key=lambda size_hw: size_hw[0] * size_hw[1])
        keep = any(map(trial.shows_picture, frames))  # a choice by a black frame is for this time only
        cells, earlier = self._cells, self._earlier(facts)
        if earlier is not None and earlier.pending and earlier.cell in cells:  # the others were tried earlier
            cells = [cell for cell in cells if cell in (earlier.trials[0].cell, earlier.cell, *earlier.pending)]
        pending = [cell for cell in cells if _state(cell) == "to compile"]
        at_each_start = [cell for cell in cells if _state(cell) == "unkeepable"]
        reserves = [*pending, *at_each_start, *(cell for cell in cells if ENGINES[cell.engine].last_resort)]
        with timed(self._trial_ms, "trial"):
            usual = [cell for cell in cells if cell not in reserves]
            try:
                found = self._hold(usual, reserves, self._make, frames, largest_hw, self._fixed_size_hw)
            except apart.Killed as killed:  # by an engine that must not be tried here; the preferred one has to do
                found = trial.hold(usual[:1], reserves, self._make, frames, largest_hw, self._fixed_size_hw)
                found.left_out.append(f"The trial was given up: {killed}")
                keep = False
            chosen, reasons = choose(found.trials)
            tried = {each.cell for each in found.trials}
            pending, at_each_start = ([cell for cell in group if cell not in tried] for group in (pending, at_each_start))
            left_out = [*reasons, *found.left_out, *_why_not(pending, at_each_start)]
            self._engine = self._make(chosen.cell)
            self.choice = Choice(*chosen.cell, (first.shape[0], first.shape[1]), found.size_hw, found.frames,
                                 tuple(found.trials), tuple(left_out), tuple(pending))
        if keep:
            self._cache.write("choice", facts, self.choice.to_json())
        return frames


def make_engine(engine: str, precision: str, weights: Path, threads: int, cache: Cache) -> tuple[Engine, list[str]]:
    """Makes the engine that was asked for; either name may be "auto".

    Args:
        engine: one of `table.names()`.
        precision: one of `table.precisions()`.
        weights: a .safetensors or .onnx file.
        threads: how many threads it may use.
        cache: for choices and compiled networks.

    Returns:
        The engine, and a sentence for each engine that "auto" would prefer but can't use.

    Raises:
        SegError: a name is unknown; a package, a precision or a file is missing; or the file can't be run.
    """
    check_names(engine, precision)
    if AUTO not in (engine, precision):
        return make(Cell(engine, precision), weights, threads, cache), []
    if engine != AUTO:
        engine_class(engine)  # shows now, and not at the first frame, whether it can be used
    paths, notes = candidates(engine, precision, weights)
    cells = list(paths)
    if len(cells) == 1:
        return make(cells[0], weights, threads, cache), notes
    hashes = {path: sha256(path) for path in set(paths.values())}
    facts = {"networks": {str(cell): hashes[path] for cell, path in paths.items()}, "threads": threads,
             **this_machine(*{ENGINES[cell.engine].package for cell in cells})}
    made = AutoEngine(cells, partial(make, weights=weights, threads=threads, cache=cache), cache, facts, threads,
                      fixed_size(paths[cells[0]]), _hold_apart,
                      None if cache.folder is None else partial(_choose_again, engine, precision, weights, threads, cache))
    return made, notes


def _hold_apart(*arguments: Any) -> trial.TrialOutcome:
    return apart.call(partial(trial.hold, *arguments))


def _choose_again(engine: str, precision: str, weights: Path, threads: int, cache: Cache, frames: Sequence[Frame]) -> None:
    made, _ = make_engine(engine, precision, weights, threads, cache)
    if isinstance(made, AutoEngine):
        made.choose(frames, complete=True)


def _state(cell: Cell) -> str:
    """Returns the state of what the engine compiles once per machine, see `seg.compiled.state`."""
    loops = ENGINES[cell.engine].loops
    return "kept" if loops is None else str(import_module(loops).state(cell.precision))


def _why_not(pending: Sequence[Cell], at_each_start: Sequence[Cell]) -> list[str]:
    sentences = []
    if pending:
        names = f"{' and '.join(map(str, pending))} {'is' if len(pending) == 1 else 'are'}"
        sentences.append(f"{names} compiled for this processor in the background now, once, and tried at a later start."
                         if apart.possible() else f"{names} left out: not compiled yet, and this program can't start that.")
    if at_each_start:
        sentences += [f"{cell} was left out: it would be compiled at each start, for its code can't be kept; let NUMBA_CACHE_DIR "
                      "name a folder." for cell in at_each_start]
    return sentences
