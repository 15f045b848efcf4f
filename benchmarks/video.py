"""How fast a whole video is segmented: the pipeline against its slowest stage, and against one stage after the other.

    python -m benchmarks.video VIDEO [--weights street_small] [--frames N] [--rounds N] [--threads N] [--rendered N]

Each round runs the following in a new random order: only decoding, only the network, only drawing and encoding; a serial loop
that reads and writes with OpenCV; and the pipeline in both modes. Ratios are taken within a round. After the rounds it measures
drawing at 720x1280, and smoothing: how often labels change where the picture doesn't move, and mIoU on a rendered drive; and
which labels hold for one frame alone.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.measure import Contestant, Measurement, Spread, measure
from benchmarks.output import RESULTS, Steps, publish
from benchmarks.video_smooth import Smoothing, measure_smoothing
from seg.cli.common import Parser, run
from seg.document import Block, Document, Origin, Table, Text
from seg.document.words import count
from seg.errors import SegError
from seg.files import UInt8Array, check_writable_folder, spread
from seg.flow import Segmented, Sinks, opened, samples
from seg.latency import percentiles_ms
from seg.machine import usable_cores
from seg.runtime import Predictor
from seg.video import MODES, Painter, VideoFile, open_source, segment_file
from seg.video.pipeline import TRIED_FRAMES
from seg.visualize import overlay

STAGES = ("decoding alone", "network alone", "drawing and encoding alone")
SERIAL = "one after the other, by OpenCV"
PIPELINE = {mode: f"pipeline, for {mode}" for mode in MODES}
_DRAWN_HW = 720, 1280
_WORK = "work"  # without opening files and without warm-up
_CPU = "cpu"  # the same, summed over all cores


class Bench:
    """The contestants, on the first frames of a video.

    Args:
        video: a video file.
        predictor: segments it.
        frames: the largest number of frames.
        folder: for the written files.

    Attributes:
        frames: number of frames.
        size_hw: size of the frames.
        delays_ms: from glass to glass, by mode, of all frames of all runs.

    Raises:
        SegError: it is not a video.
    """

    def __init__(self, video: str, predictor: Predictor, frames: int, folder: Path) -> None:
        self._video, self._predictor, self._limit, self._folder = video, predictor, frames, folder
        source = open_source(video)
        with opened(source) as self._stream:
            self._samples = [sample for sample, _ in zip(samples(source), range(frames), strict=False)]
        if not self._samples:
            source.check_end()
        predictor.choose((sample.frame_bgr for sample in spread(self._samples, TRIED_FRAMES)), complete=True)
        self._predictions = [predictor(sample.frame_bgr) for sample in self._samples]
        self.frames = len(self._samples)
        self.size_hw = self._samples[0].frame_bgr.shape[:2]
        self.delays_ms: dict[str, list[float]] = {mode: [] for mode in MODES}

    def contestants(self) -> dict[str, Contestant]:
        """Returns all contestants by name."""
        runs = {"decoding alone": self.decode, "network alone": self.network, "drawing and encoding alone": self.encode,
                SERIAL: self.serial}
        return {**runs, **{PIPELINE[mode]: partial(self.pipeline, mode) for mode in MODES}}

    def decode(self) -> dict[str, float]:
        """Reads all frames."""
        source = open_source(self._video)
        with opened(source):
            start = _Start()
            for _ in range(self.frames):
                source.take()
            return start.since()

    def network(self) -> dict[str, float]:
        """Segments all frames."""
        start = _Start()
        for sample in self._samples:
            self._predictor(sample.frame_bgr)
        return start.since()

    def encode(self) -> dict[str, float]:
        """Draws and writes all frames."""
        file = VideoFile(self._folder / "encoded.mp4", Painter(self._predictor.label_set), overwrite=True)
        start = _Start()
        with Sinks([file], self._stream) as sinks:
            sinks.stopped = True
            for index, (sample, prediction) in enumerate(zip(self._samples, self._predictions, strict=True)):
                sinks.take(Segmented(index, sample, prediction))
        return start.since()

    def serial(self) -> dict[str, float]:
        """Reads, segments, draws and writes one frame after the other: MPEG-4, without sound."""
        height, width = (side // 2 * 2 for side in self.size_hw)
        capture = cv2.VideoCapture(self._video)
        writer = cv2.VideoWriter(str(self._folder / "serial.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"),
                                 float(self._stream.fps or 25), (width, height))
        try:
            start = _Start()
            for _ in range(self.frames):
                good, frame = capture.read()
                if not good:
                    raise SegError(f"OpenCV can't decode {self._video}, so there is nothing to compare with.")
                frame_bgr = frame.astype(np.uint8, copy=False)
                picture = overlay(frame_bgr, self._predictor(frame_bgr).train_ids, self._predictor.label_set)
                writer.write(picture[:height, :width])
            writer.release()
            return start.since()
        finally:
            capture.release()

    def pipeline(self, mode: str) -> dict[str, float]:
        """Does everything in threads."""
        output = self._folder / f"{mode}.mp4"
        done = segment_file(self._video, output, predictor=self._predictor, mode=mode, limit=self.frames,  # type: ignore[arg-type]
                            overwrite=True)
        assert done.result.video is not None
        self.delays_ms[mode] += [glass for _, _, glass in done.result.video.over_time]
        return {_WORK: done.seconds * 1000, "latency": done.result.latency.summary()["p50"]}

    def drawing(self, rounds: int = 30) -> dict[str, float]:
        """Returns the median milliseconds, on one thread, for drawing a picture for a file and for the window, at 720x1280."""
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        painter, height, width = Painter(self._predictor.label_set), *_DRAWN_HW
        pairs = spread(list(zip(self._samples, self._predictions, strict=True)), rounds)
        items = [Segmented(i, replace(sample, frame_bgr=_scaled(sample.frame_bgr, (height, width))),
                           replace(prediction, train_ids=_scaled(prediction.train_ids, (height, width))))
                 for i, (sample, prediction) in enumerate(pairs)]
        try:
            return {"file": median(map(_timed(painter), items)), "window": median(map(_timed(painter.annotated), items))}
        finally:
            cv2.setNumThreads(threads)

    def smoothing(self, rendered: int) -> Smoothing:
        """Measures the effect of blending scores over time, on these frames and on rendered ones."""
        frames = [sample.frame_bgr for sample in self._samples]
        return measure_smoothing(self._predictor, frames, float(self._stream.fps or 25), rendered)


def _scaled(picture: UInt8Array, size_hw: tuple[int, int]) -> UInt8Array:
    return cv2.resize(picture, size_hw[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)


def _timed(draw: Callable[[Segmented], UInt8Array]) -> Callable[[Segmented], float]:
    def timed(item: Segmented) -> float:
        start_s = time.perf_counter()
        draw(item)
        return (time.perf_counter() - start_s) * 1000

    return timed


class _Start:
    """The current time, by the clock and as processor time of this process on all cores together."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def since(self) -> dict[str, float]:
        """Returns the milliseconds since this start."""
        return {_WORK: (time.perf_counter() - self._wall_s) * 1000, _CPU: (time.process_time() - self._cpu_s) * 1000}


