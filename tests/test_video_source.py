"""Frames come upright, at their own times and complete, from any container; truncated files are named, complete ones aren't."""

import gc
import os
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from videos import TICK, count_frames, gray, level, noise, server, write_video

from seg.errors import SegError
from seg.flow import Source, opened, samples
from seg.video import live as live_module
from seg.video import open_source, videos_in
from seg.video.live import Url

FRAMES = [gray(20 * i) for i in range(12)]


def read(source: Source | str | Path) -> list[Any]:
    """Returns all samples, once the source has said that it ended well."""
    source = open_source(str(source)) if isinstance(source, str | Path) else source
    with opened(source):
        found = list(samples(source))
    source.check_end()
    return found


def test_frames_are_those_that_opencv_reads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [noise(i // 3) for i in range(12)])
    capture = cv2.VideoCapture(str(path))
    found = read(path)
    assert len(found) == 12
    for sample in found:
        assert np.abs(sample.frame_bgr.astype(int) - capture.read()[1]).max() <= 1
    with opened(open_source(path)) as stream:
        assert (stream.fps, stream.frames, stream.live, stream.sound) == (25, 12, False, None)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".flv", ".ts", ".wmv"])
def test_times_come_from_the_container_and_whole_files_are_whole(suffix: str, tmp_path: Path) -> None:
    """Variable frame rate, as `ffmpeg -vf select` makes it; the sound is longer than the picture."""
    even = suffix in (".avi", ".wmv")
    times = [Fraction(i, 25) for i in range(12)] if even else [Fraction(i, 25) for i in (*range(6), 8, 13, 18, 23, 24, 35)]
    codec = {".webm": "libvpx", ".avi": "mpeg4", ".wmv": "wmv2"}.get(suffix, "libx264")
    sound = {".webm": "libopus", ".wmv": "wmav2", ".avi": "pcm_s16le"}.get(suffix, "aac")
    start = Fraction(0) if even else Fraction(3)
    found = read(write_video(tmp_path / f"clip{suffix}", FRAMES, times=times, codec=codec, sound_s=3.0 if sound != "wmav2" else 0,
                             sound=sound, start=start))
    assert [float(sample.time) for sample in found] == pytest.approx([float(t) for t in times], abs=0.06)
    assert np.abs(np.diff([float(sample.time) for sample in found]) - np.diff([float(t) for t in times])).max() < 0.002
    assert np.abs([level(sample.frame_bgr) - 20 * i for i, sample in enumerate(found)]).max() < 8


def test_a_file_cut_out_without_encoding_is_whole(tmp_path: Path) -> None:
    """As by `ffmpeg -c copy`: an edit list hides the frames before the cut."""
    import av
    write_video(tmp_path / "clip.mp4", [noise(i) for i in range(30)])
    with av.open(str(tmp_path / "clip.mp4")) as given, av.open(str(tmp_path / "cut.mp4"), "w") as cut:
        stream = cut.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size and packet.pts * packet.time_base >= Fraction(10, 25):
                shift = round(Fraction(13, 25) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                cut.mux(packet)
    assert len(read(tmp_path / "cut.mp4")) == count_frames(tmp_path / "cut.mp4") == 12
    write_video(tmp_path / "fragments.mp4", FRAMES, options={"movflags": "frag_keyframe+empty_moov"})
    assert len(read(tmp_path / "fragments.mp4")) == 12


def test_frames_are_freed_as_they_go(tmp_path: Path) -> None:
    """Without Python's search for cycles, which runs once in thousands of frames; and no frame leaves threads behind."""
    path = write_video(tmp_path / "clip.mp4", [noise(i, 240, 320) for i in range(30)])
    with opened(source := open_source(path)):
        source.take()
        gc.collect()
        gc.disable()
        try:
            threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").is_dir() else 0
            for _ in range(25):
                source.take()
            assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) < 5
            if threads:
                assert len(list(Path("/proc/self/task").iterdir())) <= threads + 2
        finally:
            gc.enable()


