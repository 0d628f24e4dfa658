"""A real browser for the tests of pages and windows: Debian's Chromium, driven by playwright."""

import os
import re
from pathlib import Path

import pytest

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


# Of a module: until it ends playwright's loop runs in this thread, and a server needs its own.
@pytest.fixture(scope="module")
def chromium():
    """A browser that is running; tests that need one are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"no browser at {CHROMIUM}; CHROMIUM names another")
    with playwright.sync_playwright() as running:
        # Its own sandbox needs rights that containers do not give.
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_tab(chromium):
    """Opens a tab of its own profile, with playwright's options; errors in its console are in
    `tab.complaints`, and there must be none when the test ends, unless it clears them."""
    contexts, tabs = [], []

    def open_tab(**options):
        contexts.append(chromium.new_context(**options))
        tab = contexts[-1].new_page()
        tab.complaints = []
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on(
            "console",
            lambda line: line.type == "error" and tab.complaints.append(line.text),
        )
        tabs.append(tab)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    complaints = [complaint for tab in tabs for complaint in tab.complaints]
    # A window may outlive its server by a moment, and then says that it lost it.
    lost = re.compile("websocket", re.IGNORECASE)
    assert [complaint for complaint in complaints if not lost.search(complaint)] == []
