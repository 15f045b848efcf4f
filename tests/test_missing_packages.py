"""If only inference is installed, commands that need more packages say so in a sentence."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from seg.cli.common import run

# Python treats a module that is None in sys.modules as one that isn't installed.
BLOCK = "import sys; sys.modules.update(dict.fromkeys(('torch', 'safetensors', 'onnx', 'jsonargparse')));"


@pytest.mark.parametrize(("command", "package"), [
    ("import runpy; sys.argv = ['x', '--weights', 'camvid_small']; runpy.run_module('seg.export', run_name='__main__')", "torch"),
    ("from seg.cli.best_weights import main; sys.exit(main(['runs/none']))", "torch"),
    ("from seg.cli.train import main; sys.exit(main(['fit'], lambda: None))", "jsonargparse"),
])
def test_what_is_not_installed_is_named(command: str, package: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BLOCK + command], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"This needs {package}, which is not installed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_module_of_ours_stays_a_defect() -> None:
    with pytest.raises(ModuleNotFoundError):
        run(lambda _argv: bool(importlib.import_module("seg.nothing_like_this")))
