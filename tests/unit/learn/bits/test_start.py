import numpy as np
import torch

from greenai_nb.data.datasets import load
from greenai_nb.learn.bits.start import start_from_differences
from greenai_nb.nets.architectures import sign_mlp


def test_units_compare_two_images_and_feed_one_class_each():
    images = load().train.images[:50]
    net = start_from_differences(sign_mlp(784, 30), images, seed=4)
    again = start_from_differences(sign_mlp(784, 30), images, seed=4)
    assert torch.equal(net[3].weight, again[3].weight)
    assert set(net[3].weight.unique().tolist()) == {-1.0, 1.0}
    first, second = np.random.default_rng(4).integers(0, 50, (2, 30))
    difference = (images[first].float() - images[second].float()).flatten(1)
    clear = difference.abs() > 250
    assert ((net[3].weight * difference)[clear] > 0).float().mean() > 0.85
    output = net[-1].weight
    assert torch.equal(output.abs() > 0, (torch.arange(10)[:, None] == torch.arange(30) % 10))
    assert output[3, 3] > 0 > output[3, 13] and not net[-1].bias.any()


def test_the_network_of_signs_is_its_formula():
    torch.manual_seed(0)
    net = sign_mlp(6, 4, 3)
    x = torch.tensor([[0.0, 127 / 255, 128 / 255, 1.0, 0.4, 0.6]])
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
    sums = torch.where(net[3].weight >= 0, 1.0, -1.0) @ signs - net[4].running_mean
    assert set((sums.int() % 2).tolist()) == {1}
    torch.testing.assert_close(net(x)[0], net[-1].weight @ sums.sign() + net[-1].bias)
