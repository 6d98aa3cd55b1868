import json
import os
from importlib.resources import files
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutations
from sklearn.datasets import load_digits

from greenai_nb.data import datasets
from greenai_nb.data.datasets import load
from greenai_nb.data.fetch import FOLDER_VARIABLE, DataUnavailableError

OFFICIAL = Path(os.environ.get("GREENAI_TEST_MNIST", "absent"))
needs_mnist = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="GREENAI_TEST_MNIST names no folder with the official MNIST files"
)
SHIPPED = files("greenai_nb.data") / "mnist_10k"


def rows(split):
    return {image.tobytes() for image in split.images.numpy()}


def test_mnist_10k_has_balanced_disjoint_splits():
    data = load()
    assert data.train.labels.bincount().tolist() == [1000] * 10
    assert data.validation.labels.bincount().tolist() == [200] * 10
    assert len(data.test) == 10_000
    assert not rows(data.train) & rows(data.validation)
    assert data.train.images.shape == (10_000, 1, 28, 28)
    assert data.train.flat().min() >= 0 and data.train.flat().max() == 1
    assert data.train.flat().shape == (10_000, 784)


def test_mnist_10k_is_small_and_says_where_it_comes_from():
    assert sum(Path(str(path)).stat().st_size for path in SHIPPED.iterdir()) < 3_800_000
    text = (SHIPPED / "README.md").read_text()
    assert "CC BY-SA 3.0" in text and "LeCun" in text


@needs_mnist
def test_mnist_is_loaded_from_a_folder(monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(OFFICIAL))
    data = load("mnist")
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)


def test_digits_are_those_of_scikit_learn():
    data = load("digits")
    bunch = load_digits()
    assert len(data.train) + len(data.validation) + len(data.test) == len(bunch.target)
    first_test = data.test.images[0, 0].numpy() * (16 / 255)
    assert np.abs(first_test - bunch.images[0]).max() < 0.05
    assert torch.equal(data.test.labels, torch.tensor(bunch.target[::5]))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"'mnist10k'.* 'mnist-10k'"):
        load("mnist10k")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A copy of the packaged images that may be damaged, with its provenance cut short."""
    folder = tmp_path_factory.mktemp("package") / "mnist_10k"
    folder.mkdir()
    for path in SHIPPED.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    about = json.loads((folder / "provenance.json").read_bytes())
    (folder / "provenance.json").write_text(json.dumps({"source": "s", "sha256": about["sha256"]}))
    return folder


@pytest.fixture(scope="module")
def checksum(shipped):
    with mock.patch.object(datasets, "files", lambda _package: shipped.parent):
        return load().sha256


DAMAGES = ["validation-labels.gz", "provenance.json"]


@pytest.mark.parametrize("name", DAMAGES)
@settings(max_examples=30)
@given(data=st.data())
def test_a_damaged_shipped_file_is_a_sentence_or_no_damage(shipped, checksum, name, data):
    file = shipped / name
    before = file.read_bytes()
    file.write_bytes(data.draw(mutations(before)))
    try:
        with mock.patch.object(datasets, "files", lambda _package: shipped.parent):
            assert load().sha256 == checksum
    except DataUnavailableError as error:
        assert name in str(error) or "is damaged" in str(error)
        assert str(error).endswith("Restore it from the repository.")
    finally:
        file.write_bytes(before)


def test_cifar_batches_are_read_in_planes(tmp_path):
    import io
    import tarfile

    record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024
    archive = tmp_path / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        info.size = 2 * len(record)
        tar.addfile(info, io.BytesIO(record * 2))
    images, labels = datasets._cifar_batch(archive, "test_batch.bin")
    assert labels.tolist() == [7, 7]
    assert images.shape == (2, 3, 32, 32) and images[:, :, 0, 0].tolist() == [[1, 2, 3]] * 2
