"""Paths in a checkout, and the environment variables through which a run informs its notebooks."""

import os
from functools import cache
from pathlib import Path

import greenai_nb
from greenai_nb.checks import UsageError

ROOT_VARIABLE = "GREENAI_ROOT"
RESULTS_VARIABLE = "GREENAI_RESULTS"
PROFILE_VARIABLE = "GREENAI_PROFILE"
NOTEBOOK_VARIABLE = "GREENAI_NOTEBOOK"
TRAINED_SINCE_VARIABLE = "GREENAI_TRAINED_SINCE"  # read by learn.store
DEFAULT_PROFILE = "tutorial"
STAMP = "greenai"  # the notebook metadata in which the runner says what made the outputs


@cache
def root() -> Path:
    """The checkout: ``GREENAI_ROOT``, or the nearest folder above the package or here with claims."""
    if asked := os.environ.get(ROOT_VARIABLE):
        return Path(asked)
    package = Path(greenai_nb.__file__).resolve().parent
    for folder in (*package.parents, Path.cwd(), *Path.cwd().parents):
        if (folder / "claims.yaml").is_file():
            return folder
    none = "no claims.yaml above the package or this folder. Work in a checkout of greenai-nb"
    raise UsageError(f"{none}, with the package installed from it: pip install -e .")


def notebooks() -> Path:
    """The folder of the walk."""
    return root() / "notebooks"


def profile() -> str:
    """The profile that a notebook runs at, ``tutorial`` unless a run says otherwise."""
    return os.environ.get(PROFILE_VARIABLE, DEFAULT_PROFILE)


def results() -> Path:
    """The folder of the run that a notebook is part of, or of the last run at tutorial size."""
    return Path(os.environ.get(RESULTS_VARIABLE) or root() / "results" / DEFAULT_PROFILE)


def current_notebook() -> str | None:
    """Name of the notebook that this kernel runs, as the runner or Jupyter's server says."""
    path = os.environ.get(NOTEBOOK_VARIABLE) or os.environ.get("JPY_SESSION_NAME")
    return Path(path).stem if path else None
