import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.nets.architectures import cnn, mlp, xnor_cnn
from greenai_nb.prune.magnitude import accuracy_after, by_layer, by_network

shares = st.floats(0, 1)


def flat(weight):
    return weight.detach().numpy().ravel()


@given(shares, st.integers(0, 100))
def test_by_layer_zeroes_the_smallest_of_each_layer(share, seed):
    torch.manual_seed(seed)
    net = mlp(7, 5, 3)
    for before, after in zip(net.parameters(), by_layer(net, share).parameters(), strict=True):
        before, after = flat(before), flat(after)
        gone = round(share * before.size)
        expected = before.copy()
        expected[np.argsort(np.abs(before))[:gone]] = 0
        assert np.array_equal(after, expected)


@given(shares, st.integers(0, 100))
def test_by_network_has_one_threshold(share, seed):
    torch.manual_seed(seed)
    net = mlp(7, 5, 3)
    before = np.concatenate([flat(weight) for weight in net.parameters()])
    after = np.concatenate([flat(weight) for weight in by_network(net, share).parameters()])
    assert np.sum(after == 0) == round(share * before.size)
    if 0 < np.sum(after == 0) < before.size:
        assert np.abs(before[after == 0]).max() <= np.abs(after[after != 0]).min()


def test_the_rules_differ_where_layers_have_different_sizes():
    net = mlp(4, 2, 2)
    net[1].weight.data.fill_(0.1)
    net[3].weight.data.fill_(1.0)
    assert int((by_network(net, 0.5)[3].weight == 0).sum()) == 0
    assert int((by_layer(net, 0.5)[3].weight == 0).sum()) == 2


def test_biases_and_batch_norms_stay_and_the_network_is_not_changed():
    net = cnn(2)
    before = [parameter.clone() for parameter in net.parameters()]
    pruned = by_network(net, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert int(pruned[7].weight.count_nonzero()) == 0 and pruned[7].bias.count_nonzero() > 0
    assert torch.equal(pruned[1].weight, net[1].weight)


def test_accuracy_is_measured_at_each_share(tiny_data):
    torch.manual_seed(0)
    fit = Fit(mlp(16, 5, 3), None, {})
    table = accuracy_after(fit, tiny_data.test, [0.0, 1.0], by_layer)
    assert table.accuracy[0] == accuracy(fit.net, tiny_data.test)
    assert table.accuracy[1] == int((tiny_data.test.labels == 0).sum()) / 30


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_the_unit_interval_is_refused(share):
    with pytest.raises(ValueError, match=f"pruned_fraction .* got {share}"):
        by_layer(mlp(2, 2, 2), share)


def test_latent_weights_of_binary_layers_are_left_alone():
    net = xnor_cnn(4)
    pruned = by_network(net, 1.0)
    assert torch.equal(pruned[3].weight, net[3].weight)
    assert not pruned[0].weight.any() and not pruned[7].weight.any()
