"""A video file, written by PyAV (FFmpeg): each frame at its own time, with the sound of the source; playable however it ends.

PyAV writes, not OpenCV: OpenCV's writer has neither times nor sound, its packages contain no H.264 encoder, and it doesn't
say when a disk is full.
"""

import errno
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from seg.errors import SegError
from seg.files import UInt8Array, publish, temporary_prefix
from seg.flow import Ending, Segmented, Stream
from seg.machine import usable_cores
from seg.video.joints import Joints

Painter = Callable[[Segmented], UInt8Array]


@dataclass(frozen=True)
class _Format:
    """How files with a suffix are written.

    Attributes:
        video: video encoders; the first available one is used.
        audio: the audio encoder.
        kept_audio: audio codecs that are copied without encoding.
        options: options of the container.
    """

    video: tuple[str, ...]
    audio: str
    kept_audio: frozenset[str]
    options: dict[str, str] = field(default_factory=dict)


# A file that is written in fragments is playable wherever it ends; when FFmpeg closes it, it becomes an ordinary file.
_FRAGMENTS = {"movflags": "hybrid_fragmented"}
_H264 = ("libx264", "libopenh264", "h264_videotoolbox", "mpeg4")
_FORMATS = {
    ".mp4": _Format(_H264, "aac", frozenset({"aac", "mp3", "ac3", "eac3", "alac"}), _FRAGMENTS),
    ".mov": _Format(_H264, "aac", frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le"}), _FRAGMENTS),
    ".mkv": _Format(_H264, "aac", frozenset({"aac", "mp3", "ac3", "eac3", "flac", "opus", "vorbis", "alac", "pcm_s16le"})),
    ".webm": _Format(("libvpx-vp9", "libvpx"), "libopus", frozenset({"opus", "vorbis"})),
}
OUTPUT_SUFFIXES = tuple(_FORMATS)
VIDEO_SUFFIX = ".mp4"
# The fastest settings, because the encoder shares the processor with the network. The quality stays the same; the file is larger.
_ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "23"},  # x264's default
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0", "row-mt": "1", "lag-in-frames": "0"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "4M", "lag-in-frames": "0"},
}
_LIVE_OPTIONS = {"libx264": {"tune": "zerolatency"}}
_KEYFRAME_EVERY_S = 2  # also the length of a fragment: a power cut costs at most this much
_FREE_BYTES = 64 * 2**20  # left free on the disk, for the index and for other programs
_LOOK_S = 1.0
_SOUND_TIMEOUT_S = 10.0


