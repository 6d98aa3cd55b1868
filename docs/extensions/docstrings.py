"""A Sphinx extension: turn this project's docstrings, plain text with formulas, into reST.

Indented lines and tables stay as they stand; elsewhere only ``literals``, *emphasis* and lists are
markup, so that |w|_1 or 2 * x appear as written.
"""

import ast
import itertools
import re
from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

MARKUP = re.compile(r"``.+?``|\*\w[^*]*\*", re.DOTALL)
SPECIAL = re.compile(r"([\\|_*`])")
VERBATIM = ("    ", "|")
ALIAS, EXPANDED = "ArrayLike", stringify_annotation(ArrayLike, "smart")
MODULE = re.compile(r"~(?:\w+\.)+")


def to_rest(lines: list[str]) -> list[str]:
    """A docstring's lines as reST."""
    result: list[str] = []
    for verbatim, group in itertools.groupby(lines, lambda line: line.startswith(VERBATIM)):
        if verbatim:
            result += ["", "::", "", *(f"    {line}" for line in group), ""]
        else:
            result += escaped("\n".join(group)).split("\n")
    return result


def escaped(text: str) -> str:
    """Prose in which only literals and emphasis are markup."""
    pieces, end = [], 0
    for match in MARKUP.finditer(text):
        pieces += [SPECIAL.sub(r"\\\1", text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*pieces, SPECIAL.sub(r"\\\1", text[end:])])


def write_rest(
    _app: Sphinx, _what: str, _name: str, _item: object, _options: object, lines: list[str]
) -> None:
    """Rewrite a docstring in place."""
    lines[:] = to_rest(lines)


def shorten(
    _app: Sphinx,
    _what: str,
    _name: str,
    _item: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str] | None:
    """Write the name of numpy's long union of types instead of the union.

    Where Sphinx cannot read a signature, and so makes no links of its types, their modules are left out.
    """
    if signature is None:
        return None
    arguments, result = signature.replace(EXPANDED, ALIAS), (returns or "").replace(EXPANDED, ALIAS)
    if not is_python(f"def f{arguments} -> {result or None}: ..."):
        arguments, result = MODULE.sub("", arguments), MODULE.sub("", result)
    return arguments, result


def is_python(text: str) -> bool:
    """Whether a text can be parsed."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", write_rest)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
