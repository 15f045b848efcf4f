"""The page's server: the page itself, a WebSocket for each viewer, and pictures for other programs.

A browser gets a picture when it asks for the next one, and it asks when it has shown the one before. So it sees the newest
frame however slow it or the network is, and nothing waits for it: the pipeline only says which frame is the newest. A message
from the server is the length of a JSON header (4 bytes, little-endian), the header, and a picture if there is one. The browser
answers in
JSON: `next` asks for the next frame, `shown` says which frame is on the screen, `view` says what to show, `snapshot` asks for a
    PNG.

    /               the page
    /live           the WebSocket
    /video.mjpg     the video as a stream of JPEGs; ?show=...&opacity=...&classes=...&width=... as in a view
    /snapshot.png   the newest frame, at its own size
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from seg.errors import SegError
from seg.flow import Segmented
from seg.label_sets import LabelSet
from seg.video.meter import Meter
from seg.video.page import LOCAL
from seg.video.view import Gallery, View
from seg.visualize import class_shares

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
                               "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site may show a camera's pictures
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
}
_BOUNDARY = "frame"
_REFUSED = 1008  # WebSocket's code for a policy violation


@dataclass(eq=False)
class _Viewer:
    """One browser that shows the page."""

    view: View
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = True  # for the next frame
    anew: bool = False  # the same frame is wanted again in another view
    snapshot: bool = False
    item: Segmented | None = None  # the last one sent to it
    stream: int = 0  # the last one announced to it
    ended: int = -1  # the stream whose end it was told
    second: int = -1  # of the last row sent to it


class Feed:
    """The newest frame of a running video, and what the page says about it. Used in the server's loop except where noted.

    Args:
        label_set: the meaning of the labels.
        view: the default view.
        loop: the server's event loop.

    Attributes:
        delays_ms: by a frame's index, the time from its capture until the first browser said that it shows it.
    """

    def __init__(self, label_set: LabelSet, view: View, loop: asyncio.AbstractEventLoop) -> None:
        self.label_set, self.view = label_set, view
        self.meter = Meter()
        self.gallery = Gallery(label_set)
        self.watchers = set[asyncio.Event]()  # each is set when there is something new
        self.item: Segmented | None = None
        self.stream = 0
        self.facts: dict[str, Any] = {}
        self.ending = ""
        self.finished = False
        self.delays_ms: dict[int, float] = {}
        self._loop = loop

    def begin(self, facts: dict[str, Any], delays_ms: dict[int, float]) -> None:
        """Announces a new video; from any thread."""
        self.meter, self.delays_ms = Meter(), delays_ms
        self.facts, self.ending, self.item = facts, "", None
        self.stream += 1

    def put(self, item: Segmented) -> None:
        """Passes on a frame; the next one may replace it before anybody has seen it. From any thread."""
        self.item = item
        self.wake()

    def end(self, words: str, finished: bool = False) -> None:
        """Says that no more frames come and, with `finished`, that the server ends; from any thread."""
        self.ending, self.finished = words, finished
        self.wake()

    def wake(self) -> None:
        """Tells all viewers that there is something new; from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for event in self.watchers:
            event.set()

    def showing(self, item: Segmented) -> None:
        """Counts a frame that a browser shows."""
        delay_ms = self.meter.shown(item)
        if not self.ending:
            self.delays_ms.setdefault(item.index, delay_ms)


