"""A window that shows the segmented video live."""

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from seg.errors import SegError
from seg.files import UInt8Array, write_image
from seg.flow import Ending, Segmented, Stream
from seg.video.draw import Painter

_ESCAPE = 27
_STEP = 0.1  # of opacity, for each key press
_PAUSED_MS = 50


class Window:
    """Shows frames until the user presses `q` or Escape or closes it; a `seg.flow.Sink`. A file is shown at its own pace.

    Attributes:
        was_quit: whether the user has closed it.
        stop: called during a pause; True ends the pause and the video.

    Keys: space pauses; `o` shows overlay, labels, both side by side, or the frame alone; `+` and `-` change the opacity; `l`
    shows or hides the legend; `s` saves the shown picture.
    """

    name = "window"
    in_callers_thread = True  # all window toolkits require it

    def __init__(self, painter: Painter, snapshots: Path = Path(), say: Callable[[str], None] = print) -> None:
        """Sets what is shown; the window opens at the first frame.

        Args:
            painter: makes the picture.
            snapshots: the folder for pictures saved with `s`.
            say: receives a message with the path of each.
        """
        self.delays_ms: dict[int, float] = {}
        self._painter, self._snapshots, self._say = painter, snapshots, say
        self._opened = False
        self._shown_hw: tuple[int, int] | None = None
        self.was_quit = False
        self.stop: Callable[[], bool] = lambda: False

    def open(self, stream: Stream) -> None:
        self._stream = stream
        self._title = f"{stream.name} (q quits, space pauses, o l + - change it, s saves it)"
        self._start_s = 0.0

    def take(self, item: Segmented) -> bool:
        self._painter.seen()
        picture = self._painter.annotated(item)
        try:
            if not self._opened:
                self._opened = True
                os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # OpenCV's packages lack fonts, and Qt warns of it
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
                self._start_s = time.perf_counter() - item.time_s
            return self._show(item, picture)
        except cv2.error as error:
            raise SegError(f"No window can be shown ({error.err}); write a file with --output FILE.mp4.") from None

    def _show(self, item: Segmented, picture: UInt8Array) -> bool:
        """Shows a picture until its time is over and there is no pause; returns whether the window is still wanted."""
        self._put(picture)
        now_s = time.perf_counter()
        wait_s = 0.0 if self._stream.live else max(0.0, self._start_s + item.time_s - now_s)
        self.delays_ms[item.index] = (now_s - item.sample.captured_s) * 1000
        paused = False
        while True:
            key = cv2.waitKey(_PAUSED_MS if paused else max(1, round(wait_s * 1000))) & 0xFF
            if key in (ord("q"), _ESCAPE) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                self.was_quit = True
                return False
            if self.stop():
                return False
            paused ^= key == ord(" ")
            if self._press(key, item, picture):
                picture = self._painter.annotated(item)
                self._put(picture)
            if not paused:
                break
        # time that was lost or spent in a pause is not caught up
        self._start_s = max(self._start_s, time.perf_counter() - item.time_s)
        return True

    def _put(self, picture: UInt8Array) -> None:
        """Shows a picture. The window keeps its width and takes the picture's shape, so that nothing is distorted."""
        height, width = picture.shape[:2]
        if (height, width) != self._shown_hw:
            now_px = cv2.getWindowImageRect(self._title)[2] if self._shown_hw else width
            shown_px = now_px if now_px > 0 else width  # the toolkit may not know
            cv2.resizeWindow(self._title, shown_px, round(shown_px * height / width))
            self._shown_hw = height, width
        cv2.imshow(self._title, picture)

    def _press(self, key: int, item: Segmented, picture: UInt8Array) -> bool:
        """Does what a key asks for; returns whether the picture looks different now."""
        painter = self._painter
        if key == ord("o"):
            painter.next_show()
        elif key in (ord("+"), ord("="), ord("-")):
            painter.opacity = min(1.0, max(0.0, painter.opacity + (-_STEP if key == ord("-") else _STEP)))
        elif key == ord("l"):
            painter.with_legend = not painter.with_legend
        elif key == ord("s"):
            path = self._snapshots / f"snapshot_{item.index:06d}.png"
            try:
                write_image(path, picture)
                self._say(f"Snapshot: {path}")
            except SegError as fault:  # the video goes on
                self._say(str(fault))
            return False
        else:
            return False
        return True

    def close(self, ending: Ending) -> None:
        if self._opened:
            cv2.destroyAllWindows()


def has_display() -> bool:
    """Returns whether a window could be shown. Qt ends the whole process without a display, so this is checked before."""
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
                    connection.connect(f"\0/tmp/.X11-unix/X{number}")  # Linux's abstract name for the same socket
        else:
            socket.create_connection((host, 6000 + int(number)), timeout=3).close()
    except OSError:
        return False
    return True
