import pytest
import torch

from greenai_nb.nets.architectures import cnn, mlp, xnor_cnn, xnor_vgg_small


@pytest.mark.parametrize("net", [mlp(784, 5), cnn(3), xnor_cnn(3)])
def test_architectures_answer_with_a_logit_a_class(net):
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_the_twins_have_the_same_weights_to_learn():
    def count(net):
        return sum(parameter.numel() for parameter in net.parameters())

    assert count(cnn(4)) == count(xnor_cnn(4))


@pytest.mark.parametrize(
    ("net", "side"), [(xnor_cnn(3), 28), (xnor_vgg_small(1, widths=(4, 4, 4, 4, 4, 4)), 32)]
)
def test_the_last_layer_of_a_binary_network_sees_real_numbers(net, side):
    seen = []
    net[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(torch.rand(5, 1, side, side))
    assert len(seen[0].unique()) > 20
