"""A video that has a start and an end: a file or a pipe."""

import gc
import time
from collections.abc import Iterator

from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.files import UInt8Array
from seg.flow import Stream
from seg.video.decode import Container


class File:
    """A video that is read from start to end, every frame: a file or a pipe. See `Source`."""

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
        return self.start(self._open())

    def start(self, container: Container) -> Stream:
        """Starts with a container that is already open."""
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

    def interrupt(self) -> None:
        pass

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
