import re
from xml.etree import ElementTree

import pytest

from greenai_nb.show import diagrams, figure

SVG = "{http://www.w3.org/2000/svg}"
DIAGRAMS = {
    diagrams.xnor_block: ["batch norm", "sign", "XNOR, popcount", "scale", "sign, 1 bit", "ReLU"],
    diagrams.accept_reject_chain: ["propose w'", "accept", "reject", "next state", "repeat"],
}


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_a_diagram_stands_alone_and_describes_itself(draw):
    svg, description = draw()
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text and root.find(f"{SVG}desc").text == description
    assert not re.search(r"script|href|url\(|@import|http(?!://www\.w3\.org/2000/svg)", svg)
    ground = root.find(f"{SVG}rect")
    assert ground.get("fill") == "#ffffff" and ground.get("width") == root.get("width")


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_a_diagram_says_its_steps(draw):
    said = [text.text for text in ElementTree.fromstring(draw()[0]).iter(f"{SVG}text")]
    assert set(DIAGRAMS[draw]) <= set(said)


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_words_fit_their_boxes_and_boxes_neither_overlap_nor_leave_the_page(draw):
    root = ElementTree.fromstring(draw()[0])
    page, places = (float(root.get("width")), float(root.get("height"))), []
    for group in root.iter(f"{SVG}g"):
        x, y, width, height = (float(group[0].get(key)) for key in ("x", "y", "width", "height"))
        for text in group[1:]:
            assert width >= 7.5 * len(text.text) and y + 10 < float(text.get("y")) < y + height - 3
        places.append((x, y, x + width, y + height))
    for left, top, right, bottom in places:
        assert left > 0 and top > 0 and right < page[0] and bottom < page[1]
        others = [place for place in places if place != (left, top, right, bottom)]
        assert all(right < x or x1 < left or bottom < y or y1 < top for x, y, x1, y1 in others)


def test_words_are_escaped():
    assert "a &lt; b &amp; c" in diagrams.text((0, 0), "a < b & c")


def test_the_arrow_of_signs_is_the_thinnest():
    widths = [float(line.get("stroke-width")) for line in _lines(diagrams.xnor_block()[0])]
    assert widths.count(min(widths)) == 1


def _lines(svg):
    return ElementTree.fromstring(svg).iter(f"{SVG}polyline")


@pytest.mark.parametrize(
    ("corners", "tip", "foot"),
    [(((0, 0), (50, 0)), "50,0", "39.5,0"), (((0, 0), (0, 0), (0, -50)), "0,-50", "0,-39.5")],
)
def test_an_arrow_ends_in_a_head_at_its_last_corner(corners, tip, foot):
    root = ElementTree.fromstring(f"<g>{diagrams.arrow(*corners)}</g>")
    assert root.find("polygon").get("points").startswith(tip + " ")
    assert root.find("polyline").get("points").endswith(" " + foot)


def test_a_published_diagram_is_an_svg_with_its_description(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "0")
    figure.show_svg(*diagrams.xnor_block())
    ((data, metadata),) = displayed
    assert data["image/svg+xml"].startswith("<svg") and "text/html" not in data
    assert metadata["image/svg+xml"]["alt"].startswith("Two columns")
    assert data["text/plain"].startswith("[figure] Two columns")


def test_a_live_diagram_is_an_image_with_its_description(displayed, monkeypatch):
    monkeypatch.setenv(figure.INTERACTIVE_VARIABLE, "1")
    figure.show_svg(diagrams.xnor_block()[0], 'the "block"')
    said = displayed[0][0]["text/html"]
    assert 'alt="the &quot;block&quot;"' in said and "data:image/svg+xml;base64," in said


def test_a_diagram_without_a_description_is_refused():
    with pytest.raises(ValueError, match="needs a description"):
        figure.show_svg(diagrams.xnor_block()[0], "")
