"""JupyterLab for a room: on this machine only, offline, in a workspace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenai_nb.lesson import project
from greenai_nb.suite import cli
from greenai_nb.suite.workshop import lab, workspace


def test_lab_is_for_this_machine_with_a_token_and_nobody_is_asked_for_news(small_project, monkeypatch):
    started = []
    monkeypatch.setattr(project, "root", lambda: small_project)
    monkeypatch.setattr(lab.os, "execve", lambda *given: started.append(given))
    monkeypatch.setattr(sys, "argv", ["greenai", "lab", "--port=9000"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(SystemExit):
        cli.main()
    ((python, command, environment),) = started
    folder = small_project / "workspace"
    assert python == sys.executable and command[-1] == "--port=9000" and "--ip=127.0.0.1" in command
    assert f"--ServerApp.root_dir={folder}" in command and not any("token" in part for part in command)
    assert environment["GREENAI_ROOT"] == str(folder) and "OMP_NUM_THREADS" not in environment
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    settings = Path(environment["JUPYTER_CONFIG_DIR"], "labconfig", "default_setting_overrides.json")
    assert settings.is_relative_to(folder) and "fetchNews" in settings.read_text()


def test_on_windows_jupyter_is_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(lab.sys, "platform", "win32")
    ended = subprocess.CompletedProcess([], 3)
    monkeypatch.setattr(lab.subprocess, "run", lambda command, env, check: ended)
    with pytest.raises(SystemExit, match="3"):
        lab.start(tmp_path, [])


def test_a_kernel_of_a_workspace_works_there(small_project, tmp_path):
    folder = tmp_path / "mine"
    workspace.update(small_project, folder)
    code = "from greenai_nb.lesson import project; print(project.notebooks())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=lab.environment(folder, os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(folder / "notebooks")
