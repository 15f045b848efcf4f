"""Cameras and streams, which run whether or not their frames are used. A connection that breaks off is opened again."""

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np

from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.files import UInt8Array
from seg.flow import Stream
from seg.video.channel import Channel, Ended, Stalled
from seg.video.decode import Container
from seg.video.file import File

PROTOCOLS = frozenset({"mms", "mmsh", "mmst", "rtmp", "rtmpe", "rtmps", "rtmpt", "rtp", "rtsp", "rtsps", "sctp", "srt", "srtp",
                       "tcp", "udp"})  # of streams; a URL of any other protocol may be a file
_TIMEOUT_S = 10.0  # how long a server or camera may stall
_PATIENCE_S = 30.0  # how long a broken connection is tried again
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_GRACE_S = 2.0  # how long a camera's driver is waited for
_LONGEST_WAIT_S = 1.0  # the longest wait for a frame that came in a burst, even if its time is wrong
_BEHIND_S = 1.0  # how late frames that come in bursts may be before their clock starts again

Frame = tuple[UInt8Array, float]  # a frame and its arrival time, by `time.perf_counter`


class Connection(Protocol):
    """A connection that gives frames until it breaks off.

    Attributes:
        fps: average frame rate.
        fault: why it ended; None as long as it runs.
    """

    @property
    def fps(self) -> Fraction: ...

    @property
    def fault(self) -> str | None: ...

    def frames(self) -> Iterator[Frame]:
        """Yields frames as they come."""

    def close(self) -> None:
        """Closes it."""


class Live:
    """A camera or stream. After a break it is connected again, after ever longer pauses. See `Source`.

    Args:
        name: used in messages.
        connect: opens the connection.
        say: receives messages about breaks.
        patience_s: how long it may give no frame.
        connection: a connection that is already open.
    """

    def __init__(self, name: str, connect: Callable[[], Connection], *, say: Callable[[str], None],
                 patience_s: float | None = None, connection: Connection | None = None) -> None:
        self.name, self._connect, self._say = name, connect, say
        self._patience_s = patience_s or _PATIENCE_S
        self._connection = connection
        self._frames: Iterator[EvalSample] = iter(())
        self._closing = threading.Event()
        self._fault = ""

    def open(self) -> Stream:
        self._connection = self._connection or self._connect()
        self._frames = self._watch()
        return Stream(self.name, None, self._connection.fps, live=True)

    def take(self) -> EvalSample | None:
        return next(self._frames, None)

    def _watch(self) -> Iterator[EvalSample]:
        """Yields frames as they come; after a break it connects again until `patience_s` is over."""
        number, last_s, pause_s, reason = 0, time.monotonic(), _FIRST_PAUSE_S, ""
        first_s: float | None = None
        while not self._closing.is_set():
            if self._connection is not None:
                for frame_bgr, came_s in self._connection.frames():
                    if reason:
                        self._say(f"{self.name} is back after {time.monotonic() - last_s:.1f} s.")
                    last_s, pause_s, reason = time.monotonic(), _FIRST_PAUSE_S, ""
                    first_s = came_s if first_s is None else first_s
                    yield EvalSample(f"frame {number}", frame_bgr, time=_seconds(came_s - first_s), captured_s=came_s)
                    number += 1
                reason = (self._connection.fault or "it ended").removeprefix("is cut off: ")
                self._connection.close()
                self._connection = None
            if self._closing.is_set():
                return
            if time.monotonic() + pause_s - last_s > self._patience_s:
                self._fault = f"{self.name} has given no frame for {self._patience_s:g} seconds ({reason})."
                return
            self._say(f"{self.name} broke off ({reason}); it is tried again in {pause_s:g} s.")
            if self._closing.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                self._connection = self._connect()
            except SegError as fault:
                reason = str(fault).removeprefix(self.name).strip().rstrip(".")

    def preview(self, count: int) -> Iterator[UInt8Array]:
        return iter(())

    def check_end(self) -> None:
        if self._fault:
            raise SegError(self._fault)

    def interrupt(self) -> None:
        self._closing.set()

    def close(self) -> None:
        self._closing.set()
        if self._connection is not None:
            self._connection.close()


