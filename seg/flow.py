"""From a source to its sinks: the two interfaces that pictures, data sets and videos share for reading and writing.

A source is opened, gives one sample after the other, and is closed; a sink is opened, takes one segmented frame after the other,
and is closed. The code between them doesn't depend on the kind of either.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from typing import Protocol, Self

from seg.evaluate import EvalSample
from seg.files import UInt8Array
from seg.result import FrameRecord
from seg.runtime import Prediction


@dataclass(frozen=True)
class Stream:
    """What a source says about itself once it is open.

    Attributes:
        name: as the user gave it.
        frames: how many it will give; None if unknown.
        fps: frames per second on average; None if frames have no times, like pictures.
        live: whether frames come at their own pace, and frames that nobody takes are lost.
        time_base: unit of the frames' times [s].
        sound: input for `av.open` with the sound that belongs to the frames; None if there is none.
        origin: the time in that input at which the frames' time is 0 [s].
    """

    name: str
    frames: int | None = None
    fps: Fraction | None = None
    live: bool = False
    time_base: Fraction = Fraction(1, 90_000)
    sound: str | None = None
    origin: Fraction = Fraction(0)


class Ending(Enum):
    """How the work ended: the source was read to its end, the user or a sink stopped it, or something failed."""

    WHOLE = "whole"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Segmented:
    """A frame and the network's result for it.

    Attributes:
        index: its number, from 0.
        sample: the frame, its name and time, and its truth if there is one.
        prediction: labels, and milliseconds by stage.
        miou: over the classes of the frame's truth; None without truth.
        dropped: frames of a live source that were lost before it.
    """

    index: int
    sample: EvalSample
    prediction: Prediction
    dropped: int = 0
    miou: float | None = None

    @property
    def frame_bgr(self) -> UInt8Array:
        """(H, W, 3) uint8."""
        return self.sample.frame_bgr

    @property
    def train_ids(self) -> UInt8Array:
        """(H, W) uint8 at the frame's own size."""
        return self.prediction.train_ids

    @property
    def time_s(self) -> float:
        """Its time from the start of the video [s]."""
        return float(self.sample.time)

    @property
    def latency_ms(self) -> dict[str, float]:
        """By stage, including "total", see `Prediction`."""
        return self.prediction.latency_ms


class Source(Protocol):
    """Gives samples, one after the other."""

    def open(self) -> Stream:
        """Opens it.

        Raises:
            SegError: it doesn't exist, or is something else.
        """

    def take(self) -> EvalSample | None:
        """Waits for the next sample and returns it; None at the end, whatever the reason (see `check_end`)."""

    def interrupt(self) -> None:
        """Makes a `take` that waits for a live source end soon; called from another thread, before `close`."""

    def preview(self, count: int) -> Iterator[UInt8Array]:
        """Yields up to `count` frames from all over, on which an engine can be chosen; none if that would lose frames."""

    def check_end(self) -> None:
        """Raises a `SegError` if the source didn't end properly."""

    def close(self) -> None:
        """Closes it; also if it couldn't be opened, and may be called twice."""


class Sink(Protocol):
    """Takes segmented frames.

    Attributes:
        name: name in reports, such as "window".
        in_callers_thread: whether the thread that made it must serve it, as windows require.
        delays_ms: by index of the frame, from its capture until it was shown or its last byte was written; empty if that has no
            meaning.
    """

    name: str
    in_callers_thread: bool
    delays_ms: dict[int, float]

    def open(self, stream: Stream) -> None:
        """Prepares for frames of this stream.

        Raises:
            SegError: it can't be opened or written.
        """

    def take(self, item: Segmented) -> bool:
        """Takes a frame; returns whether it wants more.

        Raises:
            SegError: it can't be written.
        """

    def close(self, ending: Ending) -> None:
        """Closes it; called once for each successful `open`.

        Raises:
            SegError: data that was held back until now can't be written.
        """


class Sinks:
    """Several sinks as one; use it with `with`, which opens and closes them all in every case.

    Attributes:
        wants_more: whether all of them want more frames.
        stopped: to be set if the source is left before its end.
    """

    def __init__(self, sinks: Sequence[Sink], stream: Stream) -> None:
        self._sinks, self._stream = sinks, stream
        self._open: list[Sink] = []
        self._taken = 0
        self.wants_more, self.stopped = True, False

    def __enter__(self) -> Self:
        try:
            for sink in self._sinks:
                sink.open(self._stream)
                self._open.append(sink)
        except BaseException:
            self._close(Ending.FAILED)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        stopped = self.stopped or not self.wants_more
        faults = self._close(Ending.FAILED if kind else Ending.STOPPED if stopped else Ending.WHOLE)
        if faults and kind is None:
            raise faults[0]

    def take(self, item: Segmented) -> None:
        """Passes a frame to each."""
        for sink in self._open:
            if not sink.take(item):
                self.wants_more = False

    def take_sample(self, sample: EvalSample, prediction: Prediction, record: FrameRecord) -> None:
        """Passes the next frame to each; called by `evaluate`."""
        self.take(Segmented(self._taken, sample, prediction, miou=record.miou))
        self._taken += 1

    def _close(self, ending: Ending) -> list[BaseException]:
        faults: list[BaseException] = []
        for sink in reversed(self._open):
            try:
                sink.close(Ending.FAILED if faults else ending)
            except BaseException as fault:
                faults.append(fault)
        self._open = []
        return faults


@contextmanager
def opened(source: Source) -> Iterator[Stream]:
    """Opens a source for a block, and closes it."""
    try:
        yield source.open()
    finally:
        source.close()


def samples(source: Source, stop: Callable[[], bool] = lambda: False) -> Iterator[EvalSample]:
    """Yields the samples of an open source until it ends or `stop` returns True."""
    while not stop() and (sample := source.take()) is not None:
        yield sample


def limited(stream: Stream, limit: int | None) -> Stream:
    """Returns the stream's description if at most `limit` frames are taken from it."""
    return replace(stream, frames=min(filter(None, (stream.frames, limit)), default=None))
