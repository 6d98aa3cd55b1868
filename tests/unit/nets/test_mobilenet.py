"""MobileNetV2 against the paper's sizes, on torch's meta device."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from greenai_nb.nets.mobilenet import InvertedResidual, mobilenet_v2


def test_operations_and_weights_are_the_published_ones():
    with torch.device("meta"):
        net, image = mobilenet_v2().eval(), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        assert net(image).shape == (1, 1000)
    assert counter.get_total_flops() == 2 * 300_774_272
    assert sum(weight.numel() for weight in net.parameters()) == 3_504_872


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
