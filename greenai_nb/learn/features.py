"""Features of images without labels and without gradients: what the patches of an image resemble.

1. Patches x of all places have mean zero and unit contrast, x <- (x - mean x) / sqrt(var x + 10).
2. ZCA whitening takes out what neighbouring pixels share, x <- V (D + 0.1)^(-1/2) V' (x - m), with the
   mean m and the covariance V D V' of patches.
3. K-means finds centres c_k among a hundred thousand patches.
4. The triangle activation says which centres are nearer than they are on average,
   f_k(x) = max(0, mean_j z_j - z_k) with z_k = |x - c_k|.
5. Each feature is summed over the cells of a grid on the image.
6. Features are rotated to their principal axes and divided by sqrt(d + shrink mean d), with the
   variances d along the axes; those of largest variance are kept.

Everything is learnt from the training images alone.

Source: Coates, Ng and Lee, *An analysis of single-layer networks in unsupervised feature learning*
(2011); Coates and Ng, *Learning feature representations with k-means* (2012). Step 6 is ours.
"""

import hashlib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from greenai_nb.checks import positive, whole
from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.learn.store import remembered

PATCHES, OF_AN_IMAGE = 100_000, 20  # patches that centres are learnt from, and those of one image
CONTRAST, WHITENING = 10.0, 0.1  # added to variances of pixels from 0 to 255, and of patches
LEAST_DEVIATION = 0.3  # of a patch that shows something
IMAGES_AT_ONCE = 8

Images = UInt8[Tensor, "images channels height width"]
Features = Float[Tensor, "images features"]


@dataclass(frozen=True)
class Patches:
    """Which patches are looked at, of how many centres, and how the image is divided into cells.

    ``size`` is the side of a patch, ``stride`` the distance between patches, in pixels; the image has
    ``cells`` x ``cells`` cells, each with a feature for each of the ``centres``.
    """

    centres: int = 400
    size: int = 6
    stride: int = 1
    cells: int = 2

    def __post_init__(self) -> None:
        whole(centres=self.centres, size=self.size, stride=self.stride, cells=self.cells)

    def of(self, images: Images) -> Float[Tensor, "images places pixels"]:
        """The patches of all images, with mean zero and unit contrast."""
        x = functional.unfold(images.float(), self.size, stride=self.stride).transpose(1, 2)
        x = x - x.mean(2, keepdim=True)
        return x / (x.square().mean(2, keepdim=True) + CONTRAST).sqrt_()

    def in_cell(self, images: Images) -> Float[Tensor, "cells places"]:
        """One where a patch belongs to a cell, zero elsewhere."""
        counts = [(side - self.size) // self.stride + 1 for side in images.shape[2:]]
        row, column = (torch.arange(count) * self.cells // count for count in counts)
        cell = row[:, None] * self.cells + column
        return functional.one_hot(cell.flatten(), self.cells**2).T.float()


@dataclass(frozen=True)
class Code:
    """What is learnt from patches: their ``mean``, their ``whitening`` and the ``centres`` after it."""

    mean: Float[Tensor, " pixels"]
    whitening: Float[Tensor, "pixels pixels"]
    centres: Float[Tensor, "centres pixels"]


@remembered
def patch_features(
    data: Dataset, *, patches: Patches, keep: int, shrink: float = 0.05, seed: int = 0
) -> Dataset:
    """The data set with ``keep`` features for each image, of either sign, as float32 of (keep, 1, 1).

    Raises ``ValueError`` for patches that do not fit into the images, and where more features are to be
    kept than there are, or than training images.
    """
    whole(keep=keep)
    positive(shrink=shrink)
    most = min(patches.centres * patches.cells**2, len(data.train))
    if keep > most:
        raise ValueError(f"keep must lie in [1, {most}] features, got {keep}")
    if patches.size + (patches.cells - 1) * patches.stride > min(data.shape[1:]):
        raise ValueError(f"{patches} need larger images than {data.shape[1:]}: take a smaller size")
    code = learn(data.train.images, patches, seed)
    axes, splits = None, []
    for split in (data.train, data.validation, data.test):
        features = encode(split.images, patches, code)
        axes = axes or principal_axes(features, keep, shrink)
        mean, rotation = axes
        splits.append(Split(((features - mean) @ rotation)[..., None, None], split.labels))
    train, validation, test = splits
    how = f"{keep} features of {patches}, shrink {shrink:g}, seed {seed}"
    sha256 = hashlib.sha256(f"{data.sha256} {how}".encode()).hexdigest()
    name = f"{data.name}, {keep} features"
    return replace(data, name=name, train=train, validation=validation, test=test, sha256=sha256)


@torch.inference_mode()
def learn(images: Images, patches: Patches, seed: int) -> Code:
    """Whitening and k-means centres of patches drawn at random; flat patches are left out.

    Raises ``ValueError`` where fewer patches show something than there are centres.
    """
    from sklearn.cluster import MiniBatchKMeans

    generator = torch.Generator().manual_seed(seed)
    some = images[torch.randperm(len(images), generator=generator)[: PATCHES // OF_AN_IMAGE]]
    drawn = []
    for image in some.split(1):
        found = patches.of(image)[0]
        drawn.append(found[torch.randint(len(found), (OF_AN_IMAGE,), generator=generator)])
    x = torch.cat(drawn)
    x = x[x.std(1) > LEAST_DEVIATION]
    if len(x) < patches.centres:
        raise ValueError(f"{len(x)} patches show something, {patches.centres} centres need as many")
    mean = x.mean(0)
    variance, axes = torch.linalg.eigh(torch.cov((x - mean).T))
    whitening = axes / (variance + WHITENING).sqrt() @ axes.T
    effort = {"batch_size": 5000, "max_iter": 30, "max_no_improvement": None, "n_init": 1}
    means = MiniBatchKMeans(patches.centres, random_state=seed, **effort)
    means.fit(((x - mean) @ whitening).numpy())
    return Code(mean, whitening, torch.from_numpy(means.cluster_centers_).float())


@torch.inference_mode()
def encode(images: Images, patches: Patches, code: Code) -> Features:
    """Triangle activations, f_k = max(0, mean_j z_j - z_k), summed over each cell of an image."""
    centres, in_cell = code.centres.T, patches.in_cell(images)
    squares = centres.square().sum(0)
    features = torch.empty(len(images), in_cell.shape[0], len(centres.T))
    batches = zip(images.split(IMAGES_AT_ONCE), features.split(IMAGES_AT_ONCE), strict=True)
    for some, of_some in batches:
        x = (patches.of(some).flatten(0, 1) - code.mean) @ code.whitening
        distance = torch.addmm(x.square().sum(1, keepdim=True) + squares, x, centres, alpha=-2)
        distance.clamp_(min=0).sqrt_()
        nearer = torch.sub(distance.mean(1, keepdim=True), distance, out=distance).relu_()
        of_some.copy_(in_cell @ nearer.view(len(some), -1, len(code.centres)))
    return features.flatten(1)


@torch.inference_mode()
def principal_axes(
    features: Features, keep: int, shrink: float
) -> tuple[Float[Tensor, " features"], Float[Tensor, "features keep"]]:
    """The mean of the features, and a rotation to their axes of largest variance, each scaled to one."""
    mean = features.mean(0)
    centred = features - mean
    variance, axes = torch.linalg.eigh((centred.T @ centred / len(centred)).double())
    variance, axes = variance.flip(0).clamp(min=0), axes.flip(1)
    return mean, (axes / (variance + shrink * variance.mean()).sqrt())[:, :keep].float()
