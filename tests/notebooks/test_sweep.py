"""Sweeps on a small project: nothing is lost, nothing is run twice, and each mishap is a sentence."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from notebook_files import PARAMETERS, RECORD, cell, write_notebook

from greenai_nb.checks import UsageError
from greenai_nb.lesson import project
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.kernel import Limits
from greenai_nb.suite.run.plan import Status
from greenai_nb.suite.sweep import cluster
from greenai_nb.suite.sweep.store import FAILED, Store

GREENAI = [sys.executable, "-m", "greenai_nb.suite"]
NOTED = cell(
    "import os, pathlib, time\n"
    "with pathlib.Path(os.environ['NOTES']).open('a') as notes:\n"
    "    print(n, os.getpid(), file=notes)\n"
    "time.sleep(float(os.environ.get('SLEEP', '0')))\n"
)


@pytest.fixture
def place(small_project, monkeypatch):
    """The small project as the checkout of this process and of all that it starts."""
    write_notebook(small_project / "notebooks" / "03_noted.ipynb", PARAMETERS, RECORD, NOTED)
    monkeypatch.setenv("GREENAI_ROOT", str(small_project))
    monkeypatch.setenv("NOTES", str(small_project / "notes"))
    project.root.cache_clear()
    yield small_project
    project.root.cache_clear()


def begin(*arguments, **environment):
    """A sweep in a process of its own."""
    return subprocess.Popen(
        [*GREENAI, "sweep", *map(str, arguments), "--profile", "ci"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def greenai_sweep(*arguments, **environment):
    """Exit code and output of a sweep."""
    process = begin(*arguments, **environment)
    said = process.communicate(timeout=120)[0]
    return process.returncode, said


def receipts(out, kind="runs"):
    found = [json.loads(path.read_text()) for path in sorted(out.glob(f"{kind}/*/run.json"))]
    return {receipt["parameters"]["n"]: receipt for receipt in found}


def notes(place):
    path = place / "notes"
    lines = path.read_text().split() if path.exists() else []
    return [int(n) for n in lines[::2]], [int(pid) for pid in lines[1::2]]


def wait_for(condition, seconds=60):
    """What a condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def workers(process):
    """The processes of Dask's workers: those that run notebooks below them."""
    everyone = psutil.Process(process.pid).children(recursive=True)
    return [each.parent() for each in everyone if "ipykernel_launcher" in " ".join(each.cmdline())]