def make_app(feed: Feed, local: bool) -> Starlette:
    """Returns the ASGI application.

    Args:
        feed: what is shown.
        local: whether only this machine is served. Then only this machine's own names are accepted as the host, because a foreign
            site whose name points to this machine's address must not reach it.
    """
    def refusal(connection: HTTPConnection) -> str:
        """Returns why a connection is refused; empty if it is served."""
        host = connection.headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if local and name.strip("[]").lower() not in LOCAL:
            return f"This page is served only to this machine, not as {host}."
        origin = connection.headers.get("origin")  # sent with a WebSocket, which browsers let any site open
        if origin is not None and origin.partition("://")[2] != host:
            return f"This page is not for {origin}."
        return ""

    def guarded(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            if words := refusal(request):
                return PlainTextResponse(words, 403, _HEADERS)
            try:
                response: Response = await answer(request)
            except SegError as error:
                response = PlainTextResponse(str(error), 400)
            response.headers.update(_HEADERS)
            return response

        return respond

    async def page(request: Request) -> Response:
        return HTMLResponse(files("seg.video").joinpath("page.html").read_text(encoding="utf-8"))

    async def snapshot(request: Request) -> Response:
        view = View.of(request.query_params, feed.label_set, feed.view)
        if feed.item is None:
            return PlainTextResponse("There is no frame yet.", 503)
        return Response(await asyncio.wrap_future(feed.gallery.png(feed.item, view)), media_type="image/png")

    async def mjpeg(request: Request) -> Response:
        view = View.of(request.query_params, feed.label_set, feed.view)
        return StreamingResponse(_parts(feed, view), media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}")

    async def live(socket: WebSocket) -> None:
        words = refusal(socket)
        await socket.accept()
        if words:
            await socket.close(_REFUSED, words)
            return
        await _serve(socket, feed)

    return Starlette(routes=[Route("/", guarded(page)), Route("/snapshot.png", guarded(snapshot)),
                             Route("/video.mjpg", guarded(mjpeg)), WebSocketRoute("/live", live)])


async def _parts(feed: Feed, view: View) -> AsyncIterator[bytes]:
    """Yields the newest frames as parts of a JPEG stream, as fast as the client takes them."""
    wake, sent = asyncio.Event(), None
    feed.watchers.add(wake)
    try:
        while not feed.finished:
            item = feed.item
            if item is None or item is sent:
                await wake.wait()
                wake.clear()
                continue
            data = await asyncio.wrap_future(feed.gallery.jpeg(item, view))
            sent = item
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            yield head.encode() + data + b"\r\n"
    finally:
        feed.watchers.discard(wake)


async def _serve(socket: WebSocket, feed: Feed) -> None:
    """Serves one viewer until the viewer leaves or the server ends."""
    viewer = _Viewer(feed.view)
    feed.watchers.add(viewer.wake)
    listening = asyncio.create_task(_listen(socket, feed, viewer))
    try:
        viewer.wake.set()
        while not listening.done():
            await viewer.wake.wait()
            viewer.wake.clear()
            if not listening.done():
                await _tell(socket, feed, viewer)
            if feed.finished:
                await socket.close()
                break
        if listening.done() and (fault := listening.exception()) is not None:
            await socket.close(_REFUSED, str(fault)[:120])
    except (WebSocketDisconnect, RuntimeError):  # the viewer left while something was sent
        pass
    finally:
        feed.watchers.discard(viewer.wake)
        listening.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await listening


async def _listen(socket: WebSocket, feed: Feed, viewer: _Viewer) -> None:
    """Handles a browser's messages; ends when the browser leaves.

    Raises:
        SegError: a message makes no sense.
    """
    try:
        while True:
            try:
                said = json.loads(await socket.receive_text())
                if not isinstance(said, dict):
                    raise ValueError
            except (ValueError, KeyError):  # not JSON, or not text
                raise SegError("The message is not a JSON object.") from None
            if viewer.item is not None and said.get("shown") == viewer.item.index:
                feed.showing(viewer.item)
            viewer.ready = viewer.ready or said.get("next") is True
            if "view" in said:
                if not isinstance(said["view"], dict):
                    raise SegError("The view is not a JSON object.")
                viewer.view = View.of(said["view"], feed.label_set, viewer.view)
                viewer.anew = True
            viewer.snapshot = viewer.snapshot or said.get("snapshot") is True
            viewer.wake.set()
    except WebSocketDisconnect:
        pass
    finally:
        viewer.wake.set()


async def _tell(socket: WebSocket, feed: Feed, viewer: _Viewer) -> None:
    """Sends a viewer what is new."""
    newest = feed.item
    if viewer.stream != feed.stream and newest is not None:  # the engine is known only once the first frame has come
        viewer.stream, viewer.second, viewer.item, viewer.ready = feed.stream, -1, None, True
        view = _described(viewer.view, feed.label_set)
        await _send(socket, {"kind": "stream", "classes": _classes(feed.label_set), "view": view, **feed.facts})
    is_new = viewer.ready and newest is not None and newest is not viewer.item
    if is_new or (viewer.anew and viewer.item is not None):
        item = newest if is_new else viewer.item
        assert item is not None
        viewer.anew = False
        if is_new:
            viewer.ready = False
        picture = await asyncio.wrap_future(feed.gallery.jpeg(item, viewer.view))
        if is_new:
            viewer.item = item
        await _send(socket, {"kind": "frame", "again": not is_new, **_numbers(feed, viewer, item)}, picture)
    if viewer.snapshot and viewer.item is not None:
        viewer.snapshot = False
        picture = await asyncio.wrap_future(feed.gallery.png(viewer.item, viewer.view))
        await _send(socket, {"kind": "snapshot", "index": viewer.item.index}, picture)
    if feed.ending and viewer.ended != feed.stream:
        viewer.ended = feed.stream
        await _send(socket, {"kind": "end", "text": feed.ending})


def _numbers(feed: Feed, viewer: _Viewer, item: Segmented) -> dict[str, Any]:
    """Returns the figures that are sent with a frame."""
    rows = [row for row in list(feed.meter.rows) if row.second > viewer.second]
    viewer.second = rows[-1].second if rows else viewer.second
    shares = class_shares(item.train_ids, feed.label_set)
    return {"index": item.index, "time_s": item.time_s, "dropped": item.dropped, "size_hw": item.train_ids.shape,
            "shares": [round(share, 4) for share in shares], "rows": rows, **feed.meter.numbers()}


def _classes(label_set: LabelSet) -> list[dict[str, str]]:
    return [{"name": name, "color": f"#{red:02x}{green:02x}{blue:02x}"} for name, (red, green, blue) in
            zip(label_set.classes, label_set.colors, strict=True)]


def _described(view: View, label_set: LabelSet) -> dict[str, Any]:
    """Returns a view in the form that browsers use."""
    names = None if view.classes is None else [label_set.classes[label] for label in sorted(view.classes)]
    return {"show": view.show, "opacity": view.opacity, "classes": names}


async def _send(socket: WebSocket, header: dict[str, Any], picture: bytes = b"") -> None:
    text = json.dumps(header, allow_nan=False).encode()
    await socket.send_bytes(len(text).to_bytes(4, "little") + text + picture)
