"""What ran on what, and what came of it: plain data that reports are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from seg import machine
from seg.boundaries import BoundaryScores
from seg.calibration import Calibration
from seg.label_sets import LabelSet
from seg.latency import Latency, Steadiness, WarmUp
from seg.metrics import Scores
from seg.runtime.choice import Choice


@dataclass(frozen=True)
class FrameRecord:
    """What came of one frame.

    Attributes:
        name: of the sample.
        size_hw: (H, W) of the frame.
        began_s: when its prediction began, from that of the first frame, by a monotonic clock.
        latency_ms: by stage, "total" among them.
        confusion: (C, C) of `confusion_matrix`; None without truth.
        miou: over the classes of its truth, see `seg.metrics.frame_miou`; None without truth, NaN if all of it is ignored.
    """

    name: str
    size_hw: tuple[int, int]
    began_s: float
    latency_ms: Mapping[str, float]
    confusion: npt.NDArray[np.int64] | None = None
    miou: float | None = None


@dataclass(frozen=True)
class Variant:
    """The same network on the same frames in another way, measured frame by frame beside the first.

    Attributes:
        name: the size, or how it looked at the frames.
        network_hw: (H, W) that the first frame ran at.
        miou: None without truth.
        latency_ms: p50, p90, p99 and mean.
    """

    name: str
    network_hw: tuple[int, int]
    miou: float | None
    latency_ms: Mapping[str, float]


@dataclass
class Result:
    """What ran on what, and what came of it.

    Attributes:
        weights: name or file.
        network: class and encoder.
        dataset, split: None for frames that belong to no data set.
        frame_sizes: (H, W) of the frames, each once, in order of appearance.
        network_sizes: (H, W) that the network ran at, of each of `frame_sizes`.
        size_hw, fit: the one size that was asked for, and how frames were brought to it; None where none was.
        long_side: that frames were scaled to [px]; None where they weren't.
        way: how the network looked at a frame, such as "whole".
        label_set: what was scored.
        machine, engine, precision, threads: where and how.
        scores: None without any truth; with iIoU where every truth came with instance ids.
        confusion: (C, C), summed over all frames; None without any truth.
        latency: of every frame.
        warm_ups: runs that were not counted.
        records: of every frame.
        steadiness: how far the latencies can be trusted; None where nothing was timed.
        boundaries, calibration: None where they weren't measured.
        parameters: of the network; None where they can't be counted.
        multiply_adds: of the convolutions, for the whole of the first frame; None where they can't be counted.
        first_frame_ms: from nothing to the first labels, see `Predictor.first_frame_ms`.
        peak_memory_mib: of the whole process, evaluation included; None where the system doesn't say.
        variants: the same network in other ways, where that was asked for.
        notes: sentences on the choice of engine, and on what a reader of the figures should know.
        choice: what "auto" chose as data; None where there was nothing to choose.
        first_call_ms: what was done once, see `Predictor.first_call_ms`.
        video: what only a video has; None for pictures and data sets.
    """

    weights: str
    network: str
    dataset: str | None
    split: str | None
    frame_sizes: list[tuple[int, int]]
    network_sizes: list[tuple[int, int]]
    size_hw: tuple[int, int] | None
    long_side: int | None
    fit: str
    label_set: LabelSet
    machine: machine.Machine
    engine: str
    precision: str
    threads: int
    scores: Scores | None
    latency: Latency
    way: str = "whole"
    confusion: npt.NDArray[np.int64] | None = None
    warm_ups: list[WarmUp] = field(default_factory=list)
    records: list[FrameRecord] = field(default_factory=list)
    steadiness: Steadiness | None = None
    boundaries: BoundaryScores | None = None
    calibration: Calibration | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    first_frame_ms: float | None = None
    peak_memory_mib: float | None = None
    variants: list[Variant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    choice: Choice | None = None
    first_call_ms: dict[str, float] = field(default_factory=dict)
    video: "VideoFacts | None" = None

    @property
    def frames(self) -> int:
        """How many were predicted."""
        return len(self.latency)

    @property
    def labelled(self) -> int:
        """How many of them had truth."""
        return sum(record.confusion is not None for record in self.records)


@dataclass(frozen=True)
class VideoFacts:
    """What a video's result says beyond that of single pictures.

    Attributes:
        frames_per_second: of all stages together, from reading to the last sink.
        mode: "latency": one frame at a time, with all threads; "throughput": a frame for each thread.
        dropped: frames of a camera or stream that came while nothing had time for them.
        glass_to_glass_ms: by sink, p50, p90, p99 and mean from a frame's capture (of a file: from its decoding) until it was
            shown, or its last byte was written.
        over_time: of each frame, or of evenly spread ones where there are many: its time in the video [s], the predictor's
            latency [ms], and from glass to glass [ms], NaN where no sink said.
    """

    frames_per_second: float
    mode: str
    dropped: int
    glass_to_glass_ms: dict[str, dict[str, float]]
    over_time: list[tuple[float, float, float]]
