import pytest
import torch
from torch import nn

from greenai_nb.nets.architectures import xnor_cnn
from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.pack import pack
from greenai_nb.nets.torch_op import PackedModule, packed_net


@pytest.fixture
def module():
    torch.manual_seed(0)
    net = xnor_cnn(4)
    net(torch.randn(20, 1, 28, 28))
    return net.eval(), PackedModule(pack(net.eval()))


def test_the_operator_passes_torchs_own_checks(module):
    _, packed = module
    torch.library.opcheck(packed_net, (torch.randn(2, 1, 28, 28), packed.file, packed.outputs))


def test_an_exported_program_carries_the_network(module, tmp_path):
    net, packed = module
    x = torch.randn(3, 1, 28, 28)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(packed, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    again = torch.export.load(tmp_path / "net.pt2").module()
    more = torch.randn(5, 1, 28, 28)
    assert torch.allclose(again(more), net(more), atol=1e-5)


def test_a_gradient_is_refused_in_words(module):
    _, packed = module
    answer = packed(torch.randn(2, 1, 28, 28, requires_grad=True))
    with pytest.raises(RuntimeError, match="no gradient: train the float network"):
        answer.sum().backward()


def test_two_networks_do_not_get_mixed_up(module):
    net, packed = module
    other = nn.Sequential(Sign(), nn.Flatten(), BinaryLinear(784, 10)).eval()
    x = torch.randn(2, 1, 28, 28)
    assert torch.allclose(PackedModule(pack(other))(x), other(x), atol=1e-4)
    assert torch.allclose(packed(x), net(x), atol=1e-5)


def test_a_network_without_a_linear_end_is_refused():
    images = pack(nn.Sequential(Sign(), BinaryConv2d(1, 2, 3)).eval())
    with pytest.raises(ValueError, match="1: the last layer must be linear"):
        PackedModule(images)
