"""Errors that a person can act on: what was given, what was expected, what to do."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Something was asked for that cannot be done as asked; the command line exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest right name, or lists the names there are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"There are: {', '.join(known)}." if known else "There are none."