def ratios(measurement: Measurement, cores: int) -> dict[str, Spread]:
    """Returns relative speeds, each from the ratios within the rounds.

    By mode: relative to the slowest stage alone ("MODE of slowest"), to the serial loop ("MODE to serial"), and to the speed of
    the cores if none of them ever waits ("MODE of cores"). Also: that speed relative to the slowest stage alone ("cores to
    slowest"), and "throughput to latency".
    """
    work = {name: stages[_WORK] for name, stages in measurement.latency_ms.items()}
    slowest = [max(values) for values in zip(*(work[stage] for stage in STAGES), strict=True)]
    cpu = [sum(values) / cores for values in zip(*(measurement.latency_ms[stage][_CPU] for stage in STAGES), strict=True)]
    best = [max(alone, together) for alone, together in zip(slowest, cpu, strict=True)]
    found = {"cores to slowest": Spread.of([s / b for s, b in zip(slowest, best, strict=True)])}
    for mode, name in PIPELINE.items():
        found[f"{mode} of slowest"] = Spread.of([s / p for s, p in zip(slowest, work[name], strict=True)])
        found[f"{mode} of cores"] = Spread.of([b / p for b, p in zip(best, work[name], strict=True)])
        found[f"{mode} to serial"] = measurement.ratio(SERIAL, name, _WORK)
    found["throughput to latency"] = measurement.ratio(PIPELINE["latency"], PIPELINE["throughput"], _WORK)
    return found