class VideoFile:
    """Writes a video; a `seg.flow.Sink`.

    It is written under a temporary name in its folder and renamed at the end. If something fails, the part written so far is
    kept beside it as NAME_partial.SUFFIX. H.264 and VP9 store only even sizes: the last column or row of an odd frame is left
    out. Frames of another size than the first are scaled to it.

    Attributes:
        path: the file; None for standard output.
        written: number of frames so far.
        kept: path of the written file, once it is closed; None if there is none.
    """

    in_callers_thread = False

    def __init__(self, path: str | Path, painter: Painter, *, overwrite: bool = False, threads: int = 0) -> None:
        """Sets the path; the file is created when the first frame shows its size.

        Args:
            path: ends in .mp4, .mov, .mkv or .webm; "-" writes to standard output: NUT with uncompressed frames, for another
                program.
            painter: makes the picture (H, W, 3) of a frame.
            overwrite: whether an existing file is replaced.
            threads: threads of the encoder; 0 takes half of the cores. More would only add frames that wait in the encoder.

        Raises:
            SegError: the file exists, or its suffix is not one of these.
        """
        self.path = None if str(path) == "-" else Path(path)
        self.name = "standard output" if self.path is None else self.path.name
        self.delays_ms: dict[int, float] = {}
        self.written = 0
        self.kept: Path | None = None
        self._painter, self._threads = painter, threads or max(1, usable_cores() // 2)
        self._container: OutputContainer | None = None
        self._sound: _Sound | None = None
        self._waiting: deque[tuple[int, int, float]] = deque()  # pts, index and capture time of the frames that the encoder holds
        self._looked_s = 0.0
        if self.path is None:
            return
        if self.path.suffix.lower() not in _FORMATS:
            raise SegError(f"Videos are written as {', '.join(_FORMATS)}; {self.path} has another suffix.")
        if self.path.is_dir():
            raise SegError(f"Can't write {self.path}: it is a folder.")
        if self.path.exists() and not overwrite:
            raise SegError(f"{self.path} is there already. Choose another name, or replace it with --overwrite.")

    def open(self, stream: Stream) -> None:
        self._source = stream
        self._format = _Format(("rawvideo",), "", frozenset()) if self.path is None else _FORMATS[self.path.suffix.lower()]
        self._codec = next((name for name in self._format.video if _has_encoder(name)), None)
        if self._codec is None:
            others = ", ".join(suffix for suffix, form in _FORMATS.items() if any(map(_has_encoder, form.video)))
            raise SegError(f"This build of FFmpeg can't write {self.name}: it has none of {', '.join(self._format.video)}. It "
                           f"can write {others or 'no video'}.")
        if self.path is not None:
            self._check_space()
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(f".part{self.path.suffix}", temporary_prefix(self.path), self.path.parent)
            except OSError as error:
                raise self._cannot(error) from None
            os.close(handle)
            self._temporary = Path(name)

    def take(self, item: Segmented) -> bool:
        picture = self._painter(item)
        try:
            if self._container is None:
                self._start(picture)
            self._encode(picture, item)
        except BrokenPipeError:  # as in `infer.py ... | head`: the reader has read all it wanted
            return False
        except (av.error.FFmpegError, OSError) as error:
            raise self._cannot(error) from None
        self.written += 1
        self._watch_space()
        return True

    def close(self, ending: Ending) -> None:
        if self._container is None:
            if self.path is not None and hasattr(self, "_temporary"):
                self._temporary.unlink(missing_ok=True)
            return
        fault: SegError | None = None
        try:
            self._mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.finish(None if ending is Ending.WHOLE else self._end)
        except (av.error.FFmpegError, OSError) as error:
            fault = self._cannot(error)
        finally:
            try:
                if self._sound is not None:
                    self._sound.close()
                self._container.close()
            except (av.error.FFmpegError, OSError) as error:
                fault = fault or self._cannot(error)
        if self.path is None:
            if fault is not None and ending is not Ending.FAILED and not isinstance(fault.__cause__, BrokenPipeError):
                raise fault
            return
        self._keep(ending is not Ending.FAILED and fault is None)
        if fault is not None:
            raise fault

    def _start(self, picture: UInt8Array) -> None:
        """Opens the container and its streams."""
        self._size_hw = height, width = _even(picture) if self.path is not None else picture.shape[:2]
        source, codec = self._source, self._codec
        fps = source.fps or Fraction(25)
        if self.path is None:
            sys.stdout.flush()
            self._container = av.open("pipe:1", "w", format="nut")
        else:
            self._container = av.open(f"file:{self._temporary}", "w", format={".mkv": "matroska"}.get(
                self.path.suffix.lower(), self.path.suffix[1:].lower()), options=self._format.options)
        assert codec is not None
        options = {**_ENCODER_OPTIONS.get(codec, {}), **(_LIVE_OPTIONS.get(codec, {}) if source.live else {})}
        stream = cast(VideoStream, self._container.add_stream(codec, rate=fps, options=options))
        stream.width, stream.height = width, height
        stream.pix_fmt = "bgr24" if self.path is None else "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = self._time_base = source.time_base
        context.thread_count = self._threads
        if self.path is not None:
            context.gop_size = max(1, round(_KEYFRAME_EVERY_S * fps))
            # the format that `_encode` makes: BT.601's matrix, the limited range, sRGB's primaries
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = 6, 1, 1, 1
        self._stream = stream
        self._last_pts = -1
        if source.sound is not None and self.path is not None:
            self._sound = _Sound.of(source, self._container, self._format.audio, self._format.kept_audio)

    def _encode(self, picture: UInt8Array, item: Segmented) -> None:
        height, width = self._size_hw
        if picture.shape[0] // 2 * 2 != height // 2 * 2 or picture.shape[1] // 2 * 2 != width // 2 * 2:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        picture = np.ascontiguousarray(picture[:height, :width])
        if self.path is None:
            frame = VideoFrame.from_ndarray(picture, "bgr24")
        else:  # OpenCV converts in half the time that FFmpeg takes
            frame = VideoFrame.from_ndarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False), "yuv420p")
        pts = max(round(item.sample.time / self._time_base), self._last_pts + 1)
        self._last_pts = pts
        length = item.sample.duration or 1 / (self._source.fps or Fraction(25))
        frame.pts, frame.time_base, frame.duration = pts, self._time_base, max(1, round(length / self._time_base))
        self._end = item.sample.time + length
        self._waiting.append((pts, item.index, item.sample.captured_s))
        packets = self._stream.encode(frame)
        if self._sound is not None:
            self._sound.until(item.sample.time)
        self._mux(packets)

    def _mux(self, packets: list[Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            pts = packet.pts
            self._container.mux(packet)
            while self._waiting and pts is not None and self._waiting[0][0] <= pts:
                _, index, captured_s = self._waiting.popleft()
                self.delays_ms[index] = (time.perf_counter() - captured_s) * 1000

    def _watch_space(self) -> None:
        """Stops while there is still enough space to close the file."""
        now_s = time.monotonic()
        if self.path is None or now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        self._check_space()

    def _check_space(self) -> None:
        assert self.path is not None
        folder = next(folder for folder in self.path.absolute().parents if folder.exists())
        free = shutil.disk_usage(folder).free
        if free < _FREE_BYTES:
            raise SegError(f"The disk that {self.path} lies on is full: {free / 2**20:.0f} MB are left, and "
                           f"{_FREE_BYTES / 2**20:.0f} are kept free.")

    def _keep(self, whole: bool) -> None:
        """Gives the written file its name, or the name of a partial file."""
        assert self.path is not None
        target = self.path if whole else self.path.with_name(f"{self.path.stem}_partial{self.path.suffix}")
        try:
            if whole or _is_playable(self._temporary):
                publish(self._temporary, target)
                self.kept = target
        except OSError as error:
            raise self._cannot(error) from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def _cannot(self, error: Exception) -> SegError:
        full = getattr(error, "errno", None) == errno.ENOSPC
        reason = "the disk is full" if full else getattr(error, "strerror", None) or error
        fault = SegError(f"Can't write {self.name}: {reason}.")
        fault.__cause__ = error
        return fault


class _Sound:
    """Transfers the sound of a source into a container: copied if the container supports its codec, otherwise encoded again."""

    def __init__(self, source: InputContainer, origin: Fraction, target: OutputContainer, encoder: str,
                 kept: frozenset[str]) -> None:
        self._source, self._origin, self._target = source, origin, target
        self._from = source.streams.audio[0]
        self._copied = self._from.codec_context.name in kept or self._from.codec_context.codec.canonical_name in kept
        self._resampler: AudioResampler | None = None
        if self._copied:
            self._to: AudioStream = target.add_stream_from_template(self._from)
        else:
            context = self._from.codec_context
            rate, layout = 48_000 if encoder == "libopus" else context.sample_rate, "stereo" if context.channels > 1 else "mono"
            self._to = cast(AudioStream, target.add_stream(encoder, rate=rate, layout=layout))
            self._resampler = AudioResampler(self._to.codec_context.format, layout, rate)
        self._packets = iter(source.demux(self._from))
        self._joints = Joints()
        self._last: int | None = None
        self._next: Packet | None = None
        self._ended = False

    @classmethod
    def of(cls, stream: Stream, target: OutputContainer, encoder: str, kept: frozenset[str]) -> "_Sound | None":
        """Opens the source a second time for its sound; None if that fails."""
        assert stream.sound is not None
        try:
            source = av.open(stream.sound, timeout=_SOUND_TIMEOUT_S)
        except (av.error.FFmpegError, OSError):
            return None
        try:
            return cls(source, stream.origin, target, encoder, kept)
        except BaseException:
            source.close()
            raise

    def until(self, end: Fraction | None) -> None:
        """Writes the sound before `end` [s]; None writes all."""
        while not self._ended:
            if self._next is None:
                try:
                    self._next = self._timed(next(self._packets))
                except (StopIteration, av.error.FFmpegError, OSError):  # a picture with damaged sound is better than no picture
                    self._ended = True
                    return
            packet = self._next
            if packet.size == 0:  # the demuxer's last packet, which flushes decoders
                self._next = None
                continue
            if end is not None and packet.dts is not None and packet.dts * packet.time_base >= end:
                return
            self._next = None
            self._write(packet)

    def finish(self, end: Fraction | None) -> None:
        """Writes the rest until `end` [s], or all of it, and flushes the encoder."""
        self.until(end)
        if self._resampler is not None:
            for frame in self._resampler.resample(None):
                self._target.mux(self._to.encode(frame))
            self._target.mux(self._to.encode(None))

    def _timed(self, packet: Packet) -> Packet:
        """Shifts its times to start at the first frame and makes them increase, as containers require."""
        at = packet.dts if packet.dts is not None else packet.pts
        if at is not None:
            base = packet.time_base
            time = self._joints(at * base - self._origin, (packet.duration or 0) * base)
            value = round(time / base)
            packet.dts = packet.pts = self._last = value if self._last is None else max(value, self._last + 1)
        return packet

    def _write(self, packet: Packet) -> None:
        if self._resampler is None:
            packet.stream = self._to
            self._target.mux(packet)
            return
        with suppress(av.error.InvalidDataError):
            for decoded in cast(list[AudioFrame], packet.decode()):
                for frame in self._resampler.resample(decoded):
                    self._target.mux(self._to.encode(frame))

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


def _even(picture: UInt8Array) -> tuple[int, int]:
    height, width = max(2, picture.shape[0] // 2 * 2), max(2, picture.shape[1] // 2 * 2)
    return height, width


def _has_encoder(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _is_playable(path: Path) -> bool:
    """Returns whether a frame can be decoded."""
    try:
        with av.open(f"file:{path}") as container:
            return next(container.decode(video=0), None) is not None
    except (av.error.FFmpegError, OSError, IndexError):
        return False
