"""Recordings of the GPUs of conftest, with networks that work on the processor."""

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
import torch

from greenai_nb.energy import record_trace
from greenai_nb.energy.backends.replay import read_trace
from greenai_nb.nets.architectures import cnn, mlp


@pytest.fixture
def on_the_processor(gpus, monkeypatch):
    """torch that takes the processor for CUDA, two small networks, and a short session."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # which a recording changes
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self: self)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    small = {
        "CNN": (partial(cnn, 2), (1, 28, 28)),
        "perceptron": (partial(mlp, 784, 4), (1, 28, 28)),
    }
    for name, value in {"NETWORKS": small, "IDLE_S": 0.02, "WORK_S": 0.03}.items():
        monkeypatch.setattr(record_trace, name, value)
    return gpus


def written(table, folder):
    table.to_csv(folder / "t.csv", index=False)
    return read_trace(folder / "t.csv")


def use(gpus, millijoules, clock):
    """Let a counter be renewed every now and then, while the clock goes on."""
    for each in millijoules:
        time.sleep(0.004)
        gpus[0] += each


@pytest.mark.parametrize(
    "millijoules", [[0, 0, 0], [7] * 5, [0, 1, 0, 0, 900_000, 0, 2], [123_456_789], []]
)
@pytest.mark.parametrize("interval_s", [0.001, 0.01, 1.0])
def test_a_trace_holds_what_the_counter_counted_and_no_more(gpus, tmp_path, millijoules, interval_s):
    gpus[0] = 10**15  # thirty years at 1 kW, in millijoules
    table = record_trace.record(0, partial(use, gpus, millijoules), interval_s)
    trace = written(table, tmp_path)
    assert trace.used(trace.time_s[-1]) == pytest.approx(sum(millijoules) / 1000, abs=1e-6)
    assert table["time_s"][0] == 0 and table["energy_uj"][0] == 0
    assert table["time_s"].is_monotonic_increasing and set(table["power_w"]) == {60.0}


@pytest.mark.parametrize("renewed", [1, 2, 5, 20])
def test_between_renewals_the_counter_shows_the_same_again(gpus, tmp_path, monkeypatch, renewed):
    reads = itertools.count()
    shown = [3_000 * (at // renewed) for at in range(40)]
    done = threading.Event()

    def show(board):
        at = next(reads)
        if at >= 30:
            done.set()
        return shown[min(at, 39)]

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetTotalEnergyConsumption", show)
    table = record_trace.record(0, lambda clock: done.wait(10), 0.001)
    assert [*table["energy_uj"]] == [1000 * each for each in shown[: len(table)]]
    trace = written(table, tmp_path)
    for at in (0, 7, 21, len(table) - 1):
        assert trace.used(trace.time_s[at]) == pytest.approx(shown[at] / 1000)


def test_samples_are_no_closer_than_the_interval(gpus):
    table = record_trace.record(0, lambda clock: time.sleep(0.1), 0.02)
    steps = table["time_s"].diff()[1:-1]  # the last sample follows the work at once
    assert (steps >= 0.0199).all()


def test_the_clock_of_the_work_is_the_one_of_the_samples(gpus):
    seen = []

    def work(clock):
        seen.append(clock())
        time.sleep(0.02)
        seen.append(clock())

    table = record_trace.record(0, work, 0.001)
    assert 0 <= seen[0] < seen[1] <= table["time_s"].iloc[-1]


def test_an_error_of_the_work_or_of_the_board_passes_and_leaves_no_thread(gpus):
    def lose(clock):
        gpus[0] = gpus.error("GPU is lost")
        time.sleep(0.01)

    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        record_trace.record(0, lambda clock: 1 / 0, 0.001)
    with pytest.raises(OSError, match="GPU is lost"):
        record_trace.record(0, lose, 0.001)
    assert threading.active_count() == threads


def test_recordings_and_their_card_are_written(on_the_processor, tmp_path):
    record_trace.main([str(tmp_path / "new"), "--gpu", "1", "--interval-ms", "1", "5"])
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == ["card.json", "every_1_ms.csv", "every_5_ms.csv"]
    card = json.loads((tmp_path / "new" / "card.json").read_text())
    assert card["gpu"] == {"name": "NVIDIA A", "driver": "600.1"} and "torch" in card["machine"]
    for name, recording in card["recordings"].items():
        trace = read_trace(tmp_path / "new" / name)
        assert recording.pop("interval_ms") == float(name.split("_")[1])
        assert [*recording] == [
            f"{net}, {work}"
            for net in ("CNN", "perceptron")
            for work in ("training step", "batch of answers")
        ]
        ends = [second for ran in recording.values() for second in (ran["from_s"], ran["to_s"])]
        assert ends[0] >= 0.02 and ends == sorted(ends) and ends[-1] <= trace.time_s[-1] + 1e-5
        assert all(ran["passes"] >= 1 for ran in recording.values())


def test_networks_work_on_the_gpu_that_is_recorded_however_cuda_counts(on_the_processor, monkeypatch):
    record_trace.recordings(1, [10.0])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aabb2222"


def test_a_training_step_changes_the_weights_and_answers_do_not(on_the_processor):
    works = record_trace.works()
    step, answers = works["CNN, training step"], works["CNN, batch of answers"]
    net = step.args[0]
    before = [each.clone() for each in net.parameters()]
    step()
    assert not any(map(torch.equal, before, net.parameters()))
    assert torch.equal(answers(), answers()) and not answers().requires_grad


@pytest.mark.parametrize(
    "more, message",
    [
        (["--interval-ms", "0"], r"--interval-ms.*\[1, 1000\].*0.0"),
        (["--interval-ms", "nan", "1"], r"--interval-ms.*\[1, 1000\].*nan"),
        (["--interval-ms", "5000"], r"--interval-ms.*\[1, 1000\].*5000"),
        (["--interval-ms", "fast"], "--interval-ms.*'fast'"),
        (["--gpu", "2"], r"gpus must be different indices in \[0, 1\], got \[2\]"),
        (["--gpu", "-1"], r"\[0, 1\], got \[-1\]"),
        (["--gpu", "GPU-a"], "--gpu.*'GPU-a'"),
    ],
)
def test_wrong_use_is_a_sentence_and_writes_nothing(on_the_processor, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as end:
        record_trace.main([str(tmp_path / "new"), *more])
    assert end.value.code == 2 and not (tmp_path / "new").exists()
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, last)


@pytest.mark.parametrize("kind", ["file", "full folder", "hidden file in it"])
def test_nothing_is_overwritten(on_the_processor, tmp_path, capsys, kind):
    folder = tmp_path / "mine"
    mine = folder if kind == "file" else folder / ("a.csv" if kind == "full folder" else ".a")
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(SystemExit) as end:
        record_trace.main([str(folder)])
    assert end.value.code == 2 and "must be a new or empty folder" in capsys.readouterr().err
    assert mine.read_text() == "mine" and len([*tmp_path.rglob("*")]) <= 2


def test_an_empty_folder_is_as_good_as_a_new_one(on_the_processor, tmp_path):
    record_trace.main([str(tmp_path), "--interval-ms", "10"])
    assert (tmp_path / "card.json").exists()


def test_too_much_is_refused_and_not_written(on_the_processor, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record_trace, "MAX_BYTES", 2_000)
    with pytest.raises(SystemExit) as end:
        record_trace.main([str(tmp_path / "new"), "--interval-ms", "1"])
    assert end.value.code == 1 and "take longer intervals" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_plan_of_the_whole_walk_stays_below_the_limit():
    seconds = record_trace.IDLE_S + 2 * len(record_trace.NETWORKS) * record_trace.WORK_S
    row = len("1.234567,123456000,123.456\n")
    assert sum(seconds * 1000 / each * row for each in (1, 10, 100)) < record_trace.MAX_BYTES


def test_a_torch_without_cuda_is_a_sentence(gpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        record_trace.main([str(tmp_path / "new")])
    assert end.value.code == 1 and "build of torch for CUDA" in capsys.readouterr().err


def test_without_a_driver_the_command_says_so_and_exits_with_one(tmp_path):
    hidden = "import sys, runpy; sys.modules['pynvml'] = None; sys.argv[1:] = [sys.argv[1]]; "
    run = "runpy.run_module('greenai_nb.energy.record_trace', run_name='__main__')"
    command = [sys.executable, "-c", hidden + run, str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "new").exists()
    assert done.stderr == "a GPU's counter needs pynvml: install the package nvidia-ml-py\n"
