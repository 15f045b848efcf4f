"""How fast training is on this processor, and where the time goes: ours, a plain loop, and torchvision's.

    python -m benchmarks.training

A step is a batch of random crops from rendered frames that are decoded in memory: augmentation, forward, loss, backward,
optimizer, averaged weights. All contestants do steps in turn, each in a separate process, and ratios are taken within a round.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.measure import Measurement, measure
from benchmarks.output import RESULTS, Steps, publish
from benchmarks.training_loops import STAGES, Job, render, serve
from seg import machine
from seg.cli.common import Parser, run
from seg.document import Block, Document, Origin, Table, Text
from seg.document.words import count
from seg.errors import SegError
from seg.files import check_writable_folder

ENCODERS = {"row 11": "mobilenet_v3_small_rf2", "row 8": "mobilenet_v3_large_rf2"}
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # features of processors that support it
_WARM_UP_STEPS = 3


def jobs_of(root: Path, crop_hw: tuple[int, int], batch_size: int, threads: int, compiled: bool) -> dict[str, Job]:
    """Returns the contestants by name."""
    job = partial(Job, root=str(root), crop_hw=crop_hw, batch_size=batch_size, threads=threads)
    found = dict[str, Job]()
    for row, encoder in ENCODERS.items():
        found[f"{row}, ours"] = job("ours", encoder)
        if any(feature in _BFLOAT16 for feature in machine.describe().cpu_features):
            found[f"{row}, ours, bf16-mixed"] = job("ours", encoder, precision="bf16-mixed")
        found[f"{row}, plain loop"] = job("plain", encoder)
        if compiled:
            found[f"{row}, plain loop, torch.compile"] = job("plain", encoder, compiled=True)
    found["torchvision"] = job("torchvision", "")
    return found


def opponents(names: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the pairs of contestants to compare."""
    pairs = [(f"{row}, ours", other) for row in ENCODERS for other in names if other.startswith(row) and other != f"{row}, ours"]
    return [*pairs, ("row 8, ours", "torchvision")]


def start(job: Job, stack: ExitStack) -> Callable[[], Mapping[str, float]]:
    """Starts a contestant's process; returns a function that does one step."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(job, theirs), daemon=True)
    with patch.dict(os.environ):  # which the process inherits
        if job.way == "ours":
            machine.let_waiting_threads_sleep()  # as train_seg.py does
        process.start()
    theirs.close()
    stack.callback(_end, process, ours)

    def step() -> Mapping[str, float]:
        try:
            ours.send("step")
            stages: Mapping[str, float] = ours.recv()
        except (EOFError, OSError):
            raise SegError(f"The process of {job.way} {job.encoder} has ended; see its output above.") from None
        return stages

    return step


def _end(process: Any, connection: Connection) -> None:
    with suppress(OSError):  # the process has ended already
        connection.send(None)
    process.join(10)
    process.kill()


def document_of(measurement: Measurement, batch_size: int, text: Text, origin: Origin) -> Document:
    """Makes the result: pictures per second, the stages, and the ratios."""
    names = list(measurement.latency_ms)
    rows, ratios = [], []
    for name in names:
        total = measurement.spread(name)
        stages = [f"{measurement.spread(name, stage).median:.0f}" for stage in STAGES]
        rows.append([name, f"{1000 * batch_size / total.median:.1f}", f"{total.median:.0f}", *stages])
    speeds = {}
    for ours, other in opponents(names):
        ratio = measurement.ratio(other, ours)
        speeds[f"{ours} to {other}"] = ratio.to_dict()
        ratios.append([ours, other, f"{ratio.median:.2f}", f"{ratio.q25:.2f} to {ratio.q75:.2f}"])
    blocks: list[Block] = [Text(*origin.sentence()), text,
                           Table.of(("", "pictures a second", "step [ms]", *(f"{stage} [ms]" for stage in STAGES)), rows),
                           Text("How many times as fast, from the ratios within the rounds:"),
                           Table.of(("", "as", "median", "quartiles"), ratios)]
    return Document("Training on a processor", blocks, origin,
                    {"batch_size": batch_size, "times": measurement.to_dict(), "speed_ratios": speeds})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; see the head of this file."""
    parser = Parser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="timed steps of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--crop", type=int, nargs=2, default=[288, 384], metavar=("H", "W"), help="default: 288 384")
    parser.add_argument("--batch", type=int, default=8, help="pictures in a step (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="rendered, of 360x480 (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="also the plain loop with torch.compile, which takes minutes")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    threads = machine.check_threads(arguments.threads)
    if not 1 < arguments.batch <= arguments.frames:
        raise SegError(f"--batch is {arguments.batch}; it must be above 1 and at most --frames, which is {arguments.frames}.")
    if min(arguments.crop) < 32:
        raise SegError(f"--crop is {arguments.crop}; both sides must be at least 32.")
    check_writable_folder(arguments.output)
    origin = Origin.here("python", "-m", "benchmarks.training", *(sys.argv[1:] if argv is None else argv))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        render(Path(folder), arguments.frames, (360, 480))
        jobs = jobs_of(Path(folder), tuple(arguments.crop), arguments.batch, threads, arguments.compile)
        contestants = {name: start(job, stack) for name, job in jobs.items()}
        with Steps(len(jobs) * (arguments.rounds + _WARM_UP_STEPS)) as steps:
            measurement = measure(contestants, arguments.rounds, warm_up_runs=_WARM_UP_STEPS, on_run=steps.done)
    text = Text(f"{arguments.batch} crops of {arguments.crop[0]}x{arguments.crop[1]} a step, 19 classes, "
                f"{count(threads, 'thread')}, float32 unless stated otherwise; medians of {arguments.rounds} steps.")
    document = document_of(measurement, arguments.batch, text, origin)
    publish(arguments.output, "training", document)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