def values(out):
    """The table that a store holds: the recorded n of each run."""
    found = {}
    for path in out.glob("runs/*/records.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["name"] == "n":
                found[record["parameters"]["n"]] = record["value"]
    return found


def test_a_sweep_keeps_every_run_and_the_next_does_nothing(place):
    out = place / "out"
    code, said = greenai_sweep("03", "-p", "n=0..3", "--out", out, "--workers", 2)
    assert code == 0 and "4 to do" in said and "dashboard: http://127.0.0.1" in said, said
    found = receipts(out)
    assert values(out) == {n: n for n in range(4)} and sorted(notes(place)[0]) == [0, 1, 2, 3]
    for receipt in found.values():
        assert receipt["machine"]["processor"] and receipt["time_s"] > 0 and receipt["profile"] == "ci"
        folder = out / "runs" / receipt["fingerprint"]
        names = {path.name for path in folder.iterdir()}
        assert names == {"03_noted.ipynb", "records.jsonl", "log.txt", "run.json"}
    code, said = greenai_sweep("03", "-p", "n=0..4", "--out", out, "--workers", 1)
    assert code == 0 and "4 done before" in said and "1 to do" in said
    assert "MB a run, from what is recorded" in said
    assert sorted(notes(place)[0]) == [0, 1, 2, 3, 4]


def test_a_run_that_fails_is_kept_with_its_traceback_and_retried_on_request_only(place):
    out = place / "out"
    code, said = greenai_sweep("02", "-p", "n=6,7,8", "--out", out, "--workers", 2)
    assert code == 1 and "seven is not liked" in said
    assert set(receipts(out)) == {6, 8}
    (failed,) = receipts(out, FAILED).values()
    assert failed["parameters"]["n"] == 7 and "seven is not liked" in failed["error"]
    notebook = out / FAILED / failed["fingerprint"] / "02_may_fail.ipynb"
    assert "AssertionError" in notebook.read_text()
    code, said = greenai_sweep("02", "-p", "n=6,7,8", "--out", out, "--workers", 1)
    assert code == 1 and "1 failed before" in said and "0 to do" in said
    code, said = greenai_sweep("02", "-p", "n=6,7,8", "--out", out, "--workers", 1, "--retry")
    assert code == 1 and "1 to do" in said


def test_a_worker_that_is_killed_costs_its_own_run_only_and_that_is_run_again(place):
    out = place / "out"
    process = begin("03", "-p", "n=0..3", "--out", out, "--workers", 2, SLEEP="4")
    wait_for(lambda: len(notes(place)[0]) == 2)
    victim = workers(process)[0]
    victim.kill()
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert values(out) == {n: n for n in range(4)}
    assert set(notes(place)[0]) == {0, 1, 2, 3} and len(notes(place)[0]) == 5
    assert not [pid for pid in notes(place)[1] if psutil.pid_exists(pid)]


def test_a_front_end_that_is_killed_loses_nothing_and_the_next_repeats_nothing(place):
    out = place / "out"
    process = begin("03", "-p", "n=0..3", "--out", out, "--workers", 1, SLEEP="1.5")
    wait_for(lambda: len(receipts(out)) >= 1)
    process.kill()
    process.wait()
    wait_for(lambda: not [pid for pid in notes(place)[1] if psutil.pid_exists(pid)])
    before = set(receipts(out))
    assert 1 <= len(before) < 4
    code, said = greenai_sweep("03", "-p", "n=0..3", "--out", out, "--workers", 2)
    assert code == 0 and f"{len(before)} done before" in said, said
    assert values(out) == {n: n for n in range(4)}
    assert all(notes(place)[0].count(n) == 1 for n in before)


def test_a_kernel_that_is_killed_fails_its_run_and_no_other(place):
    out = place / "out"
    process = begin("03", "-p", "n=0,1", "--out", out, "--workers", 1, SLEEP="3")
    wait_for(lambda: notes(place)[1])
    os.kill(notes(place)[1][0], signal.SIGKILL)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1 and "DeadKernelError" in said, said
    assert len(receipts(out)) == 1 and len(receipts(out, FAILED)) == 1


def test_ctrl_c_keeps_what_is_finished_and_leaves_nothing_running(place):
    out = place / "out"
    process = begin("03", "-p", "n=0..2", "--out", out, "--workers", 1, SLEEP="2")
    wait_for(lambda: len(receipts(out)) == 1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "the same command goes on" in said, said
    wait_for(lambda: not [pid for pid in notes(place)[1] if psutil.pid_exists(pid)])
    assert 1 <= len(receipts(out)) < 3 and not (out / FAILED).exists()


def test_two_sweeps_do_not_share_a_folder(place):
    out = place / "out"
    first = begin("03", "-p", "n=0,1", "--out", out, "--workers", 1, SLEEP="5")
    wait_for(lambda: notes(place)[1])
    code, said = greenai_sweep("03", "-p", "n=2", "--out", out, "--workers", 1)
    assert code == 2 and "another run is writing" in said
    assert first.wait(60) == 0 and set(receipts(out)) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["03", "-p", "nn=1"], "Did you mean 'n'"),
        (["03", "-p", "n=0..12"], r"in [0, 9]"),
        (["03", "-p", "n=log(0,1,3)"], "positive"),
        (["90", "-p", "n=1"], "nothing to sweep"),
        (["03", "-p", "n=1", "--scheduler", "tcp://127.0.0.1:9"], "no scheduler answers"),
        (["03", "-p", "n=1", "--out", "nowhere://x"], "no store at nowhere"),
        (["03", "-p", "n=1", "--workers", "1", "--memory-mb", "1e9"], "insist with --force"),
    ],
)
def test_wrong_use_is_one_sentence_before_anything_starts(place, arguments, said):
    code, printed = greenai_sweep(*arguments)
    assert code == 2 and said in printed.replace("\n", " "), printed
    assert not notes(place)[0] and not list(place.rglob("run.json"))


