"""A video in a loop for half an hour: does it stay as fast, and does nothing grow? `python -m benchmarks.soak --minutes 30`.

Frames are read from a file, labelled and drawn over, as in `infer.py --video`. It ends with exit code 1 where resident memory
grew by 2% or more after the first tenth, where open files or threads became more, or where the 99th percentile of the last
sixth of the time lies more than 20% above that of the first.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from datasets.scenes.catalog import catalog
from datasets.scenes.write import write_video
from seg.cli.common import Parser, run
from seg.errors import SegError
from seg.flow import Segmented
from seg.runtime import Predictor
from seg.video import open_source, segment
from seg.video.pipeline import TRIED_FRAMES
from seg.visualize import overlay
from seg.weights import DEFAULT

OWN = Path("/proc/self")
MOST_GROWTH, MOST_SLOWER = 0.02, 0.20
SETTLED, COMPARED = 0.1, 1 / 6  # parts of the time: before memory is looked at, and at both ends for the latency


@dataclass
class Course:
    """What was seen, each once per frame: seconds since the start, latency [ms], resident memory [MiB], open files, threads."""

    seconds: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Returns a sentence for each thing that did not stay level."""
        share = np.array(self.seconds) / self.seconds[-1]
        settled = int(np.searchsorted(share, SETTLED))
        first, last = (np.percentile(np.array(self.latency_ms)[part], 99) for part in (share <= COMPARED, share >= 1 - COMPARED))
        found = []
        if self.memory_mib[-1] >= self.memory_mib[settled] * (1 + MOST_GROWTH):
            found.append(f"Memory grew from {self.memory_mib[settled]:.0f} to {self.memory_mib[-1]:.0f} MiB.")
        for what, counts in (("Open files", self.files), ("Threads", self.threads)):
            if max(counts[-10:]) > max(counts[: settled + 10]):
                found.append(f"{what} rose from {max(counts[: settled + 10])} to {max(counts[-10:])}.")
        if last > first * (1 + MOST_SLOWER):
            found.append(f"The 99th percentile rose from {first:.1f} to {last:.1f} ms.")
        return found

    def __str__(self) -> str:
        share = np.array(self.seconds) / self.seconds[-1]
        first, last = (np.percentile(np.array(self.latency_ms)[part], 99) for part in (share <= COMPARED, share >= 1 - COMPARED))
        settled = int(np.searchsorted(share, SETTLED))
        return (f"{len(self.seconds)} frames in {self.seconds[-1] / 60:.1f} min: memory {self.memory_mib[settled]:.0f} to "
                f"{self.memory_mib[-1]:.0f} MiB, open files {self.files[settled]} to {self.files[-1]}, threads "
                f"{self.threads[settled]} to {self.threads[-1]}, 99th percentile {first:.1f} to {last:.1f} ms")


def soak(predictor: Predictor, video: Path, minutes: float) -> Course:
    """Labels a video again and again, opened anew each time."""
    course, start = Course(), time.monotonic()
    for item in _again(video, predictor):
        overlay(item.frame_bgr, item.train_ids, predictor.label_set)
        course.seconds.append(time.monotonic() - start)
        course.latency_ms.append(item.latency_ms["total"])
        course.memory_mib.append(int((OWN / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
        course.files.append(len(os.listdir(OWN / "fd")))
        course.threads.append(len(os.listdir(OWN / "task")))
        if course.seconds[-1] > 60 * minutes:
            break
    return course


def _again(video: Path, predictor: Predictor) -> Iterator[Segmented]:
    while True:
        yield from segment(video, predictor)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="(default: %(default)s)")
    parser.add_argument("--video", type=Path, metavar="FILE", help="default: a rendered drive of 100 frames of 512x1024")
    parser.add_argument("--weights", default=DEFAULT, metavar="NAME|FILE", help="(default: %(default)s)")
    parser.add_argument("--engine", default="auto", help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="(default: all cores)")
    arguments = parser.parse_args(argv)
    if not OWN.is_dir():
        raise SegError("Memory, files and threads are read from /proc, which is Linux's alone.")
    predictor = Predictor.load(arguments.weights, arguments.engine, threads=arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video
        if video is None:
            video = Path(folder) / "drive.mp4"
            write_video(video, catalog(), 100, (512, 1024), seed=12)
        predictor.choose(open_source(str(video)).preview(TRIED_FRAMES), complete=True)
        for _ in islice(_again(video, predictor), 3):
            pass  # compiles for the size
        course = soak(predictor, video, arguments.minutes)
    print(f"{arguments.weights}, {predictor.engine} {predictor.precision}, {predictor.threads} threads: {course}")
    for fault in course.faults():
        print(fault)
    return 1 if course.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