def test_files_put_one_after_the_other_are_whole(tmp_path: Path) -> None:
    """As by `cat a.ts b.ts`: times jump back, and FFmpeg marks a packet there as damaged. A real hole is still reported."""
    times = [Fraction(i, 25) for i in (*range(8), 10, 15, 20, 25)]
    pictures = [noise(i) for i in range(12)]
    first, second = (write_video(tmp_path / f"{name}.ts", pictures, times=times).read_bytes() for name in "ab")
    (tmp_path / "both.ts").write_bytes(first + second)
    with av.open(str(tmp_path / "both.ts")) as container:
        assert any(packet.is_corrupt for packet in container.demux(video=0)), "nothing is tried here"
    found = [float(sample.time) for sample in read(tmp_path / "both.ts")]
    assert np.diff(found[:12]) == pytest.approx(np.diff([float(time) for time in times]), abs=0.002)
    assert np.diff(found[12:]) == pytest.approx(np.diff([float(time) for time in times]), abs=0.002)
    assert 0 < found[12] - found[11] < 0.3
    middle = len(first) // 376 * 188
    (tmp_path / "hole.ts").write_bytes(first[:middle] + first[middle + 188 * 9:])
    with pytest.raises(SegError, match="cut off or damaged"):
        read(tmp_path / "hole.ts")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".flv", ".avi"])
