"""Pictures of the dashboard for the documentation: of a recorded cluster, light and dark, on a desk and on a phone.

`make screenshots` writes docs/images/dashboard-*.png. The record is made anew each time, from the same numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayfleet.dashboard.clusters import Entry, Figures, Inside, NoWayIn, OrderRefused
from rayfleet.testing.big_record import Size, write_big_record
from rayfleet.testing.busy_state import busy_state
from rayfleet.testing.fake_jobs import FakeJobs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
NOW = 1_790_000_000.0
DESK = {"width": 1360, "height": 760}
PHONE = {"width": 390, "height": 844}
PICTURES = (
    ("clusters", "/", "light"),
    ("overview", "/c/training", "light"),
    ("overview-dark", "/c/training", "dark"),
    ("overview-phone", "/c/training", "phone"),
    ("autoscaler", "/c/training/autoscaler", "light"),
    ("nodes", "/c/batch/nodes", "light"),
    ("jobs-phone", "/c/training/jobs", "phone"),
    ("job", "/c/training/jobs/raysubmit_kT3wQvUe9XJm2ZpA", "light"),
    ("actors", "/c/training/actors", "light"),
    ("tasks", "/c/training/tasks", "light"),
    ("memory", "/c/training/memory", "light"),
    ("logs-dark", "/c/training/logs?file=worker-2101-02000000.out", "dark"),
)
_PLENTY_MS = 90_000
_MOST_HIGH = 1_100
_MOST_BYTES = 200_000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Recorded:
    """Clusters that are only records; orders are written down. `rays`: what pretends to be Ray in them, by name.

    `told`: where their figures are.
    """

    entries: list[Entry] = field(default_factory=list)
    orders: list[tuple[str, str, str]] = field(default_factory=list)
    rays: dict[str, Inside] = field(default_factory=dict)
    told: dict[str, Figures] = field(default_factory=dict)

    def known(self) -> tuple[Entry, ...]:
        """Return every cluster."""
        return tuple(self.entries)

    def figures(self, cluster: str) -> Figures:
        """Return where they are said to be."""
        return self.told.get(cluster, Figures(trouble=f"nobody controls cluster {cluster} now"))

    @asynccontextmanager
    async def inside(self, cluster: str) -> AsyncIterator[Inside]:
        """Give the way in, where there is something that pretends to be Ray."""
        if cluster not in self.rays:
            raise NoWayIn(f"cluster {cluster} is down", f"rayfleet up {cluster}")
        yield self.rays[cluster]

    async def drain(self, cluster: str, node: str, why: str) -> str:
        """Write the order down."""
        if node == "head":
            raise OrderRefused("head is the head")
        self.orders.append((cluster, node, why))
        return f"{node} is to leave: nothing new starts on it"


def inside(now: float) -> Inside:
    """Return what pretends to be the Ray of a busy cluster."""
    state = busy_state(now)
    return Inside(state, FakeJobs(state, now_ms=int(now * 1000)))


@contextmanager
def serving(clusters: Recorded, now: float) -> Iterator[str]:
    """Serve the dashboard in a thread, as if it were `now`; yield its address. Once per process."""
    os.environ.setdefault("NICEGUI_STORAGE_PATH", tempfile.mkdtemp(prefix="dashboard-"))
    from rayfleet.dashboard import server
    from rayfleet.dashboard.gate import Door
    from rayfleet.dashboard.listening import listen
    from rayfleet.dashboard.login import Tries
    from rayfleet.dashboard.readings.shared import Readings
    from rayfleet.dashboard.site import Site

    listening = listen("127.0.0.1", 0)
    gate = server.build(Site(clusters, Readings(), now=lambda: now), Door(None, Tries(lambda: now)))
    ready, loop = threading.Event(), asyncio.new_event_loop()
    task = loop.create_task(server.serve(gate, listening, ready.set))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait(_PLENTY_MS / 1000)
        yield listening.url.rstrip("/")
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        listening.socket.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium without a window."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": program, "args": ["--no-sandbox", "--disable-gpu"]}
        browser = playwright.chromium.launch(**options)
        try:
            yield browser
        finally:
            browser.close()


def settled(page: Page) -> None:
    """Wait until a page is connected and its charts are drawn."""
    page.wait_for_selector("header.top", timeout=_PLENTY_MS)
    page.wait_for_timeout(1500)


def take(browser: Browser, url: str, folder: Path) -> None:
    """Take every picture."""
    for name, path, look in PICTURES:
        size, scheme = PHONE if look == "phone" else DESK, "dark" if look == "dark" else "light"
        context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url + path, timeout=_PLENTY_MS)
        settled(page)
        height = min(_MOST_HIGH, page.evaluate("document.querySelector('.body').getBoundingClientRect().bottom"))
        drawn = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": size["width"], "height": height})
        write(drawn, folder / f"dashboard-{name}.png")
        context.close()


def write(drawn: bytes, path: Path, most_bytes: int = _MOST_BYTES) -> None:
    """Write a picture, packed tighter than a browser takes the time for. Raises SystemExit: it is too large."""
    packed = repacked(drawn)
    if len(packed) > most_bytes:
        raise SystemExit(f"{path.name} has {len(packed)} bytes, more than {most_bytes}: show less of it")
    path.write_bytes(packed)


def repacked(png: bytes) -> bytes:
    """Return the same picture with its pixels compressed as far as they can be."""
    chunks, at = [], len(_PNG)
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        chunks.append((kind, png[at + 8 : at + 8 + length]))
        at += length + 12
    pixels = zlib.compress(zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT")), 9)
    kept = [(kind, data) for kind, data in chunks if kind in {b"IHDR", b"PLTE", b"tRNS"}]
    return _PNG + b"".join(_chunk(*each) for each in (*kept, (b"IDAT", pixels), (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def main() -> None:
    """Make the record, serve it, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    folder = parser.parse_args().into
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        record, other = Path(temporary) / "training.sqlite", Path(temporary) / "batch.sqlite"
        asyncio.run(write_big_record(record, NOW, Size(nodes=60, ticks=70, changes=9)))
        asyncio.run(write_big_record(other, NOW, Size(nodes=14, ticks=20, changes=3)))
        clusters = Recorded(
            [
                Entry("batch", "up", other),
                Entry("nightly", "suspended", other),
                Entry("research", "up", None, "Its controller and its record are on its head (203.0.113.7)."),
                Entry("training", "up", record),
            ],
            rays={"training": inside(NOW)},
        )
        with serving(clusters, NOW + 1) as url, chromium() as browser:
            take(browser, url, folder)


if __name__ == "__main__":
    main()
