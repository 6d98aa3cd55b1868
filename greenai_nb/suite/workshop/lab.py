"""Start JupyterLab in a workspace: offline, with a token, and reachable from this machine only."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from greenai_nb.files import write_atomic
from greenai_nb.lesson import project
from greenai_nb.suite.run.kernel import KERNEL_ENVIRONMENT, THREAD_VARIABLES

FIRST = "notebooks/00_start_here.ipynb"
CONFIGURATION = ".jupyter"
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
    "@jupyterlab/extensionmanager-extension:plugin": {"enabled": False},
}


def start(folder: Path, options: Sequence[str]) -> None:
    """Replace this process by JupyterLab in a workspace; it prints its address, and Ctrl-C ends it.

    ``options`` go to Jupyter and override the ones set here. A reader's own configuration of Jupyter
    is neither read nor changed.
    """
    settings = folder / CONFIGURATION / "labconfig" / "default_setting_overrides.json"
    write_atomic(settings, json.dumps(SETTINGS, indent=1) + "\n")
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        "--ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        "--LabApp.news_url=",
        "--LabApp.extension_manager=readonly",
        "--Application.log_level=WARN",
        *options,
    ]
    around = environment(folder, os.environ)
    if sys.platform == "win32":  # where a process cannot replace itself
        raise SystemExit(subprocess.run(command, env=around, check=False).returncode)
    os.execve(sys.executable, command, around)


def environment(folder: Path, around: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for the server and its kernels: the workspace, this Python, all cores."""
    kept = {name: value for name, value in around.items() if name not in THREAD_VARIABLES}
    return kept | {
        **KERNEL_ENVIRONMENT,
        project.ROOT_VARIABLE: str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / CONFIGURATION),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), around.get("PATH", os.defpath)]),
    }
