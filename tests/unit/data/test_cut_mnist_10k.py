import gzip
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from greenai_nb.data import idx
from greenai_nb.data.datasets import load
from greenai_nb.lesson import project

SCRIPT = project.root() / "tools" / "cut_mnist_10k.py"
SHIPPED = project.root() / "greenai_nb" / "data" / "mnist_10k"
OFFICIAL = Path(os.environ.get("GREENAI_TEST_MNIST", "absent"))
needs_mnist = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="GREENAI_TEST_MNIST names no folder with the official MNIST files"
)


@pytest.fixture(scope="module")
def cut():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_readme_names_the_script():
    assert f"python tools/{SCRIPT.name}" in (SHIPPED / "README.md").read_text(encoding="utf-8")


def test_the_rule_takes_evenly_from_each_digit_and_holds_out_every_sixth(cut):
    labels = np.random.default_rng(0).permutation(np.arange(20_000) % 10)
    train, validation = cut.selection(labels)
    assert not set(train) & set(validation)
    assert np.bincount(labels[train]).tolist() == [1000] * 10
    assert np.bincount(labels[validation]).tolist() == [200] * 10
    taken = np.sort(np.concatenate([train, validation]))
    threes = np.flatnonzero(labels == 3)
    where = np.flatnonzero(np.isin(threes, taken))
    assert where.tolist() == [k * 2000 // 1200 for k in range(1200)]
    assert set(threes[where[5::6]]) <= set(validation)


@needs_mnist
def test_mnist_10k_is_cut_from_the_official_files_by_its_rule(cut):
    def official(name):
        return idx.parse(gzip.decompress((OFFICIAL / name).read_bytes()))

    images, labels = official("train-images-idx3-ubyte.gz"), official("train-labels-idx1-ubyte.gz")
    train, validation = cut.selection(labels)
    provenance = json.loads((SHIPPED / "provenance.json").read_text())
    assert provenance["train"] == train.tolist() and provenance["validation"] == validation.tolist()
    data = load()
    assert np.array_equal(data.train.images[:, 0].numpy(), images[train])
    assert np.array_equal(data.validation.images[:, 0].numpy(), images[validation])
    assert np.array_equal(data.test.images[:, 0].numpy(), official("t10k-images-idx3-ubyte.gz"))
    assert np.array_equal(data.test.labels.numpy(), official("t10k-labels-idx1-ubyte.gz"))
