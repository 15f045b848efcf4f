"""Where the frames of a video come from: a file, a URL, a pipe, a camera, or a row of pictures.

Each is a `seg.flow.Source`. Files and pipes are read frame by frame. A camera or stream goes on whether or not anyone looks: it
is read all the time by the pipeline's thread, which keeps the newest frame.
"""

import gc
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.files import UInt8Array, is_image, read_image_bgr, spread
from seg.flow import Source, Stream
from seg.video.decode import Container, check_fps

PIPE = "-"
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".ts", ".mts", ".m2ts", ".mpg",
                            ".mpeg", ".ogv", ".3gp"})
PICTURES_FPS = 25.0
_CAMERA = re.compile(r"(?:/dev/video)?(\d+)")
_PATTERN = re.compile(r"%0?(\d*)d")
_LIVE = frozenset({"mms", "mmsh", "mmst", "rtmp", "rtmpe", "rtmps", "rtmpt", "rtp", "rtsp", "rtsps", "sctp", "srt", "srtp", "tcp",
                   "udp"})
_TIMEOUT_S = 10.0
_PATIENCE_S = 30.0  # that a stream which broke off is tried again for
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0


def open_source(source: str | Path, *, threads: int = 0, raw: str | None = None, fps: float | None = None,
                say: Callable[[str], None] | None = None) -> Source:
    """Returns what reads `source`; `open` opens it.

    Args:
        source: a file; a URL; the index of a camera ("0"); "-", what is piped in; a folder of pictures, or a pattern such as
            "frames/%06d.png".
        threads: for decoding; 0 leaves it to FFmpeg.
        raw: of "-", the size of frames that come as bare BGR bytes, "HxW" or "HxW@FPS"; None for a container such as NUT,
            Matroska or MPEG-TS, which says that itself.
        fps: of pictures, which have no times (default: 25).
        say: is told what a user should know while it runs, such as that a stream broke off; None prints on standard error.

    Raises:
        SegError: it can't be any of these.
    """
    name = str(source)
    path = Path(name)
    if raw is not None and name != PIPE:
        raise SegError(f"Raw frames come through a pipe, so that they go with -; the source is {name}.")
    camera = _CAMERA.fullmatch(name)
    pictures = not camera and "://" not in name and (bool(_PATTERN.search(name)) or path.is_dir())
    if fps is not None and not pictures:
        raise SegError(f"{name} has times of its own; a frame rate is given for a folder or row of pictures alone.")
    if camera:
        return Camera(int(camera[1]))
    if name == PIPE:
        form, options = _raw_format(raw) if raw else (None, {})
        return File("pipe:0", "Standard input", threads=threads, form=form, options=options, seekable=False)
    if pictures:
        return Pictures(name, check_fps(PICTURES_FPS if fps is None else fps))
    say = say or (lambda text: print(text, file=sys.stderr))
    if "://" in name:
        return Url(name, threads=threads, say=say)
    _check_file(path)
    return File(name, name, threads=threads, seekable=path.is_file())


class File:
    """A video that is read from its start to its end, every frame: a file or a pipe. See `Source`."""

    def __init__(self, file: str, name: str, *, threads: int = 0, form: str | None = None, options: dict[str, str] | None = None,
                 timeout_s: float | None = None, seekable: bool = True) -> None:
        self._file = file if "://" in file or file.startswith("pipe:") else f"file:{file}"  # or FFmpeg takes "a:b" for a protocol
        self.name, self._threads, self._form, self._options = name, threads, form, options
        self._timeout_s, self._seekable = timeout_s, seekable
        self._container: Container | None = None
        self._frames: Iterator[EvalSample] = iter(())
        self._read = 0

    def _open(self) -> Container:
        return Container(self._file, self.name, threads=self._threads, timeout_s=self._timeout_s, form=self._form,
                         options=self._options)

    def open(self) -> Stream:
        return self._start(self._open())

    def _start(self, container: Container) -> Stream:
        self._container = container
        self._frames = self._decode(container)
        sound = self._file if container.has_sound and self._seekable else None
        return Stream(self.name, container.frames, container.fps, time_base=container.time_base, sound=sound,
                      origin=container.origin)

    def _decode(self, container: Container) -> Iterator[EvalSample]:
        for number, frame in enumerate(container):
            yield EvalSample(f"frame {number}", frame.frame_bgr, time=frame.time, duration=frame.duration,
                             captured_s=time.perf_counter())

    def take(self) -> EvalSample | None:
        sample = next(self._frames, None)
        self._read += sample is not None
        return sample

    def preview(self, count: int) -> Iterator[UInt8Array]:
        if not self._seekable:
            return
        container = self._open()
        try:
            yield from container.spread(count)
        finally:
            container.close()

    def check_end(self) -> None:
        fault = self._container.fault if self._container else None
        if not self._read:
            raise SegError(f"{self.name} holds no frame that can be decoded" + (f"; it {fault}." if fault else "."))
        if fault:
            raise SegError(f"{self.name} {fault}. {self._read} frame{'' if self._read == 1 else 's'} could be read.")

    def close(self) -> None:
        if self._container is not None:
            self._frames = iter(())
            self._container.close()
            gc.collect()  # PyAV keeps a decoder's threads until its cycle of references is collected


