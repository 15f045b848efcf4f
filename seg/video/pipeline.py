"""Decoding, the network, drawing and writing at the same time, in a few threads with bounded queues between them.

A file loses no frame and keeps their order: the slowest stage makes the others wait. With a camera or stream the newest
frame wins: frames that come while all stages are busy are dropped and counted, so the frame shown is never older than one step of
the work. However a run ends, all threads end and everything open is closed.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from seg.errors import SegError
from seg.evaluate import LATER_WARM_UP_RUNS, EvalSample, Evaluation
from seg.files import UInt8Array, spread
from seg.flow import Ending, Segmented, Sink, Sinks, Source, Stream, limited
from seg.latency import TOTAL, WarmUp, percentiles_ms, warm_up
from seg.result import Result, VideoFacts
from seg.runtime import Predictor
from seg.video.channel import Channel, Ended
from seg.video.smooth import Smoother

Mode = Literal["latency", "throughput"]
MODES: tuple[Mode, ...] = ("latency", "throughput")
TRIED_FRAMES = 3  # on which "auto" chooses, spread over a file
_WAITING = 4  # frames in each queue of a file; a live source has one
_GRACE_S = 2.0  # how long a thread that hangs in a camera's driver is waited for
_MOST_POINTS = 2000  # of the latency over time, in a report


class Pipeline:
    """Segments a source in its own threads; iterate over it, once, to get the frames in order.

    Args:
        source: gives the frames.
        predictor: segments them.
        mode: "latency": all threads of the predictor work on one frame; "throughput": each thread works on its own frame.
        limit: the largest number of frames.
        smooth: whether scores are blended over time, see `Smoother`; only in the mode "latency", which works frame by frame.
        stop: called while it waits; True ends the run as if the source had ended.

    Attributes:
        stream: what the source says about itself, once the iteration has started.
        warm_ups: warm-up runs, which don't count.
        started_s: when the work on the first frame began, after all warm-up, by `time.perf_counter`.
        reached_end: whether the source has given all its frames.
    """

    def __init__(self, source: Source, predictor: Predictor, *, mode: Mode = "latency", limit: int | None = None,
                 smooth: bool = False, stop: Callable[[], bool] = lambda: False) -> None:
        if mode not in MODES:
            raise SegError(f"There is no mode {mode!r}; known are {' and '.join(MODES)}.")
        if smooth and mode != "latency":
            raise SegError("Smoothing goes from frame to frame; the mode throughput works on several at once. Choose latency.")
        self._smooth = smooth
        self.stream: Stream | None = None
        self.started_s = 0.0
        self.warm_ups = list[WarmUp]()
        self.reached_end = False
        self._source, self._predictor, self._mode, self._limit, self._stop = source, predictor, mode, limit, stop
        self._ready = threading.Event()
        self._inbox, self._outbox = Channel[EvalSample](_WAITING), Channel[Segmented](_WAITING)
        self._reader: threading.Thread | None = None
        self._workers: list[threading.Thread] = []
        self._working = 0
        self._lock = threading.Lock()

    def open(self) -> Stream:
        """Opens the source; call it before the iteration if you need the stream first."""
        if self.stream is None:
            try:
                self.stream = limited(self._source.open(), self._limit)
            except BaseException:
                self._source.close()
                raise
        return self.stream

    @property
    def dropped(self) -> int:
        """Number of frames of a live source that were lost so far."""
        return self._inbox.dropped

    def __iter__(self) -> Iterator[Segmented]:
        stream = self.open()
        if stream.live:
            self._inbox, self._outbox = Channel(1, newest=True), Channel(1)
        self._reader = threading.Thread(target=self._read, name="seg-reader", daemon=True)
        self._reader.start()
        try:
            self._workers = self._start_workers(stream)
            while True:
                try:
                    _, item = self._outbox.get(stop=self._stop)
                except Ended:
                    break
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """Ends all threads and closes the source; works before the iteration, too, and may be called twice."""
        self._inbox.give_up()
        self._outbox.give_up()
        self._ready.set()
        self._source.interrupt()
        for worker in self._workers:
            worker.join()
        self._predictor.blend = None
        if self._reader is not None:
            self._reader.join(_GRACE_S)
            if self._reader.is_alive():  # it hangs in a driver or a pipe, which must not be closed while a thread reads it
                return
        self._source.close()

    def _start_workers(self, stream: Stream) -> list[threading.Thread]:
        """Chooses an engine and warms up on the source's own frames, then starts the work."""
        try:
            _, first = self._inbox.get(stop=self._stop)
        except Ended:
            self._outbox.finish()
            return []
        self._predictor.choose(self._previews(stream, first))
        predictors = [self._predictor] if self._mode == "latency" else self._predictor.replicas()
        size_hw = first.frame_bgr.shape[0], first.frame_bgr.shape[1]
        for i, predictor in enumerate(predictors):
            runs = LATER_WARM_UP_RUNS if i or stream.live else None  # a live source doesn't wait
            self.warm_ups.append(warm_up(partial(_total_ms, predictor, first.frame_bgr), size_hw, runs))
        self._predictor.blend = Smoother() if self._smooth else None
        given = None if stream.live else first  # a live source's first frame is old by now, and a newer one has come
        if given is not None:
            given = replace(given, captured_s=time.perf_counter())
        if len(predictors) > 1 and not stream.live:
            self._outbox = Channel(_WAITING + len(predictors))
        self.started_s = time.perf_counter()
        self._ready.set()
        self._working = len(predictors)
        offset = 0 if given is None else 1
        workers = [threading.Thread(target=self._work, args=(predictor, given if i == 0 else None, offset),
                                    name=f"seg-network-{i}", daemon=True) for i, predictor in enumerate(predictors)]
        for worker in workers:
            worker.start()
        return workers

    def _previews(self, stream: Stream, first: EvalSample) -> Iterator[UInt8Array]:
        """Yields the frames on which an engine is chosen: frames from all over the source, or its first one."""
        found = False
        for frame in self._source.preview(TRIED_FRAMES):
            found = True
            yield frame
        if not found:
            yield first.frame_bgr

    def _read(self) -> None:
        """Runs in the thread that reads."""
        stream = self.stream
        assert stream is not None
        taken = 0
        try:
            # for a live source the limit counts the frames that were segmented
            while stream.live or taken != self._limit:
                sample = self._source.take()
                if sample is None:
                    self.reached_end = True
                    break
                if not self._inbox.put(sample):
                    return
                taken += 1
                if not stream.live:
                    self._ready.wait()  # otherwise the time for compiling the network would count as the frames' waiting time
            self._inbox.finish()
        except BaseException as fault:
            self._inbox.fail(fault)

    def _work(self, predictor: Predictor, first: EvalSample | None, offset: int) -> None:
        """Runs the network in a thread; `offset` is the number of frames that were taken before the workers started."""
        sizes = set[tuple[int, int]]()
        try:
            while True:
                place, sample = (0, first) if first is not None else self._inbox.get()
                place = place - 1 + offset if first is None else place
                first = None
                if self._limit is not None and place >= self._limit:
                    break
                size_hw = (sample.frame_bgr.shape[0], sample.frame_bgr.shape[1])
                if size_hw not in sizes and sizes:  # compiles for a size that first occurs within the stream; not counted
                    predictor(sample.frame_bgr)
                sizes.add(size_hw)
                dropped = self._inbox.dropped
                if not self._outbox.put(Segmented(place, sample, predictor(sample.frame_bgr), dropped), place):
                    return
        except Ended:
            pass
        except BaseException as fault:
            self._outbox.fail(fault)
            return
        with self._lock:
            self._working -= 1
            if not self._working:
                self._outbox.finish()


