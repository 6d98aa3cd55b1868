"""A browser, and a JupyterLab in a participant's workspace, as ``make lab`` starts it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import papermill
import pytest
from playwright.sync_api import Browser, sync_playwright

from greenai_nb.lesson import project
from greenai_nb.suite.run import plan
from greenai_nb.suite.workshop import workspace

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_S = 60
# All cells in the document, wherever the page is scrolled to; and nothing saved behind the test's back.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}
# Below the ci profile, which tests/notebooks run: here a notebook only has to come to its end.
ONE_SEED, SMALL_NETWORK = {"seeds": [0]}, {"hidden": 32}
SMALLER = {
    "12_sparsity_penalty": ONE_SEED,
    "21_xnor_layers": ONE_SEED,
    "23_few_bits": ONE_SEED,
    "31_accept_or_reject": SMALL_NETWORK,  # it compares chains: two seeds
    "32_sgd_vs_mcmc": ONE_SEED | SMALL_NETWORK,
    "41_prune_and_survive": ONE_SEED | SMALL_NETWORK,
    "42_pruning_zoo": ONE_SEED,
    "43_search_the_architecture": ONE_SEED,
    "52_accuracy_per_joule": ONE_SEED,
    "61_spikes": ONE_SEED,
}
UPDATES = pytest.StashKey[dict[tuple[str, int], list[float]]]()


def pytest_addoption(parser):
    parser.addoption("--screenshots", type=Path, help="Folder for small pictures of the explorers.")
    parser.addoption("--site", type=Path, help="A built site to look at, instead of building one.")
    parser.addoption(
        "--alone", action="store_true", help="One notebook at a time, for times of updates to report."
    )
    parser.addoption("--updates", type=Path, help="A JSON file for the times of updates.")


def pytest_terminal_summary(terminalreporter, config):
    """Times of updates are told and never judged here: a neighbour would turn the tests red."""
    updates = config.stash.get(UPDATES, {})
    if not updates:
        return
    terminalreporter.section("from a key press to the new picture")
    rows = {f"{name}, explorer {number}": times for (name, number), times in updates.items()}
    if path := config.getoption("updates", None):
        path.write_text(json.dumps(rows))
    rows["all"] = [time for times in updates.values() for time in times]
    for name, times in rows.items():
        terminalreporter.line(
            f"{name:40} {len(times):3} steps  median {median(times):4.0f} ms  most {max(times):4.0f} ms"
        )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the distribution ships it."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass(frozen=True)
class Room:
    """A running JupyterLab."""

    address: str
    token: str


@pytest.fixture(scope="session")
def room(tmp_path_factory) -> Iterator[Room]:
    """JupyterLab in a workspace whose notebooks have small values."""
    folder = tmp_path_factory.mktemp("room")
    prepare(folder / "workspace")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "greenai_nb.suite", "lab", "--workspace", folder / "workspace"),
            *("--no-browser", "--allow-root", "--expose-app-in-browser"),
            *(f"--port={port}", "--ServerApp.port_retries=0"),
        ],
        env=os.environ
        | {
            "HOME": str(folder),
            "JUPYTER_TOKEN": "a-token-of-the-tests",
            project.PROFILE_VARIABLE: "ci",
            "IPYTHONDIR": str(folder / "ipython"),
            "MPLCONFIGDIR": str(folder / "matplotlib"),
        },
        stdout=(folder / "log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        room = Room(f"http://127.0.0.1:{port}", "a-token-of-the-tests")
        wait_for(room, server, folder / "log")
        yield room
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def prepare(folder: Path) -> None:
    """A workspace with small values below each parameters cell."""
    root = project.root()
    workspace.update(root, folder)
    walk = plan.lessons(root / "notebooks")
    profile = plan.read_profile(root / "notebooks", "ci", walk)
    for lesson in walk.values():
        values = plan.effective(lesson, profile, SMALLER.get(lesson.name, {}), threads=1)
        copy = str(folder / "notebooks" / lesson.path.name)
        papermill.execute_notebook(copy, copy, values, prepare_only=True)
    for name, values in SETTINGS.items():
        path = folder / ".jupyter/lab/user-settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def wait_for(room: Room, server: subprocess.Popen, log: Path) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{room.address}/api?token={room.token}", timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"JupyterLab does not answer: {log.read_text()}")
