"""Where frames go: a video file that is whole or isn't there, or a window."""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np

from seg.errors import SegError
from seg.files import UInt8Array, publish

VIDEO_SUFFIX = ".mp4"


class Sink(Protocol):
    """Takes frames until it says that it is enough.

    Attributes:
        waited_s: seconds spent on waiting for a frame's time, which is no work.
    """

    waited_s: float

    def write(self, frame_bgr: UInt8Array) -> bool:
        """Takes a frame (H, W, 3); returns whether it wants more."""


class VideoFile:
    """Writes an MP4 under a temporary name, which becomes its name when the block ends well; use it with `with`.

    MPEG-4 stores even sizes only: the last column or row of an odd frame is left out.

    Attributes:
        path: the file.
        written: frames so far.
        waited_s: see `Sink`.
    """

    def __init__(self, path: str | Path, fps: float, live: bool = False) -> None:
        """Names the file; it is opened when the first frame tells its size.

        Args:
            path: ends in .mp4.
            fps: frames per second.
            live: frames come at their own pace, so each is written as often as keeps the file in step with the clock.

        Raises:
            SegError: the suffix isn't .mp4, or the folder can't be written.
        """
        self.path = Path(path)
        self.fps = fps
        self.live = live
        self.written = 0
        self.waited_s = 0.0
        self._start_s = 0.0
        self._size_hw: tuple[int, int] = (0, 0)
        self._writer: cv2.VideoWriter | None = None
        self._temporary: Path | None = None
        if self.path.suffix.lower() != VIDEO_SUFFIX:
            raise SegError(f"Videos are written as {VIDEO_SUFFIX}; {self.path} has another suffix.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._writer is None or self._temporary is None:
            return
        self._writer.release()
        try:
            if kind is None:
                self._check_whole(self._temporary)
                publish(self._temporary, self.path)
        except OSError as problem:
            raise SegError(f"Can't write {self.path}: {problem.strerror or problem}.") from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def write(self, frame_bgr: UInt8Array) -> bool:
        """Appends a frame (H, W, 3) uint8.

        Raises:
            SegError: the file can't be opened, or the frame has another size than the first.
        """
        height, width = frame_bgr.shape[0] // 2 * 2, frame_bgr.shape[1] // 2 * 2
        if self._writer is None:
            self._size_hw = height, width
            self._open()
            self._start_s = time.perf_counter()
        assert self._writer is not None
        if (height, width) != self._size_hw:  # OpenCV would drop it silently
            raise SegError(f"After {self.written} frames of {self._size_hw[0]}x{self._size_hw[1]} comes one of "
                           f"{height}x{width}; a video file holds one size.")
        repeats = 1
        if self.live:
            repeats = int((time.perf_counter() - self._start_s) * self.fps) + 1 - self.written
        for _ in range(repeats):
            self._writer.write(np.ascontiguousarray(frame_bgr[:height, :width]))
            self.written += 1
        return True

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(f".part{VIDEO_SUFFIX}", f".{self.path.stem[:100]}.", self.path.parent)
            os.close(handle)
        except OSError as error:
            raise SegError(f"Can't write {self.path}: {error.strerror or error}.") from None
        self._temporary = Path(name)
        # MPEG-4 is the one codec for MP4 that every build of opencv-python brings along.
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, codec, self.fps, self._size_hw[::-1])
        if not self._writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            self._temporary = None
            raise SegError(f"Can't write {self.path}: this OpenCV has no encoder for MPEG-4 video.")

    def _check_whole(self, path: Path) -> None:
        """OpenCV reports no error when a disk is full, so the frames in the file are counted."""
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            held = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        finally:
            capture.release()
        if held != self.written:
            raise SegError(f"Can't write {self.path}: it holds {held} of {self.written} frames; is the disk full?")


class Window:
    """Shows frames in a window until `q`, Escape or its close button; use it with `with`.

    Attributes:
        waited_s: see `Sink`.
    """

    def __init__(self, title: str, fps: float | None = None) -> None:
        """Opens the window at the first frame.

        Args:
            title: of the window.
            fps: shows no faster than this; None shows each frame at once, as for a camera.
        """
        self.waited_s = 0.0
        self._title = title
        self._period_s = 1 / fps if fps else 0.0
        self._due_s: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._due_s is not None:
            cv2.destroyAllWindows()

    def write(self, frame_bgr: UInt8Array) -> bool:
        """Shows a frame (H, W, 3) uint8; returns False when the user has closed the window.

        Raises:
            SegError: this OpenCV can't show windows.
        """
        start_s = time.perf_counter()
        try:
            if self._due_s is None:
                self._due_s = start_s
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                cv2.resizeWindow(self._title, frame_bgr.shape[1], frame_bgr.shape[0])
            cv2.imshow(self._title, frame_bgr)
            spare_s = max(0.0, self._due_s - start_s)
            key = cv2.waitKey(max(1, round(spare_s * 1000))) & 0xFF
            closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error as error:
            raise SegError(f"No window can be shown ({error.err}); write a file with --output FILE.mp4.") from None
        self.waited_s += min(spare_s, time.perf_counter() - start_s)
        self._due_s = max(self._due_s, start_s) + self._period_s
        return key not in (ord("q"), 27) and not closed


def has_display() -> bool:
    """Whether a window could be shown. Qt ends the whole process where there is none, so this asks before it does."""
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("WAYLAND_DISPLAY"):
        return True
    host, _, number = os.environ.get("DISPLAY", "").rpartition(":")
    number = number.split(".")[0]
    if not number.isdigit():
        return False
    try:
        if host in ("", "unix"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                try:
                    connection.connect(f"/tmp/.X11-unix/X{number}")
                except OSError:
                    connection.connect(f"\0/tmp/.X11-unix/X{number}")  # Linux's abstract name of the same socket
        else:
            socket.create_connection((host, 6000 + int(number)), timeout=3).close()
    except OSError:
        return False
    return True
