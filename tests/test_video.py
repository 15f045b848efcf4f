"""The output has the times, shape and sound of the input, and is playable however the run ends; the threads end, too."""

import contextlib
import errno
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from networks import LABEL_SET, make_frame
from videos import count_frames, gray, level, noise, read_video, write_video

import seg
from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.flow import Ending, Segmented, Sink, Sinks, Source, Stream
from seg.runtime import Prediction, Predictor
from seg.video import Painter, Pipeline, VideoFile, Window, has_display, open_source, run, segment, segment_file
from seg.video import encode as encode_module
from seg.video import live as live_module
from seg.video import window as window_module
from seg.video.smooth import Smoother


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline_s = time.monotonic() + 5
    while left := [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("seg-")]:
        assert time.monotonic() < deadline_s, f"threads are left: {left}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:  # also if this process may use only one core
        patch.setattr("seg.machine.usable_cores", lambda: 2)
        return Predictor.load(tiny_weights, engine="openvino", precision="fp32", threads=2)


def item(index: int, frame: np.ndarray, at: Fraction = Fraction(0), duration: Fraction = Fraction(0)) -> Segmented:
    sample = EvalSample(f"frame {index}", frame, time=at, duration=duration, captured_s=time.perf_counter())
    return Segmented(index, sample, Prediction(np.zeros(frame.shape[:2], np.uint8), {"total": 1.0}))


def as_it_is(given: Segmented) -> np.ndarray:
    return given.frame_bgr


def write(file: VideoFile, items: Sequence[Segmented], stream: Stream | None = None) -> None:
    with Sinks([file], stream or Stream("test", fps=Fraction(25))) as sinks:
        for given in items:
            sinks.take(given)


# ---- the file


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9")])
def test_a_file_keeps_times_and_pictures(suffix: str, codec: str, tmp_path: Path) -> None:
    times = [Fraction(i, 25) for i in (0, 1, 2, 7, 8, 30)]
    file = VideoFile(tmp_path / f"a{suffix}", as_it_is)
    write(file, [item(i, gray(40 * i), at, Fraction(1, 25)) for i, at in enumerate(times)])
    found = read_video(tmp_path / f"a{suffix}")
    assert [float(at) for at, _ in found] == pytest.approx([float(at) for at in times], abs=0.001)
    assert [level(picture) for _, picture in found] == pytest.approx([40 * i for i in range(6)], abs=6)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.streams.video[0].codec_context.name == codec
        assert container.duration / 1e6 == pytest.approx(31 / 25, abs=0.01)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]
    assert file.written == len(file.delays_ms) == 6 and min(file.delays_ms.values()) > 0