class Url:
    """A URL: a file on a server, which is read whole, or a stream, which is read live and taken up again where it breaks off."""

    def __init__(self, url: str, *, threads: int = 0, say: Callable[[str], None], timeout_s: float | None = None,
                 patience_s: float | None = None) -> None:
        self.name, self._url, self._threads, self._say = _without_password(url), url, threads, say
        self._timeout_s = timeout_s or _TIMEOUT_S
        self._patience_s = patience_s or _PATIENCE_S
        self._file = File(url, self.name, threads=threads, timeout_s=self._timeout_s)
        self._live = False
        self._frames: Iterator[EvalSample] = iter(())
        self._container: Container | None = None
        self._closing = threading.Event()
        self._fault = ""

    def open(self) -> Stream:
        container = self._connect()
        self._live = container.endless or self.name.partition("://")[0].lower() in _LIVE
        if not self._live:
            return self._file._start(container)
        self._container = container
        self._frames = self._watch()
        return Stream(self.name, None, container.fps, live=True)

    def _connect(self) -> Container:
        scheme = self.name.partition("://")[0].lower()
        options = {"rtsp_flags": "prefer_tcp"} if scheme.startswith("rtsp") else {}
        return Container(self._url, self.name, threads=self._threads, timeout_s=self._timeout_s, options=options)

    def take(self) -> EvalSample | None:
        return next(self._frames, None) if self._live else self._file.take()

    def _watch(self) -> Iterator[EvalSample]:
        """Yields frames as they come; after a break it connects again, after ever longer pauses, until its patience ends."""
        number, last_s, pause_s = 0, time.monotonic(), _FIRST_PAUSE_S
        first_s: float | None = None
        while not self._closing.is_set():
            reason = "it ended"
            if self._container is not None:
                for frame in self._container:
                    now_s, last_s, pause_s = time.perf_counter(), time.monotonic(), _FIRST_PAUSE_S
                    first_s = now_s if first_s is None else first_s
                    yield EvalSample(f"frame {number}", frame.frame_bgr, time=_seconds(now_s - first_s), captured_s=now_s)
                    number += 1
                reason = (self._container.fault or reason).removeprefix("is cut off: ")
                self._container.close()
                self._container = None
            if time.monotonic() + pause_s - last_s > self._patience_s:
                self._fault = f"{self.name} has given no frame for {self._patience_s:g} seconds ({reason})."
                return
            self._say(f"{self.name} broke off ({reason}); it is tried again in {pause_s:g} s.")
            if self._closing.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                self._container = self._connect()
            except SegError as fault:
                self._say(str(fault))

    def preview(self, count: int) -> Iterator[UInt8Array]:
        return iter(()) if self._live else self._file.preview(count)

    def check_end(self) -> None:
        if not self._live:
            self._file.check_end()
        elif self._fault:
            raise SegError(self._fault)

    def close(self) -> None:
        self._closing.set()
        self._file.close()
        if self._container is not None:
            self._container.close()


