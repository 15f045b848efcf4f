"""Runs a predictor over samples: one result with scores, latencies, and a description of the run."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seg import machine, weights
from seg.boundaries import BoundaryCounts
from seg.calibration import CalibrationCounts
from seg.errors import SegError
from seg.label_sets import IGNORE, ClassMap, LabelSet, map_classes
from seg.latency import TOTAL, Latency, WarmUp, warm_up
from seg.metrics import InstanceCounts, Scores, confusion_matrix, frame_miou
from seg.result import FrameRecord, Result, Variant
from seg.runtime import Prediction, Predictor

LATER_WARM_UP_RUNS = 2  # for a size that isn't the first: one run compiles, one fills caches; the machine is warm already


@dataclass(frozen=True)
class EvalSample:
    """One frame of a data set, a folder or a video.

    Attributes:
        name: the sample's name there.
        frame_bgr: (H, W, 3) uint8.
        train_ids: (H, W) uint8 truth of the same size, 255 doesn't count; None without truth.
        instance_ids: (H, W) uint16 of the same size, label id x 1000 + number; None if there are none.
        time, duration: in a video, when it is shown and for how long [s].
        captured_s: when the camera gave it, or when it was decoded, by `time.perf_counter`.
    """

    name: str
    frame_bgr: npt.NDArray[np.uint8]
    train_ids: npt.NDArray[np.uint8] | None = None
    instance_ids: npt.NDArray[np.uint16] | None = None
    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    captured_s: float = 0.0


def read_sample(reader: Any, index: int) -> EvalSample:
    """Returns a sample from a data set's reader, with instance ids if it has them.

    Raises:
        SegError: it can't be read.
    """
    image_rgb, train_ids = reader.read(index)
    instance_ids = reader.read_instances(index) if train_ids is not None else None
    return EvalSample(reader.samples[index].name, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), train_ids, instance_ids)


def check_same_classes(predictor: Predictor, label_set: LabelSet) -> None:
    """Checks that the predictor has the classes of the label set, in the same order.

    Raises:
        SegError: it doesn't have them.
    """
    if label_set.classes != predictor.label_set.classes:
        fitting = [name for name in weights.shipped()
                   if weights.read_description(weights.find(name)).label_set.classes == label_set.classes]
        shipped = f", such as --weights {' or '.join(fitting)}" if fitting else ""
        raise SegError(f"The data's label set {label_set.name!r} has the classes {', '.join(label_set.classes)}; the "
                       f"weights {predictor.weights} predict {', '.join(predictor.label_set.classes)}. Choose weights "
                       f"trained on these classes{shipped}; or, if the data's classes are coarser, map the weights' classes "
                       "to them: --class-map YAML.")


def merging_table(label_set: LabelSet, predicted: LabelSet, classes: ClassMap, whose: str) -> npt.NDArray[np.uint8]:
    """Returns a table (256,) from a network's train ids to those of a coarser label set.

    Args:
        label_set: the label set for scoring.
        predicted: the label set of the network.
        classes: for each class of `label_set`, the network's classes in it: a name or a list of names.
        whose: name of the label set in messages.

    Raises:
        SegError: see `map_classes`; or a class of the network isn't mapped.
    """
    table = np.full(256, IGNORE, np.uint8)
    for index, (name, ids) in enumerate(map_classes(label_set.classes, predicted.classes, classes, whose).items()):
        if not ids or (table[list(ids)] != IGNORE).any():
            raise SegError(f"{whose}: no class of the network is left for {name!r}, so it can't be scored.")
        table[list(ids)] = index
    left = [name for name, index in zip(predicted.classes, table, strict=False) if index == IGNORE]
    if left:
        raise SegError(f"{whose}: the network may predict {', '.join(left)}, which the map doesn't contain; list each one in the "
                       "class as which it is scored.")
    return table


OnSample = Callable[[EvalSample, Prediction, FrameRecord], None]


def evaluate(predictor: Predictor, samples: Iterable[EvalSample], label_set: LabelSet, on_sample: OnSample | None = None, *,
             dataset: str | None = None, split: str | None = None, warm_up_runs: int | None = None,
             table: npt.NDArray[np.uint8] | None = None, thorough: bool = False,
             variants: Mapping[str, Predictor] | None = None) -> Result:
    """Predicts every sample, times it, and scores it where it has truth.

    Before the first frame of each size there are warm-up runs, which don't count. Samples may end early, even before the
    first: the result covers those that came.

    Args:
        predictor: the predictor to evaluate.
        samples: read when they are needed, one in memory at a time.
        label_set: of the truth; its classes must be the predictor's, unless `table` maps the predictor's to them.
        on_sample: called after each sample; this is not timed.
        dataset: name, for the result.
        split: name, for the result.
        warm_up_runs: number of warm-up runs; None for as many as needed, 0 if speed doesn't matter.
        table: maps predicted train ids to the label set's, see `merging_table`; None if they are the same.
        thorough: whether boundaries, calibration, parameters and multiply-adds are computed, too.
        variants: the same network in other ways, by name; each frame goes through all of them, one after the other.

    Raises:
        SegError: the label sets differ, or a truth has another size than its frame.
    """
    made = {name: Evaluation(one, label_set, warm_up_runs=warm_up_runs, table=table) for name, one in (variants or {}).items()}
    evaluation = Evaluation(predictor, label_set, dataset=dataset, split=split, warm_up_runs=warm_up_runs, table=table,
                            thorough=thorough)
    for sample in samples:
        prediction, record = evaluation.predict(sample)
        for other in made.values():
            other.predict(sample)
        if on_sample is not None:
            on_sample(sample, prediction, record)
    return replace(evaluation.result(), variants=[one.variant(name) for name, one in made.items() if len(one)])


class Evaluation:
    """Accumulates predictions, one after the other, into a result; used by `evaluate` and by the video pipeline.

    Args: see `evaluate`.

    Attributes:
        warm_ups: warm-up runs, which don't count.

    Raises:
        SegError: the label sets differ.
    """

    def __init__(self, predictor: Predictor, label_set: LabelSet, *, dataset: str | None = None, split: str | None = None,
                 warm_up_runs: int | None = None, table: npt.NDArray[np.uint8] | None = None, thorough: bool = False) -> None:
        if table is None:
            check_same_classes(predictor, label_set)
        self._predictor, self._label_set, self._table = predictor, label_set, table
        self._dataset, self._split, self._warm_up_runs, self._thorough = dataset, split, warm_up_runs, thorough
        self._confusion, self._instances = np.zeros((len(label_set), len(label_set)), np.int64), InstanceCounts(label_set)
        self._boundaries = BoundaryCounts(label_set) if thorough else None
        # If classes are merged, a confidence belongs to one of them but a label to all.
        self._calibration = CalibrationCounts() if thorough and predictor.confidence and table is None else None
        self._latency, self._sizes = Latency(), dict[tuple[int, int], None]()
        self._records, self.warm_ups = list[FrameRecord](), list[WarmUp]()
        self._load: machine.OtherLoad | None = None
        self._begun, self._start_s = False, 0.0

    def __len__(self) -> int:
        return len(self._records)

    def predict(self, sample: EvalSample) -> tuple[Prediction, FrameRecord]:
        """Predicts a sample and adds it; warms up first if the sample is the first of its size.

        Raises:
            SegError: a truth has another size than its frame.
        """
        self._warm_up(sample)
        self.begin()
        began_s = time.perf_counter()
        prediction = self._predictor(sample.frame_bgr)
        return prediction, self.add(sample, prediction, began_s)

    def begin(self) -> None:
        """Starts to observe other load on the machine, if speed matters; called before the first frame that counts."""
        if not self._begun:
            self._begun, self._start_s = True, time.perf_counter()
            self._load = None if self._warm_up_runs == 0 else machine.OtherLoad()

    def _warm_up(self, sample: EvalSample) -> None:
        size_hw = (sample.frame_bgr.shape[0], sample.frame_bgr.shape[1])
        for what, truth in (("labels", sample.train_ids), ("instance ids", sample.instance_ids)):
            if truth is not None and truth.shape != size_hw:
                raise SegError(f"{sample.name}: the frame is {size_hw[0]}x{size_hw[1]} and its {what} are "
                               f"{'x'.join(map(str, truth.shape))}; they must agree.")
        if size_hw not in self._sizes and self._warm_up_runs != 0:
            runs = LATER_WARM_UP_RUNS if self._sizes and self._warm_up_runs is None else self._warm_up_runs
            self.warm_ups.append(warm_up(lambda: self._predictor(sample.frame_bgr).latency_ms[TOTAL], size_hw, runs))
        self._sizes[size_hw] = None

    def add(self, sample: EvalSample, prediction: Prediction, began_s: float) -> FrameRecord:
        """Adds a prediction's latency, and its score if the sample has truth.

        Args:
            sample: the predicted sample.
            prediction: its prediction.
            began_s: when the prediction began, by `time.perf_counter`.
        """
        size_hw = (sample.frame_bgr.shape[0], sample.frame_bgr.shape[1])
        self._sizes[size_hw] = None
        self._latency.add(prediction.latency_ms, size_hw)
        record = FrameRecord(sample.name, size_hw, began_s - self._start_s, prediction.latency_ms)
        if sample.train_ids is not None:
            confusion = self._score(sample, sample.train_ids, prediction)
            record = replace(record, confusion=confusion, miou=frame_miou(confusion))
        self._records.append(record)
        return record

    def _score(self, sample: EvalSample, truth: npt.NDArray[np.uint8], prediction: Prediction) -> npt.NDArray[np.int64]:
        predicted = prediction.train_ids if self._table is None else self._table[prediction.train_ids]
        confusion = confusion_matrix(truth, predicted, len(self._label_set))
        self._confusion += confusion
        if sample.instance_ids is not None and self._label_set.instance_sizes:
            self._instances.add(sample.instance_ids, predicted)
        if self._boundaries is not None:
            self._boundaries.add(truth, predicted)
        if self._calibration is not None and prediction.confidence is not None:
            self._calibration.add(truth, predicted, prediction.confidence)
        return confusion

    def variant(self, name: str) -> Variant:
        """Returns a short result of all samples so far, at least one."""
        result = self.result()
        miou = None if result.scores is None or math.isnan(result.scores.miou) else result.scores.miou
        summary = result.latency.summary()
        return Variant(name, result.network_sizes[0], miou, {what: summary[what] for what in ("p50", "p90", "p99", "mean")})

    def result(self) -> Result:
        """Returns the result of all samples so far."""
        predictor, description, sizes = self._predictor, self._predictor.description, list(self._sizes)
        instances = self._instances
        labelled = sum(record.confusion is not None for record in self._records)
        # False positives are counted in every frame: if only some frames had instances, the two would not be comparable.
        counted = instances if labelled and instances.frames == labelled else None
        notes = predictor.notes
        if counted is None and instances.frames:
            notes.append(f"iIoU is left out: {instances.frames} of {labelled} frames have instance ids.")
        if predictor.confidence and self._records:
            notes.append("The latencies include confidence, which takes several times as long as labels alone.")
        others = self._load.cores() if self._load is not None else None
        return Result(
            weights=predictor.weights,
            network=f"{description.network} {description.arguments.get('encoder_name', '')}".strip(),
            dataset=self._dataset, split=self._split, frame_sizes=sizes,
            network_sizes=list(map(predictor.network_size, sizes)), size_hw=predictor.size_hw, long_side=predictor.long_side,
            fit=predictor.fit, way=str(predictor.way), label_set=self._label_set, machine=machine.describe(),
            engine=predictor.engine, precision=predictor.precision, threads=predictor.threads,
            scores=Scores.from_confusion(self._confusion, self._label_set, counted) if labelled else None,
            confusion=self._confusion.copy() if labelled else None,
            latency=self._latency, warm_ups=self.warm_ups, records=self._records,
            steadiness=self._latency.steadiness(self.warm_ups, others) if self._records else None,
            boundaries=self._boundaries.scores() if self._boundaries is not None and labelled else None,
            calibration=self._calibration.result() if self._calibration is not None else None,
            parameters=predictor.parameters if self._thorough else None,
            multiply_adds=predictor.multiply_adds(sizes[0]) if self._thorough and sizes else None,
            first_frame_ms=predictor.first_frame_ms, peak_memory_mib=machine.peak_memory_mib(),
            notes=notes, choice=predictor.choice, first_call_ms=predictor.first_call_ms,
        )
