import base64
import io

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pytest
from PIL import Image

from greenai_nb.machine import INTERACTIVE_VARIABLE
from greenai_nb.show import diagrams, figure


def test_a_published_figure_is_a_png_with_its_description(displayed, monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "0")
    fig = plt.figure()
    figure.show(fig, 'a line that says "up" & <away>')
    ((data, metadata),) = displayed
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == 'a line that says "up" & <away>'
    assert data["text/plain"].startswith("[figure] a line") and "text/html" not in data
    assert not plt.fignum_exists(fig.number)


def test_a_live_figure_is_html_with_its_description_escaped(displayed, monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "1")
    figure.show(plt.figure(), 'says "up" & <away>')
    assert 'alt="says &quot;up&quot; &amp; &lt;away&gt;"' in displayed[0][0]["text/html"]


def test_a_figure_without_a_description_is_refused():
    with pytest.raises(ValueError, match="needs a description"):
        figure.show(plt.figure(), "  ")


def test_pictures_are_opaque_and_do_not_carry_the_programs_version():
    picture = figure.png(plt.figure(figsize=(2, 1), dpi=30))
    assert b"Matplotlib" not in picture
    opened = Image.open(io.BytesIO(picture))
    assert opened.mode == "RGB" and opened.size == (200, 100)


def test_a_published_diagram_is_an_svg_with_its_description(displayed, monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "0")
    figure.show_svg(*diagrams.xnor_block())
    ((data, metadata),) = displayed
    assert data["image/svg+xml"].startswith("<svg") and "text/html" not in data
    assert metadata["image/svg+xml"]["alt"].startswith("Two columns")
    assert data["text/plain"].startswith("[figure] Two columns")


def test_a_live_diagram_is_an_image_with_its_description(displayed, monkeypatch):
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "1")
    figure.show_svg(diagrams.xnor_block()[0], 'the "block"')
    said = displayed[0][0]["text/html"]
    assert 'alt="the &quot;block&quot;"' in said and "data:image/svg+xml;base64," in said


def test_a_diagram_without_a_description_is_refused():
    with pytest.raises(ValueError, match="needs a description"):
        figure.show_svg(diagrams.xnor_block()[0], "")
