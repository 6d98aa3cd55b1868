"""The site: built once without a warning, complete, described, and asking no other host for anything."""

import os
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from notebook_files import cell, write_notebook

from greenai_nb.lesson import project
from greenai_nb.lesson.claims import load_claims
from greenai_nb.suite.run import plan

pytest.importorskip("sphinx", reason="the site needs the extra: pip install -e .[site]")

ROOT = project.root()
sys.path.append(str(ROOT / "docs" / "extensions"))
import cards  # noqa: E402

WALK = plan.lessons(project.notebooks())
BINDER = "https://mybinder.org/v2/gh/greenai-nb/greenai-nb/main?urlpath=lab/tree/notebooks/{}.ipynb"
DESCRIPTIONS = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "descriptions"]
nb_execution_mode = "off"
root_doc = "png_described"
suppress_warnings = ["toc.not_included"]
"""


def sphinx(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Build with every warning an error, as make site does."""
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "auto", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"GREENAI_ROOT": str(ROOT)},
    )


class Page(HTMLParser):
    """The tags of a page with their attributes, its anchors and its title."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.title = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "title" and not self.title:
            self.title = data.strip()

    def every(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def links(self) -> set[str]:
        return {attributes.get("href") or "" for attributes in self.every("a")}

    @property
    def anchors(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The site's folder."""
    out = tmp_path_factory.mktemp("site")
    done = sphinx("-c", "docs", "-d", out / "doctrees", ".", out / "site")
    assert (done.returncode, done.stderr) == (0, "")
    return out / "site"


@pytest.fixture(scope="session")
def pages(built) -> dict[str, Page]:
    """Every page by its path."""
    return {
        path.relative_to(built).as_posix(): Page(path)
        for path in sorted(built.rglob("*.html"))
        if "_static" not in path.parts
    }


def test_every_lesson_is_a_page_with_its_binder_button(pages):
    for name in WALK:
        links = pages[f"notebooks/{name}.html"].every("a")
        buttons = [link["href"] for link in links if "btn" in (link.get("class") or "").split()]
        assert BINDER.format(name) in buttons


def test_the_first_page_has_every_lesson(pages, built):
    links = pages["docs/index.html"].links
    text = (built / "docs" / "index.html").read_text()
    for card in cards.cards(ROOT):
        assert f"../notebooks/{card.name}.html" in links
        assert BINDER.format(card.name) in links
        assert card.outputs in text
    assert pages["index.html"].links == {"docs/index.html"}


def test_the_ledger_has_every_claim_with_a_verdict_in_words(pages, built):
    claims = load_claims(ROOT / "claims.yaml")
    assert set(claims) <= pages["docs/claims.html"].anchors
    rows = cards.ledger(ROOT)
    missed = [row for row in rows if row.verdict in ("fails", "undecided")]
    marks = [mark.get("class") or "" for mark in pages["docs/claims.html"].every("b")]
    at_paper_size = sum(len(row.paper) for row in rows)
    shown = len(rows) + len(missed) + at_paper_size
    assert sum("verdict" in classes.split() for classes in marks) == shown
    text = (built / "docs" / "claims.html").read_text()
    assert all(f"{row.verdict}</b>" in text for row in rows)


def test_every_public_module_is_documented(pages):
    package = ROOT / "greenai_nb"
    for path in package.rglob("[a-z]*.py"):
        room, *rest = path.relative_to(package).with_suffix("").parts
        page = pages[f"docs/api/{room if rest else 'ground'}.html"]
        assert f"module-{'.'.join(['greenai_nb', room, *rest])}" in page.anchors
    assert "greenai_nb.theory.penalty.penalty" in pages["docs/api/theory.html"].anchors


def test_no_page_asks_another_host_for_anything(pages):
    for name, page in pages.items():
        asked = [tag.get("src") for tag in page.every("script", "img", "iframe", "source")]
        asked += [tag.get("href") for tag in page.every("link")]
        assert [url for url in asked if url and urlsplit(url).netloc] == [], name


def test_scripts_and_styles_name_no_other_host_to_load_from(built):
    sheets = [path.read_text() for path in built.rglob("*.css")]
    assert not any(
        f"url({quote}{scheme}" in sheet
        for sheet in sheets
        for quote in ("", '"', "'")
        for scheme in ("http:", "https:", "//")
    )
    assert not any("@import" in sheet and "http" in sheet.split("@import")[1][:80] for sheet in sheets)


