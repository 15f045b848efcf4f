"""Nothing uses the network: with sockets refused, a tiny drive is rendered, trained on, scored and exported without an error."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import os, socket, sys
asked = []
def refuse(*args, **kwargs):
    asked.append(args)
    raise OSError("no network here")
connect = socket.socket.connect
def connect_within(self, address):
    return connect(self, address) if self.family == socket.AF_UNIX else refuse(address)
socket.socket.connect = socket.socket.connect_ex = connect_within
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
import train_seg
from datasets import READERS
from datasets.scenes.__main__ import main as scenes
from seg.cli.common import run
from seg.cli.export import main as export
from seg.cli.infer import main as infer
from seg.cli.train import main as train
for split, seed in (("train", "1"), ("val", "2")):
    assert run(scenes, ["set", "--frames", "2", "--seed", seed, "--size", "64x128", "--threads", "1", "--split", split]) == 0
assert train(["fit", "--config", "tiny.yaml", "--data.dataset", "cityscapes", "--data.root", "set", "--size_frames", "2"],
             train_seg.data_class) == 0
assert export(["--weights", "runs/tiny/tiny.safetensors", "--size", "64x128"]) == 0
assert infer(["--dataset", "cityscapes", "--root", "set", "--weights", "runs/tiny/tiny.safetensors", "--report", "r.html",
              "--save", "overlay"], readers=READERS) == 0
assert infer(["set/leftImg8bit/val", "--output", "out"]) == 0
assert not asked, asked
"""


def test_nothing_calls_out(tmp_path: Path) -> None:
    from training_runs import write_config

    write_config(tmp_path)
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    at_home = [path.relative_to(tmp_path / "home") for path in (tmp_path / "home").rglob("*") if path.is_file()]
    ours = ("numba", "matplotlib", "torch", "lraspp")
    assert not [path for path in at_home if not any(name in str(path).lower() for name in ours)], at_home
