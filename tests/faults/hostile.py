"""Mutated files for everything that reads files: `python -m tests.faults.hostile --files 10000`.

A seeded random number generator changes, cuts and repeats bytes of valid files that are made here. Each reader must accept the
file or refuse it with a `SegError`, within seconds and bounded memory; another error, a crash or a hang is a fault. The work runs
in a separate process, so that a crash is noticed.
"""

import argparse
import faulthandler
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import make_frame, write_weights

from datasets.folder.classes import read_classes
from datasets.folder.masks import read_mask
from seg.errors import SegError
from seg.files import read_image_bgr, read_yaml
from seg.flow import opened, samples
from seg.runtime import Predictor
from seg.training.export import read_checkpoint
from seg.video import open_source
from seg.weights import find, read_description, read_export, read_tensors

MOST_SECONDS, MOST_MEMORY_GIB = 20, 6


def read_video(path: Path) -> None:
    """Reads all frames, and checks that the video is complete."""
    source = open_source(path)
    with opened(source):
        for _ in samples(source):
            pass
        source.check_end()


def read_weights(path: Path) -> None:
    """Reads the description and the tensors."""
    read_description(find(path))
    read_tensors(path)


def run_onnx(path: Path) -> None:
    """Reads the description, and runs a frame if an engine accepts the network."""
    read_description(path)
    read_export(path)
    Predictor.load(path, engine="openvino", precision="fp32", threads=1)(make_frame(48, 64))


Reader = Callable[[Path], object]


def corpus(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """Makes a valid file of each kind; returns its bytes and its reader, by the file's name."""
    frame = make_frame(32, 40)
    weights = write_weights(folder)
    writer = cv2.VideoWriter(str(folder / "a.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (40, 32))
    for seed in range(5):
        writer.write(make_frame(32, 40, seed))
    writer.release()
    torch.save({"lraspp": {"network": "LRASPP"}, "state_dict": {"a": torch.zeros(9)}, "global_step": 3}, folder / "a.ckpt")
    yaml = (b"name: yard\nclasses:\n  - {name: road, value: 0, color: [1, 2, 3]}\n  - {name: rail, value: 1}\n"
            b"ignore: [255]\nsplit: {val: 0.2}\n")
    return {
        "a.png": (cv2.imencode(".png", frame)[1].tobytes(), read_image_bgr),
        "mask.png": (cv2.imencode(".png", frame[:, :, 0] // 60)[1].tobytes(), read_mask),
        "a.jpg": (cv2.imencode(".jpg", frame)[1].tobytes(), read_image_bgr),
        "a.mp4": ((folder / "a.mp4").read_bytes(), read_video),
        "a.safetensors": (weights.read_bytes(), read_weights),
        "a.onnx": (weights.with_suffix(".onnx").read_bytes(), run_onnx),
        "classes.yaml": (yaml, lambda path: read_classes(path.parent)),
        "settings.yaml": (json.dumps({"model": {"a": [1, {"b": None}]}}).encode(), lambda path: read_yaml(path, "")),
        "a.ckpt": ((folder / "a.ckpt").read_bytes(), read_checkpoint),
    }


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Changes a few bytes, cuts the end off, or repeats or removes a piece; near the start as often as elsewhere."""
    result = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 8))):
        reach = random_.choice((64, 512, len(result)))
        place = random_.randrange(max(1, min(reach, len(result))))
        length = random_.choice((1, 4, 60))
        kind = random_.randrange(5)
        if kind == 0:
            result[place : place + 1] = random_.choice((b"\0", b"\xff", b"\x7f", bytes([random_.randrange(256)])))
        elif kind == 1:
            result[place : place + length] = random_.randbytes(length)
        elif kind == 2:
            result = result[:place] if random_.random() < 0.3 else result
        elif kind == 3:
            result[place:place] = result[place : place + length]
        else:
            del result[place : place + length]
    return bytes(result)


def attack(files: int, seed: int, seconds: float) -> dict[str, tuple[int, int]]:
    """Gives mutated files to their readers, as many as the time allows; returns by name how many were tried and refused.

    Raises:
        AssertionError: a reader took too long or too much memory, or raised another error; the message names seed and file.
    """
    counts = dict[str, tuple[int, int]]()
    end = time.monotonic() + seconds
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # as infer.py sets it
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = corpus(folder)
        for number in range(files):
            file, (data, read) = list(sound.items())[number % len(sound)]
            path = folder / file
            path.write_bytes(mutated(data, random.Random(seed * 1_000_003 + number)))
            faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
            tried, refused = counts.get(file, (0, 0))
            try:
                read(path)
            except SegError:
                refused += 1
            except BaseException as error:
                raise AssertionError(f"{file} number {number} of seed {seed}: {type(error).__name__}: {error}") from error
            faulthandler.cancel_dump_traceback_later()
            counts[file] = tried + 1, refused
            if time.monotonic() > end:
                break
    most_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert most_gib < MOST_MEMORY_GIB, f"{most_gib:.1f} GiB were taken"
    return counts


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.hostile", description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the changes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1800, help="longest time (default: %(default)s)")
    arguments = parser.parse_args()
    for file, (tried, refused) in attack(arguments.files, arguments.seed, arguments.seconds).items():
        print(f"{file}: {tried} tried, {refused} refused, the others read")


if __name__ == "__main__":
    main()
