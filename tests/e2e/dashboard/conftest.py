"""A browser without a window, and a page of it for each test that must not complain."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from scripts.screenshots import DESK, chromium

expect.set_options(timeout=20_000)  # a busy machine; what is so is seen at once


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page; scripts that fail and anything that is fetched from elsewhere fail the test."""
    complaints: list[str] = []
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    opened.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    opened.on("console", lambda said: complaints.append(said.text) if _is_ours(said) else None)
    opened.on("request", lambda asked: complaints.append(asked.url) if _is_foreign(asked.url) else None)
    yield opened
    context.close()
    assert complaints == []


def _is_ours(said: ConsoleMessage) -> bool:
    """Say whether an error is the page's own: other tests set up network interfaces, which ends what is under way."""
    return said.type == "error" and "net::ERR_NETWORK_CHANGED" not in said.text


def _is_foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "http://localhost:"))


def chart(page: Page, name: str) -> dict[str, Any]:
    """Return what a chart of the page has drawn: its options, as ECharts keeps them."""
    script = "el => getElement(el.id.slice(1)).chart.getOption()"
    found: dict[str, Any] = page.locator(f'[aria-label="{name}"]').evaluate(script)
    return found


def connected(page: Page) -> None:
    """Wait until a page answers what is done to it, and has drawn its charts."""
    page.wait_for_function("() => window.did_handshake")
    page.wait_for_timeout(300)
