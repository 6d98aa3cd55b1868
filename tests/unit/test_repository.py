"""The street: what a stranger relies on before any notebook is open."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from greenai_nb.lesson import project

ROOT = project.root()
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    if name
]
PACKAGE = ROOT / "greenai_nb"
FILES = sorted(PACKAGE.rglob("*.py"))
LOCK = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_the_lock_pins_by_name_and_version_alone():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_the_lock_covers_what_the_project_asks_for():
    def canonical(name):
        return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", name)[0]).lower()

    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = asked["dependencies"] + [
        each for extra in asked["optional-dependencies"].values() for each in extra
    ]
    assert {canonical(name) for name in names} <= {canonical(name) for name in LOCK}


def test_binder_installs_what_conda_installs():
    assert (ROOT / "binder/environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    lock = next(line.removeprefix("-r ") for line in pip if line.startswith("-r"))
    for folder in (ROOT, ROOT / "binder"):
        assert (folder / lock).read_text() == (ROOT / "requirements.lock").read_text()
    assert any("download.pytorch.org/whl/cpu" in line for line in pip)
    assert not (ROOT / ".binder").exists()


def test_binder_scripts_fail_loudly():
    for name in ("postBuild", "start"):
        script = ROOT / "binder" / name
        assert "set -euo pipefail" in script.read_text() and script.stat().st_mode & 0o111


def test_binder_can_be_configured():
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    dockerfile = done.stdout + done.stderr
    assert done.returncode == 0, dockerfile[-2000:]
    assert '--file "binder/environment.yml"' in dockerfile and "RUN ./binder/postBuild" in dockerfile


def test_readme_names_commands_that_exist():
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.M))
    assert {"run", "test", "lab"} <= named <= targets
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / path).exists(), path


def test_the_lesson_table_is_the_walk():
    table = (ROOT / "README.md").read_text().partition("<!-- walk:")[2]
    names = re.findall(r"\(notebooks/(\w+)\.ipynb\)", table.partition("<!-- end of walk -->")[0])
    assert names == sorted(path.stem for path in project.notebooks().glob("[0-9]*.ipynb"))


def test_importing_the_package_loads_nothing_heavy():
    heavy = "('torch', 'numpy', 'matplotlib')"
    code = f"import sys, greenai_nb; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch():
    code = "import sys, greenai_nb.suite.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


PRUNERS = ("dropout_energy", "masks", "rewiring", "saliency", "scale", "structure", "tickets")
SURVEY = {PACKAGE / "prune" / f"{name}.py" for name in PRUNERS}
SURVEY |= {PACKAGE / "nets" / name for name in ("quantize.py", "packed/levels.py", "fastfood.py")}
SURVEY |= {PACKAGE / "learn" / name for name in ("stack.py", "fast/batched.py")}
SURVEY |= {PACKAGE / "learn/fast" / name for name in ("groups.py", "switches.py")}
SURVEY |= {PACKAGE / "nets" / "spiking.py"}
SURVEY |= {PACKAGE / "theory" / name for name in ("mirror.py", "moving.py", "transport.py")}
ROOMS = ("learn/bits", "learn/decentralised", "learn/recurrent", "search", "theory/decentralised")
SURVEY |= {path for room in ROOMS for path in (PACKAGE / room).glob("*.py")}


def lines(*folders):
    """Lines of code and templates below some folders, without the methods of the survey."""
    files = {path for folder in folders for kind in ("py", "j2") for path in folder.rglob(f"*.{kind}")}
    return sum(len(path.read_text().splitlines()) for path in files - SURVEY)


def test_the_package_is_small():
    assert lines(PACKAGE) <= 14_601
    assert lines(PACKAGE / "lesson", PACKAGE / "suite") <= 4_010


@pytest.mark.parametrize("room", sorted({path.parent for path in FILES}), ids=name_of)
def test_a_room_has_at_most_a_dozen_files(room):
    assert len([*room.glob("*.py")]) <= 12


def lines_of_code(function):
    """Lines of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_read_in_one_sitting(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 320
    functions = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [f.name for f in functions if lines_of_code(f) > 50]
    assert ast.get_docstring(tree), "a file begins with what it is for"


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name_of)
def test_a_room_opens_with_one_docstring_and_two_hand_on_names(path):
    _, *rest = ast.parse(path.read_text()).body
    if path.parent.name in ("lesson", "show"):
        rest = [node for node in rest if not isinstance(node, ast.ImportFrom)]
        assert [node.targets[0].id for node in rest] == ["__all__"]
    elif path.parent == PACKAGE:
        assert [node.targets[0].id for node in rest] == ["__version__"]
    else:
        assert not rest


@pytest.mark.skipif(not TRACKED, reason="not a git checkout")
def test_nothing_names_a_path_of_one_machine():
    machine = re.compile(r"(?<![\w.:/<])/(?:home|root|Users|work|mnt)/[\w.-]+/")
    for path in TRACKED:
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ".ipynb"} and path.is_file():
            found = machine.search(path.read_text())
            assert not found or Path(__file__) == path, f"{path}: {found}"
