"""Features without labels: against scikit-learn's own steps, and by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.learn import store
from greenai_nb.learn.features import Code, Patches, encode, learn, patch_features, principal_axes

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(count, shape=(3, 9, 11), seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.integers(0, 256, (count, *shape)), dtype=torch.uint8)


def data(count=60):
    def split(many, seed):
        return Split(noise(many, seed=seed), torch.arange(many) % 3)

    return Dataset(
        "noise", split(count, 0), split(20, 1), split(30, 2), ("a", "b", "c"), "", "", "of noise"
    )


def test_four_patches_by_hand():
    """Two patches a side, one a cell, two centres: contrast, whitening, triangle and sum."""
    images, patches = noise(1, (1, 4, 4)), Patches(centres=2, size=3, cells=2)
    rng = np.random.default_rng(1)
    mean, whitening = rng.normal(size=9), rng.normal(size=(9, 9))
    centres = rng.normal(size=(2, 9))
    code = Code(*(torch.tensor(each, dtype=torch.float32) for each in (mean, whitening, centres)))
    known = []
    for row in range(2):
        for column in range(2):
            patch = images[0, 0, row : row + 3, column : column + 3].numpy().ravel().astype(float)
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
            z = np.linalg.norm((patch - mean) @ whitening - centres, axis=1)
            known.append(np.maximum(0, z.mean() - z))
    assert np.allclose(encode(images, patches, code), np.ravel(known)[None], atol=1e-4)


def test_patches_of_a_cell_are_summed():
    """Nine rows and eleven columns of pixels have 4 x 6 patches; a cell has 2 x 3 of them."""
    patches = Patches(centres=1, size=6, cells=2)
    cells = patches.in_cell(noise(1)).view(4, 4, 6)
    assert cells[1, :2, 3:].all() and cells.sum((1, 2)).tolist() == [6] * 4
    assert (cells.sum(0) == 1).all()
    strided = Patches(centres=1, size=3, stride=3, cells=1)
    assert strided.of(noise(2)).shape == (2, 9, 27) and strided.in_cell(noise(2)).tolist() == [[1] * 9]


def test_whitening_decorrelates_and_centres_are_no_worse_than_those_of_full_k_means():
    images, patches = noise(400), Patches(centres=8, size=3)
    code = learn(images, patches, seed=0)
    x = patches.of(images).flatten(0, 1)
    white = (x - code.mean) @ code.whitening
    variance = torch.linalg.eigvalsh(torch.cov(white.T))
    assert (
        variance[1:] - 1
    ).abs().max() < 0.25  # the mean of a patch is gone, and with it one direction

    def inertia(centres):
        return torch.cdist(white, torch.as_tensor(centres)).min(1).values.square().mean().item()

    full = KMeans(8, n_init=1, random_state=0).fit(white.numpy())
    assert inertia(code.centres) < 1.02 * inertia(full.cluster_centers_)
    assert torch.equal(code.centres, learn(images, patches, seed=0).centres)


def test_the_rotation_is_that_of_principal_components():
    features = torch.randn(500, 12, generator=torch.Generator().manual_seed(0)) @ torch.randn(12, 12)
    mean, axes = principal_axes(features, 5, shrink=1e-9)
    known = PCA(5, whiten=True, svd_solver="full").fit(features.numpy().astype(float))
    ours = ((features - mean) @ axes).numpy()
    theirs = known.transform(features.numpy().astype(float)) * np.sqrt(500 / 499)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-3)


def test_all_splits_are_seen_through_the_training_images_alone():
    before, patches = data(), Patches(centres=6, size=4)
    done = patch_features(before, patches=patches, keep=10)
    assert done.shape == (10, 1, 1) and done.pixels == 10
    assert [len(split) for split in (done.train, done.validation, done.test)] == [60, 20, 30]
    assert torch.equal(done.test.labels, before.test.labels)
    assert done.train.images.mean(0).abs().max() < 1e-4
    spread = done.train.images.std(0).flatten()
    assert (spread.diff() < 1e-4).all() and 0.3 < spread[-1] < spread[0] < 1.02
    fewer = dataclasses.replace(before, test=Split(before.test.images[:7], before.test.labels[:7]))
    again = patch_features(fewer, patches=patches, keep=10)
    assert torch.allclose(again.test.images, done.test.images[:7], atol=1e-5)
    other = patch_features(before, patches=patches, keep=10, seed=1)
    assert len({before.sha256, done.sha256, other.sha256}) == 3


def test_the_store_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    first, again = (patch_features(data(), patches=Patches(4, 4), keep=5) for _ in range(2))
    assert len([*tmp_path.glob("*.npz")]) == 1
    for name in ("train", "validation", "test"):
        one, other = getattr(first, name), getattr(again, name)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
    assert dataclasses.replace(first, train=0, validation=0, test=0) == dataclasses.replace(
        again, train=0, validation=0, test=0
    )
    test = data().test
    blacked = dataclasses.replace(data(), test=Split(torch.zeros_like(test.images), test.labels))
    assert patch_features(blacked, patches=Patches(4, 4), keep=5).test.images.std(0).max() < 1e-6


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"keep must lie in \[1, 24\] features, got 25"):
        patch_features(data(), patches=Patches(6, 4), keep=25)
    with pytest.raises(ValueError, match=r"need larger images than \(9, 11\)"):
        patch_features(data(), patches=Patches(6, 9), keep=3)
    with pytest.raises(ValueError, match="centres must be a whole number"):
        Patches(centres=0)
    flat = dataclasses.replace(
        data(), train=Split(torch.full((60, 3, 9, 11), 9, dtype=torch.uint8), data().train.labels)
    )
    with pytest.raises(ValueError, match="0 patches show something, 6 centres need as many"):
        patch_features(flat, patches=Patches(6, 4), keep=3)