def test_every_picture_is_described(pages):
    for name, page in pages.items():
        for image in page.every("img"):
            alt = image.get("alt")
            decorative = alt == "" and "_static" in image["src"]
            assert decorative or (alt and not alt.startswith("No description")), (name, image)
            assert not (alt or "").endswith((".png", ".svg", ".jpeg")), (name, image)
    pictures = pages["notebooks/11_regret_bound.html"].every("img")
    assert sum(len((image.get("alt") or "").split()) > 5 for image in pictures) >= 5


def test_links_and_anchors_hold(pages, built):
    @cache
    def anchors(name: str) -> set[str]:
        return pages[name].anchors

    broken = []
    for name, page in pages.items():
        for tag in page.every("a", "link", "script", "img"):
            url = urlsplit(tag.get("href") or tag.get("src") or "")
            if url.scheme or url.netloc:
                continue
            target = (built / name).parent / unquote(url.path) if url.path else built / name
            if not target.resolve().is_file():
                broken.append((name, url.geturl()))
            elif url.fragment and target.suffix == ".html":
                found = anchors(target.resolve().relative_to(built.resolve()).as_posix())
                broken += [(name, url.geturl())] * (unquote(url.fragment) not in found)
    assert broken == []


def test_pages_have_a_language_a_title_and_a_description_of_their_own(pages):
    titles = [page.title for page in pages.values()]
    assert "" not in titles and sorted(titles) == sorted(set(titles))
    assert all(page.every("html")[0]["lang"] == "en" for page in pages.values())
    written = {name: page for name, page in pages.items() if "/" in name or name.isupper()}
    said = {
        name: [tag["content"] for tag in page.every("meta") if tag.get("name") == "description"]
        for name, page in written.items()
    }
    assert all(len(texts) == 1 and len(texts[0].split()) > 3 for texts in said.values()), said
    assert said["notebooks/11_regret_bound.html"] == [cards.cards(ROOT)[3].promise]


def test_formulas_come_from_the_site_itself(pages, built):
    page = pages["notebooks/11_regret_bound.html"]
    assert any("mathjax/startup.js" in (tag.get("src") or "") for tag in page.every("script"))
    assert (built / "_static" / "mathjax" / "core.js").is_file()
    assert list((built / "_static" / "mathjax").rglob("MathJax_Main-Regular.woff"))


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
URI = f"data:image/png;base64,{PNG}"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'
SAID = "A line that falls from one to zero"
OUTPUTS = {
    "png_described": ({"image/png": PNG}, {"image/png": {"alt": SAID}}),
    "png_bare": ({"image/png": PNG}, {}),
    "png_blank": ({"image/png": PNG}, {"image/png": {"alt": " "}}),
    "svg_described": ({"image/svg+xml": SVG}, {"image/svg+xml": {"alt": SAID}}),
    "svg_bare": ({"image/svg+xml": SVG}, {}),
    "html_described": ({"text/html": f'<img alt="{SAID}" src="{URI}">'}, {}),
    "html_bare": ({"text/html": f'<img src="{URI}">'}, {}),
    "html_filler": ({"text/html": f'<img alt="No description has been provided" src="{URI}">'}, {}),
    "html_svg_described": ({"text/html": SVG.replace("<svg", f'<svg aria-label="{SAID}"')}, {}),
    "html_svg_bare": ({"text/html": SVG}, {}),
}


def test_a_picture_without_a_description_fails_the_build(tmp_path):
    for name, (data, metadata) in OUTPUTS.items():
        shows = cell("show(fig)")
        shows["outputs"] = [{"output_type": "display_data", "data": data, "metadata": metadata}]
        write_notebook(tmp_path / f"{name}.ipynb", shows)
    (tmp_path / "conf.py").write_text(DESCRIPTIONS.format(extensions=str(ROOT / "docs" / "extensions")))
    done = sphinx("-D", "html_theme=basic", tmp_path, tmp_path / "out")
    assert done.returncode != 0
    lines = done.stderr.splitlines()
    for name in OUTPUTS:
        blamed = any(f"{name}.ipynb" in line and "has no description" in line for line in lines)
        assert blamed is not name.endswith("_described"), name
    for name in ("png_described", "svg_described", "html_described"):
        assert SAID in [image["alt"] for image in Page(tmp_path / "out" / f"{name}.html").every("img")]
