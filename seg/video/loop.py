"""The loop between source and sink: predict, draw, hand on; with honest speeds."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seg.evaluate import EvalSample, Result, evaluate
from seg.files import UInt8Array
from seg.runtime import Prediction, Predictor
from seg.video.sink import Sink, Window
from seg.visualize import colorize, legend, overlay, write_text_on


@dataclass(frozen=True)
class VideoRun:
    """What became of a video.

    Attributes:
        result: latencies of the predictor alone.
        busy_s: seconds for reading, predicting, drawing and writing all frames; without warming up and waiting.
        closed: whether the sink wanted no more, as when the user closed the window.
    """

    result: Result
    busy_s: float
    closed: bool

    @property
    def frames_per_second(self) -> float:
        """From reading to writing."""
        return self.result.frames / self.busy_s if self.busy_s else 0.0

    @property
    def predictor_frames_per_second(self) -> float:
        """Of the predictor alone, by its mean latency."""
        summary = self.result.latency.summary()
        return 1000 / float(summary["mean"]) if summary else 0.0


def segment_video(predictor: Predictor, frames: Iterable[UInt8Array], sink: Sink,
                  show: Literal["overlay", "color"] = "overlay",
                  on_frame: Callable[[EvalSample, Prediction], None] | None = None) -> VideoRun:
    """Segments frames (H, W, 3) BGR until they or the sink end. Opens and closes neither.

    Args:
        predictor: segments each frame.
        frames: one after the other.
        sink: takes the pictures; a window gets speed and legend drawn in.
        show: the colours blended over the frame, or alone.
        on_frame: called with each frame and its prediction.
    """
    closed = False
    yielded_s, warm_up_s = 0.0, 0.0
    stamps = deque[float](maxlen=31)

    def samples() -> Iterator[EvalSample]:
        nonlocal yielded_s
        for number, frame in enumerate(frames):
            yielded_s = time.perf_counter()
            yield EvalSample(f"frame {number}", frame)
            if closed:
                return

    def hand_on(sample: EvalSample, prediction: Prediction) -> None:
        nonlocal closed, warm_up_s
        stamps.append(time.perf_counter())
        if sample.name == "frame 0":  # `evaluate` ran it some more times before
            warm_up_s = stamps[-1] - yielded_s - prediction.latency_ms["total"] / 1000
        picture = (overlay(sample.frame_bgr, prediction.train_ids, predictor.label_set) if show == "overlay" else
                   colorize(prediction.train_ids, predictor.label_set))
        if isinstance(sink, Window):
            if len(stamps) > 1:
                speed = (len(stamps) - 1) / (stamps[-1] - stamps[0])
                write_text_on(picture, f"{speed:.1f} frames/s   {prediction.latency_ms['total']:.1f} ms")
            picture = np.vstack([picture, legend(predictor.label_set, picture.shape[1])])
        closed = not sink.write(picture)
        if on_frame is not None:
            on_frame(sample, prediction)

    start_s = time.perf_counter()
    result = evaluate(predictor, samples(), predictor.label_set, hand_on)
    return VideoRun(result, time.perf_counter() - start_s - warm_up_s - sink.waited_s, closed)
