"""A predictor over samples: one result with scores, latencies, and what ran on what."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seg import machine, weights
from seg.architecture import MIN_SIZE
from seg.errors import SegError
from seg.label_sets import IGNORE, ClassMap, LabelSet, map_classes
from seg.metrics import InstanceCounts, Scores, confusion_matrix
from seg.runtime import Prediction, Predictor
from seg.runtime.choice import Choice
from seg.runtime.preprocess import GRID

WARM_UP_RUNS = 2  # per frame size, not counted: the first compiles, the second fills caches


@dataclass(frozen=True)
class EvalSample:
    """One frame of a data set, a folder or a video.

    Attributes:
        name: the sample's name there.
        frame_bgr: (H, W, 3) uint8.
        train_ids: (H, W) uint8 truth of the same size, 255 not counted; None where there is none.
        instance_ids: (H, W) uint16 of the same size, label id x 1000 + number; None where there are none.
        time, duration: in a video, when it is shown and for how long [s].
        captured_s: when it came from the camera, or was decoded, by `time.perf_counter`.
    """

    name: str
    frame_bgr: npt.NDArray[np.uint8]
    train_ids: npt.NDArray[np.uint8] | None = None
    instance_ids: npt.NDArray[np.uint16] | None = None
    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    captured_s: float = 0.0


@dataclass
class Latency:
    """Milliseconds of each stage of each frame, "total" among them; runs that only warm up are not in it."""

    stages: dict[str, list[float]] = field(default_factory=dict)

    def add(self, latency_ms: dict[str, float]) -> None:
        """Takes over one prediction's stages."""
        for stage, value in latency_ms.items():
            self.stages.setdefault(stage, []).append(value)

    def __len__(self) -> int:
        return len(self.stages.get("total", ()))

    def summary(self) -> dict[str, Any]:
        """Returns p50, p90, p99 and mean of the total in ms, the same of every stage under "stages"; {} if empty."""
        if not len(self):
            return {}
        stages = {stage: percentiles_ms(values) for stage, values in self.stages.items() if stage != "total"}
        return {**percentiles_ms(self.stages["total"]), "stages": stages}


def percentiles_ms(values_ms: Sequence[float]) -> dict[str, float]:
    """Returns p50, p90, p99 and mean of at least one value."""
    p50, p90, p99 = np.percentile(values_ms, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "mean": float(np.mean(values_ms))}


@dataclass
class Result:
    """What ran on what, and what came of it.

    Attributes:
        weights: name or file.
        network: class and encoder.
        dataset, split: None for frames that belong to no data set.
        frames: how many were predicted; labelled: how many of them had truth.
        frame_sizes: (H, W) of the frames, each once, in order of appearance.
        network_sizes: (H, W) that the network ran at, of each of `frame_sizes`.
        size_hw, fit: the one size that was asked for, and how frames were brought to it; None where none was.
        long_side: that frames were scaled to [px]; None where they weren't.
        label_set: what was scored.
        machine, engine, precision, threads: where and how.
        scores: None without any truth; with iIoU where every truth came with instance ids.
        latency: of every frame.
        warm_up_runs: how many predictions before each new frame size were not counted.
        notes: sentences on the choice of engine, and on what a reader of the figures should know.
        choice: the same choice as data; None where there was nothing to choose.
        first_call_ms: what was done once, see `Predictor.first_call_ms`.
        video: what only a video has; None for pictures and data sets.
    """

    weights: str
    network: str
    dataset: str | None
    split: str | None
    frames: int
    labelled: int
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
    warm_up_runs: int = WARM_UP_RUNS
    notes: list[str] = field(default_factory=list)
    choice: Choice | None = None
    first_call_ms: dict[str, float] = field(default_factory=dict)
    video: "VideoFacts | None" = None


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


SIZE_STEPS = (0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5)  # of frames' long side
SIZE_TOLERANCE = 0.003  # of mIoU, that the smaller and faster one of two sizes may lose


def long_sides_to_try(frame_hw: tuple[int, int]) -> list[int]:
    """Returns long sides [px] around that of frames of (H, W), in rising order."""
    sides = (round(max(frame_hw) * step / GRID) * GRID for step in SIZE_STEPS)
    return [side for side in sides if side >= MIN_SIZE]


