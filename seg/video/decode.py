"""Frames of a container, decoded by PyAV (FFmpeg): upright, with square pixels, each with its own time.

PyAV reads files and URLs, not OpenCV: OpenCV gives no frame times, no pixel aspect and no sound, takes a mirrored display
matrix for a rotated one, doesn't say where decoding failed, and contains fewer decoders.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from seg.errors import SegError
from seg.files import UInt8Array
from seg.video.joints import JUMP, Joints

_FALLBACK_FPS = Fraction(30)
_MOST_FPS = 1000
_PLAYLISTS = frozenset({"hls", "dash"})
_ASPECTS = (Fraction(1, 16), Fraction(16))  # of a pixel; values outside mean a damaged header
_JOINT_PACKETS = 3  # before a joint of files: a demuxer marks these packets as damaged although they are whole
_LATE = Fraction(1, 4)  # s between the last packet and Matroska's duration that are normal: a long frame of sound, rounding

Matrix = tuple[int, int, int, int]  # the signs of a display matrix: how x enters x' and y', and how y enters both


@dataclass(frozen=True)
class Decoded:
    """A frame (H, W, 3) uint8 BGR, and its time from the container's start and its duration [s]."""

    frame_bgr: UInt8Array
    time: Fraction
    duration: Fraction


class Container:
    """An open container. Its first video stream that is not a cover picture is decoded.

    Args:
        file: what FFmpeg opens: a path, a URL, "pipe:0".
        name: used in messages.
        threads: number of decoding threads; 0 lets FFmpeg choose.
        timeout_s: for opening and for each read; None waits for ever.
        form: name of a demuxer; None detects it.
        options: options of the demuxer.
        is_live: whether it is known to be a stream, so that frames are wanted as soon as possible.

    Attributes:
        fps: average frame rate; 30 if the container says nothing credible.
        frames: number of frames that the container states or suggests, for a progress bar; None if it doesn't.
        time_base: unit of the frames' times [s].
        origin: the container's time at which the frames' time is 0 [s].
        has_sound: whether there is an audio stream.
        endless: whether it has no end and no stated length: a live stream.
        in_bursts: whether it is a playlist of segments that continues, such as live HLS.
        fault: what is wrong with its end, as the rest of a sentence such as "FILE is cut off: ..."; None as long as nothing is.

    Raises:
        SegError: it can't be opened or contains no video.
    """

    def __init__(self, file: str, name: str, *, threads: int = 0, timeout_s: float | None = None, form: str | None = None,
                 options: dict[str, str] | None = None, is_live: bool = False) -> None:
        self._name = name
        try:
            self._container: InputContainer = av.open(file, format=form, options=options or {}, timeout=timeout_s)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SegError(f"{name} {_why_not_opened(error, timeout_s, file)}") from None
        try:
            self._prepare(threads, is_live)
        except BaseException:
            self._container.close()
            raise

    def _prepare(self, threads: int, is_live: bool) -> None:
        container = self._container
        pictures = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
        if not pictures:
            raise SegError(f"{self._name} holds no video" + (", but sound." if container.streams.audio else "."))
        video = self._video = pictures[0]
        if video.codec_context is None:
            raise SegError(f"{self._name} holds a video whose codec this build of FFmpeg has no decoder for. {_decoders()}")
        rate = video.average_rate or video.guessed_rate
        self.fps = rate if rate and 0 < rate <= _MOST_FPS else _FALLBACK_FPS
        self.time_base = video.time_base or Fraction(1, 90_000)
        starts = [container.start_time / Fraction(av.time_base)] if container.start_time is not None else []
        self.origin = starts[0] if starts else Fraction(0)
        length = container.duration / Fraction(av.time_base) if container.duration else None
        if length is None and video.duration:
            length = video.duration * self.time_base
        self.frames = video.frames or (max(1, round(length * self.fps)) if length else None)
        self.has_sound = bool(container.streams.audio)
        self.in_bursts = length is None and container.format.name in _PLAYLISTS
        self.endless = length is None and (container.size <= 0 or self.in_bursts)
        video.codec_context.thread_count = threads
        # If each thread decodes its own frame, every frame comes late by as many frames as there are threads.
        video.thread_type = "SLICE" if is_live or self.endless else "AUTO"
        self.fault: str | None = None
        self._length = length
        self._joints, self._converter = Joints(), VideoReformatter()
        self._matrices = dict[int, Matrix | None]()
        self._aspect = video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio or Fraction(1)
        if not _ASPECTS[0] <= self._aspect <= _ASPECTS[1]:
            self._aspect = Fraction(1)

    def close(self) -> None:
        """Closes it."""
        self._container.close()

    def __iter__(self) -> Iterator[Decoded]:
        """Yields the frames in display order; sets `fault` at the end."""
        packets, end = 0, Fraction(0)
        damaged, undecodable = set[int](), set[int]()
        last: Fraction | None = None
        decoded_s: Fraction | None = None  # time of the last packet, by its container's clock
        failure = ""
        demuxer = self._container.demux()
        while True:
            try:
                packet = next(demuxer)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError) as error:
                failure = _reason(error)
                break
            if packet.size and packet.dts is not None:
                end = max(end, ((packet.pts or packet.dts) + (packet.duration or 0)) * packet.time_base - self.origin)
            if packet.stream is not self._video:
                continue
            packets += bool(packet.size)
            if packet.size and packet.is_corrupt:
                damaged.add(packets)
            if packet.dts is not None:
                if decoded_s is not None and packet.dts * packet.time_base < decoded_s - JUMP:
                    damaged -= set(range(packets - _JOINT_PACKETS, packets)) - undecodable
                decoded_s = packet.dts * packet.time_base
            try:
                frames = cast(list[VideoFrame], packet.decode())
            except (av.error.FFmpegError, OSError):  # a decoder continues after a packet that it can't decode
                damaged.add(packets)
                undecodable.add(packets)
                continue
            for frame in frames:
                decoded = self._convert(frame, last)
                last = decoded.time
                yield decoded
        if failure:
            with suppress(av.error.FFmpegError, OSError):
                for frame in self._video.decode(None):  # frames that the decoder still holds
                    decoded = self._convert(frame, last)
                    last = decoded.time
                    yield decoded
        self._judge(packets, end, len(damaged), failure)

    def _judge(self, packets: int, end: Fraction, damaged: int, failure: str) -> None:
        """Finds out whether the container is cut off. Only in Matroska does the stated length prove that."""
        missing = len(self._video.index_entries) - packets
        matroska = "matroska" in self._container.format.name
        if failure:
            self.fault = f"is cut off: {failure}"
        elif missing > 0:
            self.fault = f"is cut off: {packets} of {packets + missing} packets are there"
        elif matroska and self._length is not None and end + self.origin + _LATE < self._length:
            self.fault = f"is cut off: it ends after {float(end + self.origin):.2f} of {float(self._length):.2f} s"
        elif damaged:
            self.fault = f"is cut off or damaged: {damaged} of {packets} packets are"

    def _convert(self, frame: VideoFrame, last: Fraction | None) -> Decoded:
        step = 1 / self.fps
        duration = frame.duration * (frame.time_base or self.time_base) if frame.duration else step
        time = None
        if frame.pts is not None:
            time = self._joints(frame.pts * (frame.time_base or self.time_base) - self.origin, duration)
        if time is None or (last is not None and time <= last):  # a container without times, or with wrong ones
            time = Fraction(0) if last is None else last + step
        height, width = frame.height, frame.width
        if self._aspect > 1:
            width = max(1, round(width * self._aspect))
        else:
            height = max(1, round(height / self._aspect))
        # One converter serves all frames: `frame.reformat` would start a new one, with threads, for each frame.
        image = self._converter.reformat(frame, width, height, "bgr24", threads=1).to_ndarray().astype(np.uint8, copy=False)
        return Decoded(_upright(image, self._matrix(frame)), time, duration)

    def _matrix(self, frame: VideoFrame) -> Matrix | None:
        """Returns a frame's display matrix, as four signs; None if there is none.

        It is read only from the first frame with each rotation. Reading it from every frame would keep every frame in memory: a
        frame and its side data refer to each other, so only Python's rare search for cycles would free them.
        """
        turn = frame.rotation
        if turn not in self._matrices:
            self._matrices[turn] = _display_matrix(frame)
        return self._matrices[turn]

    def spread(self, count: int) -> Iterator[UInt8Array]:
        """Yields up to `count` frames spread over the whole, from the middle of each part; without seeking, the first one."""
        for part in range(count if self._length else 1):
            at = self._length * (2 * part + 1) / (2 * count) if self._length else Fraction(0)
            try:
                if at:
                    self._container.seek(int((self.origin + at) * av.time_base))
                for frame in self._container.decode(self._video):
                    if frame.pts is None or frame.pts * self.time_base - self.origin >= at:
                        yield self._convert(frame, None).frame_bgr
                        break
            except (av.error.FFmpegError, OSError):
                continue