def report(bench: Bench, measurement: Measurement, origin: Origin, rounds: int,
           predictor: Predictor, drawing_ms: dict[str, float], smoothing: Smoothing) -> Document:
    """Returns the document that is printed and written."""
    speeds = {name: Spread.of([1000 * bench.frames / ms for ms in stages[_WORK]])
              for name, stages in measurement.latency_ms.items()}
    rows = [(name, f"{spread.median:.1f}", f"{spread.iqr:.1f}") for name, spread in speeds.items()]
    cores = usable_cores()
    found = ratios(measurement, cores)
    cpu_ms = sum(measurement.spread(stage, _CPU).median for stage in STAGES) / bench.frames
    glass = {mode: percentiles_ms(values) for mode, values in bench.delays_ms.items()}
    latency = {mode: measurement.spread(name, "latency") for mode, name in PIPELINE.items()}
    height, width = bench.size_hw
    blocks: list[Block] = [
        Text(*origin.sentence()),
        Text(f"{bench.frames} frames of {height}x{width}, {predictor.weights}, {predictor.engine}, {predictor.precision}, "
             f"{count(predictor.threads, 'thread')}; {rounds} rounds. Frames per second, median and interquartile range:"),
        Table.of(("what", "frames per second", "IQR"), rows),
        Text("For the pipeline: its speed as a share of its slowest stage alone, as a share of what the cores can do together, "
             "and as a multiple of the serial loop's; the network's latency; and the time from a frame's decoding until its last "
             "byte was written, including waiting in full queues [ms]."),
        Table.of(("for", "of the slowest stage", "of the cores", "times serial", "latency p50", "glass to glass p50", "p90",
                  "p99"), [
            (mode, f"{found[f'{mode} of slowest'].median:.0%}", f"{found[f'{mode} of cores'].median:.0%}",
             f"{found[f'{mode} to serial'].median:.2f}", f"{latency[mode].median:.1f}",
             *(f"{glass[mode][what]:.0f}" for what in ("p50", "p90", "p99"))) for mode in MODES]),
        Text(f"For throughput the frame rate is {found['throughput to latency'].median:.2f} times the one for latency, and a "
             f"frame takes {latency['throughput'].median / latency['latency'].median:.2f} times as long in the "
             "network."),
        Text(f"All stages of a frame take {cpu_ms:.1f} ms of a core. {cores} cores that never wait reach "
             f"{found['cores to slowest'].median:.0%} of the slowest stage's speed alone; no pipeline can be faster."),
        Text("Targets:"),
        Table.of(("what", "wanted", "found", ""), _targets(found, drawing_ms, smoothing)),
        Text(_words_of_drawing(drawing_ms)),
        Text(_words_of_smoothing(smoothing)),
        Text(f"Without smoothing, {sum(flash for _, flash in smoothing.classes.values()):.2%} of all pixels have a label in one "
             "frame alone, between two frames in which they have another one; thin things that move do, too. By class, of all "
             "pixels:"),
        Table.of(("class", "share", "in one frame alone"), [(name, f"{share:.3%}", f"{flash:.3%}")
                                                            for name, (share, flash) in smoothing.classes.items()]),
    ]
    data = {"frames": bench.frames, "size_hw": list(bench.size_hw), "rounds": rounds,
            "weights": predictor.weights, "engine": predictor.engine, "precision": predictor.precision,
            "threads": predictor.threads,
            "frames_per_second": {name: spread.to_dict() for name, spread in speeds.items()},
            "ratios": {name: spread.to_dict() for name, spread in found.items()},
            "network_latency_ms": {mode: spread.to_dict() for mode, spread in latency.items()}, "glass_to_glass_ms": glass,
            "drawing_ms": drawing_ms, "smoothing": smoothing._asdict()}
    return Document("Video", blocks, origin, data)


