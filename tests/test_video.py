"""Videos come in, whole or not; they go out whole or not at all; a camera hands out its newest frame."""

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from seg.errors import SegError
from seg.runtime import Predictor
from seg.video import VideoFile, VideoSource, Window, has_display, segment_video
from seg.video import sink as sink_module
from seg.video import source as source_module

FRAMES = 12


def gray(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def write_video(path: Path, frames: int = FRAMES, fps: float = 12.5, noise: bool = False) -> Path:
    random = np.random.default_rng(0)
    with VideoFile(path, fps) as video:
        for i in range(frames):
            video.write(random.integers(0, 256, (48, 64, 3)).astype(np.uint8) if noise else gray(20 * i))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


def test_what_is_written_can_be_read(clip: Path) -> None:
    with VideoSource(str(clip)) as source:
        assert (source.fps, source.frames, source.live) == (12.5, FRAMES, False)
        frames = list(source)
        source.check_whole()
    assert source.read == len(frames) == FRAMES
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in frames)
    assert np.abs([frame.mean() - 20 * i for i, frame in enumerate(frames)]).max() < 6
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mp4"]


def test_odd_frames_lose_a_line_and_sizes_may_not_change(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="one size"), VideoFile(tmp_path / "a.mp4", 10) as video:
        video.write(gray(0, 49, 65))
        video.write(gray(0, 48, 64))
        video.write(gray(0, 64, 48))
    assert list(tmp_path.iterdir()) == []
    with VideoFile(tmp_path / "b.mp4", 10) as video:
        video.write(gray(0, 49, 65))
    with VideoSource(str(tmp_path / "b.mp4")) as source:
        assert [frame.shape for frame in source] == [(48, 64, 3)]


def test_an_exception_leaves_no_file_and_an_old_one_untouched(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("old")
    with pytest.raises(KeyboardInterrupt), VideoFile(tmp_path / "a.mp4", 10) as video:
        video.write(gray(0))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "old"


def test_a_file_that_is_not_whole_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="disk full"), VideoFile(tmp_path / "a.mp4", 10) as video:
        video.write(gray(0))
        video.written += 1  # as if the encoder had dropped a frame
    assert list(tmp_path.iterdir()) == []


def test_no_frames_no_file(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "a.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_live_file_keeps_step_with_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(sink_module.time, "perf_counter", lambda: now[0])
    with VideoFile(tmp_path / "a.mp4", 10, live=True) as video:
        for step_s in (0.0, 0.5, 0.01, 0.49):
            now[0] += step_s
            video.write(gray(0))
    assert video.written == 11  # one second at ten frames per second, both ends counted


@pytest.mark.parametrize("place", ["file/a.mp4", "a.avi", "a"])
def test_places_that_are_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegError), VideoFile(tmp_path / place, 10) as video:
        video.write(gray(0))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello" * 100)
    (tmp_path / "empty.mp4").touch()
    cv2.imwrite(str(tmp_path / "picture.png"), gray(0))
    for name, words in (("absent.mp4", "There is no video"), ("text.mp4", "not a video"), ("empty.mp4", "not a video"),
                        ("picture.png", "is a picture"), ("", "not a video file")):
        with pytest.raises(SegError, match=words):
            VideoSource(str(tmp_path / name))
    with pytest.raises(SegError, match="Camera 97"):
        VideoSource("97")
    with pytest.raises(SegError, match="can't be opened"):
        VideoSource("http://127.0.0.1:9/stream.mp4")


def moved_to_front(clip: Path, target: Path) -> Path:
    """Moves the index before the frames, as players on the web want it; the offsets in it become wrong by its size."""
    data = clip.read_bytes()
    boxes, start = [], 0
    while start < len(data):
        length = int.from_bytes(data[start:start + 4], "big")
        boxes.append(data[start:start + length])
        start += length
    moov = next(box for box in boxes if box[4:8] == b"moov")
    at = moov.index(b"stco")
    count = int.from_bytes(moov[at + 8:at + 12], "big")
    offsets = np.frombuffer(moov[at + 12:at + 12 + 4 * count], ">u4") + len(moov)
    moov = moov[:at + 12] + offsets.astype(">u4").tobytes() + moov[at + 12 + 4 * count:]
    target.write_bytes(b"".join([boxes[0], moov, *(box for box in boxes[1:] if box[4:8] != b"moov")]))
    return target


@pytest.mark.parametrize("missing_bytes", [10, 20_000])
def test_a_video_that_ends_in_mid_frame_is_named(missing_bytes: int, tmp_path: Path) -> None:
    clip = moved_to_front(write_video(tmp_path / "clip.mp4", noise=True), tmp_path / "front.mp4")
    with VideoSource(str(clip)) as source:
        assert len(list(source)) == FRAMES
        source.check_whole()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:-missing_bytes])
    with VideoSource(str(cut)) as source:
        assert len(list(source)) <= FRAMES
        with pytest.raises(SegError, match="cut off"):
            source.check_whole()
    data = clip.read_bytes()
    cut.write_bytes(data[:data.index(b"mdat") + 4])  # the index alone
    with VideoSource(str(cut)) as source, pytest.raises(SegError, match="no frame"):
        assert list(source) == []
        source.check_whole()


