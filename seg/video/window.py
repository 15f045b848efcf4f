"""A window that shows the picture as it comes."""

import os
import socket
import sys
import time

import cv2

from seg.errors import SegError
from seg.flow import Ending, Segmented, Stream
from seg.video.draw import Painter


class Window:
    """Shows frames until `q`, Escape or its close button; a `seg.flow.Sink`. A file is shown at its own pace."""

    name = "window"
    in_callers_thread = True  # as all toolkits of windows want it

    def __init__(self, painter: Painter) -> None:
        """Says what is shown; the window opens at the first frame."""
        self.delays_ms: dict[int, float] = {}
        self._painter = painter
        self._opened = False

    def open(self, stream: Stream) -> None:
        self._stream = stream
        self._title = f"{stream.name} (q quits)"
        self._start_s = 0.0

    def take(self, item: Segmented) -> bool:
        picture = self._painter.annotated(item)
        try:
            if not self._opened:
                self._opened = True
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                cv2.resizeWindow(self._title, picture.shape[1], picture.shape[0])
                self._start_s = time.perf_counter() - item.time_s
            cv2.imshow(self._title, picture)
            now_s = time.perf_counter()
            wait_s = 0.0 if self._stream.live else max(0.0, self._start_s + item.time_s - now_s)
            self._start_s = max(self._start_s, now_s - item.time_s)  # what came late isn't made up for
            key = cv2.waitKey(max(1, round(wait_s * 1000))) & 0xFF
            closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error as error:
            raise SegError(f"No window can be shown ({error.err}); write a file with --output FILE.mp4.") from None
        self.delays_ms[item.index] = (time.perf_counter() - item.sample.captured_s - wait_s) * 1000
        return key not in (ord("q"), 27) and not closed

    def close(self, ending: Ending) -> None:
        if self._opened:
            cv2.destroyAllWindows()


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