class Url:
    """A URL: a file on a server, which is read whole, or a stream, which is read live. Opening it shows which one it is."""

    def __init__(self, url: str, *, threads: int = 0, say: Callable[[str], None], timeout_s: float | None = None,
                 patience_s: float | None = None) -> None:
        self.name, self._url, self._threads, self._say = _without_password(url), url, threads, say
        self._timeout_s, self._patience_s = timeout_s or _TIMEOUT_S, patience_s
        self._scheme = url.partition("://")[0].lower()
        self._source: File | Live = File(url, self.name, threads=threads, timeout_s=self._timeout_s)

    def open(self) -> Stream:
        is_live = self._scheme in PROTOCOLS
        container = self._connect(is_live)
        if not is_live and not container.endless:
            assert isinstance(self._source, File)
            return self._source.start(container)
        self._source = Live(self.name, lambda: _StreamConnection(self._connect(True)), say=self._say, patience_s=self._patience_s,
                            connection=_StreamConnection(container))
        return self._source.open()

    def _connect(self, is_live: bool) -> Container:
        options = {"rtsp_flags": "prefer_tcp"} if self._scheme.startswith("rtsp") else {}
        return Container(self._url, self.name, threads=self._threads, timeout_s=self._timeout_s, options=options, is_live=is_live)

    def take(self) -> EvalSample | None:
        return self._source.take()

    def preview(self, count: int) -> Iterator[UInt8Array]:
        return self._source.preview(count)

    def check_end(self) -> None:
        self._source.check_end()

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()


class _StreamConnection:
    """A stream, decoded by PyAV.

    A playlist, such as live HLS, comes in bursts of one segment each; its frames are passed on at their own pace.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self.fps = container.fps

    @property
    def fault(self) -> str | None:
        return self._container.fault

    def frames(self) -> Iterator[Frame]:
        begin_s: float | None = None
        for frame in self._container:
            now_s = time.perf_counter()
            if self._container.in_bursts:
                if begin_s is None or now_s > begin_s + float(frame.time) + _BEHIND_S:
                    begin_s = now_s - float(frame.time)
                time.sleep(min(_LONGEST_WAIT_S, max(0.0, begin_s + float(frame.time) - now_s)))
                now_s = time.perf_counter()
            yield frame.frame_bgr, now_s

    def close(self) -> None:
        self._container.close()


def camera(index: int, say: Callable[[str], None]) -> Live:
    """Returns a source that reads a camera with OpenCV."""
    return Live(f"Camera {index}", lambda: _Capture(index), say=say)


class _Capture:
    """A camera, read in its own thread, because a driver may hang for ever."""

    def __init__(self, index: int) -> None:
        capture = self._capture = cv2.VideoCapture(index)
        if not capture.isOpened():
            raise SegError(f"Camera {index} can't be opened. Is it connected, does another program use it, and are you allowed "
                           "to? Cameras count from 0.")
        claimed = capture.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(claimed).limit_denominator(1001) if 0 < claimed <= 1000 else Fraction(30)
        self.fault: str | None = None
        self._channel = Channel[Frame](1)
        self._thread: threading.Thread | None = None

    def frames(self) -> Iterator[Frame]:
        self._thread = threading.Thread(target=self._read, name="seg-camera", daemon=True)
        self._thread.start()
        while True:
            try:
                yield self._channel.get(_TIMEOUT_S)[1]
            except Stalled:
                self.fault = f"it stalled for {_TIMEOUT_S:g} s"
                return
            except Ended:
                self.fault = "it gives no more frames; was it unplugged?"
                return

    def _read(self) -> None:
        while True:
            good, image = self._capture.read()
            if not good:
                self._channel.finish()
                return
            if not self._channel.put((image.astype(np.uint8, copy=False), time.perf_counter())):
                return

    def close(self) -> None:
        self._channel.give_up()
        if self._thread is not None:
            self._thread.join(_GRACE_S)
            if self._thread.is_alive():  # it hangs in the driver, and a device must not be closed while a thread reads it
                return
        self._capture.release()


def _seconds(seconds: float) -> Fraction:
    return Fraction(round(seconds * 90_000), 90_000)


def _without_password(url: str) -> str:
    """Returns a URL that can be shown: a camera's URL often contains its password."""
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{scheme}{mark}{user.partition(':')[0]}{':***' if ':' in user else ''}{at}{host}{slash}{path}"
