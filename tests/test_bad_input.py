"""Any wrong input from a user: exit code 2, one sentence that says what to do, nothing half-written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from networks import LABEL_SET, make_frame
from videos import write_video

import train_seg
from datasets.camvid import CamVid
from datasets.folder.__main__ import main as folder_main
from seg.cli.best_weights import main as weights_main
from seg.cli.common import Parser, run
from seg.cli.export import main as export_main
from seg.cli.infer import main
from seg.cli.train import main as train
from seg.errors import SegError

ROOT = Path(__file__).parent.parent
READERS = {"camvid": lambda root, split: pytest.fail("the reader should not have been made")}

Fails = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good picture, one good clip and many bad files; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    cv2.imwrite("good.png", make_frame(48, 64))
    Path("cut.png").write_bytes(Path("good.png").read_bytes()[:300])
    Path("text.png").write_text("hello")
    Path("text.mp4").write_text("hello" * 100)
    Path("notes.txt").write_text("hello")
    Path("empty").mkdir()
    write_video(Path("good.mp4"), [make_frame(48, 64)])
    write_video(Path("there.mp4"), [make_frame(48, 64)])
    return tmp_path


def what_is_there(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def fails(place: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Returns a check that runs infer.py with the tiny weights, checks how it fails, and returns its message."""
    def check(*arguments: str, weights: bool = True) -> str:
        before = what_is_there(place)
        code = main([*arguments, *(["--weights", str(tiny_weights)] if weights else [])], readers=READERS)
        printed = capsys.readouterr()
        assert code == 2
        errors = printed.err.splitlines()
        assert len(errors) == 1, printed.err
        assert errors[0].startswith("error: ")
        assert what_is_there(place) == before
        return errors[0]

    return check


@pytest.mark.parametrize(("arguments", "words"), [
    ("", "Nothing to work on"),
    ("good.png --video good.mp4", "INPUT and --video were given together"),
    ("--video good.mp4 --dataset camvid --root .", "--video and --dataset were given together"),
    ("good.png --split val", "--split says which data set"),
    ("--dataset camvid", "needs --root"),
    ("--dataset camvit --root .", "Did you mean 'camvid'"),
    ("good.png --fit stretch", "give --size"),
    ("good.png --size 360x", "'360x' is not a size"),
    ("good.png --size 0x10", "not a size"),
    ("good.png --size 8x8", "too small"),
    ("good.png --threads 0", "not a whole number above 0"),
    ("good.png --threads 4096", "4096 threads"),
    ("good.png --engine openvin", "invalid choice"),
    ("good.png --precision fp16", "invalid choice"),
    ("good.png --engine torch --precision bf16", "'torch' computes in fp32 here, not in bf16"),
    ("good.png --precision int8", "no tiny_int8.onnx"),
    ("--video good.mp4 --output o.mp4 --save confidence", "needs a folder"),
    ("--video good.mp4 --output there.mp4", "there.mp4 is there already"),
    ("--video good.mp4 --output o.mp4 --fps 10", "has times of its own"),
    ("--video good.mp4 --output o.mp4 --raw 48x64", "through a pipe"),
    ("--video - --output o.mp4 --raw 48", "expected height x width"),
    ("--video good.mp4 --output o.mp4 --mode fast", "invalid choice"),
    ("--video good.mp4 --output o.mp4 --show", "no display for --show"),
    ("good.png --classes road,cra", "no class 'cra'. Did you mean 'car'"),
    ("good.png --classes ,", "names no class"),
    ("good.png --save train-ids --classes road", "add --save overlay"),
    ("good.png --save train-ids --palette colorblind", "add --save overlay"),
    ("good.png --palette colourblind", "invalid choice"),
    ("good.png --mode throughput", "needs --video SRC"),
    ("good.png --smooth", "needs --video SRC"),
    ("--video good.mp4 --output o.mp4 --smooth --mode throughput", "give one of them"),
    ("good.png --overwrite", "needs --video SRC"),
    ("--video empty --output o.mp4", "neither pictures nor videos"),
    ("--video f%03d.png --output o.mp4", "matches no pictures"),
    ("--video . --output o.mp4", "holds 3 videos"),
    ("--video http://127.0.0.1:9/x --output o.mp4", "connection refused"),
    ("good.png --wieghts x", "Did you mean '--weights'"),
    ("good.png --out x", "Did you mean '--output'"),
    ("good.png --save overlay,colour", "Did you mean 'color'"),
    ("good.png --save ,", "at least one of"),
    ("good.png --report report.pdf", ".json, .md, .html"),
    ("good.png --report notes.txt/r.json", "Can't write"),
    ("good.png --output notes.txt/out", "Can't write"),
    ("good.png --output notes.txt", "Can't write"),
    ("absent.png", "There is no file or folder absent.png"),
    (f"{'x' * 300}.png", "name too long"),
    (f"good.png --output {'x' * 300}", "name too long"),
    (f"--video {'x' * 300} --output o.mp4", "name too long"),
    ("empty", "holds no pictures"),
    ("*.jpg", "matches no pictures"),
    ("good.mp4", "For videos use --video"),
    ("cut.png", "cut.png is not a picture that OpenCV can decode"),
    ("text.png", "text.png is not a picture that OpenCV can decode"),
    ("--video absent.mp4 --output o.mp4", "There is no video absent.mp4"),
    ("--video text.mp4 --output o.mp4", "text.mp4 is not a video"),
    ("--video good.png --output o.mp4", "give it without --video"),
    ("--video 97 --output o.mp4", "Camera 97"),
    ("--video good.mp4", "There is no display"),
    ("--video good.mp4 --output o.avi", "another suffix"),
    ("--video good.mp4 --output good.mp4", "the video itself"),
    ("--video good.mp4 --output notes.txt/o.mp4", "Can't write"),
    ("--video good.mp4 --output o.mp4 --save train-ids", "needs a folder"),
])
def test_infer_says_what_is_wrong(arguments: str, words: str, fails: Fails) -> None:
    assert words in fails(*arguments.split())


