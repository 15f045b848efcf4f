"""`infer.py` on pictures, videos and data sets, called as a function; test_bad_input has the commands that fail."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import LABEL_SET, make_frame
from videos import count_frames, noise, read_video, write_video

from seg.cli.infer import main
from seg.files import read_image_bgr, read_labels, spread
from seg.label_sets import LabelSet
from seg.palettes import recolored
from seg.runtime import Predictor
from seg.runtime.engines.table import PRECISIONS
from seg.runtime.fused import kernels, processor
from seg.visualize import overlay
from seg.weights import read_description

ROOT = Path(__file__).parent.parent
SIZE_HW = (48, 64)
ONE_CELL = ("--engine", "openvino", "--precision", "fp32")  # another engine rounds differently, and a label may change


class Sample:
    def __init__(self, index: int) -> None:
        self.name = f"drive/{index}"
        self.image_path = Path(f"/absent/{index}.png")


class Reader:
    """A data set of random frames whose truth is the network's own output except for one class."""

    label_set = LABEL_SET
    remark = ""
    submission_ending = None
    predictor: Predictor

    def __init__(self, root: str, split: str) -> None:
        assert (root, split) == ("somewhere", "val")
        self.samples = [Sample(i) for i in range(5)]

    def __len__(self) -> int:
        return 5

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        frame_bgr = make_frame(*SIZE_HW, seed=index)
        truth = self.predictor(frame_bgr).train_ids.copy()
        truth[truth == 1] = 255
        return np.ascontiguousarray(frame_bgr[:, :, ::-1]), truth

    def read_instances(self, index: int) -> None:
        return None


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    Reader.predictor = Predictor.load(tiny_weights, engine="openvino", precision="fp32")
    return Reader.predictor


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Pictures whose names would collide in one folder and with one suffix."""
    for seed, name in enumerate(("a/1.png", "b/1.png", "b/1.bmp")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / name), make_frame(*SIZE_HW, seed=seed))
    return tmp_path / "in"


def test_pictures_keep_their_tree_and_every_kind_is_right(tree: Path, tiny_weights: Path, predictor: Predictor,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    out = tree.parent / "out"
    assert main([str(tree), "--weights", str(tiny_weights), "--output", str(out), *ONE_CELL,
                 "--save", "train-ids,label-ids,color,overlay,confidence"]) == 0
    names = {"a/1.png": "a/1.png", "b/1.png": "b/1.png.png", "b/1.bmp": "b/1.bmp.png"}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.png")} == {
        f"{kind}/{name}" for kind in ("train-ids", "label-ids", "color", "overlay", "confidence") for name in names.values()}
    palette = LABEL_SET.palette()
    with_confidence = Predictor.load(tiny_weights, engine="openvino", precision="fp32", confidence=True)
    for source, name in names.items():
        frame_bgr = read_image_bgr(tree / source)
        train_ids = predictor(frame_bgr).train_ids
        assert (read_labels(out / "train-ids" / name) == train_ids).all()
        assert (read_labels(out / "label-ids" / name) == LABEL_SET.to_label_ids()[train_ids]).all()
        assert (read_labels(out / "color" / name) == palette[train_ids]).all()
        assert (read_image_bgr(out / "overlay" / name) == overlay(frame_bgr, train_ids, LABEL_SET)).all()
        grey = read_labels(out / "confidence" / name)
        np.testing.assert_allclose(grey, with_confidence(frame_bgr).confidence * 255, atol=0.51)
    assert "3 of 3 pictures segmented; 15 files" in capsys.readouterr().out


def test_classes_are_highlighted_in_the_wanted_colours(tree: Path, tiny_weights: Path, predictor: Predictor) -> None:
    """Also in the report's list of classes."""
    out = tree.parent / "out"
    assert main([str(tree / "a"), "--weights", str(tiny_weights), "--output", str(out), *ONE_CELL, "--classes", "road, car",
                 "--palette", "colorblind", "--save", "overlay,color", "--report", str(out / "r.json")]) == 0
    frame_bgr, changed = read_image_bgr(tree / "a/1.png"), recolored(LABEL_SET, "colorblind")
    train_ids = predictor(frame_bgr).train_ids
    assert (read_image_bgr(out / "overlay/1.png") == overlay(frame_bgr, train_ids, changed, shown=(1, 2))).all()
    shown = read_labels(out / "color/1.png")
    assert (shown == np.where(np.isin(train_ids, (1, 2))[..., None], changed.palette()[train_ids], 0)).all()
    assert json.loads((out / "r.json").read_text())["label_set"]["colors"] == [list(color) for color in changed.colors]