def task_for(place, name, store, limits=None, **point):
    lesson = plan.lesson_named(place / "notebooks", name)
    (task,) = cluster.tasks(lesson, [point], "ci", {}, str(store), limits or Limits())
    return task


def test_a_worker_with_another_lock_refuses(place):
    task = task_for(place, "03_noted", place / "out", n=1)
    (place / "requirements.lock").write_text("numpy==2.0.1\n")
    end = cluster.work(task)
    assert end.status == Status.REFUSED and "another notebook, package or lock" in end.error
    assert not notes(place)[0] and not (place / "out").exists()


def test_the_same_values_at_another_size_are_another_run(place):
    """A claim is judged at some sizes and recorded at others."""
    lesson = plan.lesson_named(place / "notebooks", "03_noted")
    sizes = [
        cluster.tasks(lesson, [{"n": 1}], size, {}, "x", Limits())[0] for size in ("ci", "tutorial")
    ]
    assert sizes[0].parameters == sizes[1].parameters
    assert sizes[0].fingerprint != sizes[1].fingerprint


def test_only_a_notebook_of_the_walk_is_run(place):
    task = task_for(place, "03_noted", place / "out", n=1)
    for name in ("../notebooks/03_noted", "/etc/passwd", "_template"):
        with pytest.raises(ValueError, match="no notebook"):
            cluster.work(cluster.Task(**{**vars(task), "notebook": name}))


@pytest.mark.parametrize("text", ["../../x", "'); import os #", '"""', "a\nb", "{x}", "$(x)", "ümlaut"])
def test_a_text_stays_a_text(place, text):
    parameters = cell('s: str = "a"  # a text', tags=("parameters",))
    show = cell(
        f"from greenai_nb.lesson.notebook import record\nrecord('same', s == {text!r}, '', 'counted')"
    )
    write_notebook(place / "notebooks" / "04_text.ipynb", parameters, show)
    end = cluster.work(task_for(place, "04_text", place / "out", s=text))
    assert end.status == Status.DONE, end
    (records,) = (place / "out").glob("runs/*/records.jsonl")
    assert json.loads(records.read_text().splitlines()[0])["value"] == 1


def test_limits_of_time_and_memory_end_a_run_with_a_sentence(place):
    forever = cell("while True: pass")
    hungry = cell("x = [bytearray(10**7) for _ in range(100)]\nimport time; time.sleep(30)")
    write_notebook(place / "notebooks" / "05_forever.ipynb", PARAMETERS, forever)
    write_notebook(place / "notebooks" / "06_hungry.ipynb", PARAMETERS, hungry)
    end = cluster.work(task_for(place, "05_forever", place / "out", Limits(time_s=6), n=1))
    assert end.status == Status.FAILED and "more than 6 s and was stopped" in end.error
    end = cluster.work(task_for(place, "06_hungry", place / "out", Limits(memory_mb=600), n=1))
    assert end.status == Status.FAILED and "more than 600 MB, and was stopped" in end.error
    assert len(list((place / "out" / FAILED).iterdir())) == 2