class FakeCamera:
    """A capture that gives numbered frames at its own pace."""

    def __init__(self, frames: int, pause_s: float = 0.002) -> None:
        self.number, self.frames, self.pause_s = 0, frames, pause_s
        self.released = False

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 0.0, cv2.CAP_PROP_FRAME_COUNT: -1.0}[what]

    def read(self) -> tuple[bool, Any]:
        time.sleep(self.pause_s)
        if self.number == self.frames:
            return False, None
        self.number += 1
        return True, gray(self.number)

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_its_newest_frame_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera(60)
    monkeypatch.setattr(source_module.cv2, "VideoCapture", lambda *arguments: camera)
    with VideoSource("0") as source:
        assert (source.live, source.fps, source.frames) == (True, 30.0, None)
        levels = []
        for frame in source:
            levels.append(int(frame[0, 0, 0]))
            time.sleep(0.02)
        source.check_whole()
    assert levels == sorted(set(levels))
    assert len(levels) < 40, "frames that nobody took should have been dropped"
    assert levels[-1] == 60
    assert camera.released


def test_a_camera_is_closed_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera(10_000)
    monkeypatch.setattr(source_module.cv2, "VideoCapture", lambda *arguments: camera)
    with pytest.raises(ValueError, match="work"), VideoSource("/dev/video3") as source:
        next(iter(source))
        raise ValueError("work")
    assert camera.released


def test_a_stalled_camera_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_STALLED_S", 0.05)
    monkeypatch.setattr(source_module.cv2, "VideoCapture", lambda *arguments: FakeCamera(1, pause_s=0.5))
    with pytest.raises(SegError, match="no frame for"), VideoSource("0") as source:
        next(iter(source))


class Collector:
    """A sink that keeps what it gets and wants `limit` frames."""

    waited_s = 0.0

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.frames: list[np.ndarray] = []

    def write(self, frame_bgr: np.ndarray) -> bool:
        self.frames.append(frame_bgr)
        return len(self.frames) < self.limit


def test_loop_segments_every_frame_and_measures_both_speeds(tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights)
    frames = [np.random.default_rng(i).integers(0, 256, (64, 96, 3)).astype(np.uint8) for i in range(4)]
    sink, seen = Collector(100), []
    run = segment_video(predictor, iter(frames), sink, "color", lambda sample, prediction: seen.append(prediction.train_ids))
    assert len(sink.frames) == len(seen) == run.result.frames == 4
    assert not run.closed
    assert run.frames_per_second <= run.predictor_frames_per_second
    palette = predictor.label_set.palette()[:, ::-1]
    for picture, frame, train_ids in zip(sink.frames, frames, seen, strict=True):
        assert (picture == palette[predictor(frame).train_ids]).all()
        assert (train_ids == predictor(frame).train_ids).all()


def test_loop_ends_when_the_sink_does_and_survives_no_frames(tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights)
    sink = Collector(2)
    run = segment_video(predictor, (gray(i) for i in range(10)), sink)
    assert (run.closed, run.result.frames, len(sink.frames)) == (True, 2, 2)
    run = segment_video(predictor, iter(()), sink)
    assert (run.result.frames, run.frames_per_second, run.predictor_frames_per_second) == (0, 0.0, 0.0)


def test_window_shows_legend_and_speed_and_q_quits(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, closed = [], []
    keys = iter([255, 255, ord("q")])
    monkeypatch.setattr(sink_module.cv2, "namedWindow", lambda *arguments: None)
    monkeypatch.setattr(sink_module.cv2, "resizeWindow", lambda *arguments: None)
    monkeypatch.setattr(sink_module.cv2, "imshow", lambda title, frame: shown.append(frame))
    monkeypatch.setattr(sink_module.cv2, "waitKey", lambda ms: time.sleep(ms / 1000) or next(keys))
    monkeypatch.setattr(sink_module.cv2, "getWindowProperty", lambda *arguments: 1.0)
    monkeypatch.setattr(sink_module.cv2, "destroyAllWindows", lambda: closed.append(True))
    with Window("test", fps=20) as window:
        run = segment_video(Predictor.load(tiny_weights), (gray(100, 96, 128) for _ in range(9)), window)
    assert run.closed
    assert len(shown) == 3
    assert shown[0].shape[0] > 96
    assert closed == [True]
    assert 0 < window.waited_s < 1
    assert (shown[1][:30] == 255).any(), "the speed is written into the upper left corner"


def test_display_is_looked_for_without_starting_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for display in ("", "nonsense", ":4711", "localhost:999"):
        monkeypatch.setenv("DISPLAY", display)
        assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()
