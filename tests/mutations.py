"""Damage to the bytes of a file: some are changed, cut out, put in or doubled."""

from hypothesis import strategies as st

PIECES = [
    b"\t",
    b"\n",
    b"\xff",
    b"\x00",
    b":",
    b"-",
    b"[",
    b"}",
    b"*a",
    b"&a ",
    b"!!python/x ",
    b"NaN",
    b"'",
]


@st.composite
def mutations(draw, content):
    """The content with a piece in place of up to nine of its bytes, or cut off there."""
    at = draw(st.integers(0, len(content)))
    if draw(st.integers(0, 9)) == 0:
        return content[:at]
    piece = draw(st.just(content[at : at + 9]) | st.sampled_from(PIECES) | st.binary(max_size=3))
    return content[:at] + piece + content[at + draw(st.integers(0, 9)) :]
