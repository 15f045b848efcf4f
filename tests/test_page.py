"""The page's server: each viewer gets the newest frame in their own view, none slows the pipeline, and no other site gets in."""

import itertools
import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import LABEL_SET, make_frame
from videos import write_video
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from seg.cli.infer import main
from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.flow import Ending, Segmented, Stream, opened
from seg.runtime import Prediction, Predictor
from seg.video import Page, Painter, open_source, run
from seg.video.meter import GLASS, Meter
from seg.video.page import parse_address
from seg.video.view import View

SIZE_HW = (48, 64)
STREAM = Stream("/home/somebody/drive.mp4", 100, Fraction(25))


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, engine="openvino", precision="fp32", threads=1)


@pytest.fixture
def page(predictor: Predictor) -> Iterator[Page]:
    with Page(predictor) as page:
        page.open(STREAM)
        yield page
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("seg-page")]


def item(index: int, size_hw: tuple[int, int] = SIZE_HW, seed: int = 0) -> Segmented:
    """A frame whose upper quarter is sky and whose rest is road."""
    labels = np.ones(size_hw, np.uint8)
    labels[:size_hw[0] // 4] = 0
    sample = EvalSample("", make_frame(*size_hw, seed), time=Fraction(index, 25), captured_s=time.perf_counter() - 0.01)
    return Segmented(index, sample, Prediction(labels, {"network": 4.0, "total": 5.0}), dropped=7)


def get(page: Page, path: str, **headers: str) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(page.url.rstrip("/") + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def look(page: Page, **settings: Any) -> ClientConnection:
    return connect(page.url.replace("http", "ws") + "live", compression=None, open_timeout=5, close_timeout=0.5, **settings)


def hear(socket: ClientConnection) -> tuple[dict[str, Any], bytes]:
    data = socket.recv(timeout=5)
    assert isinstance(data, bytes)
    length = int.from_bytes(data[:4], "little")
    return json.loads(data[4:4 + length]), data[4 + length:]


def picture_of(data: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def say(socket: ClientConnection, **what: Any) -> None:
    socket.send(json.dumps(what))


# ---- pictures for anybody


def test_the_page_is_one_file_that_loads_nothing(page: Page) -> None:
    code, data, headers = get(page, "/")
    assert code == 200 and b"<html" in data
    assert "default-src 'none'" in headers["content-security-policy"]
    for word in (b"http://", b"https://", b"import(", b'src="'):
        assert word not in data.replace(b"http://www.w3.org/2000/svg", b""), "nothing from elsewhere"


def test_snapshots_are_what_the_painter_makes(page: Page) -> None:
    assert get(page, "/snapshot.png")[0] == 503
    given = item(3)
    page.take(given)
    painter = Painter(LABEL_SET)
    assert (picture_of(get(page, "/snapshot.png")[1]) == painter(given)).all()
    painter.opacity = 0.2
    assert (picture_of(get(page, "/snapshot.png?opacity=0.2")[1]) == painter(given)).all()
    for show in ("color", "side by side", "off"):
        expected = Painter(LABEL_SET, show, (1,))(given)
        assert (picture_of(get(page, f"/snapshot.png?show={show.replace(' ', '%20')}&classes=road")[1]) == expected).all()


@pytest.mark.parametrize(("query", "words"), [("show=nothing", "no view 'nothing'"), ("opacity=2", "number from 0 to 1"),
                                              ("opacity=nan", "number from 0 to 1"), ("width=1e9", "number from 64 to"),
                                              ("classes=raod", "Did you mean 'road'")])
def test_views_that_make_no_sense(query: str, words: str, page: Page) -> None:
    page.take(item(0))
    for path in ("/snapshot.png", "/video.mjpg"):
        code, data, _ = get(page, f"{path}?{query}")
        assert code == 400 and words in data.decode()


def test_other_programs_read_the_stream(page: Page) -> None:
    """Tested with our own source for streams, which reads with FFmpeg."""
    over = threading.Event()

    def pump() -> None:
        for index in itertools.count():
            page.take(item(index))
            if over.wait(0.02):
                return

    pumping = threading.Thread(target=pump)
    pumping.start()
    source = open_source(f"{page.url}video.mjpg?show=color&width=64")
    with opened(source) as stream:
        found = [source.take() for _ in range(3)]
    over.set()
    pumping.join()
    assert stream.live and all(sample is not None for sample in found)
    expected = Painter(LABEL_SET, "color")(item(0))
    assert np.abs(found[2].frame_bgr.astype(int) - expected).mean() < 8


# ---- a browser's socket


def test_who_looks_gets_a_frame_when_he_asks_for_it_and_then_the_newest(page: Page) -> None:
    page.take(item(0))
    with look(page) as socket:
        header, data = hear(socket)
        assert header["kind"] == "stream" and not data
        assert (header["name"], header["frames"], header["live"]) == ("drive.mp4", 100, False), "no folder of the machine's"
        assert (header["engine"], header["precision"], header["threads"]) == ("openvino", "fp32", 1)
        assert header["classes"][1] == {"name": "road", "color": "#5a5a5a"}
        header, data = hear(socket)
        assert (header["kind"], header["index"], header["dropped"], header["size_hw"]) == ("frame", 0, 7, list(SIZE_HW))
        assert header["shares"] == [0.25, 0.75, 0, 0, 0]
        assert np.abs(picture_of(data).astype(int) - Painter(LABEL_SET)(item(0))).mean() < 8
        for index in range(1, 30):
            page.take(item(index))
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.2)
        say(socket, shown=0, next=True)
        assert hear(socket)[0]["index"] == 29
        say(socket, shown=29)
        say(socket, next=True)
        page.take(item(30))
        header = hear(socket)[0]
        assert header["index"] == 30
        assert set(page.delays_ms) == {0, 29} and 10 < page.delays_ms[29] < 5000
        assert header["latency_ms"]["total"] == [5, 5, 5]
        page.close(Ending.WHOLE)
        assert hear(socket)[0] == {"kind": "end", "text": "The video has ended."}
        page.open(Stream("rtsp://camera/live", live=True))
        page.take(item(0))
        header = hear(socket)[0]
        assert (header["kind"], header["name"], header["live"]) == ("stream", "rtsp://camera/live", True), "the next video"


def test_each_has_his_own_view(page: Page) -> None:
    page.take(item(0))
    with look(page) as one, look(page) as other:
        for socket in (one, other):
            assert [hear(socket)[0]["kind"] for _ in range(2)] == ["stream", "frame"]
        say(one, view={"show": "color", "classes": ["road"], "width": 64})
        header, data = hear(one)
        assert header["again"] and header["index"] == 0, "the same frame anew, without waiting for the next"
        shown = picture_of(data)
        assert shown[:10].max() < 40 and np.abs(shown[20:].astype(int) - 90).mean() < 8
        say(one, snapshot=True)
        header, data = hear(one)
        assert header == {"kind": "snapshot", "index": 0}
        assert (picture_of(data) == Painter(LABEL_SET, "color", (1,))(item(0))).all()
        page.take(item(1))
        say(other, next=True)
        header, data = hear(other)
        assert not header["again"] and np.abs(picture_of(data).astype(int) - Painter(LABEL_SET)(item(0))).mean() < 8


def test_a_narrow_browser_gets_a_narrow_picture(page: Page) -> None:
    page.take(item(0, (360, 640)))
    with look(page) as socket:
        assert picture_of([hear(socket) for _ in range(2)][1][1]).shape == (360, 640, 3)
        for view, shape in (({"width": 320}, (180, 320, 3)), ({"show": "side by side"}, (90, 320, 3))):
            say(socket, view=view)
            assert picture_of(hear(socket)[1]).shape == shape


@pytest.mark.parametrize("said", ["no json", "[1]", '{"view": 3}', '{"view": {"opacity": "much"}}', '{"view": {"classes": [1]}}'])
def test_what_makes_no_sense_ends_the_talk(said: str, page: Page) -> None:
    page.take(item(0))
    with look(page) as socket:
        socket.send(said)
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(5):
                hear(socket)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008 and closed.value.rcvd.reason


def test_nobody_makes_the_pipeline_wait(predictor: Predictor) -> None:
    """Three browsers that read nothing, and a program that doesn't read its stream."""
    frames = [item(index, (720, 1280), index) for index in range(4)]
    with Page(predictor) as page:
        page.open(STREAM)
        page.take(frames[0])
        port = int(page.url.rsplit(":", 1)[1].strip("/"))
        with look(page, max_queue=1), look(page, max_queue=1) as one, socket.create_connection(("127.0.0.1", port)) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(b"GET /video.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            say(one, next=True)
            longest = 0.0
            for index in range(200):
                start = time.perf_counter()
                page.take(frames[index % 4])
                longest = max(longest, time.perf_counter() - start)
                time.sleep(0.002)
        page.close(Ending.STOPPED)
    assert longest < 0.5, "a picture that nobody takes is never waited for"


@pytest.mark.parametrize(("headers", "allowed"), [
    ({"Host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:{port}"}, True),
    ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, True),  # through a tunnel
    ({"Host": "127.0.0.1:{port}"}, True),  # a program
    ({"Host": "127.0.0.1:{port}", "Origin": "https://evil.example"}, False),
    ({"Host": "evil.example", "Origin": "http://evil.example"}, False),  # a name that points to this machine
])
def test_other_sites_can_t_look_in(headers: dict[str, str], allowed: bool, page: Page) -> None:
    page.take(item(0))
    port = page.url.rsplit(":", 1)[1].strip("/")
    headers = {name: value.format(port=port) for name, value in headers.items()}
    assert get(page, "/snapshot.png", **headers)[0] == (200 if allowed else 403)
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        raw.sendall(f"GET /live HTTP/1.1\r\n{lines}Upgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        raw.settimeout(2)
        heard = b""
        while b"\xff\xd8" not in heard and b"This page is" not in heard:  # a JPEG's first bytes
            heard += raw.recv(65536)
    assert (b"\xff\xd8" in heard) == allowed
    assert (b"This page is" in heard) != allowed


def test_it_ends_with_the_block_also_for_those_who_look(predictor: Predictor) -> None:
    page = Page(predictor)
    page.__enter__()
    page.open(STREAM)
    page.take(item(0))
    with look(page) as socket:
        hear(socket), hear(socket)
        page.close(Ending.FAILED)
        start = time.monotonic()
        page.__exit__(None, None, None)
        assert hear(socket)[0]["text"] == "It ended with an error."
        with pytest.raises(ConnectionClosed):
            hear(socket)
    assert time.monotonic() - start < 2


# ---- what is measured


def test_numbers_are_of_the_last_ten_seconds_and_rows_of_each_second() -> None:
    now_s = 100.0
    meter, random, delays = Meter(lambda: now_s), np.random.default_rng(0), []
    for index in range(300):
        now_s = 100 + index / 20
        sample = EvalSample("", np.zeros((1, 1, 3), np.uint8), captured_s=now_s - random.uniform(0.02, 0.2))
        given = Segmented(index, sample, Prediction(np.zeros((1, 1), np.uint8), {"total": float(index)}))
        meter.add(given)
        if index >= 40:
            delays.append(meter.shown(given))
    numbers = meter.numbers()
    assert numbers["frames_per_second"] == pytest.approx(20, abs=0.2)
    assert numbers["latency_ms"]["total"] == pytest.approx(tuple(np.percentile(np.arange(99, 300), [50, 90, 99])))
    assert numbers["latency_ms"][GLASS] == pytest.approx(tuple(np.percentile(delays[-201:], [50, 90, 99])))
    assert [row.second for row in meter.rows] == list(range(14)) and {row.frames_per_second for row in meter.rows} == {20}
    assert meter.rows[1].glass_ms is None and meter.rows[5].latency_ms == pytest.approx(
        tuple(np.percentile(np.arange(100, 120), [50, 90, 99])))
    assert meter.rows[5].glass_ms == pytest.approx(tuple(np.percentile(delays[60:80], [50, 90, 99])))


def test_what_was_seen_is_in_the_result(predictor: Predictor, tmp_path: Path) -> None:
    for i in range(8):
        cv2.imwrite(str(tmp_path / f"{i}.png"), make_frame(*SIZE_HW, i))

    def watch() -> None:
        with look(watched) as socket:
            while (header := hear(socket)[0])["kind"] != "end":
                if header["kind"] == "frame":
                    say(socket, shown=header["index"], next=True)

    with Page(predictor, paced=True) as watched:
        watching = threading.Thread(target=watch)
        watching.start()
        watched.wait_for_viewer(lambda: False)
        done = run(open_source(tmp_path, fps=10), predictor, [watched])
        watching.join()
    assert done.result.video is not None and done.result.video.glass_to_glass_ms["page"]["p50"] > 0
    assert done.seconds > 0.65, "at its own pace"


# ---- the command


def test_the_command_serves_all_videos_of_a_folder_on_one_page(tiny_weights: Path, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "in" / name, [make_frame(*SIZE_HW, i) for i in range(3)])
    asked: list[str] = []
    monkeypatch.setattr(Page, "wait_for_viewer", lambda self, stop: asked.append(self.url))
    arguments = ["--video", str(tmp_path / "in"), "--weights", str(tiny_weights), "--serve", "0", "--classes", "road",
                 "--engine", "openvino", "--precision", "fp32"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert len(asked) == 2 and asked[0] == asked[1] and asked[0] in printed.err
    assert main([*arguments, "--output", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(asked) == 2, "a video that is written waits for nobody"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_overlay.mp4", "b_overlay.mp4"]


def test_addresses() -> None:
    assert parse_address("8000") == ("127.0.0.1", 8000)
    assert parse_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_address("[::1]:0") == ("::1", 0)
    for text in ("", "x", "70000", ":80", "http://a:80", "80:", "a:b"):
        with pytest.raises(SegError, match="expected a port"):
            parse_address(text)


def test_an_address_that_can_t_be_had(predictor: Predictor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, \
            pytest.raises(SegError, match=r"No page can be served at 127\.0\.0\.1:\d+: .*in use"), \
            Page(predictor, port=taken.getsockname()[1]):
        pass
    with pytest.raises(SegError, match="No page can be served"), Page(predictor, host="192.0.2.1"):
        pass


def test_what_is_missing_is_named(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SegError, match=r"needs uvicorn, which is not installed.*pip install '\.\[serve\]'"):
        Page(predictor)


def test_views_are_read() -> None:
    view = View.of({"show": "off", "opacity": "0.5", "classes": "road, car", "width": "100"}, LABEL_SET, View())
    assert view == View("off", 0.5, frozenset({1, 2}), 100)
    assert View.of({"classes": "all"}, LABEL_SET, view) == View("off", 0.5, None, 100)
    assert View.of({"classes": []}, LABEL_SET, view).classes == frozenset()
