"""Where the frames of a video come from: a file, a URL, a pipe, a camera, or a sequence of pictures.

Each is a `seg.flow.Source`. Files and pipes are read frame by frame. A camera or stream runs whether or not its frames are used:
the pipeline's thread reads it all the time and keeps the newest frame.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.files import UInt8Array, is_image, read_image_bgr, spread
from seg.flow import Source, Stream
from seg.video.decode import check_fps
from seg.video.file import File
from seg.video.live import Url, camera

PIPE = "-"
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".ts", ".mts", ".m2ts", ".mpg",
                            ".mpeg", ".ogv", ".3gp"})
PICTURES_FPS = 25.0
_CAMERA = re.compile(r"(?:/dev/video)?(\d+)")
_PATTERN = re.compile(r"%0?(\d*)d")


def open_source(source: str | Path, *, threads: int = 0, raw: str | None = None, fps: float | None = None,
                say: Callable[[str], None] | None = None) -> Source:
    """Returns what reads `source`; `open` opens it.

    Args:
        source: a file; a URL; the index of a camera ("0"); "-" for a pipe; a folder of pictures; or a pattern such as
            "frames/%06d.png".
        threads: number of decoding threads; 0 lets FFmpeg choose.
        raw: for "-": the size of frames that come as bare BGR bytes, "HxW" or "HxW@FPS"; None for a container such as NUT,
            Matroska or MPEG-TS, which gives the size itself.
        fps: frame rate of pictures, which have no times (default: 25).
        say: receives messages for the user while it runs, such as that a stream broke off; None prints to standard error.

    Raises:
        SegError: it is none of these.
    """
    name = str(source)
    path = Path(name)
    if raw is not None and name != PIPE:
        raise SegError(f"Raw frames come through a pipe, so the source must be -; it is {name}.")
    is_camera = _CAMERA.fullmatch(name)
    pictures = not is_camera and "://" not in name and (bool(_PATTERN.search(name)) or path.is_dir())
    if fps is not None and not pictures:
        raise SegError(f"{name} has times of its own; give a frame rate only for a folder or a sequence of pictures.")
    say = say or (lambda text: print(text, file=sys.stderr))
    if is_camera:
        return camera(int(is_camera[1]), say)
    if name == PIPE:
        form, options = _raw_format(raw) if raw else (None, {})
        return File("pipe:0", "Standard input", threads=threads, form=form, options=options, seekable=False)
    if pictures:
        return Pictures(name, check_fps(PICTURES_FPS if fps is None else fps))
    if "://" in name:
        return Url(name, threads=threads, say=say)
    _check_file(path)
    return File(name, name, threads=threads, seekable=path.is_file())


class Pictures:
    """Pictures of a folder, ordered by the numbers in their names, or those matching a pattern like "%06d.png"; see `Source`."""

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

    def interrupt(self) -> None:
        pass

    def check_end(self) -> None:
        pass

    def close(self) -> None:
        pass


def videos_in(folder: Path) -> list[Path]:
    """Returns the videos in a folder, recognised by their suffix; sorted."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")),
                  key=_by_number)


def _in_folder(folder: Path) -> list[Path]:
    found = sorted((path for path in folder.iterdir() if path.is_file() and is_image(path)), key=_by_number)
    if not found:
        raise SegError(f"The folder {folder} holds neither pictures nor videos.")
    return found


def _matching(pattern: str) -> list[Path]:
    """Returns the files that match a printf pattern, such as "frames/%06d.png", in the order of their numbers."""
    path = Path(pattern)
    if _PATTERN.search(str(path.parent)) or len(_PATTERN.findall(path.name)) > 1:
        raise SegError(f"{pattern} is not a pattern of frames: it needs exactly one number, such as %06d, in the file's name.")
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
    """Returns a sort key that puts 2.png before 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _raw_format(text: str) -> tuple[str, dict[str, str]]:
    size, _, rate = text.partition("@")
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    try:
        fps = check_fps(float(rate or PICTURES_FPS))
    except ValueError:
        match = None
    if not match or not int(match[1]) or not int(match[2]):
        raise SegError(f"Raw frames are {text!r}; expected height x width, such as 540x960, or with the frame rate, 540x960@25.")
    return "rawvideo", {"pixel_format": "bgr24", "video_size": f"{match[2]}x{match[1]}", "framerate": str(fps)}


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
