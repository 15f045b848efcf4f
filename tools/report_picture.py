"""Makes the README's picture of a report: on a light screen, and beside it on a dark telephone.

    python tools/report_picture.py runs/demo/report.html docs/images/report.jpg

It needs a Chromium-based browser on the PATH, or one named by CHROME.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from seg.files import UInt8Array, write_image

HEIGHT_PX, GAP_PX = 1180, 28
VIEWS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1000, "light"), (390, "dark"))


def main(page: str, output: str) -> None:
    """Takes both pictures and puts them side by side."""
    program = os.environ.get("CHROME") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("There is no browser: neither chromium nor google-chrome is on the PATH, and CHROME names none.")
    shots = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for width, scheme in VIEWS:
            tab = browser.new_page(viewport={"width": width, "height": HEIGHT_PX}, color_scheme=scheme)
            tab.goto(Path(page).resolve().as_uri())
            tab.add_style_tag(content="body { padding-top: 1.2rem !important; }")
            shots.append(_decoded(tab.screenshot()))
        browser.close()
    gap = np.full((HEIGHT_PX, GAP_PX, 3), 200, np.uint8)
    write_image(output, np.hstack([shots[0], gap, shots[1]]))


def _decoded(png: bytes) -> UInt8Array:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8, copy=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