def test_colours_survive(tmp_path: Path) -> None:
    """As two readers see them: one that respects the file's colour description, and one that always assumes BT.601."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32], picture[:32, 32:] = (230, 40, 30), (40, 220, 60)
    picture[32:, :32], picture[32:, 32:] = (30, 50, 210), (200, 200, 200)
    write(VideoFile(tmp_path / "a.mp4", as_it_is), [item(0, picture)])
    for found in (read_video(tmp_path / "a.mp4")[0][1], cv2.VideoCapture(str(tmp_path / "a.mp4")).read()[1]):
        for y, x in ((16, 16), (16, 48), (48, 16), (48, 48)):
            assert np.abs(found[y, x].astype(int) - picture[y, x]).max() <= 6
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (6, 1)


def test_odd_frames_lose_a_line_and_other_sizes_are_scaled(tmp_path: Path) -> None:
    write(VideoFile(tmp_path / "a.mp4", as_it_is), [item(i, gray(100, *size), Fraction(i, 25)) for i, size in
                                                    enumerate([(49, 65), (48, 64), (64, 48), (97, 130)])])
    assert [picture.shape for _, picture in read_video(tmp_path / "a.mp4")] == [(48, 64, 3)] * 4
    write(VideoFile(tmp_path / "b.mp4", as_it_is), [item(0, gray(100, 1, 3))])
    assert count_frames(tmp_path / "b.mp4") == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_what_fails_keeps_a_playable_part(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_text("old")
    file = VideoFile(tmp_path / f"a{suffix}", as_it_is, overwrite=True)
    with pytest.raises(ValueError, match="work"), Sinks([file], Stream("test", fps=Fraction(25))) as sinks:
        for i in range(5):
            sinks.take(item(i, noise(i), Fraction(i, 25)))
        raise ValueError("work")
    assert {path.name for path in tmp_path.iterdir()} == {f"a{suffix}", f"a_partial{suffix}"}
    assert (tmp_path / f"a{suffix}").read_text() == "old"
    assert count_frames(tmp_path / f"a_partial{suffix}") == 5
    assert file.kept == tmp_path / f"a_partial{suffix}"


def test_what_is_cut_by_a_power_failure_is_playable(tmp_path: Path) -> None:
    """The file as it is on the disk while it is being written."""
    file = VideoFile(tmp_path / "a.mp4", as_it_is)
    file.open(Stream("test", fps=Fraction(10)))
    for i in range(60):
        file.take(item(i, noise(i, 96, 128), Fraction(i, 10)))
    part, = tmp_path.iterdir()
    (tmp_path / "copy.mp4").write_bytes(part.read_bytes())
    assert count_frames(tmp_path / "copy.mp4") >= 20
    file.close(Ending.STOPPED)
    assert count_frames(tmp_path / "a.mp4") == 60


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed while there is space to close the file, or by a system error; in both cases the written part is kept."""
    monkeypatch.setattr(encode_module, "_LOOK_S", 0.0)
    free = iter([10**9, 10**9, 10**9, 10**6])  # at its start, then at each frame
    monkeypatch.setattr(encode_module.shutil, "disk_usage", lambda path: type("", (), {"free": next(free)}))
    file = VideoFile(tmp_path / "a.mp4", as_it_is)
    with pytest.raises(SegError, match=r"disk .* is full: 1 MB"):
        write(file, [item(i, noise(i), Fraction(i, 25)) for i in range(9)])
    assert [path.name for path in tmp_path.iterdir()] == ["a_partial.mp4"]
    assert count_frames(tmp_path / "a_partial.mp4") == 3

    monkeypatch.setattr(encode_module.shutil, "disk_usage", lambda path: type("", (), {"free": 10**6}))
    with pytest.raises(SegError, match="is full"):
        write(VideoFile(tmp_path / "b/c/a.mp4", as_it_is), [item(0, noise(0))])
    assert [path.name for path in tmp_path.iterdir()] == ["a_partial.mp4"]

    monkeypatch.setattr(encode_module.shutil, "disk_usage", lambda path: type("", (), {"free": 10**9}))
    calls = []

    def mux(self: VideoFile, packets: list[Any], original: Callable[..., None] = VideoFile._mux) -> None:
        calls.append(packets)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, packets)

    monkeypatch.setattr(VideoFile, "_mux", mux)
    with pytest.raises(SegError, match=r"Can't write a\.mkv: the disk is full"):
        write(VideoFile(tmp_path / "a.mkv", as_it_is), [item(i, noise(i), Fraction(i, 25)) for i in range(9)])
    assert 0 < count_frames(tmp_path / "a_partial.mkv") <= 4


def test_no_frames_no_file(tmp_path: Path) -> None:
    write(VideoFile(tmp_path / "a.mp4", as_it_is), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("place", "words"), [("file/a.mp4", "Can't write"), ("a.avi", "another suffix"), ("a", "another suffix"),
                                              ("file.mp4", "is there already"), ("folder.mp4", "it is a folder")])
def test_places_that_are_refused(place: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SegError, match=words):
        write(VideoFile(tmp_path / place, as_it_is), [item(0, gray(0))])
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "file.mp4", "folder.mp4"}