def read_sample(reader: Any, index: int) -> EvalSample:
    """Returns a sample of a data set's reader, with instance ids where it has them.

    Raises:
        SegError: it can't be read.
    """
    image_rgb, train_ids = reader.read(index)
    instance_ids = reader.read_instances(index) if train_ids is not None else None
    return EvalSample(reader.samples[index].name, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), train_ids, instance_ids)


def compare_sizes(predictor: Predictor, reader: Any, indices: Sequence[int], *, table: npt.NDArray[np.uint8] | None = None,
                  warm_up_runs: int = WARM_UP_RUNS,
                  track: Callable[[Sequence[int]], Iterable[int]] = iter) -> dict[int, "Result"]:
    """Scores samples of a reader with frames scaled to each of several long sides [px] around their own.

    Args:
        predictor: what is evaluated.
        reader: of the data set.
        indices: which of its samples; the first one's size decides what is tried.
        table: see `evaluate`.
        warm_up_runs: see `evaluate`.
        track: wraps the long sides, to show progress.

    Raises:
        SegError: as `evaluate`, or there is no truth.
    """
    first = read_sample(reader, indices[0])
    if first.train_ids is None:
        raise SegError(f"The split {reader.split!r} has no labels, by which a size could be found.")
    sides = long_sides_to_try((first.frame_bgr.shape[0], first.frame_bgr.shape[1]))
    return {side: evaluate(predictor.at(side), (read_sample(reader, i) for i in indices), reader.label_set, table=table,
                           warm_up_runs=warm_up_runs) for side in track(sides)}


def best_long_side(results: dict[int, Result]) -> int:
    """Returns the smallest long side whose mIoU comes within 0.3 points of the highest.

    Raises:
        SegError: there is no score.
    """
    scores = {side: result.scores.miou for side, result in results.items()
              if result.scores is not None and not np.isnan(result.scores.miou)}
    if not scores:
        raise SegError("At no size is there a pixel with truth, so that none is the best.")
    return min(side for side, miou in scores.items() if miou >= max(scores.values()) - SIZE_TOLERANCE)


def check_same_classes(predictor: Predictor, label_set: LabelSet) -> None:
    """Checks that the predictor tells apart what the label set names, in the same order.

    Raises:
        SegError: it doesn't.
    """
    if label_set.classes != predictor.label_set.classes:
        fitting = [name for name in weights.shipped()
                   if weights.read_description(weights.find(name)).label_set.classes == label_set.classes]
        shipped = f", such as --weights {' or '.join(fitting)}" if fitting else ""
        raise SegError(f"The data's label set {label_set.name!r} has the classes {', '.join(label_set.classes)}; the "
                       f"weights {predictor.weights} predict {', '.join(predictor.label_set.classes)}. Choose weights "
                       f"trained on these classes{shipped}; or, where the data's are coarser, say which of the weights' each one "
                       "is: --class-map YAML.")


def merging_table(label_set: LabelSet, predicted: LabelSet, classes: ClassMap, whose: str) -> npt.NDArray[np.uint8]:
    """Returns a table (256,) from a network's train ids to those of a coarser label set.

    Args:
        label_set: what is scored.
        predicted: the network's.
        classes: which of the network's classes each of `label_set` is: a name or a list of names.
        whose: the label set, in messages.

    Raises:
        SegError: as `map_classes`, or a class of the network has no place.
    """
    table = np.full(256, IGNORE, np.uint8)
    for index, (name, ids) in enumerate(map_classes(label_set.classes, predicted.classes, classes, whose).items()):
        if not ids or (table[list(ids)] != IGNORE).any():
            raise SegError(f"{whose}: no class of the network is left for {name!r}, so that it can't be scored.")
        table[list(ids)] = index
    left = [name for name, index in zip(predicted.classes, table, strict=False) if index == IGNORE]
    if left:
        raise SegError(f"{whose}: the network may predict {', '.join(left)}, which the map gives no place; name each in the "
                       "class that it is scored as.")
    return table


