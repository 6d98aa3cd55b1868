"""What a reader waits for: the site and its pages, and a new picture after a key press.

1. ``make site``, from the executed notebooks into an empty folder.
2. What a browser fetches for the home page, and for each page after it, uncompressed.
3. From a key press on a slider to the new picture in JupyterLab, every explorer, one notebook at a time.
"""

import functools
import json
import subprocess
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from statistics import median

from _report import Row, report
from playwright.sync_api import Page, sync_playwright

from greenai_nb.lesson import project

ROOT = project.root()
HOME = "docs/index.html"


class Silent(SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


def build(folder: Path) -> float:
    """Seconds to build the site from scratch."""
    start = time.perf_counter()
    options = ["-W", "--keep-going", "-q", "-j", "auto", "-c", "docs", "-d", folder / "doctrees", "."]
    subprocess.run([sys.executable, "-m", "sphinx", *options, folder / "site"], cwd=ROOT, check=True)
    return time.perf_counter() - start


def weights_mb(site: Path) -> dict[str, float]:
    """MB that a browser fetches for the home page, and then for each other page."""
    handler = functools.partial(Silent, directory=site)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [path.relative_to(site).as_posix() for path in sorted(site.glob("*/**/*.html"))]
    others = [path for path in pages if path != HOME and not path.startswith("_")]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        page = browser.new_context().new_page()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        found = {path: fetched_mb(page, address + path) for path in (HOME, *others)}
        browser.close()
    server.shutdown()
    return found


def fetched_mb(page: Page, address: str) -> float:
    """MB of a page and of all that it asks for and the browser does not have yet."""
    page.goto(address, wait_until="networkidle")
    sizes = page.evaluate(
        "() => performance.getEntries().map(each => [each.transferSize, each.encodedBodySize])"
    )
    return sum(body for sent, body in sizes if sent) / 1e6


def updates_ms(file: Path) -> list[float]:
    """Milliseconds from a key press to the new picture, of all steps of all explorers."""
    tests = ["tests/browser/test_lab.py", "-k", "slider_moves", "--alone", "--updates", file]
    subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, check=True)
    found = json.loads(file.read_text())
    for name, times in found.items():
        print(f"{name:44} median {median(times):4.0f} ms of {len(times)}")
    return [each for times in found.values() for each in times]


def main() -> None:
    """Measure all three."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        seconds = build(folder)
        first, *further = weights_mb(folder / "site").values()
        update = median(updates_ms(folder / "updates.json"))
    rows = [
        Row("site from executed notebooks", seconds, "s", "under 20", seconds < 20),
        Row("first visit", first, "MB", "under 4", first < 4),
        Row("heaviest further page", max(further), "MB", "under 1", max(further) < 1),
        Row("key press to new picture, median", update, "ms", "under 150", update < 150),
    ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