def test_an_encoder_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_module, "_has_encoder", lambda name: name == "libvpx-vp9")
    with pytest.raises(SegError, match=r"none of libx264.* It can write \.webm"):
        write(VideoFile(tmp_path / "a.mp4", as_it_is), [item(0, gray(0))])
    assert list(tmp_path.iterdir()) == []


# ---- sound


def sound_of(path: Path) -> tuple[str, float, np.ndarray]:
    """Returns the sound's codec, its start [s], and its samples."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        samples = np.concatenate([frame.to_ndarray().mean(0) for frame in frames])
        return stream.codec_context.name, float(frames[0].time or 0), samples


@pytest.mark.parametrize(("suffix", "sound", "expected"), [(".mp4", "aac", "aac"), (".mkv", "aac", "aac"),
                                                           (".webm", "aac", "opus"), (".mp4", "pcm_s16le", "aac")])
def test_sound_is_kept(suffix: str, sound: str, expected: str, tmp_path: Path, predictor: Predictor) -> None:
    clip = write_video(tmp_path / "clip.mkv", [gray(10 * i) for i in range(20)], sound_s=1.5, sound=sound, start=Fraction(2))
    segment_file(clip, tmp_path / f"out{suffix}", predictor=predictor)
    codec, start_s, samples = sound_of(tmp_path / f"out{suffix}")
    assert codec == expected and abs(start_s) < 0.05
    assert len(samples) / 48_000 == pytest.approx(1.5, abs=0.05), "the sound goes on behind the picture, as in the source"
    tone = samples[12_000:36_000].astype(np.float64)
    assert np.argmax(np.abs(np.fft.rfft(tone))) * 48_000 / len(tone) == pytest.approx(440, abs=3)
    assert float(read_video(tmp_path / f"out{suffix}")[0][0]) == pytest.approx(0, abs=0.05)
    segment_file(clip, tmp_path / f"short{suffix}", predictor=predictor, limit=10)
    assert len(sound_of(tmp_path / f"short{suffix}")[2]) / 48_000 == pytest.approx(0.4, abs=0.06), "it ends with the last frame"


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_of_files_put_one_after_the_other(suffix: str, tmp_path: Path, predictor: Predictor) -> None:
    """The second file's times start at 0 again, which no container accepts; tested copied and encoded."""
    part = write_video(tmp_path / "part.ts", [gray(10 * i) for i in range(20)], sound_s=0.8).read_bytes()
    (tmp_path / "both.ts").write_bytes(part + part)
    assert segment_file(tmp_path / "both.ts", tmp_path / f"out{suffix}", predictor=predictor).fault is None
    assert len(read_video(tmp_path / f"out{suffix}")) == 40
    assert len(sound_of(tmp_path / f"out{suffix}")[2]) / 48_000 == pytest.approx(1.6, abs=0.1)


# ---- the pipeline


class Paced:
    """A source of numbered frames with its own pace."""

    def __init__(self, frames: int, pause_s: float = 0.0, live: bool = False, fault: BaseException | None = None) -> None:
        self.frames, self.pause_s, self.live, self.fault = frames, pause_s, live, fault
        self.number, self.opened = 0, 0

    def open(self) -> Stream:
        self.opened += 1
        return Stream("paced", None if self.live else self.frames, Fraction(25), self.live)

    def take(self) -> EvalSample | None:
        time.sleep(self.pause_s)
        if self.number == self.frames:
            if self.fault:
                raise self.fault
            return None
        self.number += 1
        return EvalSample(f"frame {self.number}", gray(self.number), time=Fraction(self.number - 1, 25),
                          captured_s=time.perf_counter())

    def preview(self, count: int) -> Iterator[np.ndarray]:
        return iter(())

    def check_end(self) -> None:
        if not self.number:
            raise SegError("no frame")

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        self.opened = 0


