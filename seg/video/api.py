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
    """Segments a video; decoding and the network go on in threads while you work on a frame.

    Of a file every frame comes, in order; of a camera or stream the newest one, and `dropped` counts what was lost. Leaving the
    loop early ends all threads.

    Args:
        source: a file, a folder of pictures, the index of a camera ("0"), a URL, or what `open_source` made.
        predictor: segments the frames.
        mode: "latency": each frame by all threads of the predictor; "throughput": a frame for each of them, so many at once.
        limit: at most so many frames.
        smooth: whether scores are blended over time where the picture stays the same, so that labels flicker less.

    Yields:
        Frames with `frame_bgr`, `train_ids`, `time_s`, `latency_ms`.

    Raises:
        SegError: the source isn't there or is no video; and at the end, if it is cut off or damaged.
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
        source: as of `segment`.
        output: ends in .mp4, .mov (H.264), .mkv or .webm (VP9).
        weights: name of shipped weights, or a file.
        predictor: instead of weights, one that is loaded already.
        show: the colours blended over the frames ("overlay"), or alone ("color").
        mode: as of `segment`.
        limit: as of `segment`.
        smooth: as of `segment`.
        overwrite: whether an output that is there is replaced.
        sinks: take the frames too.
        stop: looked at between frames; True ends the video there.
        on_frame: called with each frame. If it raises, what was written is kept as NAME_partial.SUFFIX.
        settings: of `Predictor.load`, such as `engine` and `threads`.

    Returns:
        Latencies and speeds; `fault` says if the source is cut off or damaged, for what could be read is kept.

    Raises:
        SegError: source or output can't be, or writing fails.
    """
    opened = open_source(source) if isinstance(source, str | Path) else source
    predictor = predictor or Predictor.load(weights, **settings)
    file = VideoFile(output, Painter(predictor.label_set, show), overwrite=overwrite)
    return run(opened, predictor, [file, *sinks], mode=mode, limit=limit, smooth=smooth, stop=stop, on_frame=on_frame)
