"""The challenge: what an entry gets, whatever it does."""

import dataclasses
import re
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from mutations import mutations

from greenai_nb.energy.challenge import worker
from greenai_nb.energy.challenge.scoring import Score, leaderboard, score
from greenai_nb.energy.reading import ProvenanceError, Reading

IMAGES = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0))
BRIGHT = (10 * IMAGES[:, 0, 0, 0]).long()
RIGHT = "def predict(images):\n    return (10 * images[:, 0, 0, 0]).long()\n"
QUICK = {"batch": 20, "rounds": 3, "round_s": 0.01}


def scored(tmp_path, text, **options):
    (tmp_path / "mine.py").write_text(text)
    return score(tmp_path / "mine.py", IMAGES, BRIGHT, **(QUICK | {"limit_s": 30.0} | options))


def test_an_entry_is_scored_by_what_it_gets_right_and_what_it_uses(tmp_path):
    (tmp_path / "weights.txt").write_text("10")
    wrong = "    classes[images[:, 0, 0, 0] < 0.1] = 9\n"
    text = (
        "from pathlib import Path\n"
        "size = float(Path('weights.txt').read_text())\n"
        f"def predict(images):\n    classes = (size * images[:, 0, 0, 0]).long()\n{wrong}"
        "    print('a word')\n    return classes.tolist()\n"
    )
    got = scored(tmp_path, text)
    assert got.problem == ""
    assert got.accuracy == np.mean(BRIGHT.numpy() != 0)
    assert len(got.readings) == 3 and got.images % len(IMAGES) == 0
    assert all(each.provenance in ("measured", "estimated") for each in got.readings)
    assert all(each.cpu_s > 0 for each in got.readings)


IN_PLACE = """
def predict(x):
    x -= 0.13
    x /= 0.3
    return (10 * (0.3 * x[:, 0, 0, 0] + 0.13) + 1e-4).long()
"""
MARKS = """
def predict(images):
    if (images[:, 0, 27, 27] > 1).all():
        raise ValueError("an image that it has seen")
    classes = (10 * images[:, 0, 0, 0]).long()
    images[:, 0, 27, 27] = classes + 2
    return classes
"""
FORKS_TWICE = """
import os, time
def predict(images):
    ended, open_while_it_runs = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            {rest}
        os._exit(0)
    os.close(open_while_it_runs)
    os.wait()
    if {waits}:
        os.read(ended, 1)
        time.sleep(0.1)
    return (10 * images[:, 0, 0, 0]).long()
"""
READS = """
import sys, pathlib
left = [path.name for path in pathlib.Path(sys.argv[2]).iterdir()]
assert left == ["log.txt"], left
"""
LEAVES = "import subprocess\n" + RIGHT.replace("return", "subprocess.Popen(['sleep', '30']); return")


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found on Linux alone")
def test_work_in_processes_that_fork_twice_is_found_or_counted(tmp_path):
    left = FORKS_TWICE.format(rest="time.sleep(30)", waits=False)
    assert "still runs" in scored(tmp_path, left).problem
    work = "while time.process_time() < 0.2: pass"
    counted = scored(tmp_path, FORKS_TWICE.format(rest=work, waits=True), batch=60)
    assert counted.problem == "" and counted.median.cpu_s > 0.15


@pytest.mark.parametrize(
    "setting",
    [
        "set_num_threads(8)",
        "set_default_dtype(torch.float64)",
        "set_grad_enabled(True)",
        "manual_seed(0)",
    ],
)
def test_an_entry_may_set_torch_as_it_likes_and_finds_no_task(tmp_path, setting):
    got = scored(tmp_path, f"import torch\n{READS}\ntorch.{setting}\n{RIGHT}")
    assert got.problem == "" and got.accuracy == 1


def test_an_entry_may_change_its_images_and_gains_nothing_by_it(tmp_path):
    got = scored(tmp_path, IN_PLACE)
    assert got.problem == "" and got.accuracy == 1
    assert scored(tmp_path, MARKS).accuracy == 1
    assert "still runs" in scored(tmp_path, LEAVES).problem


READING = Reading.exact(1.0, "estimated", "made", 1.0, 1.0)


@settings(max_examples=1000)
@given(mutations(msgspec.json.encode(worker.Answer([1] * 60, 60, [READING] * 3))))
def test_a_mutated_answer_gives_a_score_or_a_sentence(content):
    with tempfile.TemporaryDirectory() as folder, mock.patch("subprocess.Popen") as process:
        process.return_value.wait.return_value, process.return_value.pid = 0, 2**30
        Path(folder, "mine.py").write_text("")
        Path(folder, worker.ANSWER).write_bytes(content)
        with mock.patch("tempfile.TemporaryDirectory") as place:
            place.return_value.__enter__.return_value = folder
            got = score(Path(folder, "mine.py"), IMAGES, BRIGHT, **QUICK)
    assert got.problem or (len(got.readings) == 3 and 0 <= got.accuracy <= 1)
    assert str(got)


