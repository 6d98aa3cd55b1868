import pytest
import torch

from greenai_nb.nets.architectures import cnn, mlp, xnor_cnn


@pytest.mark.parametrize("net", [mlp(784, 5), cnn(3), xnor_cnn(3)])
def test_architectures_answer_with_a_logit_a_class(net):
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_the_twins_have_the_same_weights_to_learn():
    def count(net):
        return sum(parameter.numel() for parameter in net.parameters())

    assert count(cnn(4)) == count(xnor_cnn(4))
