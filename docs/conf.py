"""How Sphinx builds the site from pages of docs/ and the executed notebooks: make site.

Nothing is run, downloaded or written outside the output folder, and the pages ask no other host for
anything.
"""

import gc
import sys
from pathlib import Path

from greenai_nb import __version__

# A build makes millions of nodes and throws few away: looking for these takes a quarter of its time.
gc.disable()
sys.path.insert(0, str(Path(__file__).parent / "extensions"))
import mathjax_files  # noqa: E402

from greenai_nb.machine import STEPS_MIME  # noqa: E402

project = "greenai-nb"
release = __version__
language = "en"
html_title = "greenai-nb"
author = "greenai-nb"
copyright = "the authors of greenai-nb, Apache-2.0"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "descriptions",
    "docstrings",
    "explorers",
    "mathjax_files",
    "walk",
]
# The source folder is the checkout, so that links between pages and notebooks hold on GitHub and here.
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/[0-9]*", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".*", "**/.*", "docs/_*", "build", "results", "workspace", "greenai_nb", "tests"]
# Records are for programs; beside each stands a line of text for readers.
suppress_warnings = ["mystnb.unknown_mime_type"]

# The notebooks carry their outputs. Widgets live in JupyterLab only: their scripts would come from afar.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [
    ("*", "application/vnd.jupyter.widget-view+json", None),
    ("*", STEPS_MIME, 1),
]
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3

# MathJax 3 as extensions/mathjax_files.py puts it there, without its menu, which asks for further files.
mathjax_path = f"mathjax/{mathjax_files.START}"
mathjax3_config = {"loader": {"load": mathjax_files.COMPONENTS}}

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_extra_path = ["_root"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_sourcelink_suffix = ""
html_context = {"default_mode": "auto"}
html_theme_options = {
    "repository_url": "https://github.com/greenai-nb/greenai-nb",
    "repository_branch": "main",
    "path_to_docs": "",
    "use_repository_button": True,
    "use_fullscreen_button": False,
    "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"},
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "show_toc_level": 2,
}