def test_weights_that_are_none(fails: Fails, tiny_weights: Path, place: Path) -> None:
    assert "There are no weights 'camvid_smal'" in fails("good.png", "--weights", "camvid_smal", weights=False)
    assert "There is no weights file w.safetensors" in fails("good.png", "--weights", "w.safetensors", weights=False)
    for suffix in (".safetensors", ".onnx"):
        cut = place / f"cut{suffix}"
        cut.write_bytes(tiny_weights.with_suffix(suffix).read_bytes()[:-100])
        assert cut.name in fails("good.png", "--weights", str(cut), weights=False)
    assert "good.png" in fails("good.png", "--weights", "good.png", weights=False)
    assert "name too long" in fails("good.png", "--weights", "x" * 300, weights=False)


@pytest.mark.parametrize("arguments", [[""], ["good.png", "--output", ""], ["good.png", "--output="], ["--video", " "],
                                       ["--dataset", "camvid", "--root", ""], ["good.png", "--report", ""]])
def test_empty_arguments_are_refused_in_every_place(arguments: list[str], fails: Fails) -> None:
    assert "is empty; is a variable not set?" in fails(*arguments)


@pytest.mark.parametrize("main", [folder_main, weights_main, export_main,
                                  lambda argv: train(argv, train_seg.data_class)])
def test_empty_arguments_are_refused_by_every_command(main: Callable[[list[str]], int],
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main([""]) == 2
    assert "is empty; is a variable not set?" in capsys.readouterr().err


def test_files_of_another_kind_name_what_makes_weights_of_them(fails: Fails, place: Path) -> None:
    Path("runs/mine/checkpoints").mkdir(parents=True)
    for name in ("runs/mine/checkpoints/best.ckpt", "net.pth", "net.xml"):
        Path(name).write_bytes(b"PK")
    said = fails("good.png", "--weights", "runs/mine/checkpoints/best.ckpt", weights=False)
    assert "a checkpoint" in said and "lraspp weights runs/mine" in said
    assert "a file of torch" in fails("good.png", "--weights", "net.pth", weights=False)
    assert "an export for OpenVINO" in fails("good.png", "--weights", "net.xml", weights=False)


def test_a_root_whose_name_is_too_long(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "camvid", "--root", "x" * 300], readers={"camvid": CamVid}) == 2
    assert "name too long" in capsys.readouterr().err


