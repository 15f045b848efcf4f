"""Video from Python: frame by frame, or a whole file in one call."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seg.flow import Segmented, Sink, Source
from seg.runtime import Predictor
from seg.video.draw import Painter, Show
from seg.video.encode import VideoFile
from seg.video.pipeline import Mode, Pipeline, VideoRun, run
from seg.video.source import open_source
from seg.weights import DEFAULT


def segment(source: Source | str | Path, predictor: Predictor, *, mode: Mode = "latency",
            limit: int | None = None, smooth: bool = False) -> Iterator[Segmented]:
    """Segments a video; decoding and the network run in threads while you work on a frame.

    A file gives every frame, in order. A camera or stream gives the newest frame, and `dropped` counts the lost ones. Leaving the
    loop early ends all threads.

    Args:
        source: a file, a folder of pictures, the index of a camera ("0"), a URL, or what `open_source` made.
        predictor: segments the frames.
        mode: "latency": all threads of the predictor work on one frame; "throughput": each thread works on its own frame.
        limit: the largest number of frames.
        smooth: whether scores are blended over time where the picture stays the same, so that labels flicker less.

    Yields:
        Frames with `frame_bgr`, `train_ids`, `time_s`, `latency_ms`.

    Raises:
        SegError: the source doesn't exist or is not a video; and at the end, if it is cut off or damaged.
    """
    opened = open_source(source) if isinstance(source, str | Path) else source
    pipeline = Pipeline(opened, predictor, mode=mode, limit=limit, smooth=smooth)
    yield from pipeline
    if pipeline.reached_end:
        opened.check_end()


def segment_file(source: Source | str | Path, output: str | Path, *, weights: str | Path = DEFAULT,
                 predictor: Predictor | None = None, show: Show = "overlay", mode: Mode = "latency", limit: int | None = None,
                 smooth: bool = False, overwrite: bool = False, sinks: Sequence[Sink] = (),
                 stop: Callable[[], bool] = lambda: False,
                 on_frame: Callable[[Segmented], None] = lambda item: None, **settings: Any) -> VideoRun:
    """Writes a video with the labels drawn in: same times, rotation and sound.

    Args:
        source: see `segment`.
        output: ends in .mp4, .mov (H.264), .mkv or .webm (VP9).
        weights: the name of shipped weights, or a file.
        predictor: a loaded predictor, instead of weights.
        show: the colours blended over the frames ("overlay"), or the colours alone ("color").
        mode: see `segment`.
        limit: see `segment`.
        smooth: see `segment`.
        overwrite: whether an existing output is replaced.
        sinks: further sinks that also take the frames.
        stop: called between frames; True ends the video there.
        on_frame: called with each frame. If it raises, the part written so far is kept as NAME_partial.SUFFIX.
        settings: passed to `Predictor.load`, such as `engine` and `threads`.

    Returns:
        Latencies and speeds. If the source is cut off or damaged, `fault` says so: the readable part is still written.

    Raises:
        SegError: the source can't be read or the output can't be written.
    """
    opened = open_source(source) if isinstance(source, str | Path) else source
    predictor = predictor or Predictor.load(weights, **settings)
    file = VideoFile(output, Painter(predictor.label_set, show), overwrite=overwrite)
    return run(opened, predictor, [file, *sinks], mode=mode, limit=limit, smooth=smooth, stop=stop, on_frame=on_frame)