def _total_ms(predictor: Predictor, frame_bgr: UInt8Array) -> float:
    return predictor(frame_bgr).latency_ms[TOTAL]


class Threaded:
    """Runs a sink in its own thread; see `Sink`."""

    in_callers_thread = True

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.name, self.delays_ms = sink.name, sink.delays_ms
        self._wants_more = True

    def open(self, stream: Stream) -> None:
        self._sink.open(stream)
        self._queue = Channel[Segmented](1 if stream.live else _WAITING)
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"seg-{self.name}", daemon=True)
        self._thread.start()

    def take(self, item: Segmented) -> bool:
        wanted = self._queue.put(item) and self._wants_more
        if self._fault is not None:
            raise self._fault
        return wanted

    def close(self, ending: Ending) -> None:
        self._queue.finish()
        self._thread.join()
        if self._fault is None:
            self._sink.close(ending)
            return
        with suppress(SegError):
            self._sink.close(Ending.FAILED)
        if ending is not Ending.FAILED:  # otherwise another error is being raised already, or this one
            raise self._fault

    def _work(self) -> None:
        try:
            while self._wants_more:
                self._wants_more = self._sink.take(self._queue.get()[1])
        except Ended:
            pass
        except BaseException as fault:
            self._fault = fault
        finally:
            self._queue.give_up()


