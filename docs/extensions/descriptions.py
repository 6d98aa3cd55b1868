"""A Sphinx extension: keep the description of every picture, and warn of pictures without one.

MyST-NB drops the description that a notebook keeps in the metadata of an output, and HTML writers then
put the name of a file in its place, which no accessibility checker notices.
"""

from html.parser import HTMLParser
from typing import Any

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx
from sphinx.util import logging

FILLER = "No description has been provided"

logger = logging.getLogger(__name__)
render_image = NbElementRenderer.render_image


def described_image(renderer: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
    """The image of an output with the description from the output's metadata."""
    rendered: list[nodes.Element] = render_image(renderer, data)
    description = data.output_metadata.get(data.mime_type, {}).get("alt")
    for image in rendered:
        if description:
            image["alt"] = description
    return rendered


class Pictures(HTMLParser):
    """Collects the pictures without a description in a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.undescribed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check a picture as its tag opens."""
        values = dict(attrs)
        if tag == "img" and not is_description(values.get("alt")):
            self.undescribed.append((values.get("src") or tag)[:60])
        if tag == "svg" and not is_description(values.get("aria-label", values.get("aria-labelledby"))):
            self.undescribed.append(tag)


def is_description(text: str | None) -> bool:
    """Whether a text describes a picture: it is neither empty nor a filler."""
    return bool(text and text.strip() and not text.startswith(FILLER))


def warn_of_undescribed(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of every picture on a page that has no description."""
    images = [image for image in doctree.findall(nodes.image) if not is_description(image.get("alt"))]
    found: list[tuple[nodes.Element, str]] = [(image, image["uri"]) for image in images]
    for raw in doctree.findall(nodes.raw):
        if "html" in raw.get("format", "").split():
            parser = Pictures()
            parser.feed(raw.astext())
            found += [(raw, name) for name in parser.undescribed]
    for node, name in found:
        logger.warning(
            "picture %s has no description: show(fig, alt='what it shows'), or ![what it shows](file)",
            name,
            location=node,
            type="descriptions",
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    NbElementRenderer.render_image = described_image
    app.connect("doctree-read", warn_of_undescribed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
