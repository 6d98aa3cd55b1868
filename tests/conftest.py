"""What several tests share: small data, and a project of small notebooks."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from devices import PretendedDevice
from hypothesis import settings
from notebook_files import PARAMETERS, RECORD, cell, write_notebook

from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.lesson import exercises, predictions, project
from greenai_nb.machine import INTERACTIVE_VARIABLE
from greenai_nb.suite import cli

os.environ["GREENAI_STORE"] = "off"  # a test of a training trains

# The same examples on every machine, however slow it is.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@pytest.fixture
def one_thread():
    """Small networks only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["pretended", "cuda"])
def device(request):
    """A device other than the processor: one that is pretended, and a real GPU where there is one."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    exact = torch.backends.cudnn.flags(allow_tf32=False)  # convolutions in whole single precision
    with PretendedDevice() if request.param == "pretended" else exact:
        yield torch.device("cuda")


@pytest.fixture
def tiny_data() -> Dataset:
    """Sixty images of 4 x 4 in three classes, a bright row telling the class."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels = rng.integers(0, 3, count)
        images = rng.integers(0, 80, (count, 1, 4, 4)) * (rng.random((count, 1, 4, 4)) < 0.5)
        images[np.arange(count), 0, labels] += 150
        return Split(torch.tensor(images, dtype=torch.uint8), torch.tensor(labels))

    return Dataset("tiny", split(60), split(30), split(30), ("a", "b", "c"), "made here", "none", "")


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A project of three small notebooks: one that works, one that can fail, one that reads records."""
    root = tmp_path / "project"
    write_notebook(root / "notebooks" / "01_works.ipynb", PARAMETERS, RECORD)
    fail = cell("assert n != 7, 'seven is not liked'")
    write_notebook(root / "notebooks" / "02_may_fail.ipynb", PARAMETERS, RECORD, fail)
    read = cell(
        "from greenai_nb.lesson.project import results\n"
        "from greenai_nb.lesson.records import read\n"
        "from greenai_nb.lesson.notebook import record\n"
        "record('seen', len(read(results())), '', 'counted')"
    )
    write_notebook(root / "notebooks" / "90_reads.ipynb", PARAMETERS, read, reads_records=True)
    profiles = root / "notebooks" / "profiles"
    profiles.mkdir()
    (profiles / "tutorial.yaml").write_text("{}\n")
    (profiles / "ci.yaml").write_text("02_may_fail: {n: 4}\n")
    (root / "requirements.lock").write_text("numpy==2.0.0\n")
    (root / "claims.yaml").write_text("[]\n")
    return root


@pytest.fixture
def reader(tmp_path, monkeypatch) -> Path:
    """A reader with a front end, and the file of their progress and predictions."""
    path = tmp_path / "mine.json"
    monkeypatch.setattr(exercises, "PROGRESS", replace(exercises.PROGRESS, name=path))
    monkeypatch.setattr(predictions, "PREDICTIONS", replace(predictions.PREDICTIONS, name=path))
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "1")
    return path


@pytest.fixture
def displayed(monkeypatch):
    """Everything that is displayed, as (data, metadata)."""
    found = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata=None, raw=False: found.append((data, metadata))
    )
    return found


@pytest.fixture
def greenai(small_project, monkeypatch, capsys):
    """Call the command line in this process, on the small project: exit code and what was printed."""
    monkeypatch.setattr(project, "root", lambda: small_project)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["greenai", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out + printed.err

    return call
