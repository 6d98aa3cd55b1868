import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from greenai_nb.checks import UsageError
from greenai_nb.nets.counts import count
from greenai_nb.search.space import OPERATIONS, Addition, Residual, Space, Supernet, block, one_hot

pytestmark = pytest.mark.usefixtures("one_thread_in_all")
SPACE = Space((1, 12, 10), 3, width=2)


def signature(architecture):
    """The layers with weights in their order, each with the shapes of its weights and of its input."""
    net, seen = SPACE.network(architecture).eval(), []
    for layer in net.modules():
        if [*layer.parameters(recurse=False)]:
            shapes = tuple(tuple(weight.shape) for weight in layer.parameters())
            layer.register_forward_hook(
                lambda layer, args, _, shapes=shapes: seen.append((shapes, tuple(args[0].shape)))
            )
    net(torch.rand(1, *SPACE.shape))
    return tuple(seen)


def test_of_64_architectures_52_are_distinct():
    assert len(SPACE.architectures()) == 64 and len(SPACE.distinct()) == 52
    # A stage of n blocks has sum_j 3^j canonical rows: j operations behind n - j skips.
    assert len(SPACE.distinct()) == 4 * (1 + 3 + 9)
    three = Space((1, 40, 40), 3, 2, stages=(3, 1))
    assert len(three.distinct()) == (1 + 3 + 9 + 27) * 4 and len(three.architectures()) == 256


def test_architectures_are_duplicates_where_and_only_where_layers_and_shapes_agree():
    signatures = {each: signature(each) for each in SPACE.architectures()}
    for one, other in itertools.combinations(signatures, 2):
        alike = SPACE.canonical(one) == SPACE.canonical(other)
        assert alike == (signatures[one] == signatures[other]), (one, other)


@settings(max_examples=20)
@given(st.sampled_from(SPACE.architectures()))
def test_a_duplicate_is_the_same_function_of_the_same_weights(architecture):
    net, twin = SPACE.network(architecture), SPACE.network(SPACE.canonical(architecture))
    for ours, theirs in zip(net.state_dict().values(), twin.state_dict().values(), strict=True):
        theirs.copy_(ours)
    images = torch.rand(3, *SPACE.shape)
    assert torch.equal(net(images), twin(images))


@settings(max_examples=20)
@given(st.sampled_from(SPACE.architectures()), st.integers(0, 100))
def test_a_supernet_of_one_choice_is_the_network_with_its_weights(architecture, seed):
    torch.manual_seed(seed)
    supernet = Supernet(SPACE).eval()
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    images = torch.rand(4, *SPACE.shape)
    net = supernet.network(architecture)
    torch.testing.assert_close(supernet(images, one_hot(architecture)), net(images))
    twin = SPACE.network(architecture).eval()
    twin.load_state_dict(net.state_dict())
    torch.testing.assert_close(twin(images), net(images))
    with torch.no_grad():
        supernet.scores.copy_(3 * one_hot(architecture) - 1)
    assert supernet.architecture == architecture
    torch.testing.assert_close(supernet(images), net(images))


def test_a_mixture_of_supernet_blocks_is_linear_in_the_mixture():
    torch.manual_seed(0)
    choice = Supernet(SPACE).eval().layers[1]
    x, weights = torch.rand(2, *SPACE.blocks[0]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    by_hand = sum(w * option(x) for w, option in zip(weights, choice.options, strict=True))
    torch.testing.assert_close(choice(x, weights), by_hand)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 20, 24), (3, 24, 20), (3, 32, 32), (1, 8, 8)])
def test_all_networks_take_grey_and_coloured_images_of_many_shapes(shape):
    space = Space(shape, 5)
    for architecture in (("3x3", "depthwise", "1x1"), ("skip",) * 3):
        assert space.network(architecture)(torch.rand(2, *shape)).shape == (2, 5)
    assert Supernet(space)(torch.rand(2, *shape)).shape == (2, 5)


def remember_shape(seen, _layer, _args, out):
    seen.append(tuple(out.shape[1:]))


def test_blocks_have_the_shapes_that_images_have_there():
    for shape, stride in itertools.product([(1, 28, 28), (3, 20, 25)], (1, 2, 3)):
        space, seen = Space(shape, 5, stride=stride), []
        net = space.network(("3x3",) * 3)
        for layer in net.modules():
            if isinstance(layer, Residual):
                layer.register_forward_hook(partial(remember_shape, seen))
        net(torch.rand(2, *shape))
        assert seen == space.blocks


def test_counts_see_the_addition_of_a_residual():
    rows = count(nn.Sequential(block("1x1", 3)), torch.rand(2, 3, 4, 5)).set_index("kind")
    numbers = 2 * 3 * 4 * 5
    assert rows.loc["Addition", "additions"] == numbers
    assert rows.loc["Addition", "input_bytes"] == 2 * rows.loc["Addition", "output_bytes"] == 8 * numbers
    assert torch.equal(Addition()(torch.ones(2), torch.ones(2)), torch.full((2,), 2.0))


def test_an_operation_that_changes_the_shape_is_named():
    strided = Residual("5x5", nn.Conv2d(3, 3, 5))
    with pytest.raises(ValueError, match=r"5x5 must keep the shape \(3, 8, 8\), and gives \(3, 4, 4\)"):
        strided(torch.rand(1, 3, 8, 8))


def test_what_is_not_in_the_space_is_refused_with_what_is():
    with pytest.raises(UsageError, match="3 of skip, 1x1, depthwise, 3x3 are expected"):
        SPACE.network(("3x3", "3x3"))
    with pytest.raises(UsageError, match="'5x5'"):
        SPACE.canonical(("3x3", "5x5", "skip"))
    with pytest.raises(UsageError, match="images of 6 x 28 are too small: a side of 7 or more"):
        Space((1, 6, 28))
    assert Space((1, 7, 28)).network(("3x3",) * 3)(torch.rand(1, 1, 7, 28)).shape == (1, 10)
    with pytest.raises(ValueError, match="stages"):
        Space(stages=(1, 0))
    assert len(OPERATIONS) == 4
