import re
from xml.etree import ElementTree

import pytest

from greenai_nb.show import diagrams

SVG = "{http://www.w3.org/2000/svg}"
DIAGRAMS = {
    diagrams.xnor_block: ["batch norm", "sign", "XNOR, popcount", "scale", "sign, 1 bit", "ReLU"],
    diagrams.accept_reject_chain: ["propose w'", "accept", "reject", "next state", "repeat"],
}


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_a_diagram_stands_alone_and_describes_itself(draw):
    svg, description = draw()
    assert "\n" not in svg and len(description.split()) > 20
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


def test_the_arrow_of_signs_is_the_thinnest():
    lines = ElementTree.fromstring(diagrams.xnor_block()[0]).iter(f"{SVG}polyline")
    widths = [float(line.get("stroke-width")) for line in lines]
    assert widths.count(min(widths)) == 1