def _display_matrix(frame: VideoFrame) -> Matrix | None:
    sides = cast(Iterable[SideData], frame.side_data)  # its stub wrongly says that it is a mapping
    data = next((side for side in sides if side.type == SideType.DISPLAYMATRIX), None)
    if data is None:
        return None
    a, b, _, c, d = np.sign(np.frombuffer(bytes(data), np.int32)[:5]).tolist()
    return a, b, c, d


def _upright(image: UInt8Array, matrix: Matrix | None) -> UInt8Array:
    """Applies a display matrix, which turns by quarter turns and may mirror; other angles stay as they are."""
    if matrix is None:
        return image
    a, b, c, d = matrix  # x' = a x + c y, y' = b x + d y
    if a == d == 0 and b and c:
        image = cv2.transpose(image).astype(np.uint8, copy=False)  # x' = y, y' = x
        a, d = c, b
    elif not (a and d and b == c == 0):
        return image
    if (a, d) == (1, 1):
        return image
    return cv2.flip(image, -1 if a < 0 and d < 0 else 1 if a < 0 else 0).astype(np.uint8, copy=False)


def _why_not_opened(error: Exception, timeout_s: float | None, file: str) -> str:
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return f"did not answer within {timeout_s:g} seconds." if timeout_s else "did not answer."
    if isinstance(error, av.error.HTTPError):
        return f"can't be opened: the server says {error.strerror}."
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "can't be opened: this build of FFmpeg doesn't know the protocol."
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
        if _starts_as_mp4(file):
            return "is cut off: its index, which stands at the end, is missing."
        return "is not a video that FFmpeg can read."
    return f"can't be opened: {_reason(error)}."


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return "no data came in time"
    if isinstance(error, OSError) and error.errno == 5:
        return "the connection or the device broke off"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def _starts_as_mp4(file: str) -> bool:
    with suppress(OSError), open(file.removeprefix("file:"), "rb") as data:
        return data.read(8)[4:] == b"ftyp"
    return False


def _decoders() -> str:
    known = {"av1", "h264", "hevc", "mjpeg", "mpeg2video", "mpeg4", "prores", "vp8", "vp9", "vvc"} & av.codecs_available
    return f"It has decoders for {', '.join(sorted(known))} and others."


def check_fps(fps: float) -> Fraction:
    """Returns the frame rate that the user gave, as a fraction.

    Raises:
        SegError: it is not a possible frame rate.
    """
    if not (math.isfinite(fps) and 0 < fps <= _MOST_FPS):
        raise SegError(f"{fps:g} frames per second were given; a rate lies between 0 and {_MOST_FPS}.")
    return Fraction(fps).limit_denominator(1001)
