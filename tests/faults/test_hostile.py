"""Files that are made to do harm; `python -m tests.faults.hostile` tries many more."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hostile import mutated
from networks import LABEL_SET, make_frame

from seg.cli.infer import main
from seg.cli.outputs import Submission
from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.flow import Segmented
from seg.runtime import Prediction
from seg.training.export import read_checkpoint

ROOT = Path(__file__).parents[2]


def test_mutated_files_are_read_or_refused() -> None:
    """Runs in a separate process, so that a crash is noticed."""
    command = [sys.executable, "-m", "tests.faults.hostile", "--files", "450", "--seconds", "60"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 9
    assert all(" 0 refused" not in line for line in done.stdout.splitlines() if not line.startswith("a.jpg")), done.stdout


def test_mutations_follow_from_the_seed_alone() -> None:
    data = bytes(range(256)) * 4
    assert mutated(data, random.Random(3)) == mutated(data, random.Random(3)) != mutated(data, random.Random(4))


@pytest.mark.parametrize("inside", ["whole", "key", "record"])
def test_a_checkpoint_with_a_payload_runs_nothing(inside: str, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harmed",)

    values: Any = {"whole": Payload(), "key": {"lraspp": Payload()}, "record": {"lraspp": {}, "loops": [Payload()]}}[inside]
    torch.save(values, tmp_path / "last.ckpt")
    with pytest.raises(SegError, match="not a whole checkpoint"):
        read_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "harmed").exists()


def test_names_of_frames_do_not_lead_out_of_their_folder(tmp_path: Path, tiny_weights: Path) -> None:
    """Neither through dots in an argument, nor a link in a folder, nor a sample's name."""
    for place in ("in", "elsewhere"):
        (tmp_path / place).mkdir()
        cv2.imwrite(str(tmp_path / place / "a.png"), make_frame(48, 64))
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    out = tmp_path / "deep" / "out"
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    inputs = [str(tmp_path / "in"), f"{tmp_path}/in/../elsewhere/a.png"]
    how = ["--weights", str(tiny_weights), "--engine", "openvino", "--precision", "fp32"]
    assert main([*inputs, "--output", str(out), *how]) == 0
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert written and all(path.resolve().is_relative_to(out) for path in written)
    submission = Submission(tmp_path / "submit", ["../../escaped"], ".png", LABEL_SET, "s.zip")
    prediction = Prediction(np.zeros((2, 2), np.uint8), {})
    submission.take(Segmented(0, EvalSample("../../escaped", np.zeros((2, 2, 3), np.uint8)), prediction))
    assert [path.name for path in (tmp_path / "submit").iterdir()] == ["escaped.png"]
