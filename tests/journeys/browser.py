"""Headless Chromium, with an ear for what a page complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 15_000  # for a busy machine; less than pages wait when they look without being told
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. Skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Playwright's loop in this thread would make Django refuse the database.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        try:
            browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
            yield browser
            browser.close()
        finally:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def complaints_of(page: Any) -> list[str]:
    """What the page will complain about: errors, warnings and violations of its policy all come by the console."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def press(page: Any, key: str) -> None:
    """Press a key when the page has run its scripts: what is pressed before that is lost, as in any page."""
    page.wait_for_load_state("load")
    page.keyboard.press(key)
