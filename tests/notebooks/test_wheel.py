"""The walk without a checkout: the wheel in an environment of its own, outside the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from greenai_nb.lesson import project


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A command in a fresh environment that has the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    left_out = shutil.ignore_patterns(".*", "build", "results", "workspace", "tests", "steps")
    source = shutil.copytree(project.root(), folder / "source", ignore=left_out)
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    (folder / "env" / site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    home = folder / "somewhere"
    home.mkdir()

    def greenai(*arguments, code=0):
        environment = {key: value for key, value in os.environ.items() if key != project.ROOT_VARIABLE}
        done = subprocess.run(
            [str(python), "-m", "greenai_nb.suite", *arguments],
            cwd=home,
            env=environment | {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return greenai, home


def test_the_walk_comes_with_the_wheel_and_runs_offline(installed):
    greenai, home = installed
    assert "00_start_here" in greenai("list")
    greenai("run", "00", "--profile", "ci")
    assert (home / "results/ci/00_start_here.ipynb").is_file()


def test_a_workspace_is_laid_out_from_the_wheel(installed):
    greenai, home = installed
    assert "new files" in greenai("workspace", "mine")
    laid = {path.name for path in (home / "mine/notebooks").glob("*.ipynb")}
    assert laid == {path.name for path in project.notebooks().glob("*.ipynb")}
    assert (home / "mine/claims.yaml").is_file() and [*(home / "mine/notebooks/solutions").iterdir()]


def test_nothing_is_published_into_an_installation(installed):
    greenai, _ = installed
    assert "came with the package" in greenai("publish", code=2)
