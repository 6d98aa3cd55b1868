import numpy as np
import pytest
import torch
from priors import Truncated

from greenai_nb.learn.noise import smear, smeared_losses
from greenai_nb.nets.architectures import mlp, xnor_cnn
from greenai_nb.nets.scaling import scale
from greenai_nb.nets.sign import ste_sign
from greenai_nb.nets.weights import fold_batch_norm, weights_by_kind
from greenai_nb.theory.prior import HeavyTail


def effective(net):
    """What the binary layer multiplies by: scale times sign."""
    latent = net[3].weight
    return scale(latent)[:, None, None, None] * ste_sign(latent)


def test_noise_reaches_every_real_weight_and_scale_and_leaves_the_network_alone():
    torch.manual_seed(0)
    net = xnor_cnn(4)
    before = [weight.clone() for weight in net.parameters()]
    moved = smear(net, HeavyTail(0.5), np.random.default_rng(0))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    pairs = zip(weights_by_kind(net).real, weights_by_kind(moved).real, strict=True)
    assert all((a != b).all() for a, b in pairs)
    ratio = effective(moved) / effective(net)
    per_filter = ratio.flatten(1)
    assert torch.allclose(per_filter, per_filter[:, :1].expand_as(per_filter), atol=1e-4)
    assert (per_filter[:, 0] - 1).abs().min() > 1e-6 and (per_filter[:, 0] < 0).any()


def test_the_noise_on_a_scale_is_the_draw_itself():
    torch.manual_seed(1)
    net, prior = xnor_cnn(4), HeavyTail(0.01)
    moved = smear(net, prior, np.random.default_rng(3))
    generator = np.random.default_rng(3)
    for weight in weights_by_kind(net).real:
        prior.sample(tuple(weight.shape), generator)
    noise = torch.tensor(prior.sample(8, generator)).float()
    signed = (effective(moved) / ste_sign(net[3].weight)).flatten(1)[:, 0]
    assert torch.allclose(signed, scale(net[3].weight) + noise, atol=1e-5)


def test_without_noise_the_loss_is_the_networks_own(tiny_data):
    torch.manual_seed(2)
    net = fold_batch_norm(mlp(16, 5, 3))
    losses = smeared_losses(net, Truncated(1e-9, 1e-9), tiny_data.train, 3, np.random.default_rng(0))
    own = torch.nn.functional.cross_entropy(net(tiny_data.train.scaled()), tiny_data.train.labels)
    assert losses == pytest.approx([own.item()] * 3, rel=1e-5)
    noisy = smeared_losses(net, HeavyTail(1.0), tiny_data.train, 50, np.random.default_rng(0))
    assert noisy.std() > 0 and noisy.mean() > own.item()