def test_what_auto_chose_is_said(tree: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    """It is tried on up to three readable pictures, and the next run remembers the choice."""
    for precision in PRECISIONS:  # otherwise the report's run may find loops that have been compiled meanwhile, and try again
        if processor.missing(precision) is None:
            kernels.load(precision)
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path / "cache"))  # another test may have chosen for such frames
    (tree / "a/0.png").write_bytes((tree / "a/1.png").read_bytes()[:200])
    arguments = [str(tree), "--weights", str(tiny_weights), "--output", str(tmp_path / "out"), "--threads", "1"]
    assert main(arguments) == 2
    assert "auto chose" in (said := capsys.readouterr().out)
    assert "tried on 2 frames, 48x64" in said
    assert main([*arguments, "--report", str(tmp_path / "r.json")]) == 2
    assert "tried earlier on 2 frames" in capsys.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["choice"]["engine"], report["choice"]["precision"]) == (report["engine"], report["precision"])
    named = {trial["engine"] for trial in report["choice"]["trials"]} | {engine for engine, _ in report["choice"]["pending"]}
    assert named == {"openvino", "fused", "onnxruntime"}, "one whose loops are still being compiled waits for a later start"
    assert report["choice"]["earlier"]


def test_quiet_is_quiet_and_size_is_said(tree: Path, tiny_weights: Path, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tree / "a"), "--weights", str(tiny_weights), "--output", str(tmp_path / "out"), "--size", "64x64"]
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(arguments) == 0
    assert "stretched to 64x64" in capsys.readouterr().out
    assert main([*arguments, "--fit", "letterbox"]) == 0
    assert "letterboxed into 64x64" in capsys.readouterr().out
    assert read_labels(tmp_path / "out/overlay/1.png").shape[:2] == SIZE_HW


def test_limit_is_evenly_spread() -> None:
    assert spread(range(10), None) == list(range(10))
    assert spread(range(10), 20) == list(range(10))
    assert spread(range(10), 5) == [1, 3, 5, 7, 9]
    assert spread(range(10), 1) == [5]


def test_a_damaged_picture_does_not_stop_the_others(tree: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "a/0.png").write_bytes((tree / "a/1.png").read_bytes()[:200])
    out = tree.parent / "out"
    report = tree.parent / "r.json"
    assert main([str(tree), "--weights", str(tiny_weights), "--output", str(out), "--report", str(report)]) == 2
    heading, fault = capsys.readouterr().err.splitlines()[-2:]
    assert "0.png" in fault
    assert "3 of 4 pictures were segmented" in heading
    assert len(list(out.rglob("*.png"))) == 3
    assert json.loads(report.read_text())["frames"] == 3


def test_inputs_are_never_written_to(tree: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tree), "--weights", str(tiny_weights), "--output", str(tree)]
    assert main(arguments) == 0
    before = {path: path.read_bytes() for path in tree.rglob("*.*")}
    assert main(arguments) == 2
    assert "choose another --output" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tree.rglob("*.*")} == before


def run_dataset(tiny_weights: Path, *more: str) -> int:
    return main(["--dataset", "random", "--root", "somewhere", "--weights", str(tiny_weights), *ONE_CELL, *more],
                readers={"random": Reader})


