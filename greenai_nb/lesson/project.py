"""Paths of the walk, and the environment variables through which a run informs its notebooks."""

import os
import sysconfig
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import greenai_nb
from greenai_nb.checks import UsageError
from greenai_nb.files import read_as

ROOT_VARIABLE = "GREENAI_ROOT"
RESULTS_VARIABLE = "GREENAI_RESULTS"
PROFILE_VARIABLE = "GREENAI_PROFILE"
NOTEBOOK_VARIABLE = "GREENAI_NOTEBOOK"
TRAINED_SINCE_VARIABLE = "GREENAI_TRAINED_SINCE"  # read by learn.store
DEFAULT_PROFILE = "tutorial"
ALL = "all"  # in a profile, the parameters of every notebook that has them
DATASETS = "datasets"  # in a profile, parameters chosen on a data set's validation images
STAMP = "greenai"  # the notebook metadata in which the runner says what made the outputs


@cache
def root() -> Path:
    """The folder of the walk: ``GREENAI_ROOT``, a checkout above the package, or a workspace above here.

    Without any of these it is the walk that came with the package. Raises ``UsageError`` if that is
    missing too, or if ``GREENAI_ROOT`` names no walk.
    """
    if asked := os.environ.get(ROOT_VARIABLE):
        given = Path(asked).expanduser().resolve()
        if not ((given / "claims.yaml").is_file() and [*given.glob("notebooks/[0-9]*.ipynb")]):
            none = f"{ROOT_VARIABLE} is {asked!r}, where there are no claims.yaml and no notebooks"
            raise UsageError(f"{none}. Name a checkout or a workspace of greenai-nb, or unset it.")
        return given
    package = Path(greenai_nb.__file__).resolve().parent
    for folder in (*package.parents, Path.cwd(), *Path.cwd().parents, *_packaged()):
        if (folder / "claims.yaml").is_file():
            return folder
    none = "no claims.yaml above the package or this folder. Work in a checkout of greenai-nb"
    raise UsageError(f"{none}, with the package installed from it: pip install -e .")


def _packaged() -> list[Path]:
    """Where an installation puts the walk that the package carries: for all users, or for this one."""
    schemes = sysconfig.get_preferred_scheme("prefix"), sysconfig.get_preferred_scheme("user")
    data = (sysconfig.get_path("data", scheme) for scheme in schemes)
    return [Path(folder) / "share" / "greenai-nb" for folder in data]


def home() -> Path:
    """Where results and workspaces go: beside the walk, or here if it came with the package."""
    return Path.cwd() if root() in _packaged() else root()


def notebooks() -> Path:
    """The folder of the walk."""
    return root() / "notebooks"


def profile() -> str:
    """The profile that a notebook runs at, ``tutorial`` unless a run says otherwise."""
    return os.environ.get(PROFILE_VARIABLE, DEFAULT_PROFILE)


def read_profile(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """A profile in a folder of notebooks: parameters by notebook, and under ``all`` those of all."""
    return read_as(folder / "profiles" / f"{name}.yaml", dict[str, dict[str, Any]])


def profile_values(notebook: str, dataset: str) -> dict[str, Any]:
    """The current profile's values for a notebook on some data; none if the project lacks it."""
    with suppress(UsageError):
        values = read_profile(notebooks(), profile())
        chosen_on = values.get(DATASETS, {}).get(dataset, {})
        return values.get(ALL, {}) | values.get(notebook, {}) | chosen_on.get(notebook, {})
    return {}


def stamp_in(notebook: Path) -> dict[str, Any]:
    """What the runner wrote into a notebook; empty where it wrote nothing, or nothing can be read."""
    try:
        return dict(read_as(notebook, dict)["metadata"][STAMP])
    except (UsageError, KeyError, TypeError, ValueError):
        return {}


def results() -> Path:
    """The folder of the run that a notebook is part of, or of the last run at tutorial size."""
    return Path(os.environ.get(RESULTS_VARIABLE) or home() / "results" / DEFAULT_PROFILE)


def current_notebook() -> str | None:
    """Name of the notebook that this kernel runs, as the runner or Jupyter's server says."""
    path = os.environ.get(NOTEBOOK_VARIABLE) or os.environ.get("JPY_SESSION_NAME")
    return Path(path).stem if path else None