def test_each_picture_stands_alone(place: Path, tiny_weights: Path, capfd: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven can't be read, one can't be written, one is too large: the others are written, and all faults are named."""
    folder = Path("in")
    for name in ("a", "taken", "large", "z"):
        folder.mkdir(exist_ok=True)
        cv2.imwrite(f"in/{name}.png", make_frame(48, 96 if name == "large" else 64))
    for number in range(7):
        Path(f"in/bad{number}.png").write_bytes(Path("good.png").read_bytes()[:300 + 50 * number])
    Path("out/overlay/taken.png").mkdir(parents=True)  # a folder where a picture should go
    monkeypatch.setattr("seg.runtime.predictor.check_memory", lambda size_hw, engine: check_memory_of_64(size_hw))
    assert main(["in", "--output", "out", "--weights", str(tiny_weights), "--engine", "openvino"], readers=READERS) == 2
    said = capfd.readouterr()
    assert "2 of 11 pictures segmented" in said.out
    assert "libpng" not in said.err and len(said.err.splitlines()) == 10
    for name in ("2 of 11 pictures", *(f"bad{number}.png" for number in range(7)), "taken.png", "large.png: At 48x96"):
        assert name in said.err, said.err
    assert sorted(path.name for path in Path("out/overlay").iterdir()) == ["a.png", "taken.png", "z.png"]


def check_memory_of_64(size_hw: tuple[int, int]) -> None:
    if size_hw[1] > 64:
        raise SegError(f"At {size_hw[0]}x{size_hw[1]} it is too large.")


def test_frames_of_a_data_set_that_can_not_be_read_are_named_and_the_others_scored(
        place: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Small(CamVid):
        label_set = LABEL_SET

    for number in range(3):
        for folder, picture in (("val", make_frame(48, 64)), ("valannot", np.zeros((48, 64), np.uint8))):
            Path("set", folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(f"set/{folder}/{number}.png", picture)
    Path("set/val/1.png").write_bytes(b"nothing")
    arguments = ["--dataset", "small", "--root", "set",
                 "--weights", str(tiny_weights), "--report", "r.json", "--engine", "openvino",
                 "--precision", "fp32"]
    assert main(arguments, readers={"small": Small}) == 2
    said = capsys.readouterr().err
    assert "Scored were 2 of 3 frames" in said and "1.png" in said
    report = json.loads(Path("r.json").read_text())
    assert report["frames"] == 2 and "1 frame could not be used" in " ".join(report["notes"])


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, str(ROOT / "infer.py"), *arguments], cwd=cwd, env=environment, capture_output=True,
                          text=True)


def test_a_video_cut_off_keeps_what_was_read(place: Path, tiny_weights: Path) -> None:
    writer = cv2.VideoWriter("whole.avi", cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for seed in range(20):
        writer.write(make_frame(48, 64, seed))
    writer.release()
    Path("cut.avi").write_bytes(Path("whole.avi").read_bytes()[:-10_000])
    done = command("--video", "cut.avi", "--output", "out.mp4", "--weights", str(tiny_weights), "--quiet", cwd=place)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "cut.avi is cut off" in done.stderr
    assert "kept in out.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert cv2.VideoCapture("out.mp4").get(cv2.CAP_PROP_FRAME_COUNT) > 0
    assert not list(place.glob(".*"))


@pytest.mark.parametrize("arguments", ["", "--video text.mp4 --output o.mp4", "cut.png", "--dataset camvid --root empty"])
def test_the_command_itself_fails_the_same_way(arguments: str, place: Path, tiny_weights: Path) -> None:
    before = what_is_there(place)
    done = command(*arguments.split(), "--weights", str(tiny_weights), cwd=place)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert what_is_there(place) == before


def test_the_handler_lets_only_our_own_defects_through(capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: BaseException) -> int:
        def main(argv: object) -> None:
            raise error

        return run(main)

    assert raising(SegError("No such thing.")) == 2
    assert capsys.readouterr().err == "error: No such thing.\n"
    assert raising(KeyboardInterrupt("Kept 3.")) == 130
    assert capsys.readouterr().err == "\nInterrupted. Kept 3.\n"
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())
    assert run(lambda argv: None) == 0
    assert run(lambda argv: 7) == 7


def test_options_are_not_abbreviated() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--output")
    with pytest.raises(SegError, match=r"Did you mean '--output'\?"):
        parser.parse_args(["--outpu", "x"])
