"""The slides in their order, and the works that they cite: which notebooks take each up."""

import re
from collections.abc import Mapping
from functools import cache

import msgspec

from greenai_nb.files import read_as
from greenai_nb.lesson.claims import Claim
from greenai_nb.lesson.project import notebooks

NAMED = re.compile(r'slide "([^"]+)"')  # in the source of a claim


class Slide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slide, the numbers of the works that it cites, and its notebooks, or why there are none."""

    title: str
    section: str
    notebooks: list[str] = []
    cites: list[int] = []
    left: str = ""


class Work(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Authors, year and short title of a work that a slide cites, and why it is left or unverified."""

    work: str
    notebooks: list[str] = []
    left: str = ""
    unverified: str = ""

    def judged(self, claims: Mapping[str, Claim]) -> list[Claim]:
        """The claims whose source names the work's authors and year."""
        authors, _, _ = self.work.rpartition(",")
        return [claim for claim in claims.values() if authors in claim.source]


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All slides in order, and all works by their number in the slides' references."""

    slides: list[Slide]
    works: dict[int, Work]


@cache
def slides() -> Map:
    """The map of this walk; a walk that follows no slides has an empty one.

    Raises ``UsageError`` for a file of another form.
    """
    path = notebooks() / "slides.yaml"
    return read_as(path, Map) if path.is_file() else Map([], {})


def named(source: str) -> str:
    """The first slide that a claim's source names, or an empty text."""
    found = NAMED.search(source)
    return found[1] if found else ""