@dataclass(frozen=True)
class VideoRun:
    """The outcome of a video.

    Attributes:
        result: latencies of the network and, in `video`, of all stages together.
        seconds: from the first frame to the last sink's end, without warm-up.
        ending: how it ended.
        fault: what the source says about a premature end, as a sentence; None if the source is complete.
    """

    result: Result
    seconds: float
    ending: Ending
    fault: SegError | None

    @property
    def frames_per_second(self) -> float:
        """Frame rate of all stages together."""
        return self.result.frames / self.seconds if self.seconds else 0.0


def run(source: Source, predictor: Predictor, sinks: Sequence[Sink], *, mode: Mode = "latency", limit: int | None = None,
        smooth: bool = False, stop: Callable[[], bool] = lambda: False,
        on_frame: Callable[[Segmented], None] = lambda item: None) -> VideoRun:
    """Segments a source into sinks until the source ends, one of the sinks wants no more, or `stop` returns True.

    Args:
        source: gives the frames.
        predictor: segments them.
        sinks: take the frames, each in its own thread.
        mode: see `Pipeline`.
        limit: the largest number of frames.
        smooth: see `Pipeline`.
        stop: called between frames and while it waits.
        on_frame: called with each frame, in this thread.

    Raises:
        SegError: the source can't be opened, a frame can't be segmented, or a sink fails. Sinks keep what they have written. A
            premature end of the source raises no error; `fault` says it.
    """
    pipeline = Pipeline(source, predictor, mode=mode, limit=limit, smooth=smooth, stop=stop)
    stream = pipeline.open()
    evaluation = Evaluation(predictor, predictor.label_set)
    times: list[tuple[float, float]] = []
    dropped = 0
    group = Sinks([sink if sink.in_callers_thread else Threaded(sink) for sink in sinks], stream)
    try:
        with group:
            for item in pipeline:
                evaluation.begin()
                evaluation.add(item.sample, item.prediction, time.perf_counter())
                times.append((item.time_s, item.latency_ms["total"]))
                dropped = item.dropped
                group.take(item)
                on_frame(item)
                if stop() or not group.wants_more:
                    break
            group.stopped = stop() or not pipeline.reached_end
    finally:
        pipeline.close()
    seconds = time.perf_counter() - pipeline.started_s if times else 0.0
    evaluation.warm_ups = pipeline.warm_ups
    delays = {sink.name: sink.delays_ms for sink in sinks if sink.delays_ms}
    first_delays = next(iter(delays.values()), {})
    over_time = [(at, latency, first_delays.get(index, np.nan)) for index, (at, latency) in enumerate(times)]
    facts = VideoFacts(len(times) / seconds if seconds else 0.0, mode, dropped,
                       {name: percentiles_ms(list(values.values())) for name, values in delays.items()},
                       spread(over_time, _MOST_POINTS))
    stopped = group.stopped or not group.wants_more
    fault = None
    if not stopped:
        try:
            source.check_end()
        except SegError as problem:
            fault = problem
    return VideoRun(replace(evaluation.result(), video=facts), seconds, Ending.STOPPED if stopped else Ending.WHOLE, fault)
