"""A Sphinx extension: take MathJax from an installed package, so that pages ask no other host.

The package ``sphinx-mathjax-offline`` holds all of MathJax 3 in 24 MB. Pages load a few of its
components, two thirds of the usual bundle; what rare commands also need is loaded where they occur.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PACKAGE = "sphinx-mathjax-offline"
START = "startup.js"
COMPONENTS = ("core", "input/tex", "output/chtml", "a11y/assistive-mml")
FOLDERS = ("input/tex/extensions", "output/chtml/fonts")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put the components and fonts among the static files of a finished HTML build."""
    if error or app.builder.format != "html":
        return
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ExtensionError(f"no package {PACKAGE}: pip install -r requirements.lock")
    mathjax = Path(package.origin).parent / "static" / "mathjax"
    target = app.outdir / "_static" / "mathjax"
    for file in (START, *(f"{component}.js" for component in COMPONENTS)):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mathjax / file, target / file)
    for folder in FOLDERS:
        shutil.copytree(
            mathjax / folder, target / folder, dirs_exist_ok=True, copy_function=shutil.copyfile
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