class Camera:
    """A camera, read by OpenCV. See `Source`."""

    def __init__(self, index: int) -> None:
        self._index = index
        self.name = f"Camera {index}"
        self._capture: cv2.VideoCapture | None = None
        self._first_s: float | None = None
        self._read = 0
        self._fault = ""

    def open(self) -> Stream:
        capture = self._capture = cv2.VideoCapture(self._index)
        if not capture.isOpened():
            raise SegError(f"{self.name} can't be opened; is it connected, does another program use it, and may you? Cameras "
                           "count from 0.")
        claimed = capture.get(cv2.CAP_PROP_FPS)
        fps = Fraction(claimed).limit_denominator(1001) if 0 < claimed <= 1000 else Fraction(30)
        return Stream(self.name, None, fps, live=True, stalls=True)

    def take(self) -> EvalSample | None:
        if self._capture is None:
            return None
        good, image = self._capture.read()
        now_s = time.perf_counter()
        if not good:
            self._fault = f"{self.name} gives no more frames; was it unplugged?"
            return None
        self._first_s = now_s if self._first_s is None else self._first_s
        self._read += 1
        return EvalSample(f"frame {self._read - 1}", image.astype(np.uint8, copy=False), time=_seconds(now_s - self._first_s),
                          captured_s=now_s)

    def preview(self, count: int) -> Iterator[UInt8Array]:
        return iter(())

    def check_end(self) -> None:
        if self._fault:
            raise SegError(self._fault)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class Pictures:
    """Pictures of a folder by the numbers in their names, or those that fit a pattern like "%06d.png"; see `Source`."""

    def __init__(self, name: str, fps: Fraction) -> None:
        self.name, self._fps = name, fps
        self._paths = _matching(name) if _PATTERN.search(name) else _in_folder(Path(name))
        self._read = 0

    def open(self) -> Stream:
        return Stream(self.name, len(self._paths), self._fps, time_base=1 / self._fps)

    def take(self) -> EvalSample | None:
        if self._read == len(self._paths):
            return None
        path, number = self._paths[self._read], self._read
        self._read += 1
        return EvalSample(path.name, read_image_bgr(path), time=number / self._fps, duration=1 / self._fps,
                          captured_s=time.perf_counter())

    def preview(self, count: int) -> Iterator[UInt8Array]:
        return map(read_image_bgr, spread(self._paths, count))

    def check_end(self) -> None:
        pass

    def close(self) -> None:
        pass


def videos_in(folder: Path) -> list[Path]:
    """Returns the videos that lie in a folder, by their suffix; sorted."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")),
                  key=_by_number)


def _in_folder(folder: Path) -> list[Path]:
    found = sorted((path for path in folder.iterdir() if path.is_file() and is_image(path)), key=_by_number)
    if not found:
        raise SegError(f"The folder {folder} holds neither pictures nor videos.")
    return found


def _matching(pattern: str) -> list[Path]:
    """Returns the files that a pattern of printf names, such as "frames/%06d.png", by rising number."""
    path = Path(pattern)
    if _PATTERN.search(str(path.parent)) or len(_PATTERN.findall(path.name)) > 1:
        raise SegError(f"{pattern} is no pattern of frames: one number, such as %06d, stands in the file's name.")
    before, digits, after = _PATTERN.split(path.name)
    number = rf"\d{{{int(digits)},}}" if digits else r"\d+"
    fits = re.compile(f"{re.escape(before)}({number}){re.escape(after)}")
    found = []
    if path.parent.is_dir():
        found = [(int(match[1]), file) for file in path.parent.iterdir() if (match := fits.fullmatch(file.name))]
    if not found:
        raise SegError(f"The pattern {pattern} matches no pictures.")
    return [file for _, file in sorted(found)]


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sorts 2.png before 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _raw_format(text: str) -> tuple[str, dict[str, str]]:
    size, _, rate = text.partition("@")
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    try:
        fps = check_fps(float(rate or PICTURES_FPS))
    except ValueError:
        match = None
    if not match or not int(match[1]) or not int(match[2]):
        raise SegError(f"Raw frames are {text!r}; expected height x width, such as 540x960, or with their rate 540x960@25.")
    return "rawvideo", {"pixel_format": "bgr24", "video_size": f"{match[2]}x{match[1]}", "framerate": str(fps)}


def _seconds(seconds: float) -> Fraction:
    return Fraction(round(seconds * 90_000), 90_000)


def _without_password(url: str) -> str:
    """Returns a URL as it may be shown: that of a camera often holds its password."""
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{scheme}{mark}{user.partition(':')[0]}{':***' if ':' in user else ''}{at}{host}{slash}{path}"


def _check_file(path: Path) -> None:
    if not path.exists():
        raise SegError(f"There is no video {path}. Give a file, a folder, the index of a camera (0, 1, ...), a URL, or "
                       "- for a pipe.")
    if not path.is_file() and not path.is_fifo():
        raise SegError(f"{path} is not a video file.")
    if is_image(path):
        raise SegError(f"{path} is a picture; give it without --video.")
    if not os.access(path, os.R_OK):
        raise SegError(f"{path} can't be read: permission denied.")