def test_dataset_gives_scores_latency_and_reports(tiny_weights: Path, predictor: Predictor, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    reports = [tmp_path / name for name in ("r.json", "r.md", "r.html")]
    assert run_dataset(tiny_weights, *(f"--report={path}" for path in reports), "--save", "overlay",
                       "--output", str(tmp_path / "out")) == 0
    report = json.loads(reports[0].read_text())
    assert report["frames"] == report["labelled_frames"] == 5
    assert (report["dataset"], report["split"]) == ("random", "val")
    ious = report["per_class_iou"]
    assert all(iou in (1.0, None) for iou in ious.values()), "the truth is the prediction, less what is ignored"
    assert report["miou"] == 1.0
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert set(report["latency_ms"]["stages"]) == {"preprocess", "network", "upsample"}
    assert (report["engine"], report["precision"], report["choice"]) == ("openvino", "fp32", None)
    assert set(report["first_call_ms"]) == {"import", "read", "compile", "kernel"}
    assert "100.0" in reports[1].read_text()
    page = reports[2].read_text()
    assert page.count("data:image/jpeg") == 4 * page.count('<div class="pictures">') >= 4 * 3
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")) == [
        f"out/overlay/drive/{i}.png" for i in range(5)]
    printed = capsys.readouterr().out
    for words in ("mean", "100.0", "p90", "network", "5 pictures", "Done once: import"):
        assert words in printed


def test_a_part_of_a_dataset_is_said_to_be_one(tiny_weights: Path, predictor: Predictor, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert run_dataset(tiny_weights, "--limit", "2", "--report", str(tmp_path / "r.json")) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["frames"] == 2
    assert "2 of the split's 5 frames" in " ".join(report["notes"])
    assert not list(tmp_path.rglob("*.png")), "nothing is saved unless asked for"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [make_frame(*SIZE_HW, seed=i) for i in range(6)], fps=10)


def test_video_into_a_file_and_into_a_folder(clip: Path, tiny_weights: Path, tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--video", str(clip), "--weights", str(tiny_weights)]
    assert main([*arguments, "--output", str(tmp_path / "out.mp4"), "--report", str(tmp_path / "r.json")]) == 0
    assert main([*arguments, "--output", str(tmp_path / "folder"), "--save", "color", "--limit", "4", "--quiet"]) == 0
    for path, frames in ((tmp_path / "out.mp4", 6), (tmp_path / "folder/clip_color.mp4", 4)):
        assert [float(at) for at, _ in read_video(path)] == pytest.approx([i / 10 for i in range(frames)])
    assert "6 frames in " in (printed := capsys.readouterr().out)
    assert "frames per second from reading to writing" in printed
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["frames"], report["miou"]) == (6, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "folder", "out.mp4", "r.json"]


