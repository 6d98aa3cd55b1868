"""The slides in their order, and the works that they cite: which notebooks take each up."""

import re
from functools import cache

import msgspec

from greenai_nb.files import read_as
from greenai_nb.lesson.claims import Claim
from greenai_nb.lesson.project import notebooks

NAMED = re.compile(r'slide "([^"]+)"')  # in the source of a claim


class Slide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slide, the numbers of the works that it cites, and its notebooks."""

    title: str
    section: str
    notebooks: list[str]
    cites: list[int] = []


class Work(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Authors, year and short title of a work that a slide cites, and why nothing of it is judged."""

    work: str
    notebooks: list[str]
    unverified: str = ""

    def judged(self, claims: dict[str, Claim]) -> list[Claim]:
        """The claims whose source names the work's authors and year."""
        return [claim for claim in claims.values() if self.work.rpartition(",")[0] in claim.source]


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
