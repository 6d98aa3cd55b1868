"""Two drawn diagrams, each with its description: ``show_svg(*xnor_block())``.

The SVG files beside this module are self-contained: the reader's fonts, a white background, no
script, and a title and a description for those who do not see the picture.
"""

import re
from importlib.resources import files
from xml.etree import ElementTree

INDENTATION = re.compile(r">\s+<")


def accept_reject_chain() -> tuple[str, str]:
    """One step of the chain: propose, compare, accept or reject, and again from the next state."""
    return _drawn("accept_reject_chain.svg")


def xnor_block() -> tuple[str, str]:
    """The block of the slides beside its float twin, with type and bits of each value on the arrows."""
    return _drawn("xnor_block.svg")


def _drawn(file: str) -> tuple[str, str]:
    """A diagram on one line, and the text of its ``<desc>``."""
    drawing = (files("greenai_nb.show") / file).read_text(encoding="utf-8")
    description = ElementTree.fromstring(drawing).findtext("{http://www.w3.org/2000/svg}desc", "")
    return INDENTATION.sub("><", drawing).strip(), description
