"""The page in a real browser: what it shows and does, with the widths of a telephone and of a screen, light and dark."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsers import browser
from networks import LABEL_SET, make_frame

from seg.evaluate import EvalSample
from seg.flow import Ending, Segmented, Stream
from seg.runtime import Prediction, Predictor
from seg.video import Page, Painter

__all__ = ["browser"]

SIZES = {390: 844, 1280: 900}


def item(index: int) -> Segmented:
    """A frame whose upper quarter is sky, with a car on the road below."""
    labels = np.ones((270, 480), np.uint8)
    labels[:90], labels[150:210, 200:300] = 0, 2
    sample = EvalSample("", make_frame(270, 480), time=Fraction(index, 25), captured_s=time.perf_counter())
    return Segmented(index, sample, Prediction(labels, {"network": 4.0, "upsample": 1.0, "total": 5.0}), dropped=7)


@pytest.fixture(scope="module")
def page(tiny_weights: Path) -> Iterator[Page]:
    """A page that is served while frames come."""
    over = threading.Event()

    def pump() -> None:
        served.open(Stream("rtsp://camera/a rather long name of a stream, longer than a telephone is wide", live=True))
        index = 0
        while not over.wait(0.05):
            served.take(item(index))
            index += 1
        served.close(Ending.STOPPED)

    with Page(Predictor.load(tiny_weights, engine="openvino", precision="fp32", threads=1)) as served:
        pumping = threading.Thread(target=pump)
        pumping.start()
        yield served
        over.set()
        pumping.join()


@pytest.fixture(params=SIZES)
def tab(request: pytest.FixtureRequest, browser: Any, page: Page) -> Iterator[Any]:
    """The opened page; any message on its console is a fault."""
    width, faults = request.param, list[str]()
    context = browser.new_context(viewport={"width": width, "height": SIZES[width]}, accept_downloads=True)
    tab = context.new_page()
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.goto(page.url)
    tab.wait_for_selector("#picture:not([hidden])")
    yield tab
    context.close()
    assert faults == []


PIXEL = """([x, y]) => {
    const picture = document.getElementById("picture"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    return [...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data].slice(0, 3);
}"""


def wait_until(tab: Any, expression: str) -> None:
    """Does the same as Playwright's `wait_for_function`, which the page's Content-Security-Policy forbids."""
    deadline_s = time.monotonic() + 15
    while not tab.evaluate(expression):
        assert time.monotonic() < deadline_s, expression
        time.sleep(0.05)


def wait_for_pixel(tab: Any, at: tuple[float, float], rgb: Any) -> None:
    """Waits until the shown picture has a colour, except for JPEG's loss; `at` is a share of its width and height."""
    deadline_s = time.monotonic() + 10
    while np.abs(np.subtract(seen := tab.evaluate(PIXEL, at), rgb)).max() > 12:
        assert time.monotonic() < deadline_s, f"{seen} is seen, and not {rgb}"
        time.sleep(0.05)


def test_it_fits_its_width_and_says_what_it_should(tab: Any) -> None:
    inside, outside = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert inside <= outside
    for selector in ("#name", "#shows", "#opacity", "#snapshot", "#pause", "#latency", "#speed", "#stages", "#legend"):
        box = tab.locator(selector).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= outside + 1, selector
    assert tab.inner_text("#name").startswith("rtsp://camera/a rather long name") and tab.inner_text("#state") == "live"
    assert (tab.inner_text("#engine"), tab.inner_text("#precision")) == ("openvino", "fp32")
    assert tab.inner_text("#dropped") == "7"
    texts = "['.name', '.share'].map(part => item.querySelector(part).textContent)"
    assert tab.evaluate(f"[...document.querySelectorAll('#legend li')].map(item => {texts})") == [
        ["sky", "33 %"], ["road", "62 %"], ["car", "4.6 %"], ["tree", "–"], ["person", "–"]]
    wait_until(tab, "document.querySelectorAll('#latency path, #latency circle').length >= 3")
    wait_until(tab, "parseFloat($('fps').textContent) > 3")
    wait_until(tab, "parseFloat($('glass').textContent) > 0")
    rows = tab.evaluate("[...$('stages').rows].map(row => [...row.cells].map(cell => cell.textContent))")
    assert [row[0] for row in rows] == ["Glass to glass", "Network, in all", "· network", "· upsampling"]
    assert rows[1][1:] == ["5.0"] * 3


def test_its_switches_change_what_is_seen(tab: Any) -> None:
    colors, road, car = LABEL_SET.colors, (0.1, 0.9), (0.5, 0.66)
    tab.click("text=Labels")
    wait_for_pixel(tab, road, colors[1])
    wait_for_pixel(tab, car, colors[2])
    tab.locator("#legend li", has_text="road").locator("input").uncheck()
    wait_for_pixel(tab, road, (0, 0, 0))
    wait_for_pixel(tab, car, colors[2])
    tab.click("#none")
    wait_for_pixel(tab, car, (0, 0, 0))
    tab.click("#all")
    wait_for_pixel(tab, road, colors[1])
    tab.click("text=Side by side")
    wait_until(tab, "$('picture').naturalWidth > 3 * $('picture').naturalHeight")
    wait_for_pixel(tab, (0.55, 0.9), colors[1])
    tab.keyboard.press("o")
    tab.keyboard.press("o")  # from side by side to the frame alone and to the overlay
    tab.locator("#opacity").fill("100")
    wait_for_pixel(tab, road, colors[1])
    assert tab.inner_text("#percent") == "100 %"


def test_a_pause_holds_the_picture_and_its_view_still_changes(tab: Any) -> None:
    tab.keyboard.press(" ")
    assert tab.inner_text("#pause") == "Go on"
    time.sleep(0.3)
    before = tab.evaluate("index")
    time.sleep(0.4)
    assert tab.evaluate("index") == before
    tab.click("text=Labels")
    wait_for_pixel(tab, (0.1, 0.9), LABEL_SET.colors[1])
    assert tab.evaluate("index") == before
    tab.keyboard.press(" ")
    wait_until(tab, f"index > {before} + 2")


def test_a_snapshot_is_the_frame_that_is_seen_without_loss(tab: Any, tmp_path: Path) -> None:
    tab.keyboard.press(" ")
    time.sleep(0.3)
    number = tab.evaluate("index")
    with tab.expect_download() as download:
        tab.click("#snapshot")
    assert download.value.suggested_filename == f"snapshot_{number:06d}.png"
    download.value.save_as(tmp_path / "s.png")
    assert (cv2.imread(str(tmp_path / "s.png")) == Painter(LABEL_SET)(item(number))).all()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(scheme: str, browser: Any, page: Page) -> None:
    """Text has at least the contrast of 4.5 that WCAG requires."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(page.url)
    tab.wait_for_selector("#picture:not([hidden])")
    colors = tab.evaluate("""() => {
        const style = element => getComputedStyle(element), number = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const card = document.querySelector(".card");
        return [style(document.body).backgroundColor, style(card).backgroundColor, style(document.body).color,
                style(document.querySelector(".tile span")).color, style(document.getElementById("state")).color].map(number);
    }""")
    paper, card, *texts = (np.array(color) / 255 for color in colors)
    assert (paper.mean() > 0.8) == (scheme == "light") and (paper.mean() < 0.2) == (scheme == "dark")

    def luminance(rgb: np.ndarray) -> float:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for text in texts:
        for behind in (paper, card):
            low, high = sorted((luminance(text), luminance(behind)))
            assert (high + 0.05) / (low + 0.05) >= 4.5
    context.close()


def test_it_comes_back_when_the_next_video_is_served(browser: Any, tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights, engine="openvino", precision="fp32", threads=1)
    context = browser.new_context(viewport={"width": 390, "height": 844})
    tab = context.new_page()
    with Page(predictor) as page:
        page.open(Stream("first.mp4", 1, Fraction(25)))
        page.take(item(0))
        tab.goto(page.url)
        wait_until(tab, "$('name').textContent == 'first.mp4'")
        page.close(Ending.WHOLE)
        wait_until(tab, "$('state').textContent == 'The video has ended.'")
    port = int(page.url.rsplit(":", 1)[1].strip("/"))
    with Page(predictor, port=port) as page:
        page.open(Stream("second.mp4", 1, Fraction(25)))
        page.take(item(0))
        wait_until(tab, "$('name').textContent == 'second.mp4'")
        assert tab.inner_text("#state") == "playing"
    context.close()
