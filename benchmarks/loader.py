"""How many training samples a second the loader prepares: from files, from a cache on disk, and from memory.

    python -m benchmarks.loader

Frames are rendered at full size and cropped, with and without augmentation, in one process and one thread; each worker of a
loader works like this. All ways prepare a batch in turn, and ratios are taken within a round. Files and cache are in the
system's file cache, so that the work is compared and not the disk.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement, measure
from benchmarks.output import RESULTS, Steps, publish
from benchmarks.training_loops import render
from seg.cli.common import Parser, parse_size, run
from seg.document import Document, Origin, Table, Text
from seg.errors import SegError
from seg.files import check_writable_folder

PLAIN: Mapping[str, Any] = {"scale_range": (1, 1), "flip": False, "color_jitter": 0}
AUGMENTATIONS: Mapping[str, Mapping[str, Any]] = {"crop alone": PLAIN, "augmented": {}}  # {}: the module's default
WAYS = ("files", "cache on disk", "memory")


def loaders(root: Path, cache: Path, crop_hw: tuple[int, int], batch_size: int) -> dict[str, Callable[[], Any]]:
    """Returns functions that prepare a batch, by name of the way; the cache is written first.

    Raises:
        SegError: a frame can't be read, or the cache can't be written.
    """
    from datasets.cache.__main__ import main as write_cache
    from datasets.module import SegmentationData

    if write_cache([str(root), "--dataset", "cityscapes", "--output", str(cache)]):
        raise SegError("The cache couldn't be written; see the reason above.")
    found = dict[str, Callable[[], Any]]()
    for augmentation, settings in AUGMENTATIONS.items():
        places: tuple[bool | str, ...] = (False, str(cache), "memory")
        for way, place in zip(WAYS, places, strict=True):
            data = SegmentationData(str(root), "cityscapes", crop_hw, batch_size, workers=0, cache=place, **settings)
            found[f"{augmentation}, {way}"] = _batches(data).__next__
    return found


def _batches(data: Any) -> Iterator[Any]:
    loader = data.train_dataloader()
    while True:
        yield from loader


def _prepare(batch_of: Callable[[], Any]) -> None:
    batch_of()


def document_of(measurement: Measurement, batch_size: int, text: Text, origin: Origin) -> Document:
    """Makes the result: samples per second, and the ratio to files."""
    rows, ratios = [], {}
    for name in measurement.latency_ms:
        spread, files = measurement.spread(name), f"{name.partition(',')[0]}, {WAYS[0]}"
        ratio = measurement.ratio(files, name)
        ratios[name] = ratio.to_dict()
        rows.append([name, f"{1000 * batch_size / spread.median:.1f}", f"{spread.median / batch_size:.2f}",
                     f"{ratio.median:.2f}", f"{ratio.q25:.2f} to {ratio.q75:.2f}"])
    table = Table.of(("", "samples a second", "a sample [ms]", "times as many as from files", "quartiles"), rows)
    return Document("The loader", [Text(*origin.sentence()), text, table], origin,
                    {"batch_size": batch_size, "times": measurement.to_dict(), "speed_ratios": ratios})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; see the head of this file."""
    parser = Parser(prog="python -m benchmarks.loader", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="timed batches of each (default: %(default)s)")
    parser.add_argument("--crop", type=int, nargs=2, default=[768, 768], metavar=("H", "W"), help="default: 768 768")
    parser.add_argument("--batch", type=int, default=4, help="samples in a batch (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=8, help="number of rendered frames (default: %(default)s)")
    parser.add_argument("--size", type=parse_size, default=(1024, 2048), metavar="HxW", help="of the frames (default: 1024x2048)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.batch <= arguments.frames:
        raise SegError(f"--batch is {arguments.batch}; it must be at least 1 and at most --frames, which is {arguments.frames}.")
    check_writable_folder(arguments.output)
    origin = Origin.here("python", "-m", "benchmarks.loader", *(sys.argv[1:] if argv is None else argv))
    import torch  # imported here, because it takes seconds, and an error in the options should be reported at once

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "frames"
            render(root, arguments.frames, arguments.size)
            ways = loaders(root, Path(folder) / "cache", tuple(arguments.crop), arguments.batch)
            contestants = {name: partial(_prepare, batch_of) for name, batch_of in ways.items()}
            with Steps(len(ways) * (arguments.rounds + 2)) as steps:
                measurement = measure(contestants, arguments.rounds, on_run=steps.done)
    finally:
        torch.set_num_threads(before)
    text = Text(f"Crops of {arguments.crop[0]}x{arguments.crop[1]} of {arguments.frames} frames of {arguments.size[0]}x"
                f"{arguments.size[1]}, batches of {arguments.batch}, one thread; medians of {arguments.rounds} batches.")
    document = document_of(measurement, arguments.batch, text, origin)
    publish(arguments.output, "loader", document)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
