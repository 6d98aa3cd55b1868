"""Blur the images of a data set, which gives a basis in which small moves are smooth."""

import hashlib
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from greenai_nb.checks import positive
from greenai_nb.data.datasets import Dataset, Split


def blurred(data: Dataset, sigma: float) -> Dataset:
    """Every image convolved with a Gaussian, in whole numbers from 0 to 255; beyond its edges is black.

    A weight on a blurred pixel is the coefficient of a Gaussian blob in a weight image: a network of
    blobs is a network of pixels in another basis. ``sigma`` is in pixels. Raises ``ValueError`` unless
    it is positive.
    """
    positive(sigma=sigma)

    def soft(split: Split) -> Split:
        images = split.images.numpy().astype(np.float32)
        spread = gaussian_filter(images, sigma, mode="constant", axes=(2, 3))
        return Split(torch.from_numpy(np.rint(spread).astype(np.uint8)), split.labels)

    name, splits = f"{data.name}, blurred by {sigma:g}", [data.train, data.validation, data.test]
    train, validation, test = map(soft, splits)
    digest = hashlib.sha256(f"{data.sha256} blurred by {sigma:g}".encode()).hexdigest()
    return replace(data, name=name, train=train, validation=validation, test=test, sha256=digest)
