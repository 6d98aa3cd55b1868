import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from greenai_nb.learn.initial_weights import start_cauchy, start_from_patches, start_sparse
from greenai_nb.nets.architectures import mlp, shallow_binary_cnn, shallow_cnn


def digits(count=300):
    """Images of one of two bars, so that patches fall into few kinds."""
    rng = np.random.default_rng(0)
    images = torch.zeros(count, 1, 28, 28)
    for image, place in zip(images, rng.integers(2, 26, count), strict=True):
        image[0, place] = 1 - 0.1 * rng.random()
    return images


def test_the_sparse_start_feeds_each_unit_to_one_class():
    net = start_sparse(mlp(9, 25, 10, bias=True))
    hidden, output = net[1], net[3]
    assert not hidden.weight.any() and (hidden.bias == 0.1).all() and not output.bias.any()
    assert ((output.weight != 0).sum(0) == 1).all() and output.weight.abs().max() == 0.5
    assert output.weight[3, 13] == -output.weight[3, 3] == -0.5


def test_noise_tells_the_units_of_the_sparse_start_apart():
    torch.manual_seed(0)
    net = start_sparse(mlp(784, 25, 10, bias=True), noise=0.01)
    weight = net[1].weight.detach()
    assert len(weight.unique(dim=0)) == 25
    assert weight.std() == pytest.approx(0.01, rel=0.05)
    with pytest.raises(ValueError, match="noise must be a number in"):
        start_sparse(mlp(9, 25), noise=-1)


def test_filters_are_centred_normed_and_look_like_patches():
    net = start_from_patches(shallow_cnn(11), digits())
    filters = net[0].weight.detach().flatten(1)
    assert torch.allclose(filters.norm(dim=1), torch.ones(11))
    assert filters.mean(1).abs().max() < 0.05
    patches = functional.unfold(digits(50), 8, stride=4).transpose(1, 2).flatten(0, 1)
    patches = patches[patches.std(1) > 0.15]
    patches = functional.normalize(patches - patches.mean(1, keepdim=True))
    assert (patches @ filters.T).amax(1).mean() > 0.9
    assert not net[0].bias.any() and not net[-1].weight.any() and not net[-1].bias.any()


def test_signs_have_one_size_and_the_norm_of_the_centres():
    net = start_from_patches(shallow_binary_cnn(4), digits())
    weight = net[0].weight.detach()
    assert torch.allclose(weight.abs(), torch.full_like(weight, 1 / 8))
    twin = start_from_patches(shallow_cnn(4), digits())[0].weight.detach()
    assert torch.equal(weight > 0, twin >= 0)


def test_a_cauchy_start_has_its_quartiles_at_the_scale_and_leaves_biases_alone():
    torch.manual_seed(0)
    net = mlp(400, 50, bias=True)
    bias = net[1].bias.clone()
    drawn = start_cauchy(net, 1e-4, seed=1)[1].weight.detach()
    assert drawn.abs().median().item() == pytest.approx(1e-4, rel=0.05)
    assert drawn.abs().max() > 0.1 and torch.equal(bias, net[1].bias)
    again, other = (start_cauchy(mlp(400, 50), 1e-4, seed)[1].weight for seed in (1, 2))
    assert torch.equal(drawn, again) and not torch.equal(drawn, other)


def test_a_seed_gives_the_same_start():
    first, again, other = (start_from_patches(shallow_cnn(4), digits(), seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_a_network_without_a_convolution_is_refused():
    with pytest.raises(TypeError, match="patches need a convolution first, got Linear"):
        start_from_patches(mlp(784, 4), digits())
    with pytest.raises(TypeError, match="got Linear, Tanh, Linear"):
        start_sparse(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)))
