"""A page that shows a video live in any browser; see `seg.video.server` for what it serves."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from seg.errors import SegError
from seg.flow import Ending, Segmented, Stream
from seg.label_sets import LabelSet
from seg.runtime import Predictor
from seg.video.draw import Show
from seg.video.view import View

if TYPE_CHECKING:
    from uvicorn import Server

    from seg.video.server import Feed

HOST = "127.0.0.1"
LOCAL = frozenset({HOST, "localhost", "::1"})  # names by which a machine can reach itself
_GOODBYE_S = 1.0  # for browsers to receive the end of the video
_START_S = 10.0
_LOOK_S = 0.1
_MOST_CONNECTIONS = 64
_ENDINGS = {Ending.WHOLE: "The video has ended.", Ending.STOPPED: "It was stopped.", Ending.FAILED: "It ended with an error."}


class Page:
    """Shows frames to everyone who opens its address; a `seg.flow.Sink`.

    Use it with `with`: it serves from the start to the end of the block, one video after the other. Each browser has its own
    view and gets the newest frame when it has shown the one before. No browser makes the pipeline wait.

    Attributes:
        url: the address, once it is served.
        is_local: whether only this machine can reach it.
        paced: see the argument.
    """

    name = "page"
    in_callers_thread = True  # it only notes which frame is the newest

    def __init__(self, predictor: Predictor, *, label_set: LabelSet | None = None, host: str = HOST, port: int = 0,
                 show: Show = "overlay", shown: tuple[int, ...] | None = None, paced: bool = False) -> None:
        """Sets the address; `with` starts serving.

        Args:
            predictor: named on the page.
            label_set: the labels in the wanted colours; None for the predictor's own.
            host: an address of this machine; 127.0.0.1 can be reached only from this machine, 0.0.0.0 from everywhere.
            port: 0 takes any free port.
            show: what is shown first.
            shown: train ids that are highlighted first; None for all.
            paced: whether a file runs at its own pace, which is needed if the page is its only sink.

        Raises:
            SegError: the server's packages aren't installed.
        """
        try:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
            import websockets  # noqa: F401
        except ModuleNotFoundError as error:
            raise SegError(f"A page needs {error.name}, which is not installed. In a checkout: pip install '.[serve]'.") from None
        self.delays_ms: dict[int, float] = {}
        self.url, self.is_local = "", host in LOCAL
        self._predictor, self._label_set = predictor, label_set or predictor.label_set
        self._host, self._port, self.paced = host, port, paced
        self._view = View(show, classes=None if shown is None else frozenset(shown))
        self._server: Server | None = None
        self._feed: Feed | None = None

    def __enter__(self) -> Self:
        """Starts serving.

        Raises:
            SegError: the address doesn't belong to this machine, or is in use.
        """
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.create_server((self._host, self._port), family=family)
        except (OSError, OverflowError) as error:
            raise SegError(f"No page can be served at {_address(self._host, self._port)}: "
                           f"{getattr(error, 'strerror', None) or error}. Choose another with --serve HOST:PORT.") from None
        self.url = f"http://{_address(self._host, listener.getsockname()[1])}/"
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listener, started), name="seg-page", daemon=True)
        self._thread.start()
        started.wait(_START_S)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._feed is not None
        feed = self._feed
        feed.end(feed.ending or _ENDINGS[Ending.FAILED if error[0] else Ending.STOPPED], finished=True)
        deadline_s = time.monotonic() + _GOODBYE_S
        while feed.watchers and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(2 * _GOODBYE_S)
        feed.gallery.close()

    def _serve(self, listener: socket.socket, started: threading.Event) -> None:
        """Runs the server in its thread."""
        import uvicorn

        from seg.video.server import Feed, make_app

        async def serve() -> None:
            feed = self._feed = Feed(self._label_set, self._view, asyncio.get_running_loop())
            self._server = uvicorn.Server(uvicorn.Config(
                make_app(feed, local=self.is_local), log_config=None, log_level="critical", access_log=False, lifespan="off",
                server_header=False, ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=2**16,
                limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=1))
            started.set()
            await self._server.serve([listener])

        with listener:
            asyncio.run(serve())

    def wait_for_viewer(self, stop: Callable[[], bool]) -> None:
        """Waits until somebody opens the page, or `stop` returns True."""
        assert self._feed is not None
        while not self._feed.watchers and not stop():
            time.sleep(_LOOK_S)

    def open(self, stream: Stream) -> None:
        assert self._feed is not None
        self._stream, self._start_s = stream, 0.0
        self.delays_ms = {}
        self._told = False

    def take(self, item: Segmented) -> bool:
        assert self._feed is not None
        if not self._told:  # the engine is chosen on the first frames
            self._told = True
            self._start_s = time.perf_counter() - item.time_s
            self._feed.begin(self._facts(), self.delays_ms)
        self._feed.meter.add(item)
        self._feed.put(item)
        if self.paced and not self._stream.live:
            time.sleep(max(0.0, self._start_s + item.time_s - time.perf_counter()))
            self._start_s = max(self._start_s, time.perf_counter() - item.time_s)  # lost time is not caught up
        return True

    def close(self, ending: Ending) -> None:
        assert self._feed is not None
        self._feed.end(_ENDINGS[ending])

    def _facts(self) -> dict[str, object]:
        """Returns what the page says about the video and about the network."""
        predictor, stream = self._predictor, self._stream
        return {"name": stream.name if "://" in stream.name else PurePath(stream.name).name, "live": stream.live,
                "frames": stream.frames, "fps": float(stream.fps) if stream.fps else None, "weights": predictor.weights,
                "engine": predictor.engine, "precision": predictor.precision, "threads": predictor.threads}


def parse_address(text: str) -> tuple[str, int]:
    """Returns host and port from "PORT" or "HOST:PORT".

    Raises:
        SegError: it is neither.
    """
    match = re.fullmatch(r"(?:\[?([^\[\]/]*?)\]?:)?(\d{1,5})", text)
    if not match or int(match[2]) > 65_535 or match[1] == "":
        raise SegError(f"--serve is {text!r}; expected a port, such as 8000, or an address and a port, such as 0.0.0.0:8000.")
    return match[1] or HOST, int(match[2])


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
