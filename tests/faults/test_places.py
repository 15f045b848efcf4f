"""Full disks, folders that can't be written, no home, no terminal, other encodings: a sentence, exit code 2, nothing lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from networks import make_frame
from training_runs import make_camvid, write_config

ROOT = Path(__file__).parents[2]
LIMIT_BYTES = 300_000  # of each file, as on a nearly full disk
INFER = ["infer.py", "pictures", "--engine", "openvino", "--precision", "fp32", "--threads", "1"]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, tiny_weights: Path) -> Command:
    """Runs a command in a folder with pictures, in a separate process; `before` is Python code that runs first."""
    (tmp_path / "pictures").mkdir()
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"pictures/{seed}.png"), make_frame(48, 64, seed))

    def run(*arguments: str, before: str = "", weights: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        program = str(ROOT / arguments[0])
        code = (f"import sys, runpy\nsys.path.insert(0, {str(ROOT)!r})\n{before}\nsys.argv = {[program, *arguments[1:]]!r}\n"
                f"runpy.run_path({program!r}, run_name='__main__')")
        if weights:
            code = code.replace("'pictures'", f"'pictures', '--weights', {str(tiny_weights)!r}", 1)
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=200, text=True,
                              errors="replace", env={**os.environ, "OMP_NUM_THREADS": "1", **environment})

    return run


def assert_a_sentence(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


FULL = ("import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))")


def test_a_disk_that_is_full_for_pictures_and_reports(command: Command, tmp_path: Path) -> None:
    done = command(*INFER, "--report", "r.html", before=FULL.format(2000))
    assert_a_sentence(done, "0 of 2 pictures were segmented")
    assert "File too large" in done.stderr
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "r.html").exists()


def test_a_disk_that_is_full_while_training(command: Command, tmp_path: Path) -> None:
    make_camvid(tmp_path / "camvid", train=2, val=1)
    write_config(tmp_path)
    done = command("train_seg.py", "fit", "--config", "tiny.yaml", "--data.root", "camvid", before=FULL.format(LIMIT_BYTES),
                   weights=False)
    assert_a_sentence(done, "can't be written")
    checkpoints = tmp_path / "runs/tiny/checkpoints"
    assert not list(checkpoints.iterdir()) if checkpoints.exists() else True


def test_a_disk_that_is_full_while_caching(command: Command, tmp_path: Path) -> None:
    arguments = ["datasets/cache/__main__.py", "pictures", "--dataset", "pictures", "--output", "cache"]
    assert command(*arguments, weights=False).returncode == 0
    [cache] = (tmp_path / "cache").glob("*.safetensors")
    old = cache.read_bytes()
    os.utime(tmp_path / "pictures/0.png", ns=(0, 0))
    assert_a_sentence(command(*arguments, before=FULL.format(10_000), weights=False), "The one that is there is untouched")
    assert cache.read_bytes() == old and [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == [cache]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_standard_output_on_a_full_disk(command: Command) -> None:
    assert_a_sentence(command(*INFER, before="sys.stdout = open('/dev/full', 'w')"), "No space left on device")


def test_no_home_no_terminal_and_another_encoding(command: Command, tmp_path: Path) -> None:
    """None of these may make it fail."""
    latin = os.fsdecode("stra\xdfe.png".encode("latin-1"))
    os.rename(tmp_path / "pictures/0.png", tmp_path / "pictures" / latin)
    done = command(*INFER, "--report", "r.html", "--report", "r.json", "--report", "r.md", HOME="/nonexistent",
                   PYTHONIOENCODING="cp1252", LC_ALL="C", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 pictures segmented" in done.stdout
    for report in ("r.html", "r.json", "r.md"):
        (tmp_path / report).read_text(encoding="utf-8")
    assert (tmp_path / "runs/infer/overlay" / latin).exists()
    closed = command(*INFER, "--output", "out", before="import os; os.close(1); sys.stdout = None; sys.stdin = None")
    assert closed.returncode == 0, closed.stderr
    assert (tmp_path / "out/overlay/1.png").exists()


def test_a_picture_that_vanishes_is_named(command: Command, tmp_path: Path) -> None:
    before = ("import os, seg.files\nfound = seg.files.find_images\n"
              "def vanish(inputs):\n    images = found(inputs)\n    os.remove(images[0].path)\n    return images\n"
              "seg.files.find_images = vanish")
    done = command(*INFER, before=before)
    assert_a_sentence(done, "There is no file")
    assert "1 of 2 pictures segmented" in done.stdout


def test_numba_without_its_compiler_is_a_sentence(command: Command) -> None:
    done = command(*INFER, NUMBA_DISABLE_JIT="1")
    assert_a_sentence(done, "NUMBA_DISABLE_JIT")
