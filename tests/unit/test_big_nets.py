"""MobileNetV2 and Inception-v3 against the papers' sizes, on torch's meta device."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from greenai_nb.nets.inception import auxiliary_classifier, inception_v3
from greenai_nb.nets.mobilenet import InvertedResidual, mobilenet_v2

BIG = [(mobilenet_v2, 224, 300_774_272, 3_504_872), (inception_v3, 299, 5_713_216_096, 23_834_568)]


def weights(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("build", "size", "macs", "parameters"), BIG)
def test_operations_and_weights_are_the_published_ones(build, size, macs, parameters):
    with torch.device("meta"):
        net, image = build().eval(), torch.empty(1, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        assert net(image).shape == (1, 1000)
    assert counter.get_total_flops() == 2 * macs
    assert weights(net) == parameters


def test_the_auxiliary_classifier_makes_up_the_published_total():
    with torch.device("meta"):
        side = auxiliary_classifier().eval()
        assert side(torch.empty(1, 768, 17, 17)).shape == (1, 1000)
    assert 23_834_568 + weights(side) == 27_161_264


def test_a_block_of_stride_one_takes_what_the_paper_says():
    h, w, t, d, d_out = 5, 7, 6, 8, 12
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        InvertedResidual(d, d_out, t, 1).eval()(torch.empty(1, d, h, w))
    assert counter.get_total_flops() == 2 * h * w * t * d * (d + 9 + d_out)


def test_a_block_adds_its_input_where_shapes_allow():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 6)
    same, wider = InvertedResidual(8, 8, 6, 1).eval(), InvertedResidual(8, 12, 6, 1).eval()
    assert torch.equal(same(x), x + same.layers(x))
    assert torch.equal(wider(x), wider.layers(x))
    assert InvertedResidual(8, 8, 6, 2).eval()(x).shape == (2, 8, 3, 3)


def test_the_numbers_of_a_pass_keep_their_size(one_thread):
    torch.manual_seed(0)
    logits = mobilenet_v2(10).eval()(torch.randn(1, 3, 64, 64))
    assert logits.shape == (1, 10) and 0.01 < logits.std() < 100
