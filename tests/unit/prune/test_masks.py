import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from greenai_nb.nets.architectures import mlp
from greenai_nb.prune.masks import (
    Mask,
    at_random,
    count_kept,
    erdos_renyi_counts,
    even_counts,
    largest,
    on_few_units,
    shuffled,
)


def generator():
    return torch.Generator().manual_seed(0)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_the_largest_are_exactly_as_many_as_asked_and_none_is_smaller(scores, data):
    kept = data.draw(st.integers(0, len(scores)))
    flat = torch.tensor(scores, dtype=torch.float)
    mask = largest([flat[:7], flat[7:]], kept)
    chosen = torch.cat([layer.flatten() for layer in mask.layers])
    assert mask.kept == kept
    assert sorted(flat[chosen].tolist()) == sorted(scores)[len(scores) - kept :]


def test_live_weights_are_those_on_a_path_from_input_to_output():
    layers = [torch.rand(7, 9) < 0.15, torch.rand(5, 7) < 0.3, torch.rand(4, 5) < 0.3]
    live = 0
    for n, layer in enumerate(layers):
        for out, into in layer.nonzero().tolist():
            before = torch.zeros(layer.shape[1])
            before[into] = 1
            for earlier in reversed(layers[:n]):
                before = before @ earlier.float()
            behind = torch.zeros(layer.shape[0])
            behind[out] = 1
            for later in layers[n + 1 :]:
                behind = later.float() @ behind
            live += bool(before.any() and behind.any())
    assert Mask(tuple(layers)).live == live < Mask(tuple(layers)).kept


def test_live_weights_of_a_network_are_those_with_an_effect():
    torch.manual_seed(0)
    net = mlp(6, 5, 3)
    mask = at_random([net[1].weight, net[3].weight], [5, 4], generator())
    pruned = mask.applied(net)
    with torch.no_grad():
        for weight in (pruned[1].weight, pruned[3].weight):
            weight.abs_()
    x = torch.rand(1, 6)
    gradients = torch.autograd.grad(pruned(x).sum(), [pruned[1].weight, pruned[3].weight])
    effect = [(g != 0) & layer for g, layer in zip(gradients, mask.layers, strict=True)]
    assert mask.live == sum(int(each.sum()) for each in effect)


def test_erdos_renyi_gives_small_layers_more_and_counts_exactly():
    weights = [torch.empty(100, 784), torch.empty(10, 100)]
    for kept in (794, 3970, 15_880, 39_700, 79_400):
        counts = erdos_renyi_counts(weights, kept)
        assert sum(counts) == kept and counts[1] <= 1000
    counts = erdos_renyi_counts(weights, 794)
    assert counts[1] / counts[0] == pytest.approx(110 / 884, rel=0.01)
    assert erdos_renyi_counts(weights, 39_700)[1] == 1000
    assert even_counts(weights, 794) == [784, 10] and sum(even_counts(weights, 777)) == 777


def test_random_masks_keep_what_each_layer_is_to_keep():
    weights = [torch.empty(20, 30), torch.empty(5, 20)]
    mask = at_random(weights, [40, 7], generator())
    assert [int(layer.sum()) for layer in mask.layers] == [40, 7]
    moved = shuffled(mask, torch.Generator().manual_seed(1))
    assert [int(layer.sum()) for layer in moved.layers] == [40, 7]
    assert not torch.equal(moved.layers[0], mask.layers[0])


def test_the_control_keeps_few_units_and_all_that_leaves_them():
    weights = [torch.empty(100, 784), torch.empty(10, 100)]
    mask = on_few_units(weights, 794, 20, generator())
    assert mask.kept == 794
    assert int(mask.layers[1].any(0).sum()) == 20 and int(mask.layers[1].sum()) == 200
    assert not mask.layers[0][~mask.layers[1].any(0)].any()
    for units in (80, 0):
        with pytest.raises(ValueError, match=f"{units} units have"):
            on_few_units(weights, 794, units, generator())


def test_a_mask_is_applied_to_a_copy():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    mask = at_random([net[1].weight, net[3].weight], [2, 1], generator())
    pruned = mask.applied(net)
    assert torch.equal(pruned[1].weight, net[1].weight * mask.layers[0])
    assert int(net[1].weight.count_nonzero()) == 12
    assert torch.equal(pruned[1].bias, net[1].bias)
    assert mask.kept == 3


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_fractions_out_of_range_are_refused(fraction):
    with pytest.raises(ValueError, match="kept_fraction must lie in"):
        count_kept([torch.empty(10)], fraction)


def test_a_tiny_fraction_keeps_one():
    assert count_kept([torch.empty(10)], 1e-9) == 1