def test_a_video_that_ends_in_mid_frame_is_named(suffix: str, tmp_path: Path) -> None:
    codec = {".webm": "libvpx", ".avi": "mjpeg"}.get(suffix, "libx264")
    clip = write_video(tmp_path / f"clip{suffix}", [noise(i) for i in range(30)], codec=codec, options={"movflags": "faststart"},
                       pix_fmt="yuvj420p" if suffix == ".avi" else "yuv420p")
    assert len(read(clip)) == 30
    cut = tmp_path / f"cut{suffix}"
    with av.open(str(clip)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
        assert packet.pos is not None
        cut.write_bytes(clip.read_bytes()[:packet.pos + packet.size // 2])
    source = open_source(cut)
    with opened(source):
        assert 10 < len(list(samples(source))) < 30
        with pytest.raises(SegError, match=r"is cut off.*\d+ frames could be read"):
            source.check_end()


def test_a_missing_index_is_said(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [noise(i) for i in range(12)])
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-clip.stat().st_size // 2])
    with pytest.raises(SegError, match="cut off: its index"):
        read(tmp_path / "cut.mp4")
    front = write_video(tmp_path / "front.mp4", [noise(i) for i in range(12)], options={"movflags": "faststart"})
    data = front.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:data.index(b"mdat") + 4])  # only the index
    with pytest.raises(SegError, match="no frame that can be decoded"):
        read(tmp_path / "cut.mp4")


MATRICES = {  # as FFmpeg writes them: x' = a x + c y, y' = b x + d y
    "quarter": ((0, 1, 0, -1, 0, 0, 0, 0, 1 << 14), lambda picture: np.rot90(picture, -1)),
    "half": ((-1, 0, 0, 0, -1, 0, 0, 0, 1 << 14), lambda picture: np.rot90(picture, 2)),
    "back": ((0, -1, 0, 1, 0, 0, 0, 0, 1 << 14), lambda picture: np.rot90(picture, 1)),
    "mirrored": ((-1, 0, 0, 0, 1, 0, 0, 0, 1 << 14), lambda picture: picture[:, ::-1]),
    "upside down": ((1, 0, 0, 0, -1, 0, 0, 0, 1 << 14), lambda picture: picture[::-1]),
    "transposed": ((0, 1, 0, 1, 0, 0, 0, 0, 1 << 14), lambda picture: np.swapaxes(picture, 0, 1)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_upright(name: str, tmp_path: Path) -> None:
    picture = np.repeat(np.repeat(noise(3, 6, 8), 8, 0), 8, 1)
    matrix, turned = MATRICES[name]
    plain = read(write_video(tmp_path / "plain.mp4", [picture]))[0].frame_bgr
    found = read(write_video(tmp_path / "turned.mp4", [picture], matrix=[65536 * value for value in matrix]))[0].frame_bgr
    assert (found == turned(plain)).all()


@pytest.mark.parametrize(("aspect", "size_hw"), [(Fraction(2), (48, 128)), (Fraction(1, 2), (96, 64)),
                                                 (Fraction(16, 11), (48, 93))])
def test_pixels_are_square(aspect: Fraction, size_hw: tuple[int, int], tmp_path: Path) -> None:
    found = read(write_video(tmp_path / "clip.mp4", [gray(100)], aspect=aspect))
    assert found[0].frame_bgr.shape == (*size_hw, 3)
    assert level(found[0].frame_bgr) == pytest.approx(100, abs=5)


@pytest.mark.parametrize(("pix_fmt", "codec", "suffix"), [("gray", "ffv1", ".mkv"), ("yuv420p10le", "libx264", ".mp4"),
                                                          ("rgba", "png", ".mov"), ("yuv444p", "libx264", ".mkv"),
                                                          ("yuv420p", "libsvtav1", ".mp4")])
def test_grey_10_bit_alpha_and_av1(pix_fmt: str, codec: str, suffix: str, tmp_path: Path) -> None:
    size = (64, 64)
    found = read(write_video(tmp_path / f"clip{suffix}", [gray(60, *size), gray(160, *size)], codec=codec, pix_fmt=pix_fmt))
    assert [level(sample.frame_bgr) for sample in found] == pytest.approx([60, 160], abs=4)


def test_odd_sizes(tmp_path: Path) -> None:
    found = read(write_video(tmp_path / "clip.mkv", [gray(60, 49, 65)], codec="ffv1", pix_fmt="bgr0"))
    assert found[0].frame_bgr.shape == (49, 65, 3)


def test_frames_to_choose_on_are_spread(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.mp4", [gray(5 * i) for i in range(45)]))
    assert [round(level(frame) / 5) for frame in source.preview(3)] == pytest.approx([7, 22, 37], abs=2)


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    cv2.imwrite(str(tmp_path / "picture.png"), gray(0))
    write_video(tmp_path / "sound.mp4", [gray(0)])
    for name, words in (("absent.mp4", "There is no video"), ("text.mp4", "not a video"), ("empty.mp4", "not a video"),
                        ("picture.png", "is a picture"), ("folder", "neither pictures nor videos"),
                        ("%03d.png", "matches no pictures"), ("%d/%d.png", "not a pattern of frames")):
        with pytest.raises(SegError, match=words):
            read(tmp_path / name)
    with pytest.raises(SegError, match="Camera 97"):
        read("97")
    with pytest.raises(SegError, match="can't be opened: connection refused"):
        read("http://127.0.0.1:9/stream.mp4")
    with pytest.raises(SegError, match="doesn't know the protocol"):
        read("nonsense://127.0.0.1/x")
    for settings, words in (({"raw": "64x48"}, "through a pipe"), ({"fps": 10}, "has times of its own")):
        with pytest.raises(SegError, match=words):
            open_source(tmp_path / "sound.mp4", **settings)
    with pytest.raises(SegError, match="expected height x width"):
        open_source("-", raw="64")
    with pytest.raises(SegError, match="a rate lies between"):
        open_source(tmp_path, fps=0)


def test_pictures_are_frames(tmp_path: Path) -> None:
    for i in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"f{i}.png"), gray(10 * i))
    (tmp_path / "g3.png").write_bytes((tmp_path / "f1.png").read_bytes())
    for source, levels in ((open_source(tmp_path / "f%d.png", fps=10), [10, 20, 90, 100]),
                           (open_source(tmp_path), [10, 20, 90, 100, 10])):
        assert [level(sample.frame_bgr) for sample in read(source)] == levels
    assert [sample.time for sample in read(open_source(tmp_path / "f%d.png", fps=10))] == [Fraction(i, 10) for i in range(4)]


def test_videos_of_a_folder(tmp_path: Path) -> None:
    for name in ("b10.mp4", "b9.mkv", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in videos_in(tmp_path)] == ["b9.mkv", "b10.mp4"]


# ---- URLs


def test_a_file_behind_a_url_is_read_whole(tmp_path: Path) -> None:
    """Also one without a frame count, which isn't taken for a camera."""
    clips = {name: write_video(tmp_path / name, [noise(i) for i in range(33)], codec=codec)
             for name, codec in (("a.webm", "libvpx"), ("a.mkv", "libx264"), ("a.mp4", "libx264"))}
    with server({f"/{name}": (path.read_bytes(), None) for name, path in clips.items()}) as address:
        for name in clips:
            assert len(read(f"{address}/{name}")) == 33
            with opened(open_source(f"{address}/{name}")) as stream:
                assert not stream.live


@pytest.mark.parametrize("name", ["a.webm", "a.mp4", "a.ts"])
def test_a_server_that_closes_in_mid_file_is_said(name: str, tmp_path: Path) -> None:
    clip = write_video(tmp_path / name, [noise(i) for i in range(33)], codec="libvpx" if name == "a.webm" else "libx264",
                       options={"movflags": "faststart"})
    with server({f"/{name}": (clip.read_bytes(), clip.stat().st_size // 2)}) as address, \
            pytest.raises(SegError, match="cut off: the connection or the device broke off"):
        read(f"{address}/{name}")


def test_a_url_that_never_answers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_TIMEOUT_S", 0.2)
    wait = threading.Event()
    with server({}, {"/never": ("video/mp4", lambda: wait.wait(5) and ())}) as address:
        with pytest.raises(SegError, match=r"did not answer within 0\.2 seconds"):
            read(f"{address}/never")
        wait.set()


def test_passwords_are_not_shown() -> None:
    """Neither in messages nor in the stream's name; a URL without a password stays the same."""
    for url, shown in (("http://me:se@cret@127.0.0.1:9/a@b", "http://me:***@127.0.0.1:9/a@b"), ("rtsp://me@cam/1", "rtsp://me@cam/1"),
                       ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x")):
        assert open_source(url).name == shown  # type: ignore[attr-defined]
    with pytest.raises(SegError, match=r"http://me:\*\*\*@127\.0\.0\.1:9/x can't be opened"):
        read("http://me:secret@127.0.0.1:9/x")


def test_a_stream_that_breaks_off_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """MJPEG as network cameras give it: three frames, a break, three more, then the server is gone."""
    monkeypatch.setattr(live_module, "_FIRST_PAUSE_S", 0.05)
    calls: list[int] = []

    def parts() -> Any:
        calls.append(len(calls))
        if len(calls) > 2:
            return
        for i in range(3):
            data = cv2.imencode(".jpg", gray(100 * len(calls) + 10 * i))[1].tobytes()
            yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)
            time.sleep(0.02)

    said: list[str] = []
    with server({}, {"/live": ("multipart/x-mixed-replace; boundary=frame", parts)}) as address:
        source = Url(f"{address}/live", say=said.append, timeout_s=2, patience_s=0.3)
        with opened(source) as stream:
            assert stream.live and stream.frames is None
            levels = [level(sample.frame_bgr) for sample in samples(source)]
        with pytest.raises(SegError, match=r"has given no frame for 0\.3 seconds"):
            source.check_end()
    assert levels == pytest.approx([100, 110, 120, 200, 210, 220], abs=3)
    assert "it is tried again in 0.05 s" in said[0]


@pytest.mark.parametrize("is_live", [True, False])
def test_a_playlist_is_live_while_it_has_no_end(is_live: bool, tmp_path: Path) -> None:
    """HLS: live frames come in bursts of one segment each and are passed on at their pace; those of a whole video don't wait."""
    clip = write_video(tmp_path / "clip.ts", [gray(5 * i) for i in range(40)], fps=20, options={"mpegts_flags": "resend_headers"})
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0", "#EXTINF:2.0,", "clip.ts"]
    playlist = "\n".join([*lines, *([] if is_live else ["#EXT-X-ENDLIST"]), ""]).encode()
    with server({"/live.m3u8": (playlist, None), "/clip.ts": (clip.read_bytes(), None)}) as address:
        source = Url(f"{address}/live.m3u8", say=lambda text: None, timeout_s=2, patience_s=0.1)
        with opened(source) as stream:
            assert stream.live == is_live
            start_s = time.monotonic()
            found = [source.take() for _ in range(30)]
            took_s = time.monotonic() - start_s
    assert [level(sample.frame_bgr) for sample in found if sample] == pytest.approx([5 * i for i in range(30)], abs=4)
    assert (took_s > 1.2) == is_live


def test_a_codec_that_is_not_known_is_said(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", [gray(0)])
    clip.write_bytes(clip.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"))
    with pytest.raises(SegError, match=r"codec this build of FFmpeg has no decoder for. It has decoders for .*h264"):
        read(clip)


def test_frames_that_change_their_size_in_mid_stream(tmp_path: Path) -> None:
    """As when a camera's settings change while it records."""
    parts = [write_video(tmp_path / f"{height}.h264", [gray(100, height, 64)] * 4, start=Fraction(at, 25))
             for height, at in ((48, 0), (96, 4))]
    (tmp_path / "both.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    sizes = [sample.frame_bgr.shape[:2] for sample in read(tmp_path / "both.h264")]
    assert sizes == [(48, 64)] * 4 + [(96, 64)] * 4


# ---- pipes


def test_what_is_piped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"".join(noise(i).tobytes() for i in range(5))
    nut = write_video(tmp_path / "clip.nut", [noise(i) for i in range(5)], codec="rawvideo", pix_fmt="bgr24").read_bytes()
    cases: list[tuple[bytes, dict[str, Any]]] = [(raw, {"raw": "48x64@10"}), (nut, {})]
    for data, settings in cases:
        receiver, sender = os.pipe()
        thread = threading.Thread(target=lambda data=data, sender=sender: (os.write(sender, data), os.close(sender)))
        thread.start()
        before = os.dup(0)
        os.dup2(receiver, 0)
        try:
            found = read(open_source("-", **settings))
        finally:
            os.dup2(before, 0)
            os.close(before)
            os.close(receiver)
            thread.join()
        assert len(found) == 5
        assert all((sample.frame_bgr == noise(i)).all() for i, sample in enumerate(found))
        assert found[1].time == Fraction(1, 10) if settings else abs(found[1].time - Fraction(1, 25)) <= TICK