def test_a_full_disk_keeps_nothing_half_and_says_so(place, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", small], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        end = cluster.work(task_for(place, "03_noted", small, n=1))
        assert end.status == Status.FAILED and "No space left" in end.error
        assert not Store(str(small)).fingerprints()
    finally:
        subprocess.run(["umount", small], check=True)
    assert cluster.work(task_for(place, "03_noted", small, n=1)).status == Status.DONE


def test_a_store_may_be_any_place_of_fsspec(place):
    end = cluster.work(task_for(place, "03_noted", "memory://sweep", n=1))
    assert end.status == Status.DONE and len(Store("memory://sweep").fingerprints()) == 1
    assert cluster.work(task_for(place, "03_noted", "memory://sweep", n=1)).status == Status.UNCHANGED
    assert len(notes(place)[0]) == 1


@pytest.fixture
def running(place):
    """Starts a scheduler with one worker of a checkout; gives its address and process."""
    dask, started = Path(sys.executable).with_name("dask"), []

    def start(checkout):
        address = place / f"scheduler{len(started)}.json"
        for command in (
            ["scheduler", "--port", "0", "--dashboard-address", ":0"],
            ["worker", "--nthreads", "1"],
        ):
            started.append(
                subprocess.Popen(
                    [dask, *command, "--host", "127.0.0.1", "--scheduler-file", address],
                    env=os.environ | {"GREENAI_ROOT": str(checkout)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        where = wait_for(
            lambda: address.exists() and json.loads(address.read_text() or "{}").get("address")
        )
        return where, started[-2]

    yield start
    for each in started:
        each.kill()


def test_a_running_scheduler_is_used_and_its_loss_is_a_sentence(place, running):
    where, scheduler = running(place)
    out = place / "out"
    code, said = greenai_sweep("03", "-p", "n=0,1", "--out", out, "--scheduler", where)
    assert code == 0 and set(receipts(out)) == {0, 1}, said
    process = begin("03", "-p", "n=2,3", "--out", out, "--scheduler", where, SLEEP="0")
    wait_for(lambda: len(notes(place)[0]) > 2)
    scheduler.kill()
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and "the scheduler is gone" in said, said
    code, said = greenai_sweep("03", "-p", "n=0..3", "--out", out, "--workers", 1)
    assert code == 0 and set(receipts(out)) == {0, 1, 2, 3}, said


def test_a_worker_with_another_lock_is_named_before_anything_runs(place, running, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(place, other)
    (other / "requirements.lock").write_text("numpy==2.0.1\n")
    where, _ = running(other)
    code, said = greenai_sweep("03", "-p", "n=0,1", "--out", place / "out", "--scheduler", where)
    assert code == 2 and "1 of 1 workers have another 03_noted, package or lock" in said, said
    assert not notes(place)[0] and not list(place.rglob("run.json"))


def test_a_scheduler_lost_while_a_run_is_handed_out_is_a_sentence(place):
    class Lost:
        loop = object()

        def wait_for_workers(self, count, timeout):
            pass

        def run(self, *_, **__):
            return {}

        def nthreads(self):
            raise OSError("connection closed")

    with pytest.raises(UsageError, match="the scheduler is gone"):
        cluster.run(Lost(), [task_for(place, "03_noted", place / "out", n=1)], print)


def test_a_scheduler_without_workers_is_a_sentence_after_a_while(place):
    class Empty:
        loop = object()

        def wait_for_workers(self, count, timeout):
            raise TimeoutError

    with pytest.raises(UsageError, match="no worker has joined"):
        cluster.run(Empty(), [task_for(place, "03_noted", place / "out", n=1)], print)


def test_a_run_whose_workers_died_is_stored_as_failed(place):
    task = task_for(place, "03_noted", place / "out", n=1)
    cluster._store_death(task, "KilledWorker: four workers died")
    store = Store(str(place / "out"))
    assert store.finished({task.fingerprint}, "failed") == {task.fingerprint}
    receipt = place / "out" / "failed" / task.fingerprint / "run.json"
    for content in ("", '{"x": 1}', receipt.read_text().replace(task.fingerprint, "other")):
        receipt.write_text(content)
        assert store.finished({task.fingerprint}, "failed") == set()


def test_a_store_elsewhere_gets_its_page_too(place):
    out = place / "out"
    code, said = greenai_sweep("03", "-p", "n=1", "--out", f"file://{out}", "--workers", 1)
    assert code == 0 and f"open file://{out}/index.html" in said, said
    page = (out / "index.html").read_text()
    (link,) = re.findall(r'href="(runs/[^"]+)"', page)
    assert (out / link).is_file() and "sweep out</title>" in page


def test_a_store_that_is_damaged_is_told_and_the_rest_is_used(place):
    out = place / "out"
    assert greenai_sweep("03", "-p", "n=0,1", "--out", out, "--workers", 1)[0] == 0
    victim = sorted(out.glob("runs/*/records.jsonl"))[0]
    victim.write_text(victim.read_text()[:20])
    code, said = greenai_sweep("03", "-p", "n=0,1", "--out", out, "--workers", 1)
    assert code == 0 and victim.parent.name in said
    shutil.rmtree(victim.parent)
    assert greenai_sweep("03", "-p", "n=0,1", "--out", out, "--workers", 1)[0] == 0
    assert set(receipts(out)) == {0, 1}
