"""Kills work at random moments with SIGKILL: `python -m tests.faults.kill --times 30`.

Training must always continue from an undamaged checkpoint, and end with the weights of a run that was never killed, bit for bit.
For everything else that writes files: a file with its final name must be what the complete work writes. The work runs in forked
processes, so that the work is killed and not the imports.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import make_frame, write_weights
from training_runs import load, make_camvid, run, write_config

import datasets.module  # noqa: F401  so that no forked process has to import it
import seg.cli.lightning  # noqa: F401  likewise
from datasets.cache.__main__ import main as cache
from datasets.folder.__main__ import main as propose
from datasets.scenes.__main__ import main as scenes
from datasets.scenes.catalog import catalog
from datasets.teach.__main__ import main as teach
from seg.cli.common import run as run_command
from seg.cli.export import main as export
from seg.cli.infer import main as infer

Work = Callable[[], object]
GO_ON = {"datasets.cache", "datasets.teach"}  # commands that finish earlier work


def forked(work: Work, seconds: float | None = None) -> bool:
    """Runs `work` in a separate process and kills it after a number of seconds; returns whether it had finished before."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            torch.set_num_threads(1)
            code = int(work() or 0)  # type: ignore[call-overload]
        finally:
            os._exit(code)
    end = time.monotonic() + (seconds if seconds is not None else 120)
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def kill_training(folder: Path, times: int, random_: random.Random) -> int:
    """Kills a training and continues it; returns how often it was killed. Raises if anything is lost."""
    make_camvid(folder / "camvid")
    write_config(folder)
    settings = ["--checkpoints.every_steps", "1", "--trainer.max_epochs", "2"]
    start = time.monotonic()
    assert forked(lambda: run(folder, "--name", "whole", *settings))
    whole_s = time.monotonic() - start
    expected = load(folder, "whole")
    kills = runs = 0
    while kills < times:
        name, runs = f"killed_{runs}", runs + 1
        place, ended = folder / "runs" / name / "checkpoints", False
        while not ended:
            begun = ["--ckpt_path", "last"] if (place / "last.ckpt").exists() else []
            left_s = random_.uniform(0, whole_s) if kills < times else None
            ended = forked(partial(run, folder, "--name", name, *begun, *settings), left_s)
            kills += not ended
            for path in place.glob("*.ckpt"):
                torch.load(path, weights_only=True)  # raises if it is damaged
            if not begun and not (place / "last.ckpt").exists():
                for path in place.glob("best.ckpt"):  # killed between the first validation and the first end of an epoch
                    path.unlink()
        found = load(folder, name)
        assert found["global_step"] == expected["global_step"]
        for key, tensor in expected["state_dict"].items():
            assert torch.equal(tensor, found["state_dict"][key]), f"{key} differs in {name}"
    return kills


def contents(folder: Path) -> dict[str, object]:
    """Returns the content of a folder by name, without hidden files; for a video its number of frames."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    visible = (path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return {str(path.relative_to(folder)): frames(path) if path.suffix == ".mp4" else path.read_bytes() for path in visible}


def frames(path: Path) -> int:
    """Counts the frames that can be decoded."""
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


def kill_writers(folder: Path, times: int, random_: random.Random) -> dict[str, int]:
    """Kills each of the other commands; returns how often. Raises if a file with its final name is incomplete."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "tiny.safetensors"
    assert forked(lambda: write_weights(folder) is None)  # engines' threads would not survive in forked processes
    pictures, yard = folder / "pictures", folder / "yard"
    for kind in (pictures, yard / "images", yard / "masks"):
        kind.mkdir(parents=True)
    cv2.setNumThreads(1)  # for the same reason
    catalog()  # drawn once, and not in each forked process
    for seed in range(6):
        cv2.imwrite(str(pictures / f"{seed}.png"), make_frame(240, 320, seed))
        cv2.imwrite(str(yard / f"images/{seed}.png"), make_frame(48, 64, seed))
        cv2.imwrite(str(yard / f"masks/{seed}.png"), np.full((48, 64), seed, np.uint8))
    writer = cv2.VideoWriter(str(folder / "in.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    for seed in range(20):
        writer.write(make_frame(240, 320, seed))
    writer.release()
    how = ["--weights", str(weights), "--engine", "openvino", "--precision", "fp32", "--threads", "1"]

    def proposal(out: Path) -> int:
        out.mkdir(exist_ok=True)
        for name in ("images", "masks"):
            (out / name).is_symlink() or (out / name).symlink_to(yard / name)
        return propose([str(out), "--overwrite"])

    commands: dict[str, Callable[[Path], object]] = {
        "infer.py to a folder": lambda out: infer([str(pictures), "--output", str(out), "--save", "overlay,train-ids", *how]),
        "infer.py to a video": lambda out: infer(["--video", str(folder / "in.mp4"), "--output", str(out / "out.mp4"), *how]),
        "lraspp export": lambda out: export(["--weights", str(weights), "--file", str(out / "net.onnx")]),
        "datasets.scenes": lambda out: run_command(scenes, [str(out), "--frames", "2", "--size", "64x96", "--threads", "1",
                                                            "--split", "val"]),
        "datasets.folder": proposal,
        "datasets.cache": lambda out: cache([str(pictures), "--dataset", "pictures", "--output", str(out)]),
        "datasets.teach": lambda out: teach([str(pictures), "--teacher", str(weights), "--output", str(out), "--size", "64"]),
    }
    counts = {}
    for number, (name, command) in enumerate(commands.items()):
        start = time.monotonic()
        assert forked(partial(command, folder / f"whole_{number}")), name
        whole_s = time.monotonic() - start
        expected = contents(folder / f"whole_{number}")
        assert expected, f"{name} wrote nothing"
        counts[name] = 0
        for time_ in range(times):
            out = folder / f"killed_{number}_{time_}"
            counts[name] += not forked(partial(command, out), random_.uniform(0, whole_s))
            for file, content in (contents(out) if out.exists() else {}).items():
                assert content == expected[file], f"{file} of {name} is not whole"
            if name in GO_ON:
                assert forked(partial(command, out)), name
                assert contents(out) == expected, f"{name} had another result when it was continued"
    return counts


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=30, help="how often each is killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    random_ = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LRASPP_CACHE_DIR"] = f"{folder}/cache"
        kills = kill_training(Path(folder) / "training", arguments.times, random_)
        print(f"training: killed {kills} times; it always continued, with the same weights in the end")
        for name, count in kill_writers(Path(folder) / "writers", arguments.times, random_).items():
            print(f"{name}: killed {count} times; no file with its final name was half-written")


if __name__ == "__main__":
    main()
