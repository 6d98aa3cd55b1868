"""The site as a reader has it: offline, without barriers, readable on a telephone and on paper.

That links hold and pictures are described is seen without a browser, in ``tests/notebooks``.
"""

import functools
import http.server
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from greenai_nb.lesson import project
from greenai_nb.machine import STEPS_MIME
from greenai_nb.suite.run import plan

from .sheet import listen

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# Axe takes its time on long pages: on a narrow screen it looks at one page of each kind.
KINDS = ("docs/index.html", "docs/claims.html", "docs/api/theory.html", "notebooks/00_start_here.html")
FORMULAS_APART = {"exclude": [["mjx-container"]]}
FORWARDING = '<meta http-equiv="refresh"'
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
FORMULAS = """async () => {
  await window.MathJax?.startup?.promise;
  return [document.querySelectorAll('.math').length, document.querySelectorAll('mjx-container').length,
          document.querySelectorAll('mjx-merror').length];
}"""


@dataclass
class Visit:
    """What one page was found to hold."""

    path: str
    overflow: int
    formulas: tuple[int, int, int]
    violations: list[str]
    complaints: list[str]
    foreign: list[str]


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="session")
def folder(request, tmp_path_factory) -> Path:
    """The built site: the one that ``--site`` names, or one built here as ``make site`` does."""
    if given := request.config.getoption("site", None):
        return given
    root, out = project.root(), tmp_path_factory.mktemp("site")
    command = [
        "-W",
        "--keep-going",
        "-q",
        "-j",
        "auto",
        "-c",
        "docs",
        "-d",
        out / "doctrees",
        ".",
        out / "html",
    ]
    subprocess.run([sys.executable, "-m", "sphinx", *command], cwd=root, check=True)
    return out / "html"


@pytest.fixture(scope="session")
def address(folder):
    """The site on this machine's own port."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Silent, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


@pytest.fixture(scope="session")
def visits(browser, folder, address) -> dict[str, Visit]:
    """Each page, seen once."""
    context = browser.new_context(viewport=WIDE)
    pages = [path for path in folder.rglob("*.html") if FORWARDING not in path.read_text()]
    paths = sorted(path.relative_to(folder).as_posix() for path in pages)
    return {path: visit(context.new_page(), address, path) for path in paths if path[0] != "_"}


def visit(page, address: str, path: str) -> Visit:
    """Look at a page on a wide screen and on a narrow one, and close it."""
    complaints, foreign = [], []
    listen(page, complaints, foreign)
    page.goto(address + path)
    formulas = tuple(page.evaluate(FORMULAS))
    heard = list(complaints)  # axe itself asks for files that are not there
    violations = violations_of(page, "wide")
    page.set_viewport_size(NARROW)
    overflow = page.evaluate(OVERFLOW)
    if path in KINDS:
        page.reload()
        violations += violations_of(page, "narrow")
    page.close()
    return Visit(path, overflow, formulas, violations, heard, foreign)


def violations_of(page, screen: str) -> list[str]:
    """Serious and critical violations of accessibility, with the first place of each."""
    asked = {"runOnly": {"type": "tag", "values": STANDARDS}, "resultTypes": ["violations"]}
    found = Axe().run(page, FORMULAS_APART, asked).response["violations"]
    return [
        f"{screen}: {each['id']}, {len(each['nodes'])} times: {each['nodes'][0]['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_each_notebook_has_a_page_and_each_page_loads_without_another_host(visits):
    walk = plan.lessons(project.notebooks())
    assert {f"notebooks/{name}.html" for name in walk} <= set(visits)
    assert {path: each.foreign for path, each in visits.items() if each.foreign} == {}
    assert {path: each.complaints for path, each in visits.items() if each.complaints} == {}


def test_axe_finds_no_serious_violation(visits):
    assert {path: each.violations for path, each in visits.items() if each.violations} == {}


def test_pages_fit_a_telephone(visits):
    assert {path: each.overflow for path, each in visits.items() if each.overflow > 0} == {}


def test_formulas_are_set(visits):
    for path, each in visits.items():
        written, typeset, faulty = each.formulas
        assert typeset >= written and faulty == 0, (path, each.formulas)
    assert visits["notebooks/11_regret_bound.html"].formulas[0] > 10


def test_a_lesson_prints_on_several_pages_without_the_navigation(browser, address, visits):
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{address}notebooks/11_regret_bound.html")
    printed = page.pdf(format="A4")
    page.emulate_media(media="print")
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") >= 3
    assert not page.locator(".bd-sidebar-primary").is_visible()
    page.close()


def test_search_finds_a_word(browser, address, visits):
    page = browser.new_page()
    page.goto(f"{address}search.html?q=penalty")
    page.locator("#search-results li a[href*='12_sparsity_penalty']").first.wait_for(timeout=20_000)
    page.close()


def test_every_explorer_moves_from_the_keyboard_without_a_kernel_or_a_server(browser, folder):
    context, moved = browser.new_context(viewport=WIDE, offline=True), 0
    for name, lesson in plan.lessons(project.notebooks()).items():
        page = context.new_page()
        page.goto((folder / "notebooks" / f"{name}.html").as_uri())
        explorers = page.locator(".explorer").all()
        assert len(explorers) == str(lesson.content).count(STEPS_MIME), name
        for explorer in explorers:
            explorer.scroll_into_view_if_needed()
            picture, words = explorer.locator("img"), explorer.locator("p")
            words.filter(has_text=re.compile(".")).wait_for()
            for slider in explorer.locator("input").all():
                before, said = picture.get_attribute("src"), words.inner_text()
                at_end = slider.input_value() == slider.get_attribute("max")
                slider.press("ArrowLeft" if at_end else "ArrowRight")
                picture.and_(page.locator(f"img:not([src='{before}'])")).wait_for(timeout=5000)
                assert picture.evaluate("image => image.naturalWidth") > 0
                assert words.inner_text() == " ".join(picture.get_attribute("alt").split())
                assert slider.get_attribute("aria-valuetext") and words.inner_text() != said
                moved += 1
        page.close()
    context.close()
    assert moved > 10


def test_without_script_the_panels_are_there_and_the_sliders_are_not(browser, folder):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((folder / "notebooks" / "00_start_here.html").as_uri())
    assert page.locator(".explorer").first.is_hidden()
    assert page.locator(".cell_output img").first.is_visible()
    context.close()
