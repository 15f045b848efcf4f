"""Tiny videos that only PyAV or OpenCV write and read, as an independent truth for our own code."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

TICK = Fraction(1, 1000)


def gray(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def noise(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def write_video(path: Path, frames: Sequence[np.ndarray], fps: int = 25, *, times: Sequence[Fraction] | None = None,
                codec: str = "libx264", pix_fmt: str = "yuv420p", aspect: Fraction | None = None,
                matrix: Sequence[int] | None = None, sound_s: float = 0.0, sound: str = "aac",
                options: dict[str, str] | None = None, start: Fraction = Fraction(0)) -> Path:
    """Writes frames at `times` [s], or evenly spaced without `times`; the sound is a tone."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options={"g": "10"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = TICK
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix:
            stream.set_display_matrix(tuple(matrix))
        if sound_s:
            tone: Any = container.add_stream(sound, rate=48_000, layout="mono")
            samples = np.sin(np.arange(int(48_000 * sound_s)) * 2 * np.pi * 440 / 48_000).astype(np.float32)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = round((start + (times[i] if times else Fraction(i, fps))) / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound_s:
            for at in range(0, len(samples), 960):
                part = samples[None, at:at + 960]
                if tone.codec_context.format.name == "s16":
                    part = (part * 30_000).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(part, tone.codec_context.format.name, "mono")
                heard.sample_rate, heard.pts, heard.time_base = 48_000, at + round(start * 48_000), Fraction(1, 48_000)
                container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
    return path


def read_video(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Returns times [s] and pictures of all frames, as they are stored."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def count_frames(path: Path) -> int:
    """Counts the frames with OpenCV, which is independent of the writer."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def level(picture: np.ndarray) -> float:
    return float(picture.mean())


@contextmanager
def server(answers: dict[str, tuple[bytes, int | None]], chunks: dict[str, Any] | None = None) -> Iterator[str]:
    """Serves bytes by path, cut off after the given number, and iterables of bytes without a length; yields the address."""
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.answer()

        def answer(self) -> None:
            if chunks and self.path in chunks:
                self.send_response(200)
                kind, parts = chunks[self.path]
                self.send_header("Content-Type", kind)
                self.send_header("Connection", "close")
                self.end_headers()
                for part in parts():
                    self.wfile.write(part)
                    self.wfile.flush()
                self.close_connection = True
                return
            data, cut = answers[self.path]
            start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data[start:cut])
            self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        running.server_close()
