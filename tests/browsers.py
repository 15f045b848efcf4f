"""A real browser without a window, for tests of pages; without a browser these tests are skipped with the reason."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Starts an installed Chromium-based browser, or the one that CHROME names."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"there is no browser here: none of {', '.join(NAMES)} is on the PATH, and CHROME names none")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
