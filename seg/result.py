"""The result of a run and a description of the run: plain data for reports."""

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
    """The result for one frame.

    Attributes:
        name: name of the sample.
        size_hw: (H, W) of the frame.
        began_s: start of its prediction, relative to that of the first frame, by a monotonic clock.
        latency_ms: by stage, including "total".
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
    """The same network on the same frames in another way, measured frame by frame together with the first way.

    Attributes:
        name: the size, or how the network looked at the frames.
        network_hw: (H, W) at which the first frame ran.
        miou: mIoU; None without truth.
        latency_ms: p50, p90, p99 and mean.
    """

    name: str
    network_hw: tuple[int, int]
    miou: float | None
    latency_ms: Mapping[str, float]


@dataclass
class Result:
    """The result of a run, and a description of the run.

    Attributes:
        weights: name or file.
        network: class and encoder.
        dataset, split: None if the frames don't belong to a data set.
        frame_sizes: (H, W) of the frames, each once, in order of appearance.
        network_sizes: (H, W) at which the network ran, for each of `frame_sizes`.
        size_hw, fit: the one size that was asked for, and how frames were brought to it; None if none was asked for.
        long_side: longer side to which frames were scaled [px]; None if they weren't scaled.
        way: how the network looked at a frame, such as "whole".
        label_set: the label set for scoring.
        machine, engine, precision, threads: where and how it ran.
        scores: None without any truth; with iIoU if every truth came with instance ids.
        confusion: (C, C), summed over all frames; None without any truth.
        latency: of every frame.
        warm_ups: warm-up runs, which don't count.
        records: of every frame.
        steadiness: how far the latencies can be trusted; None if nothing was timed.
        boundaries, calibration: None if they weren't measured.
        parameters: number of the network's parameters; None if unknown.
        multiply_adds: of the convolutions, for the whole first frame; None if unknown.
        first_frame_ms: time from nothing to the first labels, see `Predictor.first_frame_ms`.
        peak_memory_mib: of the whole process, including evaluation; None if the system doesn't say.
        variants: the same network in other ways, if that was asked for.
        notes: sentences on the choice of engine, and other remarks that a reader of the figures should know.
        choice: what "auto" chose, as data; None if there was nothing to choose.
        first_call_ms: times of the work that is done once, see `Predictor.first_call_ms`.
        video: facts that only a video has; None for pictures and data sets.
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
        """Number of predicted frames."""
        return len(self.latency)

    @property
    def labelled(self) -> int:
        """Number of frames with truth."""
        return sum(record.confusion is not None for record in self.records)


@dataclass(frozen=True)
class VideoFacts:
    """Facts about a video's result that single pictures don't have.

    Attributes:
        frames_per_second: of all stages together, from reading to the last sink.
        mode: "latency": one frame at a time, with all threads; "throughput": a frame for each thread.
        dropped: frames of a camera or stream that came while all stages were busy.
        glass_to_glass_ms: by sink, p50, p90, p99 and mean of the time from a frame's capture (for a file: its decoding) until it
            was shown, or its last byte was written.
        over_time: for each frame, or for evenly spread ones if there are many: its time in the video [s], the predictor's
            latency [ms], and the latency from glass to glass [ms], NaN if no sink measured it.
    """

    frames_per_second: float
    mode: str
    dropped: int
    glass_to_glass_ms: dict[str, dict[str, float]]
    over_time: list[tuple[float, float, float]]
