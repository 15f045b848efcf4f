"""How real the procedural scenes look to a network that has seen only real streets, and how fast they are rendered.

    python -m benchmarks.scenes [--frames N] [--size HxW] [--seed S] [--weights camvid_small_scratch]

A network that was trained on CamVid's real frames predicts frames of scenes. Its 11 classes are compared with the scenes' 19
by CamVid's own grouping; classes without a counterpart don't count. Rendering is timed on one core, without writing files.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import Spread
from benchmarks.output import RESULTS, Steps, publish
from datasets.scenes.catalog import catalog
from datasets.scenes.renderer import Renderer
from datasets.scenes.street import Street
from datasets.scenes.write import check_size
from seg.cli.common import Parser, parse_size, run
from seg.document import Block, Code, Document, Origin, Table, Text
from seg.errors import SegError
from seg.files import check_writable_folder
from seg.label_sets import CAMVID, CITYSCAPES, IGNORE
from seg.metrics import Scores, confusion_matrix
from seg.runtime import Predictor

# CamVid counts walls as buildings, traffic lights as signs, and lorries and rail vehicles as cars.
COUNTERPARTS = {
    "road": "road", "sidewalk": "pavement", "building": "building", "wall": "building", "fence": "fence", "pole": "pole",
    "traffic light": "sign", "traffic sign": "sign", "vegetation": "tree", "sky": "sky", "person": "pedestrian",
    "rider": "bicyclist", "car": "car", "truck": "car", "bus": "car", "train": "car", "motorcycle": "bicyclist",
    "bicycle": "bicyclist",
}


def to_camvid() -> np.ndarray:
    """Returns a table (256,) uint8 from the scenes' label ids to CamVid's train ids; 255 if there is no counterpart."""
    table = np.full(256, IGNORE, np.uint8)
    for name, label_id in zip(CITYSCAPES.classes, CITYSCAPES.label_ids, strict=True):
        if name in COUNTERPARTS:
            table[label_id] = CAMVID.classes.index(COUNTERPARTS[name])
    return table


def measure(weights: str, frames: int, size_hw: tuple[int, int], seed: int) -> tuple[Scores, Spread]:
    """Returns the network's scores on scenes, and the time of one scene from seed to picture and labels [ms].

    Raises:
        SegError: the network doesn't know CamVid's classes.
    """
    predictor = Predictor.load(weights, engine="openvino", precision="fp32", size="own")
    if predictor.label_set.classes != CAMVID.classes:
        raise SegError(f"{weights} predicts {', '.join(predictor.label_set.classes)}; this needs CamVid's classes.")
    renderer, table = Renderer(catalog().library, size_hw), to_camvid()
    renderer.render(Street(catalog(), "warm-up").scene())
    confusion, times_ms = np.zeros((len(CAMVID), len(CAMVID)), np.int64), []
    threads = cv2.getNumThreads()
    with Steps(frames) as steps:
        for index in range(frames):
            cv2.setNumThreads(1)
            begin = time.perf_counter()
            frame = renderer.render(Street(catalog(), f"{seed} {index}").scene())
            times_ms.append(1000 * (time.perf_counter() - begin))
            cv2.setNumThreads(threads)
            prediction = predictor(frame.bgr)
            confusion += confusion_matrix(table[frame.label_ids], prediction.train_ids, len(CAMVID))
            steps.done(f"frame {index}")
    return Scores.from_confusion(confusion, CAMVID), Spread.of(times_ms)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; see the head of this file."""
    parser = Parser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("--frames", type=int, default=100, help="each of another street (default: %(default)s)")
    parser.add_argument("--size", type=parse_size, default=(512, 1024), metavar="HxW", help="default: 512x1024")
    parser.add_argument("--seed", type=int, default=5, help="seed of the streets (default: %(default)s)")
    parser.add_argument("--weights", default="camvid_small_scratch", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    if arguments.frames < 1:
        raise SegError(f"--frames is {arguments.frames}; it must be at least 1.")
    check_size(arguments.size)
    check_writable_folder(arguments.output)
    origin = Origin.here("python", "-m", "benchmarks.scenes", *(sys.argv[1:] if argv is None else argv))
    scores, rendering = measure(arguments.weights, arguments.frames, arguments.size, arguments.seed)
    height, width = arguments.size
    blocks: list[Block] = [
        Text(*origin.sentence()),
        Text(Code(arguments.weights), f", trained on CamVid, on {arguments.frames} scenes of {height}x{width} (seed "
             f"{arguments.seed})."),
        Table.of(("class of CamVid", "IoU on scenes"), [(name, f"{value:.3f}") for name, value in scores.per_class_iou.items()]),
        Text(f"Rendering on one core, from seed to picture, labels and instances: median {rendering.median:.1f} ms (half of them "
             f"{rendering.q25:.1f} to {rendering.q75:.1f}), {1000 / rendering.median:.1f} frames per second.")]
    data = {"weights": arguments.weights, "frames": arguments.frames, "size_hw": arguments.size, "seed": arguments.seed,
            "per_class_iou": scores.to_dict()["per_class_iou"], "rendering_ms": rendering.to_dict(),
            "frames_per_second": 1000 / rendering.median}
    document = Document("Procedural scenes, seen by a network that knows only real streets", blocks, origin, data)
    publish(arguments.output, "scenes", document)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