class Interrupting:
    """A stand-in for a predictor that presses Ctrl-C while it works on its third frame."""

    def __init__(self, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
        original, calls = Predictor.__call__, []

        def call(self: Predictor, frame_bgr: np.ndarray, out: Any = None) -> Any:
            calls.append(frame_bgr)
            if len({frame.tobytes() for frame in calls}) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return original(self, frame_bgr, out)

        monkeypatch.setattr(Predictor, "__call__", call)


def test_ctrl_c_keeps_pictures_and_report(tree: Path, tiny_weights: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(10, 15):
        cv2.imwrite(str(tree / f"{seed}.png"), make_frame(*SIZE_HW, seed=seed))
    Interrupting(predictor, monkeypatch)
    before = signal.getsignal(signal.SIGINT)
    out, report = tree.parent / "out", tree.parent / "r.json"
    assert main([str(tree), "--weights", str(tiny_weights), "--output", str(out), "--report", str(report)]) == 130
    assert "3 of 8 pictures were segmented and kept" in capsys.readouterr().err
    assert len(list(out.rglob("*.png"))) == 3
    assert json.loads(report.read_text())["frames"] == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_keeps_scores(tiny_weights: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture[str]) -> None:
    stop_after = iter([False, False, True])
    monkeypatch.setattr(Reader, "read", lambda self, index, read=Reader.read: (
        next(stop_after) and os.kill(os.getpid(), signal.SIGINT), read(self, index))[1])
    assert run_dataset(tiny_weights, "--report", str(tmp_path / "r.json")) == 130
    assert "Scored were 3 of 5 frames" in capsys.readouterr().err
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["frames"], report["miou"]) == (3, 1.0)


def test_ctrl_c_closes_the_video(clip: Path, tiny_weights: Path, predictor: Predictor, tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Interrupting(predictor, monkeypatch)
    assert main(["--video", str(clip), "--weights", str(tiny_weights), "--output", str(tmp_path / "out.mp4")]) == 130
    assert re.search(r"Kept \d frames? in .*out\.mp4", capsys.readouterr().err)
    assert count_frames(tmp_path / "out.mp4") in range(1, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


def test_label_pictures_of_a_video_and_a_folder_of_videos(tiny_weights: Path, predictor: Predictor, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "drives").mkdir()
    for seed, name in enumerate(("a.mp4", "b.mkv")):
        write_video(tmp_path / "drives" / name, [make_frame(*SIZE_HW, seed=10 * seed + i) for i in range(3)])
    arguments = ["--video", str(tmp_path / "drives"), "--weights", str(tiny_weights), "--output", str(tmp_path / "out"),
                 *ONE_CELL]
    assert main([*arguments, "--save", "overlay,train-ids,label-ids"]) == 0
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")} == {
        "a_overlay.mp4", "b_overlay.mp4",
        *(f"{kind}/{stem}/{i:06d}.png" for kind in ("train-ids", "label-ids") for stem in "ab" for i in range(3))}
    for stem, suffix in (("a", ".mp4"), ("b", ".mkv")):
        for i, (_, picture) in enumerate(read_video(tmp_path / "drives" / f"{stem}{suffix}")):
            train_ids = predictor(picture).train_ids
            assert (read_labels(tmp_path / f"out/train-ids/{stem}/{i:06d}.png") == train_ids).all()
            assert (read_labels(tmp_path / f"out/label-ids/{stem}/{i:06d}.png") == LABEL_SET.to_label_ids()[train_ids]).all()
    assert main([*arguments, "--save", "overlay"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*arguments, "--save", "overlay", "--overwrite", "--mode", "throughput"]) == 0


def test_a_broken_video_of_a_folder_is_named_and_the_others_go_on(tiny_weights: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """Also if an output exists already; two names that differ only in their suffix keep it."""
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "a.mkv", "d.mp4", "e.mp4"):
        write_video(tmp_path / "in" / name, [make_frame(*SIZE_HW, seed=i) for i in range(3)])
    (tmp_path / "in/b.mp4").write_text("hello" * 100)
    (tmp_path / "in/c.mp4").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/d_overlay.mp4").touch()
    arguments = ["--video", str(tmp_path / "in"), "--weights", str(tiny_weights), "--output", str(tmp_path / "out")]
    assert main([*arguments, *ONE_CELL]) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.mp4_overlay.mp4", "a.mkv_overlay.mp4", "d_overlay.mp4", "e_overlay.mp4"}
    assert count_frames(tmp_path / "out/e_overlay.mp4") == 3 and not (tmp_path / "out/d_overlay.mp4").stat().st_size
    last = capsys.readouterr().err.partition("error: ")[2].splitlines()
    assert last[0] == "3 of 6 videos were segmented; what was wrong with the others:"
    assert [re.search(r"([bcd])\.mp4|d_overlay", line) is not None for line in last[1:]] == [True] * 3
    assert "b.mp4 is not a video" in last[1] and "d_overlay.mp4 is there already" in last[3]


def test_q_ends_all_videos_of_a_folder(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "in" / name, [make_frame(*SIZE_HW, seed=i) for i in range(3)])
    monkeypatch.setattr("seg.cli.infer_video.has_display", lambda: True)
    for name, stand_in in (("namedWindow", None), ("resizeWindow", None), ("imshow", None), ("destroyAllWindows", None),
                           ("waitKey", ord("q")), ("getWindowProperty", 1.0)):
        monkeypatch.setattr(cv2, name, lambda *arguments, answer=stand_in: answer)
    assert main(["--video", str(tmp_path / "in"), "--weights", str(tiny_weights), "--output", str(tmp_path / "out"), "--show",
                 *ONE_CELL]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_overlay.mp4"]


def test_piped_in_and_out(tiny_weights: Path, tmp_path: Path) -> None:
    """Raw frames in, NUT out; messages go to standard error."""
    frames = [make_frame(*SIZE_HW, seed=i) for i in range(4)]
    command = [sys.executable, str(ROOT / "infer.py"), "--video", "-", "--raw", "48x64@10", "--output", "-", "--save", "color",
               "--weights", str(tiny_weights), *ONE_CELL]
    done = subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), capture_output=True, cwd=ROOT)
    assert done.returncode == 0 and b"4 frames" in done.stderr
    (tmp_path / "out.nut").write_bytes(done.stdout)
    found = read_video(tmp_path / "out.nut")
    assert [float(at) for at, _ in found] == pytest.approx([0, 0.1, 0.2, 0.3])
    palette = {tuple(color) for color in LABEL_SET.palette()[:, ::-1].tolist()}
    assert {tuple(color) for _, picture in found for color in picture.reshape(-1, 3).tolist()} <= palette


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_close_the_video_and_say_so(number: signal.Signals, code: int, tiny_weights: Path, tmp_path: Path) -> None:
    """They come while the command waits for more frames."""
    command = [sys.executable, str(ROOT / "infer.py"), "--video", "-", "--raw", "48x64@10", "--output", "out.mp4", "--weights",
               str(tiny_weights), *ONE_CELL]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
    assert process.stdin is not None
    process.stdin.write(b"".join(noise(i).tobytes() for i in range(30)))
    process.stdin.flush()
    deadline_s = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob(".out*")):
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code and b"Kept" in said and b"Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert count_frames(tmp_path / "out.mp4") > 0