def test_more_work_costs_more(tmp_path):
    work = "import torch\nx = torch.ones(300, 300)\n"
    light = scored(tmp_path, work + RIGHT, backend="vcpu")
    heavy = scored(
        tmp_path, work + RIGHT.replace("return", "[x @ x for _ in range(20)]; return"), backend="vcpu"
    )
    assert light.median.energy_j / light.images < heavy.median.energy_j / heavy.images


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def predict(images):\n    return images.nothing", r"AttributeError: .*nothing.* \(line 2\)"),
        ("def predict(", "SyntaxError"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("x = 1", "no function predict"),
        ("import os\nprint('bye', flush=True)\nos._exit(4)", "ended with code 4 .*: bye"),
        ("import os\nos.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        (
            "import torch\ndef predict(images):\n    return torch.randint(0, 10, (len(images),))",
            "another class in another order",
        ),
    ],
)
def test_what_goes_wrong_in_an_entry_is_a_sentence(tmp_path, text, sentence):
    got = scored(tmp_path, text)
    assert not got.readings and np.isnan(got.accuracy)
    assert re.search(sentence, got.problem), got.problem


def test_an_entry_that_hangs_is_stopped_with_all_that_it_started(tmp_path):
    text = (
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "while True: pass\n"
    )
    start = time.monotonic()
    got = scored(tmp_path, text, limit_s=8.0)
    assert "more than 8 s" in got.problem and time.monotonic() - start < 20
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    assert "no file none.py" in score(tmp_path / "none.py", IMAGES, BRIGHT).problem


@pytest.mark.parametrize(
    "bad",
    [{"rounds": 0}, {"limit_s": -1}, {"threads": 0}, {"backend": "rapI"}, {"round_s": float("nan")}],
)
def test_wrong_settings_are_refused_before_anything_starts(tmp_path, bad):
    with pytest.raises(ValueError, match=next(iter(bad)) if "backend" not in bad else "rapI"):
        scored(tmp_path, RIGHT, **bad)
    with pytest.raises(ValueError, match="label"):
        score(tmp_path / "mine.py", IMAGES, BRIGHT[:-1])


def made(name, accuracy, joules, provenance="estimated", **more):
    readings = [Reading(j, 0.9 * j, 2 * j, provenance, "made", 1, j, **more) for j in joules]
    return Score(name, accuracy, 100, tuple(readings))


def test_bands_come_before_joules_and_failures_last():
    scores = [
        made("cheap", 0.951, [1, 1, 1]),
        Score("broken", problem="it broke"),
        made("dear", 0.9699, [3, 3, 3]),
        made("good", 0.98, [50, 40, 60]),
        made("guess", 0.1, [0.1]),
    ]
    table = leaderboard(scores).set_index("entry")
    assert table.index.tolist() == ["good", "cheap", "dear", "guess", "broken"]
    assert table.place.tolist()[:4] == [1, 2, 3, 4] and table.place.isna()["broken"]
    assert table.band.tolist()[:4] == ["98 % and more", "95 to 97 %", "95 to 97 %", "0 to 90 %"]
    good = table.loc["good"]
    assert (good.energy_uj, good.low_uj, good.high_uj) == pytest.approx((5e5, 4.5e5, 1e6))
    assert good.spread_percent == pytest.approx(40)
    assert table.problem["broken"] == "it broke" and np.isnan(table.energy_uj["broken"])


def test_a_contaminated_round_marks_the_entry():
    dirty = made("a", 0.5, [1, 1], contaminated=True)
    clean = dataclasses.replace(dirty, readings=(made("b", 0.5, [1], contaminated=False).readings[0],))
    mixed = dataclasses.replace(dirty, readings=dirty.readings + clean.readings)
    words = leaderboard([dirty, clean, mixed]).machine.tolist()
    assert words == ["contaminated", "clean", "contaminated"]


def test_energies_obtained_in_several_ways_are_not_ranked():
    with pytest.raises(ProvenanceError, match="ranked"):
        leaderboard([made("a", 0.9, [1]), made("b", 0.9, [1], "measured")])


def test_nobody_is_a_table_too():
    assert leaderboard([]).empty


@pytest.mark.parametrize(
    "act", ["os.mkfifo(place)", "os.symlink('/dev/zero', place)", "os.mkdir(place)"]
)
def test_an_answer_that_is_no_file_is_a_sentence(tmp_path, act):
    text = f"import os, sys\nplace = os.path.join(sys.argv[2], 'answer.json')\n{act}\nos._exit(0)\n"
    assert "cannot be read: no file" in scored(tmp_path, text).problem
