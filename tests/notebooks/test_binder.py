"""The walk under Binder's limits, set on a tree of processes since no container is at hand.

A private mount namespace holds the checkout read-only; in it runs a user whom nobody knows, without
capabilities, on one core, with 2 GB for the data of each process. A watcher adds up the memory of all
processes and ends them above Binder's 2 GB, as the kernel's own would.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from greenai_nb.lesson import project
from greenai_nb.suite.run import plan

ROOT = project.root()
LIMIT_MB, KILLED = 2048, 137
NOBODY = 6001
LOOK_EVERY_S = 0.05
WALK = plan.lessons(project.notebooks())
WHOLE_WALK = os.environ.get("GREENAI_WHOLE_WALK") == "1"
# 22 compiles and starts processes of its own: of all processes together, it is second to 52 alone.
CHOSEN = [*WALK] if WHOLE_WALK else ["00_start_here", "22_where_is_the_speedup"]
COMPILED = (
    "from greenai_nb.nets.kernels.processor import _chain; _chain(1); "
    "print('read', len(_chain.stats.cache_hits), 'compiled', len(_chain.stats.cache_misses))"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it said, and the most memory that its processes had together."""

    code: int
    said: str
    peak_mb: float


def locked_door(path):
    """The first folder on the way to a path that others may not pass, if there is one."""
    folders = [*reversed(path.parents), path]
    return next((folder for folder in folders if not folder.stat().st_mode & 0o001), None)


def namespace_setup(checkout, stage):
    """Shell commands: the checkout becomes read-only, and what others could not reach is laid open."""
    needed = sorted({checkout, *(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix))})
    hidden = {path: stage / str(at) for at, path in enumerate(needed) if locked_door(path)}
    lines = ["set -e", "mount --make-rprivate /"]
    for path, aside in hidden.items():
        lines += [f"mkdir -p {aside}", f"mount --rbind {shlex.quote(str(path))} {aside}"]
    lines += [
        f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(door))}"
        for door in sorted({locked_door(path) for path in hidden})
    ]
    for path, aside in hidden.items():
        quoted = shlex.quote(str(path))
        lines += [f"mkdir -p {quoted}", f"mount --rbind {aside} {quoted}"]
    place = shlex.quote(str(checkout))
    return [*lines, f"mount --bind {place} {place}", f"mount -o remount,bind,ro {place}", f"cd {place}"]


def memory_mb(process):
    """Memory of a process: its part of what forks share, and the whole of the files that it maps.

    Of a file's pages the system would count less while others read the same file, here and now.
    """
    with suppress(OSError):
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        kb = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
        return (kb["Pss_Anon"] + kb["Rss"] - kb["Anonymous"]) / 1024
    return 0.0


def watched(command, limit_mb):
    """Run a command, and end all its processes once they have more memory together than the limit."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        root, peak = psutil.Process(process.pid), 0.0
        try:
            while process.poll() is None and peak <= limit_mb:
                family = [root, *root.children(recursive=True)]
                peak = max(peak, sum(map(memory_mb, family)))
                time.sleep(LOOK_EVERY_S)
            killed = process.poll() is None
        finally:
            for each in [root, *root.children(recursive=True)] if process.poll() is None else []:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        code = process.wait()
        log.seek(0)
        return Ended(KILLED if killed else code, log.read(), peak)


@pytest.fixture
def home():
    """A fresh home of the unknown user; pytest's own folders are closed to others."""
    if sys.platform != "linux" or not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("the limits need Linux with unshare and setpriv")
    if subprocess.run(["unshare", "-m", "mount", "--make-rprivate", "/"], check=False).returncode:
        pytest.skip("a private mount namespace needs rights that this user has not: run as root")
    folder = Path(tempfile.mkdtemp(prefix="greenai-binder-"))
    folder.chmod(0o755)
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def binder(home, tmp_path):
    """Run a command as Binder would, in a checkout that cannot be written."""

    def run(*command, checkout=ROOT, limit_mb=LIMIT_MB):
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": home,
            "USER": "nobody-known",
            "LANG": "C.UTF-8",
            "PYTHONPATH": checkout,
            project.ROOT_VARIABLE: checkout,
            "OMP_NUM_THREADS": "1",
        }
        core = min(os.sched_getaffinity(0))
        start = shlex.join(
            [
                *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
                *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
                *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
                *("taskset", "-c", str(core), "prlimit", f"--data={LIMIT_MB << 20}"),
                *map(str, command),
            ]
        )
        lines = "\n".join([*namespace_setup(Path(checkout).resolve(), tmp_path), f"exec {start}"])
        return watched(["unshare", "-m", "bash", "-c", lines], limit_mb)

    return run


def test_the_limits_are_what_they_say(binder):
    asked = "id -u; nproc; touch here; grep CapEff /proc/self/status"
    said = binder("sh", "-c", asked).said
    assert {str(NOBODY), "1"} <= set(said.split("\n")) and "Read-only file system" in said
    assert int(said.split()[-1], 16) == 0
    hog = binder("python", "-c", "bytearray(3 << 30)")
    assert hog.code == 1 and "MemoryError" in hog.said


def test_processes_that_need_too_much_together_are_ended(binder):
    hog = "import time; kept = b'1' * (100 << 20); time.sleep(20)"
    both = shlex.join(["python", "-c", hog])
    assert binder("sh", "-c", f"{both} & {both}", limit_mb=150).code == KILLED


def test_the_walk_fits(binder, home):
    command = ["python", "-m", "greenai_nb.suite", "run", "--profile", "ci", "--out", home / "out"]
    ended = binder(*command, *CHOSEN)
    assert ended.code == 0, ended.said
    assert {path.stem for path in (home / "out").glob("*.ipynb")} == set(CHOSEN)
    print(f"the walk took {ended.peak_mb:.0f} MB at its peak")


@pytest.mark.parametrize(("warm", "said"), [(True, "read 1 compiled 0"), (False, "read 0 compiled 1")])
def test_a_session_reads_compiled_kernels_and_makes_them_where_there_are_none(binder, home, warm, said):
    copy = home / "checkout"
    for folder in ("binder", "greenai_nb"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=lambda *_: {"data", "__pycache__"})
    environment = os.environ | {"NUMBA_CACHE_DIR": str(copy / "build/numba"), "PYTHONPATH": str(copy)}
    if warm:
        subprocess.run([sys.executable, "-c", COMPILED], cwd=copy, env=environment, check=True)
    ended = binder("binder/start", "python", "-c", COMPILED, checkout=copy)
    assert ended.code == 0 and said in ended.said, ended.said
