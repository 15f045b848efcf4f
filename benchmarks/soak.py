"""Runs a video in a loop for half an hour: does it stay as fast, and does nothing grow? `python -m benchmarks.soak --minutes 30`.

Frames are read from a file, labelled and drawn over, as in `infer.py --video`. The exit code is 1 if resident memory
grew by 2% or more after the first tenth of the time, if the number of open files or threads grew, or if the 99th percentile of
the last sixth is more than 20% above that of the first.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.output import RESULTS, Steps, publish
from benchmarks.soak_course import Course, Look, document_of
from datasets.scenes.catalog import catalog
from datasets.scenes.write import write_video
from seg.cli.common import Parser, run
from seg.document import Origin
from seg.document.words import count
from seg.errors import SegError
from seg.files import check_writable_folder
from seg.flow import Segmented
from seg.runtime import Predictor
from seg.video import Painter, open_source, segment
from seg.video.pipeline import TRIED_FRAMES
from seg.weights import DEFAULT

OWN = Path("/proc/self")
LOOK_EVERY_S = 1.0


def soak(predictor: Predictor, video: Path, minutes: float, steps: Steps) -> Course:
    """Labels a video again and again; it is opened again each time."""
    course, painter, start_s, looked_s = Course(), Painter(predictor.label_set), None, 0.0
    for item in _again(video, predictor):
        painter(item)
        start_s = start_s or time.monotonic()  # after the warm-up
        now_s = time.monotonic() - start_s
        course.seconds.append(now_s)
        course.latency_ms.append(item.latency_ms["total"])
        if not course.looks or now_s - looked_s >= LOOK_EVERY_S or now_s > 60 * minutes:
            looked_s = now_s
            course.looks.append(Look(now_s, _memory_mib(), len(os.listdir(OWN / "fd")), len(os.listdir(OWN / "task"))))
        if int(now_s // 60) > steps.count:
            steps.done("minutes")
        if now_s > 60 * minutes:
            return course
    raise AssertionError("an endless loop has ended")


def _memory_mib() -> float:
    return int((OWN / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _again(video: Path, predictor: Predictor) -> Iterator[Segmented]:
    while True:
        yield from segment(video, predictor)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; see the head of this file."""
    parser = Parser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="(default: %(default)s)")
    parser.add_argument("--video", type=Path, metavar="FILE", help="default: a rendered drive of 100 frames of 512x1024")
    parser.add_argument("--weights", default=DEFAULT, metavar="NAME|FILE", help="(default: %(default)s)")
    parser.add_argument("--engine", default="auto", help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="(default: all cores)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="where soak.md, soak.json, soak.html and "
                        "soak.png go (default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    if not OWN.is_dir():
        raise SegError("Memory, files and threads are read from /proc, which only Linux has.")
    if not 0 < arguments.minutes < float("inf"):
        raise SegError(f"--minutes is {arguments.minutes:g}; it must be above 0.")
    check_writable_folder(arguments.output)
    origin = Origin.here("python", "-m", "benchmarks.soak", *(sys.argv[1:] if argv is None else argv))
    predictor = Predictor.load(arguments.weights, arguments.engine, threads=arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video
        if video is None:
            video = Path(folder) / "drive.mp4"
            write_video(video, catalog(), 100, (512, 1024), seed=12)
        predictor.choose(open_source(str(video)).preview(TRIED_FRAMES), complete=True)
        for item in islice(_again(video, predictor), 3):  # compiles for the size
            size_hw = item.train_ids.shape
        with Steps(int(arguments.minutes)) as steps:
            course = soak(predictor, video, arguments.minutes, steps)
    what = f"{predictor.weights}, {predictor.engine}, {predictor.precision}, {count(predictor.threads, 'thread')}, frames of " \
           f"{size_hw[0]}x{size_hw[1]}"
    document = document_of(course, what, {"weights": predictor.weights, "engine": predictor.engine,
                                          "precision": predictor.precision, "threads": predictor.threads,
                                          "size_hw": list(size_hw)}, origin)
    publish(arguments.output, "soak", document)
    return 0 if all(check.kept for check in course.checks()) else 1


if __name__ == "__main__":
    sys.exit(run(main))
