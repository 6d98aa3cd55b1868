import pytest
import torch
from torch import nn

from greenai_nb.nets.architectures import cnn, mlp
from greenai_nb.prune.structure import (
    unit_mask,
    unit_norms,
    with_largest_filters,
    without_dead_units,
)


def test_a_network_without_dead_units_gives_the_same_answers():
    torch.manual_seed(0)
    net = mlp(16, 10, 3)
    mask = unit_mask(net, unit_norms(net), 0.4)
    assert mask.kept == 4 * 19 == mask.live
    masked = mask.applied(net)
    smaller = without_dead_units(masked)
    x = torch.rand(5, 1, 4, 4)
    assert torch.allclose(smaller(x), masked(x), atol=1e-6)
    assert smaller[1].weight.shape == (4, 16)
    into, out = net[1].weight.detach(), net[3].weight.detach()
    norms = [float(into[unit].norm() * out[:, unit].norm()) for unit in range(10)]
    assert set(mask.layers[0].any(1).nonzero().flatten().tolist()) == set(
        sorted(range(10), key=norms.__getitem__)[-4:]
    )


def test_a_network_with_fewer_filters_is_the_masked_one_without_its_shifts():
    torch.manual_seed(0)
    net = cnn(8, shape=(1, 12, 12)).eval()
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 1.5)
    smaller = with_largest_filters(net, 0.5)
    masked = cnn(8, shape=(1, 12, 12)).eval()
    masked.load_state_dict(net.state_dict())
    for conv, norm in ((masked[0], masked[1]), (masked[3], masked[4])):
        sizes = conv.weight.detach().abs().sum((1, 2, 3))
        gone = sizes.argsort()[: len(sizes) // 2]
        for tensor in (conv.weight.data, norm.weight.data, norm.bias.data):
            tensor[gone] = 0
    x = torch.rand(3, 1, 12, 12)
    assert torch.allclose(smaller(x), masked(x), atol=1e-5)
    assert sum(p.numel() for p in smaller.parameters()) < 0.5 * sum(p.numel() for p in net.parameters())


def test_all_filters_are_the_same_network():
    net = cnn(4).eval()
    x = torch.rand(2, 1, 28, 28)
    assert torch.allclose(with_largest_filters(net, 1.0)(x), net(x), atol=1e-6)
    with pytest.raises(ValueError, match="kept_fraction"):
        with_largest_filters(net, 0.0)