def evaluate(predictor: Predictor, samples: Iterable[EvalSample], label_set: LabelSet,
             on_sample: Callable[[EvalSample, Prediction], None] | None = None, *, dataset: str | None = None,
             split: str | None = None, warm_up_runs: int = WARM_UP_RUNS,
             table: npt.NDArray[np.uint8] | None = None) -> Result:
    """Predicts every sample, times it, and scores it where it has truth.

    Before the first frame of each size, runs that are not counted warm up. Samples may end early, even before the
    first: the result covers what came.

    Args:
        predictor: what is evaluated.
        samples: read as they are needed, one in memory at a time.
        label_set: of the truth; its classes must be the predictor's, unless `table` maps these to them.
        on_sample: called after each sample, outside of the timing.
        dataset: name, for the result.
        split: name, for the result.
        warm_up_runs: how many; 0 where speed is of no interest.
        table: from predicted train ids to the label set's, see `merging_table`; None where they are the same.

    Raises:
        SegError: the label sets differ, or a truth has another size than its frame.
    """
    evaluation = Evaluation(predictor, label_set, dataset=dataset, split=split, warm_up_runs=warm_up_runs, table=table)
    for sample in samples:
        evaluation.warm_up(sample)
        prediction = predictor(sample.frame_bgr)
        evaluation.add(sample, prediction)
        if on_sample is not None:
            on_sample(sample, prediction)
    return evaluation.result()


class Evaluation:
    """Sums up predictions, one after the other, to a result; `evaluate` and the pipeline of videos both fill it.

    Args: as of `evaluate`.

    Raises:
        SegError: the label sets differ.
    """

    def __init__(self, predictor: Predictor, label_set: LabelSet, *, dataset: str | None = None, split: str | None = None,
                 warm_up_runs: int = WARM_UP_RUNS, table: npt.NDArray[np.uint8] | None = None) -> None:
        if table is None:
            check_same_classes(predictor, label_set)
        self._predictor, self._label_set, self._table = predictor, label_set, table
        self._dataset, self._split, self._warm_up_runs = dataset, split, warm_up_runs
        self._confusion, self._instances = np.zeros((len(label_set), len(label_set)), np.int64), InstanceCounts(label_set)
        self._latency, self._sizes, self._labelled = Latency(), dict[tuple[int, int], None](), 0

    def warm_up(self, sample: EvalSample) -> None:
        """Runs what isn't counted, where the sample is the first of its size.

        Raises:
            SegError: a truth has another size than its frame.
        """
        size_hw = (sample.frame_bgr.shape[0], sample.frame_bgr.shape[1])
        for what, truth in (("labels", sample.train_ids), ("instance ids", sample.instance_ids)):
            if truth is not None and truth.shape != size_hw:
                raise SegError(f"{sample.name}: the frame is {size_hw[0]}x{size_hw[1]} and its {what} are "
                               f"{'x'.join(map(str, truth.shape))}; they must agree.")
        if size_hw not in self._sizes:
            for _ in range(self._warm_up_runs):
                self._predictor(sample.frame_bgr)
            self._sizes[size_hw] = None

    def add(self, sample: EvalSample, prediction: Prediction) -> None:
        """Takes over a prediction's latency, and its score where the sample has truth."""
        self._sizes[sample.frame_bgr.shape[0], sample.frame_bgr.shape[1]] = None
        self._latency.add(prediction.latency_ms)
        if sample.train_ids is None:
            return
        predicted = prediction.train_ids if self._table is None else self._table[prediction.train_ids]
        self._confusion += confusion_matrix(sample.train_ids, predicted, len(self._label_set))
        self._labelled += 1
        if sample.instance_ids is not None and self._label_set.instance_sizes:
            self._instances.add(sample.instance_ids, predicted)

    def result(self) -> Result:
        """Returns what came of all samples so far."""
        predictor, description, sizes = self._predictor, self._predictor.description, list(self._sizes)
        labelled, instances = self._labelled, self._instances
        # False positives are counted in every frame: instances of some frames alone would not be comparable with them.
        counted = instances if labelled and instances.frames == labelled else None
        notes = predictor.notes
        if counted is None and instances.frames:
            notes.append(f"iIoU is left out: {instances.frames} of {labelled} frames have instance ids.")
        return Result(
            weights=predictor.weights,
            network=f"{description.network} {description.arguments.get('encoder_name', '')}".strip(),
            dataset=self._dataset, split=self._split, frames=len(self._latency), labelled=labelled, frame_sizes=sizes,
            network_sizes=list(map(predictor.network_size, sizes)), size_hw=predictor.size_hw, long_side=predictor.long_side,
            fit=predictor.fit, label_set=self._label_set, machine=machine.describe(),
            engine=predictor.engine, precision=predictor.precision, threads=predictor.threads,
            scores=Scores.from_confusion(self._confusion, self._label_set, counted) if labelled else None,
            latency=self._latency, warm_up_runs=self._warm_up_runs, notes=notes, choice=predictor.choice,
            first_call_ms=predictor.first_call_ms,
        )