def test_the_command_needs_no_torch(tree: Path, tiny_weights: Path, tmp_path: Path) -> None:
    code = ("import sys; from datasets import READERS; from seg.cli.infer import main\n"
            "code = main(sys.argv[1:], READERS)\n"
            "heavy = {'torch', 'pytorch_lightning', 'albumentations', 'cityscapesscripts', 'timm', 'matplotlib', 'jinja2',\n"
            "         'psutil'} & set(sys.modules)\n"
            "sys.exit(f'imported: {heavy}' if heavy else code)")
    arguments = [str(tree), "--weights", str(tiny_weights), "--output", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def score(tmp_path: Path, predictor: Predictor, weights: Path, reader: type[Reader], *arguments: str) -> int:
    reader.predictor = predictor
    command = ["--dataset", "tiny", "--root", "somewhere", "--weights", str(weights), *ONE_CELL, *arguments]
    return main(command, {"tiny": reader})


class CoarseReader(Reader):
    """The same frames with a truth of fewer classes."""

    label_set = LabelSet("coarse", ("ground", "above"), ((9, 9, 9), (99, 99, 99)), (0, 1))

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        frame, truth = super().read(index)
        return frame, np.array([1, 0, 0, 1, 0] + [255] * 251, np.uint8)[truth]  # sky, road, car, tree, person


def test_a_coarser_data_set_is_scored_in_its_own_classes(tiny_weights: Path, predictor: Predictor, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    report, table = tmp_path / "report.json", tmp_path / "map.yaml"
    table.write_text("ground: [road, car, person]\nabove: [sky, tree]\n")
    arguments = ["--class-map", str(table), "--report", str(report), "--report", str(report.with_suffix(".html"))]
    assert score(tmp_path, predictor, tiny_weights, CoarseReader, *arguments) == 0
    found = json.loads(report.read_text())
    assert found["per_class_iou"] == {"ground": pytest.approx(1), "above": pytest.approx(1)}
    capsys.readouterr()
    for text, message in (("ground: [road, car]\nabove: [sky, tree]\n", "may predict person, which the map doesn't contain"),
                          ("ground: [road, car, sky, person]\nabove: [sky, tree]\n", "can't overlap"),
                          ("ground: [road, car, person, sky, tree]\nabove: null\n", "is left for 'above'"),
                          ("ground: road\nabove: road\n", "is left for 'above'"),
                          ("ground: [[road]]\nabove: sky\n", "must be a mapping"),
                          ("[road]", "must be a mapping"), ("{road: 3}", "must be a mapping")):
        table.write_text(text)
        assert score(tmp_path, predictor, tiny_weights, CoarseReader, *arguments) == 2
        assert message in capsys.readouterr().err
    assert score(tmp_path, predictor, tiny_weights, CoarseReader) == 2


def test_the_best_size_is_found_and_noted(tiny_weights: Path, predictor: Predictor, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in (".safetensors", ".onnx"):
        shutil.copy(tiny_weights.with_suffix(suffix), tmp_path)
    weights = tmp_path / tiny_weights.name
    assert score(tmp_path, predictor, weights, Reader, "--find-size") == 0
    said = capsys.readouterr().out
    assert "128" in said and "scaled to a long side of 64 px from now on" in said, "the truth is what it says at its own size"
    assert read_description(weights).long_side == read_description(weights.with_suffix(".onnx")).long_side == 64
    assert score(tmp_path, predictor, weights, Reader, "--limit", "1") == 0
    assert "scaled to a longer side of 64 px, where" in capsys.readouterr().out
    for arguments, message in ((["--find-size", "--size", "own"], "leave --size out"),
                               (["--find-size", "--report", "r.json"], "leave --report out")):
        assert score(tmp_path, predictor, weights, Reader, *arguments) == 2
        assert message in capsys.readouterr().err
    assert main(["--dataset", "tiny", "--root", "somewhere", "--find-size"], {"tiny": Reader}) == 2
    assert "name them: --weights FILE" in capsys.readouterr().err
    assert main(["street.jpg", "--find-size"]) == 2
    assert "--find-size measures sizes on a data set" in capsys.readouterr().err


def test_ways_and_sizes_stand_in_the_report(tiny_weights: Path, predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert run_dataset(tiny_weights, "--eval", "slide", "--window", "32x32", "--overlap", "0.5", "--also", "96,multiscale",
                       "--scales", "1,1.5", "--report", str(path)) == 0
    report = json.loads(path.read_text())
    assert report["way"] == "slide, 32x32, overlap 50%"
    variants = {one["name"]: one for one in report["variants"]}
    assert list(variants) == ["whole", "longer side 96 px", "multiscale, 1, 1.5, mirrored too"]
    assert variants["whole"]["miou"] == 1.0, "its own answer is the truth"
    assert report["miou"] < 1 and variants["longer side 96 px"]["network_hw"] == [80, 96]
    assert all(one["latency_ms"]["p50"] > 0 for one in variants.values())


@pytest.mark.parametrize(("options", "says"), [
    (("--window", "64x64"), "--eval slide"), (("--scales", "1"), "--eval multiscale"), (("--eval", "slides"), "invalid choice"),
    (("--eval", "slide", "--window", "8x8"), "too small"), (("--eval", "slide", "--overlap", "1"), "0 to below 1"),
    (("--eval", "slide", "--overlap", "half"), "not a share"), (("--eval", "multiscale", "--scales", "0"), "above 0"),
    (("--also", "slidee"), "Did you mean 'slide'"), (("--eval", "slide", "--find-size"), "leave --eval"),
])
def test_ways_that_can_not_be_are_refused(options: tuple[str, ...], says: str, tiny_weights: Path, predictor: Predictor,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    assert run_dataset(tiny_weights, *options) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_ways_are_not_for_videos(clip: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--video", str(clip), "--weights", str(tiny_weights), "--eval", "slide"]) == 2
    assert "is for pictures and data sets" in capsys.readouterr().err
    assert main(["x.png", "--also", "512"]) == 2
    assert "needs --dataset" in capsys.readouterr().err