class Collector:
    """A sink that keeps its frames, and wants `limit` of them."""

    name = "collector"

    def __init__(self, limit: int = 10**9, in_callers_thread: bool = False, pause_s: float = 0.0) -> None:
        self.limit, self.in_callers_thread, self.pause_s = limit, in_callers_thread, pause_s
        self.delays_ms: dict[int, float] = {}
        self.items: list[Segmented] = []
        self.ending: Ending | None = None

    def open(self, stream: Stream) -> None:
        self.stream = stream

    def take(self, given: Segmented) -> bool:
        time.sleep(self.pause_s)
        self.items.append(given)
        return len(self.items) < self.limit

    def close(self, ending: Ending) -> None:
        self.ending = ending


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_a_file_loses_no_frame_and_keeps_their_order(mode: Any, predictor: Predictor) -> None:
    source, slow, quick = Paced(40), Collector(pause_s=0.003), Collector(in_callers_thread=True)
    done = run(source, predictor, [slow, quick], mode=mode)
    for sink in (slow, quick):
        assert [given.frame_bgr[0, 0, 0] for given in sink.items] == list(range(1, 41))
        assert [given.index for given in sink.items] == list(range(40))
        assert sink.ending is Ending.WHOLE
    for given in slow.items[::7]:
        assert (given.train_ids == predictor(given.frame_bgr).train_ids).all()
    assert (done.result.frames, done.ending, done.fault, source.opened) == (40, Ending.WHOLE, None, 0)
    assert done.result.video is not None and done.result.video.dropped == 0 and len(done.result.video.over_time) == 40
    assert 0 < done.frames_per_second == pytest.approx(done.result.video.frames_per_second)


def test_in_throughput_several_frames_are_worked_on_at_once(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that takes long doesn't change the order."""
    together, most = 0, 0
    lock = threading.Lock()
    original = Predictor.__call__

    def call(self: Predictor, frame_bgr: np.ndarray, out: Any = None) -> Prediction:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.03 if frame_bgr[0, 0, 0] % 4 == 0 else 0.005)
        with lock:
            together -= 1
        return original(self, frame_bgr, out)

    monkeypatch.setattr(Predictor, "__call__", call)
    monkeypatch.setattr(Predictor, "threads", property(lambda self: 2))  # also if this process may use only one core
    assert [given.frame_bgr[0, 0, 0] for given in segment(Paced(12), predictor, mode="throughput")] == list(range(1, 13))
    assert most == 2
    most = 0
    assert len(list(segment(Paced(5), predictor))) == 5
    assert most == 1
    with pytest.raises(SegError, match="no mode 'fast'"):
        Pipeline(Paced(1), predictor, mode="fast")  # type: ignore[arg-type]


def test_of_a_live_source_the_newest_frame_wins(predictor: Predictor) -> None:
    sink = Collector(pause_s=0.02)
    done = run(Paced(100, 0.002, live=True), predictor, [sink])
    levels = [int(given.frame_bgr[0, 0, 0]) for given in sink.items]
    assert levels == sorted(set(levels)) and levels[-1] == 100
    assert len(levels) < 60, "frames that nobody took should have been dropped"
    assert done.result.video is not None and done.result.video.dropped >= 40
    assert [given.index for given in sink.items] == list(range(len(levels)))
    limited = Collector()
    assert run(Paced(10**6, 0.001, live=True), predictor, [limited], limit=5).ending is Ending.STOPPED
    assert len(limited.items) == 5


def test_whoever_has_had_enough_ends_it(predictor: Predictor) -> None:
    few, all_of_them = Collector(2), Collector()
    source = Paced(10**6)
    done = run(source, predictor, [few, all_of_them])
    assert (len(few.items), done.ending, source.opened) == (2, Ending.STOPPED, 0)
    assert few.ending is all_of_them.ending is Ending.STOPPED
    count = 0

    def stop() -> bool:
        return count >= 3

    def on_frame(given: Segmented) -> None:
        nonlocal count
        count += 1

    assert run(Paced(10**6), predictor, [], stop=stop, on_frame=on_frame).result.frames == 3
    for number, _ in enumerate(segment(source := Paced(10**6), predictor)):
        if number == 3:
            break
    assert source.opened == 0


