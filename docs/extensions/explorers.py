"""A Sphinx extension: sliders move on a page, by steps drawn when their notebook was published."""

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx

from greenai_nb.machine import STEPS_MIME
from greenai_nb.suite.run import report

STEPS = "steps"

render_unknown = NbElementRenderer.render_unhandled


def moving(renderer: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
    """The sliders of an explorer, whose pictures are beside the pages of the notebooks."""
    if data.mime_type != STEPS_MIME:
        return list(render_unknown(renderer, data))
    return [nodes.raw(text=report.explorer(data.content), format="html")]


def copy_steps(app: Sphinx, error: Exception | None) -> None:
    """Put the pictures where the pages look for them."""
    steps = Path(app.srcdir) / "notebooks" / STEPS
    if error is None and steps.is_dir():
        shutil.copytree(steps, Path(app.outdir) / "notebooks" / STEPS, dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    NbElementRenderer.render_unhandled = moving
    app.add_js_file(None, body=report.EXPLORER_SCRIPT)
    app.connect("build-finished", copy_steps)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
