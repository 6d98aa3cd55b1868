import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
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
from greenai_nb.data.datasets import Split, load
from greenai_nb.data.fetch import FOLDER_VARIABLE, DataUnavailableError
from greenai_nb.data.sources import CIFAR10

OFFICIAL = Path(os.environ.get("GREENAI_TEST_MNIST", "absent"))
needs_mnist = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="GREENAI_TEST_MNIST names no folder with the official MNIST files"
)
FASHION = Path("/usr/share/datasets/fashion-mnist")
needs_fashion = pytest.mark.skipif(
    not FASHION.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
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


@needs_fashion
def test_fashion_mnist_is_loaded_as_debian_packs_it(monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(FASHION.parent))
    data = load("fashion-mnist")
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.class_names[data.test.labels[0]] == "ankle boot"


def test_cifar10_is_read_in_planes_and_every_twelfth_image_held_out(tmp_path, monkeypatch):
    def record(label):
        return bytes([label]) + b"".join(bytes([10 * label + plane]) * 1024 for plane in range(3))

    batches = {f"data_batch_{number}.bin": [number, number + 1, number + 2] for number in range(1, 6)}
    batches["test_batch.bin"] = [0, 9]
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, labels in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(labels) * len(record(0))
            tar.addfile(info, io.BytesIO(b"".join(map(record, labels))))
    content = archive.read_bytes()
    sums = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    resources = (replace(CIFAR10.resources[0], md5=sums[0], sha256=sums[1]),)
    monkeypatch.setattr(datasets, "CIFAR10", replace(CIFAR10, resources=resources))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    data = load("cifar10")
    assert data.shape == (3, 32, 32) and data.class_names == CIFAR10.class_names
    assert data.validation.labels.tolist() == [1, 5]
    assert data.train.labels.tolist() == [2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6, 6, 7]
    assert data.test.images[:, :, 5, 7].tolist() == [[0, 1, 2], [90, 91, 92]]
    archive.write_bytes(content[:-1])
    with pytest.raises(DataUnavailableError, match=r"cifar-10-binary\.tar\.gz has MD5"):
        load("cifar10")


def test_the_first_training_images_are_a_data_set_of_their_own(tiny_data):
    first = tiny_data.first(20)
    assert torch.equal(first.train.images, tiny_data.train.images[:20])
    assert torch.equal(first.train.labels, tiny_data.train.labels[:20])
    assert first.validation is tiny_data.validation and first.test is tiny_data.test
    assert (
        first.name == "tiny, first 20"
        and len({tiny_data.sha256, first.sha256, tiny_data.first(21).sha256}) == 3
    )


@pytest.mark.parametrize(
    ("count", "said"), [(0, "1 or more, got 0"), (61, "tiny has 60 training images")]
)
def test_more_or_fewer_training_images_than_there_are_are_refused(tiny_data, count, said):
    with pytest.raises(ValueError, match=said):
        tiny_data.first(count)


def test_features_are_left_as_they_are(tiny_data):
    features = torch.randn(60, 5, 1, 1)
    split = Split(features, tiny_data.train.labels)
    assert torch.equal(split.scaled(), features) and torch.equal(split.flat(), features[:, :, 0, 0])
    assert replace(tiny_data, train=split).first(7).train.images.shape == (7, 5, 1, 1)