def _targets(found: dict[str, Spread], drawing_ms: dict[str, float], smoothing: Smoothing) -> list[tuple[str, str, str, str]]:
    """Returns rows of the target, the result, and whether the target is met."""
    def row(what: str, wanted: str, value: str, good: bool) -> tuple[str, str, str, str]:
        return what, wanted, value, "yes" if good else "no"

    of_slowest, to_serial = (found[f"latency {what}"].median for what in ("of slowest", "to serial"))
    faster = found["throughput to latency"].median
    rows = [row("speed, share of the slowest stage alone", "85% or more", f"{of_slowest:.0%}", of_slowest >= 0.85),
            row("speed, multiple of the serial loop's", "1.25 or more", f"{to_serial:.2f}", to_serial >= 1.25),
            row("throughput's speed, multiple of latency's", "more than 1", f"{faster:.2f}", faster > 1),
            *(row(f"drawing for a {what}", "4 ms or less", f"{ms:.1f} ms", ms <= 4) for what, ms in drawing_ms.items()),
            row("smoothing, changes fewer", "40% or more", f"{smoothing.fewer:.0%}", smoothing.fewer >= 0.4),
            row("smoothing, share of a frame's time", "15% or less", f"{smoothing.share:.1%}", smoothing.share <= 0.15)]
    if smoothing.miou:
        gain = smoothing.miou[1] - smoothing.miou[0]
        rows.append(row("smoothing, mIoU gained", "0 or more", f"{gain:+.4f}", gain >= 0))
    return rows


def _words_of_smoothing(found: Smoothing) -> str:
    """Returns the words about smoothing."""
    miou = f"{found.miou[0]:.4f} without and {found.miou[1]:.4f} with it" if found.miou else "not measured"
    return (f"Smoothing: {found.changes[0]:.4f} label changes per second on pixels that don't move ({found.still:.0%} of "
            f"all) become {found.changes[1]:.4f}, {found.fewer:.0%} fewer, for {found.share:.1%} of a frame's time. mIoU on a "
            f"rendered drive: {miou}.")


def _words_of_drawing(found: dict[str, float]) -> str:
    return (f"Drawing at {_DRAWN_HW[0]}x{_DRAWN_HW[1]}, by one thread, median: {found['file']:.1f} ms for a file, "
            f"{found['window']:.1f} ms for the window, with its line of figures and legend.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; see the head of this file."""
    parser = Parser(prog="python -m benchmarks.video", description=__doc__)
    parser.add_argument("video", help="a video file")
    parser.add_argument("--weights", default="street_small", help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=200, help="first frames of the video (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all cores that this process may use")
    parser.add_argument("--rendered", type=int, default=100, help="frames of a rendered drive, on which smoothing is scored; "
                        "0 skips it (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder for video.md and video.json "
                        "(default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    if arguments.frames < 2 or arguments.rounds < 1 or arguments.rendered < 0:
        raise SegError("At least 2 frames and 1 round are needed, and no less than 0 rendered frames.")
    check_writable_folder(arguments.output)
    origin = Origin.here("python", "-m", "benchmarks.video", *(sys.argv[1:] if argv is None else argv))
    predictor = Predictor.load(arguments.weights, threads=arguments.threads)
    with tempfile.TemporaryDirectory(prefix="lraspp-") as folder:
        bench = Bench(arguments.video, predictor, arguments.frames, Path(folder))
        contestants = bench.contestants()
        with Steps(len(contestants) * (arguments.rounds + 1)) as steps:
            measurement = measure(contestants, arguments.rounds, warm_up_runs=1, on_run=steps.done)
    document = report(bench, measurement, origin, arguments.rounds, predictor, bench.drawing(),
                      bench.smoothing(arguments.rendered))
    publish(arguments.output, "video", document)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
