"""A laptop with Windows: no module of ours may need, when it is imported, what only POSIX has."""

import subprocess
import sys

from greenai_nb.sources import PACKAGE

# Other packages look at the system that they are on, so they are there before it becomes another.
OTHERS = """arviz_stats distributed filelock IPython.display ipywidgets jupyter_client matplotlib.pyplot
nbclient numba pandas papermill PIL.Image psutil rich.live scipy.stats sklearn.datasets torch typer"""
IMPORT = """
import importlib, os, signal, sys, traceback

others, ours = (argument.split() for argument in sys.argv[1:])
for name in others:
    importlib.import_module(name)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
del os.fork, os.killpg, os.sched_getaffinity, os.setsid, os.sysconf, signal.SIGALRM, signal.SIGKILL
for name in ours:
    try:
        importlib.import_module(name)
    except Exception:
        print(name, traceback.format_exc().splitlines()[-1])
"""


def test_every_module_is_imported_without_posix():
    files = (path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))
    modules = sorted(".".join(file.with_suffix("").parts) for file in files if file.stem != "__main__")
    command = [sys.executable, "-c", IMPORT, OTHERS, " ".join(modules)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