def test_no_frames_at_all(predictor: Predictor) -> None:
    sink = Collector()
    done = run(Paced(0), predictor, [sink])
    assert (done.result.frames, done.frames_per_second, sink.ending) == (0, 0.0, Ending.WHOLE)
    assert str(done.fault) == "no frame"
    with pytest.raises(SegError, match="no frame"):
        list(segment(Paced(0), predictor))


class Failing(Collector):
    """A sink that fails at its third frame."""

    def take(self, given: Segmented) -> bool:
        if len(self.items) == 2:
            raise SegError("The third is too much.")
        return super().take(given)


@pytest.mark.parametrize("in_callers_thread", [False, True])
def test_whatever_fails_closes_the_rest(in_callers_thread: bool, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, other, source = Failing(in_callers_thread=in_callers_thread), Collector(), Paced(1000)
    with pytest.raises(SegError, match="third is too much"):
        run(source, predictor, [other, failing])
    assert failing.ending is other.ending is Ending.FAILED and source.opened == 0

    other, source = Collector(), Paced(5, fault=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run(source, predictor, [other])
    assert other.ending is Ending.FAILED and len(other.items) == 5 and source.opened == 0

    def raising(given: Segmented) -> None:
        raise ValueError("callback")

    other, source = Collector(), Paced(1000)
    with pytest.raises(ValueError, match="callback"):
        run(source, predictor, [other], on_frame=raising)
    assert other.ending is Ending.FAILED and source.opened == 0

    def failing_call(self: Predictor, frame_bgr: np.ndarray, out: Any = None) -> Prediction:
        if frame_bgr[0, 0, 0] == 4:
            raise SegError("The network fails.")
        return Prediction(np.zeros(frame_bgr.shape[:2], np.uint8), {"total": 1.0})

    monkeypatch.setattr(Predictor, "__call__", failing_call)
    other, source = Collector(), Paced(1000)
    with pytest.raises(SegError, match="network fails"):
        run(source, predictor, [other])
    assert other.ending is Ending.FAILED and len(other.items) == 3 and source.opened == 0


def test_a_sink_that_cannot_be_opened_closes_what_was(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    other, source = Collector(), Paced(10)
    with pytest.raises(SegError, match="Can't write"):
        run(source, predictor, [other, VideoFile(tmp_path / "file/a.mp4", as_it_is)])
    assert other.ending is Ending.FAILED and source.opened == 0


def test_a_callback_that_raises_keeps_a_playable_part(predictor: Predictor, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [noise(i) for i in range(20)])

    def raising(given: Segmented) -> None:
        if given.index == 7:
            raise ValueError("callback")

    with pytest.raises(ValueError, match="callback"):
        segment_file(clip, tmp_path / "out.mp4", predictor=predictor, on_frame=raising)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "out_partial.mp4"}
    assert count_frames(tmp_path / "out_partial.mp4") == 8


def test_frame_sizes_that_change_in_mid_stream(predictor: Predictor, tmp_path: Path) -> None:
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), make_frame(48 + 16 * (i // 3), 64))
    assert [given.train_ids.shape for given in segment(tmp_path, predictor)] == [(48, 64)] * 3 + [(64, 64)] * 3
    segment_file(tmp_path, tmp_path / "out.mp4", predictor=predictor)
    assert count_frames(tmp_path / "out.mp4") == 6


def test_from_python(predictor: Predictor, tiny_weights: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [make_frame(48, 64, i) for i in range(6)], fps=10)
    found = list(seg.video.segment(clip, predictor))
    expected = read_video(clip)
    assert [given.time_s for given in found] == pytest.approx([i / 10 for i in range(6)])
    for given, (_, picture) in zip(found, expected, strict=True):
        assert (given.frame_bgr == picture).all()
        assert (given.train_ids == predictor(picture).train_ids).all()
        assert given.latency_ms["total"] > 0
    done = seg.video.segment_file(clip, tmp_path / "out.mp4", weights=tiny_weights, engine="openvino", precision="fp32",
                                  show="color")
    assert done.result.frames == 6 and done.result.video is not None
    assert done.result.video.glass_to_glass_ms["out.mp4"]["p50"] > 0
    palette = LABEL_SET.palette()[:, ::-1].astype(int)
    shown = read_video(tmp_path / "out.mp4")[2][1].astype(int)
    assert np.median(np.abs(shown - palette[found[2].train_ids])) <= 6
    with pytest.raises(SegError, match="is there already"):
        segment_file(clip, tmp_path / "out.mp4", predictor=predictor)


def test_auto_chooses_on_frames_from_all_over_a_file(predictor: Predictor, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't choose on the ten black frames at the start."""
    clip = write_video(tmp_path / "clip.mp4", [gray(0)] * 10 + [gray(5 * i) for i in range(35)])
    seen: list[float] = []
    monkeypatch.setattr(Predictor, "choose", lambda self, frames: seen.extend(map(level, frames)))
    list(segment(clip, predictor, limit=1))
    assert len(seen) == 3 and max(seen) > 100 and min(seen[1:]) > 40


# ---- smoothing


def test_old_scores_hold_where_the_picture_is_the_same_and_nowhere_else() -> None:
    smoother, random = Smoother(), np.random.default_rng(0)
    image = np.full((64, 96, 3), 100, np.uint8)
    first, second, third = random.normal(size=(3, 5, 8, 12)).astype(np.float32)
    assert (smoother(image, first) == first).all()
    moved = image.copy()
    moved[:, 48:] = 140
    blended = smoother(moved, second)
    np.testing.assert_allclose(blended[:, :, :5], 0.8 * first[:, :, :5] + 0.2 * second[:, :, :5], rtol=1e-4, atol=1e-6)
    assert (blended[:, :, 5:] == second[:, :, 5:]).all(), "nor in the cell beside what moved"
    np.testing.assert_allclose(smoother(moved, third), 0.8 * blended + 0.2 * third, rtol=1e-4, atol=1e-6)
    other = random.normal(size=(5, 9, 12)).astype(np.float32)
    assert (smoother(moved, other) == other).all(), "another size begins anew"


def test_smoothing_steadies_a_still_picture(predictor: Predictor, tmp_path: Path) -> None:
    """A street that doesn't move except for noise, as a camera sees it."""
    still, random = make_frame(96, 128), np.random.default_rng(0)
    for i in range(12):
        noisy = still + random.normal(0, 6, still.shape)
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.clip(noisy, 0, 255).astype(np.uint8))

    def changes(smooth: bool) -> int:
        labels = [given.train_ids for given in segment(tmp_path, predictor, smooth=smooth)]
        return sum(int((one != other).sum()) for one, other in itertools.pairwise(labels))

    assert changes(smooth=True) < 0.6 * changes(smooth=False)
    assert predictor.blend is None, "it is of one video alone"
    done = run(open_source(tmp_path), predictor, [], smooth=True)
    assert list(done.result.latency.stages) == ["preprocess", "network", "smooth", "upsample", "total"]
    with pytest.raises(SegError, match="goes from frame to frame"):
        list(segment(tmp_path, predictor, smooth=True, mode="throughput"))


# ---- cameras


class FakeCamera:
    """A capture that gives numbered frames at its own pace."""

    def __init__(self, frames: int, pause_s: float = 0.002) -> None:
        self.number, self.frames, self.pause_s = 0, frames, pause_s
        self.released = False

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, Any]:
        time.sleep(self.pause_s)
        if self.number == self.frames:
            return False, None
        self.number += 1
        return True, gray(self.number)

    def release(self) -> None:
        self.released = True


def test_a_camera_is_read_live_and_its_end_is_said(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera(60)
    monkeypatch.setattr(live_module.cv2, "VideoCapture", lambda *arguments: camera)
    monkeypatch.setattr(live_module, "_PATIENCE_S", 0.1)
    done = segment_file("0", tmp_path / "out.mkv", predictor=predictor)
    assert camera.released
    assert str(done.fault) == "Camera 0 has given no frame for 0.1 seconds (it gives no more frames; was it unplugged?)."
    times = [at for at, _ in read_video(tmp_path / "out.mkv")]
    assert len(times) == done.result.frames and times == sorted(set(times))
    assert 0.05 < times[-1] - times[0] < 3, "frames have the time at which they came"


def test_a_camera_that_stalls_keeps_what_was_recorded(predictor: Predictor, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened again, without success."""
    monkeypatch.setattr(live_module, "_TIMEOUT_S", 0.3)
    monkeypatch.setattr(live_module, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(live_module, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(live_module, "_GRACE_S", 0.05)

    class Stalling(FakeCamera):
        def read(self) -> tuple[bool, Any]:
            if self.number == 20:
                time.sleep(1)
            return super().read()

    class Absent(FakeCamera):
        def isOpened(self) -> bool:
            return False

    opened = iter([Stalling(1000)])
    monkeypatch.setattr(live_module.cv2, "VideoCapture", lambda *arguments: next(opened, Absent(0)))
    said: list[str] = []
    done = segment_file(open_source("/dev/video3", say=said.append), tmp_path / "out.mp4", predictor=predictor)
    assert "Camera 3 has given no frame for 1 seconds (can't be opened" in str(done.fault)
    assert said[0] == "Camera 3 broke off (it stalled for 0.3 s); it is tried again in 0.05 s."
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert 0 < len(read_video(tmp_path / "out.mp4")) <= 20


def test_a_camera_that_comes_back_goes_on(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_FIRST_PAUSE_S", 0.05)
    cameras = iter([FakeCamera(5), FakeCamera(1000)])
    monkeypatch.setattr(live_module.cv2, "VideoCapture", lambda *arguments: next(cameras))
    said: list[str] = []
    sink = Collector(limit=20)
    assert run(open_source("0", say=said.append), predictor, [sink]).fault is None
    assert len(sink.items) == 20 and [given.time_s for given in sink.items] == sorted(given.time_s for given in sink.items)
    assert said[0].startswith("Camera 0 broke off (it gives no more frames") and said[1].startswith("Camera 0 is back after 0.")


def test_whoever_stops_needn_t_wait_for_a_camera_to_come_back(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_FIRST_PAUSE_S", 20.0)
    monkeypatch.setattr(live_module.cv2, "VideoCapture", lambda *arguments: FakeCamera(5))
    said: list[str] = []
    start_s = time.monotonic()
    run(open_source("0", say=said.append), predictor, [], stop=lambda: bool(said))
    assert time.monotonic() - start_s < 10


# ---- the window


class Screen:
    """A stand-in for OpenCV's windows: keeps what is shown, and presses keys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, keys: Sequence[int]) -> None:
        self.shown: list[np.ndarray] = []
        self.waited_ms: list[int] = []
        self.closed = False
        self._keys = iter(keys)
        self.sizes: list[tuple[int, int]] = []
        for name, stand_in in (("namedWindow", lambda *arguments: None),
                               ("resizeWindow", lambda title, *size_wh: self.sizes.append(size_wh)),
                               ("getWindowImageRect", lambda title: (0, 0, *self.sizes[-1])),
                               ("imshow", lambda title, picture: self.shown.append(picture.copy())), ("waitKey", self.wait),
                               ("getWindowProperty", lambda *arguments: 1.0), ("destroyAllWindows", self.close)):
            monkeypatch.setattr(window_module.cv2, name, stand_in)

    def wait(self, ms: int) -> int:
        self.waited_ms.append(ms)
        time.sleep(ms / 1000)
        return next(self._keys, 255)

    def close(self) -> None:
        self.closed = True


def test_window_shows_legend_and_speed_at_the_videos_pace_and_q_quits(predictor: Predictor,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, [255, 255, ord("q")])
    window = Window(Painter(predictor.label_set))
    done = run(Paced(9), predictor, [window])
    assert done.ending is Ending.STOPPED and screen.closed and len(screen.shown) == 3
    assert screen.shown[0].shape[0] > 48
    assert (screen.shown[1][:30] == 255).any(), "the speed is written into the upper left corner"
    assert sum(screen.waited_ms) <= 100 and max(screen.waited_ms) > 10, "25 frames a second"
    assert len(window.delays_ms) == 3


def test_keys_of_the_window(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All keys are pressed on the first frame, during a pause; after each that changes the frame, it is shown again."""
    screen = Screen(monkeypatch, [ord(key) for key in " l+ooos"] + [255, ord(" "), ord("q")])
    said: list[str] = []
    window = Window(Painter(predictor.label_set), tmp_path, said.append)
    frame = make_frame(48, 64)
    with Sinks([window], Stream("test", fps=Fraction(25))) as sinks:
        for i in range(5):
            labels = np.full((48, 64), 2, np.uint8)
            labels[:12] = 0
            sinks.take(Segmented(i, EvalSample("", frame, time=Fraction(i, 25)), Prediction(labels, {"total": 1.0})))
            if not sinks.wants_more:
                break
    assert i == 1 and len(screen.shown) == 7, "first frame, five keys that change it, second frame"
    assert screen.shown[0].shape[0] > 48 and screen.shown[1].shape == (48, 64, 3), "without the legend"
    colours = LABEL_SET.palette()[labels][:, :, ::-1]
    below = slice(30, None)  # the head-up line
    for shown, opacity in ((screen.shown[1], 0.55), (screen.shown[2], 0.65)):
        expected = frame * (1 - opacity) + colours * opacity
        assert np.abs(shown[below] - expected[below]).max() <= 1
    assert (screen.shown[3][below] == colours[below]).all()
    assert (screen.shown[4][below] == np.hstack([frame, colours])[below]).all()
    assert (screen.shown[5][below] == frame[below]).all()
    assert (cv2.imread(str(tmp_path / "snapshot_000000.png")) == screen.shown[5]).all()
    assert said == [f"Snapshot: {tmp_path / 'snapshot_000000.png'}"]
    tall = screen.shown[0].shape[0]
    assert screen.sizes == [(64, tall), (64, 48), (64, 24), (64, 48)], "the window takes the picture's shape"


def test_a_pause_ends_where_it_is_wished_to_stop(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example by Ctrl-C, which would otherwise have no effect."""
    Screen(monkeypatch, [ord(" ")])
    window, waited = Window(Painter(predictor.label_set)), itertools.count()
    window.stop = lambda: next(waited) > 3
    assert run(Paced(9), predictor, [window]).result.frames == 1


def test_display_is_looked_for_without_starting_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for display in ("", "nonsense", ":4711", "localhost:999"):
        monkeypatch.setenv("DISPLAY", display)
        assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()


def test_the_interfaces_are_met(tmp_path: Path) -> None:
    """Lets mypy check that stand-ins and real classes have the same interface."""
    sources: list[Source] = [Paced(1), open_source("0")]
    sinks: list[Sink] = [Collector(), VideoFile(tmp_path / "a.mp4", as_it_is), Window(Painter(LABEL_SET))]
    for source in sources:
        with contextlib.suppress(SegError):
            source.close()
    assert all(sink.delays_ms == {} for sink in sinks)
