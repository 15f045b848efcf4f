"""Frames of a video file, a camera or a URL, one after the other.

Files are read frame by frame. A camera goes on whether or not anyone looks, so a thread reads it and hands out the
newest frame: what is shown is never older than one step of the work on it.
"""

import math
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from seg.errors import SegError
from seg.files import UInt8Array, is_image

_CAMERA = re.compile(r"(?:/dev/video)?(\d+)")
_FALLBACK_FPS = 30.0
_TIMEOUT_MS = 10_000
_STALLED_S = 10.0


class VideoSource:
    """Opens a video and iterates over its frames, (H, W, 3) uint8 BGR; use it with `with`.

    Attributes:
        name: as it was given.
        live: whether frames come at their own pace and are dropped when nobody takes them.
        fps: frames per second that it claims, 30 where it claims nothing credible.
        frames: how many it claims to hold; None where it doesn't say.
        read: how many have been handed out.
    """

    def __init__(self, source: str, threads: int = 0) -> None:
        """Opens `source`: a file, the index of a camera ("0"), or a URL.

        Args:
            source: what to open.
            threads: for decoding; 0 leaves it to FFmpeg.

        Raises:
            SegError: there is no such file or camera, or it is no video.
        """
        self.name = source
        camera = _CAMERA.fullmatch(source)
        url = "://" in source
        if camera:
            self._capture = cv2.VideoCapture(int(camera[1]))
        else:
            if not url:
                _check_file(Path(source))
            settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS,
                        cv2.CAP_PROP_N_THREADS, threads]
            self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, settings)
        if not self._capture.isOpened():
            self._capture.release()
            if camera:
                raise SegError(f"Camera {camera[1]} can't be opened; is it connected, and may you use it? "
                               "Cameras count from 0.")
            raise SegError(f"{source} can't be opened as a video stream." if url else
                           f"{source} is not a video that OpenCV can decode, or its index is cut off.")
        fps, frames = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else _FALLBACK_FPS
        self.frames = int(frames) if math.isfinite(frames) and frames > 0 and not camera else None
        self.live = bool(camera) or (url and self.frames is None)
        self.read = 0
        self._reader = _NewestFrame(self._capture) if self.live else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._reader is None or self._reader.stop():
            self._capture.release()

    def __iter__(self) -> Iterator[UInt8Array]:
        while True:
            if self._reader:
                frame = self._reader.take()
            else:
                good, image = self._capture.read()
                frame = image.astype(np.uint8, copy=False) if good else None
            if frame is None:
                return
            self.read += 1
            yield frame

    def check_whole(self) -> None:
        """Compares what was read with what the video claims, once all of it has been read.

        Raises:
            SegError: it holds no frame, or it ends before its end.
        """
        if not self.read:
            raise SegError(f"{self.name} holds no frame that can be decoded.")
        if self.live or "://" in self.name:
            return
        missing = (self.frames or 0) - self.read
        # The count that a file claims may be an estimate from its duration, so a small difference alone proves nothing.
        if missing > max(1, self.read // 50) or _is_cut_off(Path(self.name)):
            of = f" of {self.frames}" if self.frames else ""
            raise SegError(f"{self.name} is cut off: {self.read}{of} frames could be read.")


class _NewestFrame:
    """Reads a capture in a thread and keeps the newest frame alone."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._frame: UInt8Array | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            good, image = self._capture.read()
            with self._changed:
                if good:
                    self._frame = image.astype(np.uint8, copy=False)
                else:
                    self._ended = True
                self._changed.notify()

    def take(self) -> UInt8Array | None:
        """Waits for a frame that wasn't taken yet; None when the camera has ended.

        Raises:
            SegError: none comes for ten seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._frame is not None or self._ended, _STALLED_S):
                raise SegError(f"The camera has given no frame for {_STALLED_S:g} seconds.")
            frame, self._frame = self._frame, None
            return frame

    def stop(self) -> bool:
        """Ends the thread; returns whether it did end, for a capture must not be released while it is read."""
        self._ended = True
        self._thread.join(_STALLED_S)
        return not self._thread.is_alive()


def _check_file(path: Path) -> None:
    if not path.exists():
        raise SegError(f"There is no video {path}. Give a file, the index of a camera (0, 1, ...) or a URL.")
    if not path.is_file():
        raise SegError(f"{path} is not a video file.")
    if is_image(path):
        raise SegError(f"{path} is a picture; give it without --video.")
    if not os.access(path, os.R_OK):
        raise SegError(f"{path} can't be read: permission denied.")


def _is_cut_off(path: Path) -> bool:
    """Whether the outermost box of an MP4 or AVI file says that it goes on behind the end of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return False
        start = 0
        while start + 8 <= size:
            file.seek(start)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # its length follows as 64 bits
                length = int.from_bytes(head[8:16], "big")
            if length == 0:  # "to the end of the file"
                return False
            if length < 8 or start + length > size:
                return True
            start += length
    return False
