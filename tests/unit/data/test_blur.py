import numpy as np
import pytest
import torch

from greenai_nb.data.blur import blurred


def test_an_image_becomes_its_convolution_with_a_gaussian(tiny_data):
    soft = blurred(tiny_data, 0.6)
    rows = np.arange(-4, 5)
    bell = np.exp(-(rows**2) / (2 * 0.6**2))
    bell /= bell.sum()
    kernel = torch.tensor(np.outer(bell, bell))[None, None]
    known = torch.nn.functional.conv2d(tiny_data.train.images.double(), kernel, padding=4)
    assert (soft.train.images.double() - known).abs().max() < 0.51
    assert soft.train.images.dtype == torch.uint8
    assert torch.equal(soft.test.labels, tiny_data.test.labels)
    assert soft.sha256 != tiny_data.sha256


def test_a_blur_of_no_width_is_refused(tiny_data):
    with pytest.raises(ValueError, match=r"sigma .* 0\.0"):
        blurred(tiny_data, 0.0)
